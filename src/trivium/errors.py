"""The exception tree. An error here knows its HTTP status and a stable code, and nothing of HTTP objects or API shapes:
the shape is chosen at the edge (`wire/errors.py`), and foreign exceptions are mapped into this tree once, where
they enter.

    TriviumError
    ├── ConfigError                     the start stops; never reaches a client
    ├── OperationError          400     an operator's command cannot be carried out
    │   ├── RoleMissing         403 · NotFound 404 · Conflict 409 · PreconditionFailed 412 · UrlRefused 400
    │   ├── SecretUnreadable    503
    │   ├── CredentialInvalid   401 · KeyReused 422 · PreconditionMissing 428
    ├── RequestError            400     the caller can mend it
    │   ├── InvalidJson         400 · ModelMissing 400 · ModelAmbiguous 400 · FieldInvalid 400 · FieldUnsupported 400
    │   ├── Untranslatable      400 · LossRefused 400
    │   ├── PriceUnknown        400
    │   ├── AuthenticationError 401 · CredentialMissing 401 · FreeLimitReached 401
    │   ├── InsufficientCredits 402 · BudgetExceeded 402
    │   ├── Forbidden           403
    │   │   ├── CallerBlocked 403 · KeyNotHere 403 · NotAMember 403 · ApiNotAvailable 403
    │   │   ├── ModelNotAllowed 403 · ProviderNotAllowed 403 · CallChallenged 403
    │   │   └── CallBlocked 403 · DestinationRefused 403
    │   ├── PathNotFound        404 · ModelNotFound 404 · ModelEnded 404 · MethodNotAllowed 405
    │   ├── NoDefaultModel      409
    │   ├── BodyTimeout         408 · BodyTooLarge 413 · NotJson 415
    │   ├── UpgradeRefused      426 · RateLimited 429 · HeadersTooLarge 431
    │   └── ApiNotServed        400 · CallInProgress 409 · IdempotencyConflict 422
    ├── Unavailable             503     ours, and it passes: retry
    │   ├── Overloaded          503 · StoreUnavailable 503 · OwnKeyUnreadable 503
    └── UpstreamError           502     theirs
        ├── UpstreamUnreachable 502 · UpstreamGarbage 502 · UpstreamBroken 502
        ├── UpstreamTimeout     504
        ├── ContextExceeded     400
        ├── OwnKeyRefused       4xx     the provider refused the caller's own key; its status
        └── UpstreamRefusedUs   503     the provider refused the operator's own credential or account
"""

from __future__ import annotations

from collections.abc import Sequence


