"""Errors in the dialects of the upstreams."""

from typing import Any, get_args

import pytest
from openai.types.responses import ResponseError

from trivium.canon.events import Fault
from trivium.canon.fold import Answer
from trivium.wire.fault import (
    fault_in,
    fault_of_body,
    fault_of_text,
    is_about_seals,
    is_unpaid,
    status_of,
    with_kind,
)

DIALECTS: list[tuple[Any, Fault]] = [
    (
        {
            "error": {
                "message": "No such model",
                "type": "invalid_request_error",
                "param": None,
                "code": "model_not_found",
            }
        },
        Fault("invalid_request_error", "No such model", "model_not_found"),
    ),
    (
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}, "request_id": "r"},
        Fault("overloaded_error", "Overloaded"),
    ),
    (
        {
            "error": {"code": 429, "message": "Provider returned error", "metadata": {"raw": "slow down"}},
            "user_id": "u",
        },
        Fault("rate_limit_error", "Provider returned error: slow down"),
    ),
    (
        {"error": {"code": 400, "message": "Failed", "metadata": {"raw": '{"error":{"message":"too long"}}'}}},
        Fault("invalid_request_error", "Failed: too long"),
    ),
    (
        {"error": {"code": 502, "message": "Down", "metadata": {"error_type": "provider_unavailable"}}},
        Fault("provider_unavailable", "Down"),
    ),
    ({"error": {"code": 402, "message": "Insufficient credits"}}, Fault("billing_error", "Insufficient credits")),
    ({"error": {"code": "RateLimitReached", "message": "Slow"}}, Fault("RateLimitReached", "Slow")),
    ({"error": {"code": "401", "message": "Access denied"}}, Fault("authentication_error", "Access denied")),
    (
        [{"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "Bad", "details": []}}],
        Fault("INVALID_ARGUMENT", "Bad"),
    ),
    ({"code": "invalid-argument", "error": "Incorrect API key"}, Fault("invalid-argument", "Incorrect API key")),
    ({"detail": "Invalid API Key"}, Fault("api_error", "Invalid API Key")),
    ({"detail": [{"loc": ["body"]}]}, Fault("api_error", '[{"loc":["body"]}]')),
    ({"object": "error", "message": "Bad", "type": "BadRequestError"}, Fault("BadRequestError", "Bad")),
    ({"type": "error", "code": "server_error", "message": "boom", "param": None}, Fault("server_error", "boom")),
    (
        {"choices": None, "base_resp": {"status_code": 1004, "status_msg": "login fail"}},
        Fault("authentication_error", "login fail (1004)"),
    ),
    ({"base_resp": {"status_code": 2061, "status_msg": "no plan"}}, Fault("api_error", "no plan (2061)")),
    ({"error": {"type": None, "code": None}}, Fault("api_error", '{"type":null,"code":null}')),
]


@pytest.mark.parametrize(("said", "fault"), DIALECTS)
def test_every_dialect_tells_a_type_and_a_message(said: Any, fault: Fault) -> None:
    assert fault_in(said) == fault
    assert fault_of_body(said) == fault


@pytest.mark.parametrize(
    "said",
    [
        {"base_resp": {"status_code": 0, "status_msg": "unknown field"}},
        {},
        {"error": None},
        {"error": {}},
        {"error": ""},
        {"choices": []},
        [],
        [1],
        None,
        "x",
    ],
)
def test_what_says_no_error_is_none(said: Any) -> None:
    assert fault_in(said) is None


def test_the_bare_message_of_bedrock_is_an_error_only_as_a_body() -> None:
    assert fault_in({"message": "Too many tokens"}) is None
    assert fault_of_body({"message": "Too many tokens"}) == Fault("api_error", "Too many tokens")


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"type": "invalid_request_error", "code": "context_length_exceeded"}, "context_length_exceeded"),
        ({"type": "server_error", "code": "server_error"}, None),
        ({"code": "RateLimitReached"}, None),
        ({"type": "x", "code": 429}, None),
        ({"type": "x", "code": "429"}, None),
        ({"type": "x", "code": None}, None),
        ({"type": "x", "code": ["odd"]}, None),
    ],
)
def test_a_code_is_told_where_it_says_more_than_the_type(said: dict[str, Any], code: str | None) -> None:
    fault = fault_in({"error": {"message": "m", **said}})
    assert fault
    assert fault.code == code


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        (Fault("rate_limit_error", ""), 429),
        (Fault("overloaded_error", ""), 529),
        (Fault("invalid_request_error", ""), 400),
        (Fault("invalid_request_error", "", "model_not_found"), 404),
        (Fault("invalid_request_error", "", "a_new_word"), 400),
        (Fault("server_error", ""), 502),
        (Fault("a_new_word", ""), 502),
        (Fault("image_too_large", ""), 400),
        (Fault("server_error", "", "bio_policy"), 400),
        (Fault("vector_store_timeout", ""), 504),
    ],
)
def test_an_error_inside_an_answer_has_the_status_that_it_would_have_had(fault: Fault, status: int) -> None:
    assert status_of(fault) == status


def test_the_codes_of_openai_s_failed_responses_are_known() -> None:
    """502, after which clients try again, is for what the provider is to blame for alone."""
    codes = get_args(ResponseError.model_fields["code"].annotation)
    blamed = [code for code in codes if status_of(Fault(code, "")) == 502]
    assert blamed == ["server_error", "data_residency_mismatch"]


