"""What channels are told."""

from __future__ import annotations

import json

from trivium.policy.alert_rules import Finding
from trivium.policy.alert_words import SHOWN, Message, as_json, as_mail, as_slack


def finding(number: int = 1, title: str = "Errors: up/m for x") -> Finding:
    return Finding(
        rule="errors",
        severity="page",
        key=f"k{number}",
        title=title,
        text="2 < 3",
        silenced=(),
        facts={"calls": number},
    )


def test_nobody_is_called_by_who_takes_the_same_as_slack() -> None:
    text = json.loads(as_slack(Message("page", [finding(title="@all look @here, @channel")], 5)))["text"]
    assert not any(name in text for name in ("@all", "@here", "@channel"))


def test_slack_gets_one_text_without_marks_of_strangers() -> None:
    body = json.loads(as_slack(Message("page", [finding(title="a <!channel> & b")], 5)))
    assert body == {"text": ":rotating_light: Trivium page\n*a &lt;!channel&gt; &amp; b*\n2 &lt; 3"}


def test_programs_get_everything() -> None:
    body = json.loads(as_json(Message("ticket", [finding(1), finding(2)], 5, test=True)))
    assert {name: body[name] for name in ("version", "time_ms", "severity", "test")} == {
        "version": 1, "time_ms": 5, "severity": "ticket", "test": True,
    }  # fmt: skip
    assert [one["facts"] for one in body["alerts"]] == [{"calls": 1}, {"calls": 2}]
    assert body["alerts"][0].keys() == {"rule", "severity", "key", "title", "text", "facts"}


def test_a_mails_subject_is_a_line() -> None:
    mail = as_mail(Message("page", [finding(title="a\r\nBcc: x@y")], 5))
    assert mail.subject == "[Trivium page] a  Bcc: x@y"
    assert mail.text == "a\r\nBcc: x@y\n2 < 3\n"


def test_many_are_one_message_that_stays_short() -> None:
    message = Message("page", [finding(number, f"t{number}") for number in range(SHOWN + 7)], 5)
    assert "And 7 more" in json.loads(as_slack(message))["text"]
    mail = as_mail(message)
    assert mail.subject == f"[Trivium page] t0; t1; t2 and {SHOWN + 4} more"
    assert mail.text.endswith("And 7 more: `trivium alerts notices` has them.")
    assert len(json.loads(as_json(message))["alerts"]) == SHOWN + 7