class TriviumError(Exception):
    """Root. `message` is for the caller; `detail` is for the record and the operator, never for the caller."""

    status = 500
    code = "internal_error"

    def __init__(
        self, message: str, *, param: str | None = None, retry_after: int | None = None, detail: str | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        """The field of the request that is at fault, if one is."""
        self.retry_after = retry_after
        """Seconds after which a retry makes sense."""
        self.detail = detail
        self.facts: dict[str, str] = {}
        """What the error's body says beside the message, for programs: names and texts."""


class ConfigError(TriviumError):
    """A setting that cannot be used. The message names file, line, key and what was expected."""

    code = "config_error"


class OperationError(TriviumError):
    """What an operator asked for cannot be done."""

    status = 400
    code = "operation_failed"


class NotFound(OperationError):
    """It is not there, or not theirs to see who asked."""

    status = 404
    code = "not_found"


class Conflict(OperationError):
    """It is there already, or is needed by something else."""

    status = 409
    code = "conflict"


class PreconditionFailed(OperationError):
    """Somebody else has changed it since it was read."""

    status = 412
    code = "changed_meanwhile"


class RoleMissing(OperationError):
    """An operator's credential that is good, but not for this."""

    status = 403
    code = "role_missing"


class UrlRefused(OperationError):
    """A URL that the gateway would not call; the message says what is wrong with it."""

    code = "url_refused"


class SecretUnreadable(OperationError):
    """The key that a secret was sealed under is not at hand, or another one; the message says what to put back."""

    status = 503
    code = "secret_unreadable"


class CredentialInvalid(OperationError):
    """No live credential of an operator."""

    status = 401
    code = "invalid_admin_credential"


class KeyReused(OperationError):
    """An idempotency key that came with another request before."""

    status = 422
    code = "idempotency_key_reused"


class PreconditionMissing(OperationError):
    """What is replaced whole must be named by its version, lest somebody else's change is lost."""

    status = 428
    code = "version_required"


class RequestError(TriviumError):
    status = 400
    code = "invalid_request"


class InvalidJson(RequestError):
    code = "invalid_json"


class ModelMissing(RequestError):
    code = "model_required"


class FieldUnsupported(RequestError):
    """A field that asks for state which a stateless gateway does not keep."""

    code = "unsupported_field"


class ModelAmbiguous(RequestError):
    code = "model_ambiguous"


class FieldInvalid(RequestError):
    """A field that is not what its API says it is; found where a request has to be read to be translated."""

    code = "invalid_field"


class Untranslatable(RequestError):
    """The upstream's API has no words for something without which the question would be another."""

    code = "not_translatable"


class LossRefused(RequestError):
    """The caller would rather have no answer than one to a request that lost something on its way."""

    code = "lossy_request"


class AuthenticationError(RequestError):
    status = 401
    code = "invalid_api_key"


class CredentialMissing(RequestError):
    status = 401
    code = "paid_model_auth_required"


class PriceUnknown(RequestError):
    """Balances are charged here, and nobody knows what this model costs."""

    code = "model_not_priced"


class InsufficientCredits(RequestError):
    """What a request may cost is more than the balance that no other request has a hold on."""

    status = 402
    code = "insufficient_credits"


class BudgetExceeded(RequestError):
    """What a request may cost is more than what is left of a budget."""

    status = 402
    code = "budget_exceeded"


class FreeLimitReached(RequestError):
    """An address has had as many anonymous calls as it may; with a key there are more."""

    status = 401
    code = "free_limit_reached"


class Forbidden(RequestError):
    status = 403
    code = "forbidden"


class CallerBlocked(Forbidden):
    code = "caller_blocked"


class KeyNotHere(Forbidden):
    """A key that is only good at other addresses."""

    code = "address_not_allowed"


class NotAMember(Forbidden):
    """Of the organization that would pay, or not one who may spend."""

    code = "not_a_member"


class ApiNotAvailable(Forbidden):
    code = "api_not_available"


class ModelNotAllowed(Forbidden):
    code = "model_not_allowed"


class ProviderNotAllowed(Forbidden):
    code = "provider_not_allowed"


class CallChallenged(Forbidden):
    """The call looks like abuse; the message says what to do."""

    code = "call_challenged"


class CallBlocked(Forbidden):
    """The call looks like abuse, and there is nothing that the caller could do about it."""

    code = "call_blocked"


class DestinationRefused(Forbidden):
    """A server that a user named has an address that the gateway does not connect to. Which it is, is not told: a name
    must not tell who asks what the operator's network looks like."""

    code = "destination_refused"


class ModelEnded(RequestError):
    """A free model whose time is over."""

    status = 404
    code = "model_ended"


class RateLimited(RequestError):
    """A limit per minute, or of calls at once. `retry_after` says when there is room again."""

    status = 429
    code = "rate_limited"


class PathNotFound(RequestError):
    status = 404
    code = "path_not_found"


class ModelNotFound(RequestError):
    status = 404
    code = "model_not_found"


class NoDefaultModel(RequestError):
    """Somebody asks for a default model, and there is none that they may use."""

    status = 409
    code = "no_default_model"


class ApiNotServed(RequestError):
    code = "api_not_served"


class IdempotencyConflict(RequestError):
    status = 422
    code = "idempotency_conflict"


class CallInProgress(RequestError):
    status = 409
    code = "idempotency_in_progress"


class MethodNotAllowed(RequestError):
    status = 405
    code = "method_not_allowed"


class BodyTimeout(RequestError):
    status = 408
    code = "body_timeout"


class BodyTooLarge(RequestError):
    status = 413
    code = "body_too_large"


class NotJson(RequestError):
    """A body that says that it is something else, or that it is compressed."""

    status = 415
    code = "not_json"


class UpgradeRefused(RequestError):
    """A WebSocket was asked for; the same path answers over HTTP."""

    status = 426
    code = "websocket_not_offered"


class HeadersTooLarge(RequestError):
    status = 431
    code = "headers_too_large"


class Unavailable(TriviumError):
    """Nothing is wrong with the request; the same one may succeed later."""

    status = 503
    code = "unavailable"

    def __init__(
        self, message: str, *, param: str | None = None, retry_after: int | None = 1, detail: str | None = None
    ) -> None:
        super().__init__(message, param=param, retry_after=retry_after, detail=detail)


class Overloaded(Unavailable):
    code = "overloaded"


class StoreUnavailable(Unavailable):
    code = "store_unavailable"


class OwnKeyUnreadable(Unavailable):
    """The caller's own upstream key is kept under a key that the gateway does not have at the moment."""

    code = "own_key_unreadable"


class UpstreamError(TriviumError):
    status = 502
    code = "upstream_error"
    hints: Sequence[tuple[bytes, bytes]] = ()
    """What the upstream said of when to try again, as names and values of headers."""


class UpstreamUnreachable(UpstreamError):
    """No connection: refused, reset before an answer, name not found, TLS failure."""

    code = "upstream_unreachable"


class UpstreamGarbage(UpstreamError):
    """An answer came and is not HTTP, not the promised framing, over a limit, or not the API's JSON."""

    code = "upstream_invalid_response"


class UpstreamBroken(UpstreamError):
    """The connection ended in the middle of the answer."""

    code = "upstream_disconnected"


class UpstreamTimeout(UpstreamError):
    status = 504
    code = "upstream_timeout"


class UpstreamRefusedUs(UpstreamError):
    """401, 402 or 403 on the operator's own key: the caller cannot mend it and must not see it."""

    status = 503
    code = "upstream_unavailable"
    hints = ((b"x-should-retry", b"false"),)


class ContextExceeded(UpstreamError):
    """The request is longer than the model's context, whichever words the provider has for that."""

    status = 400
    code = "context_length_exceeded"


class OwnKeyRefused(UpstreamError):
    """The provider refused the caller's own key: the status is the provider's, and the message says whose key it was
    and what to do. No key of the gateway's takes its place."""

    code = "own_key_refused"