@pytest.mark.parametrize(
    ("details", "seconds"),
    [
        ([{"@type": "type.googleapis.com/google.rpc.QuotaFailure"}, {"retryDelay": "38s"}], 38),
        ([{"retryDelay": "38.922534355s"}], 39),
        ([{"retryDelay": "0s"}], 0),
        ([{"retryDelay": "-1s"}, {"retryDelay": "1e9s"}, {"retryDelay": 38}, "38s", None], None),
        ({"retryDelay": "38s"}, None),
        (None, None),
    ],
)
def test_google_says_in_the_body_how_long_to_wait(details: Any, seconds: int | None) -> None:
    fault = fault_in([{"error": {"code": 429, "message": "m", "status": "RESOURCE_EXHAUSTED", "details": details}}])
    assert fault
    assert fault.pause_s == seconds


SUSPENDED = "Your account org-x <ak-x> is suspended, please check your plan and billing details"
SPENT = "Your team 16f2151a-40f4 has either used all available credits or reached its monthly spending limit. To ..."
GOOD_STANDING = "Access denied, please make sure your account is in good standing."


@pytest.mark.parametrize(
    "fault",
    [
        Fault("insufficient_quota", "You exceeded your current quota."),
        Fault("invalid_request_error", "Billing hard limit has been reached", "billing_hard_limit_reached"),
        Fault("invalid_request_error", "Your credit balance is too low to access the Anthropic API."),
        Fault(
            "invalid_request_error", "You have reached your specified API usage limits. You will regain access on ..."
        ),
        Fault("exceeded_current_quota_error", SUSPENDED),
        Fault("Arrearage", GOOD_STANDING),
        Fault("Some resource has been exhausted", SPENT),
        Fault("1113", "Insufficient balance or no resource package. Please recharge."),
        Fault("api_error", "insufficient balance (1008)"),
        Fault("api_error", "You have insufficient credits to make this request."),
        Fault("api_error", "Provider returned error: Your credit balance is too low to access the Anthropic API."),
    ],
)
def test_an_account_without_credit_is_known_in_the_words_of_each(fault: Fault) -> None:
    assert is_unpaid(fault, "openai")


@pytest.mark.parametrize(
    "message",
    [
        "Invalid value: 'credit balance is too low'. Supported values are: 'low', 'medium', and 'high'.",
        "'insufficient balance' is not of type 'integer'",
        "The model `insufficient balance` does not exist",
        "Invalid value: your team x has either used all available credits or reached its monthly spending limit",
    ],
)
def test_words_that_an_error_repeats_say_nothing_of_the_account(message: str) -> None:
    assert not is_unpaid(Fault("invalid_request_error", message), "openai")


def test_a_body_that_is_neither_answer_nor_error_says_so() -> None:
    fault = fault_of_body({"object": "list"})
    assert fault.type == "upstream_invalid_response"
    assert '{"object":"list"}' in fault.message


def test_a_body_that_is_not_json_is_its_own_message() -> None:
    assert fault_of_text(b" <h1>502 Bad Gateway</h1>\n") == Fault(
        "upstream_invalid_response", "<h1>502 Bad Gateway</h1>"
    )
    assert fault_of_text(b"").message == "The body is empty"
    assert len(fault_of_text(b"\xff" * 10_000).message) == 500


@pytest.mark.parametrize(
    ("header", "type"),
    [
        (b"ThrottlingException", "ThrottlingException"),
        (b"com.amazon.coral.service#AccessDeniedException", "AccessDeniedException"),
        (b"aws.protocols#ModelErrorException:http://internal.amazon.com/coral/", "ModelErrorException"),
        (b"", "api_error"),
        (b"<b>", "api_error"),
        (b":", "api_error"),
    ],
)
def test_of_amazons_word_the_name_counts(header: bytes, type: str) -> None:
    assert with_kind(Answer(error=Fault("api_error", "no")), header).error == Fault(type, "no")


@pytest.mark.parametrize("error", [None, Fault("own", "no"), Fault("api_error", "no", "own")])
def test_the_bodys_own_word_comes_first(error: Fault | None) -> None:
    assert with_kind(Answer(error=error), b"ThrottlingException").error == error


UNVERIFIED = "The encrypted content gAAA...DQ== could not be verified."
SEALS: list[dict[str, Any]] = [
    {"error": {"message": UNVERIFIED, "type": "invalid_request_error", "code": "invalid_encrypted_content"}},
    {"error": {"message": f'OpenAIException - {{\n"message": "{UNVERIFIED}"}}', "code": "400"}},
    {"code": "Client specified an invalid argument", "error": "Could not decrypt the provided encrypted_content. No."},
    {"type": "error", "error": {"message": "messages.1.content.0: Invalid `signature` in `thinking` block"}},
    {"type": "error", "error": {"message": "messages.1.content.0: Invalid `data` in `redacted_thinking` block"}},
    {"error": {"message": "No", "metadata": {"raw": '{"message":"messages.7: Invalid signature in thinking block"}'}}},
    {"message": "The model returned: messages.369.content.0.thinking.signature: Field required"},
]
OTHERS: list[dict[str, Any]] = [
    {"error": {"message": "messages.1: `thinking` blocks cannot be modified", "type": "invalid_request_error"}},
    {"error": {"message": "Your organization could not be verified", "type": "invalid_request_error"}},
    {"message": "The security token included in the request has an invalid signature"},
]


@pytest.mark.parametrize(("said", "is_so"), [*[(said, True) for said in SEALS], *[(said, False) for said in OTHERS]])
def test_whether_it_is_about_what_others_have_sealed(said: dict[str, Any], is_so: bool) -> None:
    assert is_about_seals(fault_of_body(said)) is is_so
