"""The rules of `providers/rules.py` at work: one step between a request and its upstream.

Each rule has an action here, of the same name. It works on the body as the upstream will get it, in the upstream's API:
before it is patched where that is the client's too, behind the translation elsewhere. What it takes away is a loss.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import lru_cache

import msgspec

from trivium.canon.api import CHAT, MESSAGES, RESPONSES, Kind
from trivium.pipeline import preferences
from trivium.pipeline.call import COUNT_TOKENS, Call
from trivium.pipeline.deps import Deps
from trivium.pipeline.settle import Run
from trivium.policy.caller import Policy
from trivium.policy.context import context_of
from trivium.providers import betas
from trivium.providers.embedded import STOPS
from trivium.providers.identity import hashed
from trivium.providers.matching import is_like, row_of, rules_of
from trivium.providers.members import CACHE_KEY, SAFETY, SAMPLING, UNKNOWN, USER, told_in
from trivium.providers.provider import Provider
from trivium.providers.rule import Rule
from trivium.providers.rules import HAIKU
from trivium.providers.traits import KIMI_TOGGLED, MOONSHOT, traits_of
from trivium.routing.catalog import Target
from trivium.settings_requests import AdaptSettings
from trivium.wire import body as json_body
from trivium.wire import mendings
from trivium.wire.breakpoints import MARK, mark_conversation, mark_places
from trivium.wire.draft import Draft
from trivium.wire.fields import decoded
from trivium.wire.lenient import mapping
from trivium.wire.losses import Losses
from trivium.wire.request import MAX_TOKENS, Rendered, Request
from trivium.wire.strict import keep_known
from trivium.wire.systemturns import without_system_turns
from trivium.wire.thinkingform import fit_thinking
from trivium.wire.toolids import fit_ids
from trivium.wire.toolnames import nine_letters, plain_id
from trivium.wire.toolturns import repair_turns

_NO_USER = "the Messages API has no such member"
_FORBIDDEN = "the organization's policy says otherwise"
_NO_USAGE = "this provider refuses it"
_BETA_UNKNOWN = "a beta that this provider does not know"
_LONGEST_KEY = 200


class Rules:
    """Those for one request to one upstream. Notes on the run which of them did something, and what they lost."""

    __slots__ = ("_losses", "_off", "_run", "api", "call", "model", "names_callers", "provider", "request", "row")

    def __init__(self, call: Call, request: Request, target: Target, api: Kind, run: Run, losses: Losses) -> None:  # noqa: PLR0917
        self.call = call
        self.request = request
        self.provider = target.provider
        self.model = target.model
        self.api = api
        self.row = row_of(target.provider)
        self.names_callers = names_callers(target.provider, run.deps)
        self._off = _switched_off(
            run.deps.adapt, target.provider.strict, self.names_callers, target.provider.stream_usage
        )
        self._run = run
        self._losses = losses
        run.rules, run.headers = (), ()

    def on_request(self, request: Request) -> Request:
        """The request for an upstream of the client's API. Raises RequestError."""
        rules = rules_of(self.row, self.model, self.call.api, self.api, self._off, translated=False)
        draft = self._applied(rules, request.members, self._losses)
        if draft is None or not draft.changed:
            return request
        return msgspec.structs.replace(request, body=draft.body(request.body), members=draft.members())

    def on_rendered(self, rendered: Rendered) -> Rendered:
        """The body that a translation made. Raises RequestError."""
        rules = rules_of(self.row, self.model, self.call.api, self.api, self._off, translated=True)
        losses = Losses()
        draft = self._applied(rules, json_body.members(rendered.body), losses) if rules else None
        for loss in losses.told():
            self._losses.add(self._said_as(loss.field), loss.why)
        if draft is None or not draft.changed:
            return rendered
        return Rendered(draft.body(rendered.body), rendered.losses)

    def _said_as(self, field: str) -> str:
        """What the client calls a member of the body that a translation made, as far as it has another word for it."""
        names: tuple[str, ...] = ()
        if field in MAX_TOKENS[self.api]:
            names = MAX_TOKENS[self.call.api]
        elif field == USER:
            names = ("metadata.user_id",) if self.call.api is MESSAGES else (SAFETY, USER)
        said = (name for name in names[:-1] if json_body.is_said(self.request.members, name))
        return next(said, names[-1]) if names else field

    def _applied(self, rules: tuple[Rule, ...], members: json_body.Members, losses: Losses) -> Draft | None:
        draft: Draft | None = None
        for rule in rules:
            if rule.members and rule.members.isdisjoint(draft.names if draft else members):
                continue
            if not self._holds(rule):
                continue
            draft = draft or Draft(self.api, members, losses)
            draft.touched, before = False, len(losses)
            _ACTIONS[rule.name](draft, self, rule)
            if draft.touched or len(losses) != before:
                self._run.rules += (rule.name,)
        if draft is not None:
            self._run.headers = tuple(draft.headers)
        return draft

    def _holds(self, rule: Rule) -> bool:
        headers = self.call.headers
        if self.call.operation is COUNT_TOKENS and not rule.counts:
            return False
        if rule.agent and rule.agent not in headers.get(b"user-agent", b"").lower():
            return False
        if rule.header and not headers.get(rule.header):
            return False
        return rule.setting != "private" or self._is_private

    @property
    def policy(self) -> Policy | None:
        """The organization's, if it says anything."""
        organization = self._run.key.organization if self._run.key else None
        policy = organization.settings.policy if organization else None
        return None if policy == _SILENT else policy

    @property
    def _is_private(self) -> bool:
        """The organization wants nothing to be kept."""
        policy = self.policy
        return policy is not None and (policy.zdr or policy.data_collection == "deny")

    @property
    def prefers_vendors(self) -> bool:
        """Whether gateways are told which vendor to prefer."""
        return self._run.deps.adapt.preferred_vendors

    def user(self) -> str:
        """Whom the provider is told: the user, else the key, else the address."""
        return self._hash("")

    def task(self) -> str | None:
        """Which of the user's tasks, or sessions; None where the client does not say."""
        told = context_of(self.call.headers)
        said = told.task or told.session
        return self._hash(said) if said else None

    def _hash(self, what: str) -> str:
        caller = self._run.key
        who = (caller.user_id or caller.id) if caller else self.call.client_ip or ""
        return hashed(self._run.deps.identity.salt or "", self.provider.name, who + what)

    def app(self, name: str) -> bytes | None:
        """The gateway's own `referer` or `title`, if it has one."""
        said = getattr(self._run.deps.identity, name)
        return said.encode() if said else None


_SILENT = Policy()


def names_callers(provider: Provider, deps: Deps) -> bool:
    """Whether the provider is told who calls."""
    return bool(deps.identity.send) and provider.told_who


@lru_cache(64)
def _switched_off(adapt: AdaptSettings, strict: bool, identity: bool, usage: bool) -> frozenset[str]:
    """What of `Rule.setting` is not wanted, whoever calls."""
    own = {"strict": strict, "identity": identity, "no_stream_usage": not usage}
    wanted = {**msgspec.structs.asdict(adapt), **own}
    return frozenset(name for name, wants in wanted.items() if not wants)


def _nothing_stored(draft: Draft, _: Rules, __: Rule) -> None:
    """Responses are kept for a month unless that is said (platform.openai.com/docs, "Data controls"), Chat's answers
    where the client asks for it."""
    if draft.api is RESPONSES or "store" in draft:
        if draft.raw("store") not in (b"false", b"null"):
            draft.losses.add("store", _FORBIDDEN)
        draft.set("store", False)


# Who calls.


def _identity(draft: Draft, asked: Rules, _: Rule) -> None:
    """What the provider does not know is not added; what the client said of its user there is replaced all the same."""
    known = told_in(asked.row, asked.api)
    for name in (SAFETY, USER):
        if name in known or draft.raw(name) != b"null":
            draft.set(name, asked.user())
    if CACHE_KEY in known and draft.raw(CACHE_KEY) == b"null" and (task := asked.task()) is not None:
        draft.set(CACHE_KEY, task)


def _messages_identity(draft: Draft, asked: Rules, _: Rule) -> None:
    draft.set("metadata", {**mapping(draft.value("metadata")), "user_id": asked.user()})
    if asked.row == "openrouter":
        draft.set("user", asked.user())
        if draft.raw("session_id") == b"null" and (task := asked.task()) is not None:
            draft.set("session_id", task)


def _messages_user(draft: Draft, _: Rules, rule: Rule) -> None:
    for name in sorted(rule.members):
        draft.remove(name, _NO_USER)


# What is said.


def _cache_marks(draft: Draft, asked: Rules, _: Rule) -> None:
    if MARK not in asked.request.body:
        mark_places(draft)


def _must_complete(draft: Draft, asked: Rules, _: Rule) -> None:
    """Others than these take a choice of tools though they think."""
    reasons = False
    if is_like(asked.model, MOONSHOT) or is_like(asked.model, HAIKU):
        reasons = mendings.reasons(draft, by_itself=is_like(asked.model, MOONSHOT))
    mendings.must_complete(draft, reasons=reasons)


def _reasoning_member(draft: Draft, asked: Rules, _: Rule) -> None:
    mendings.place_reasoning(draft, traits_of(asked.row, CHAT, asked.model).reasoning_member)


def _unthought_calls(draft: Draft, asked: Rules, _: Rule) -> None:
    if draft.api is MESSAGES:
        if asked.row == "deepseek":
            mendings.with_empty_thinking(draft)
        return
    place = traits_of(asked.row, CHAT, asked.model).reasoning_member
    if place is not None:
        mendings.with_blank_thoughts(draft, place)


def _unsigned_calls(draft: Draft, asked: Rules, _: Rule) -> None:
    if (word := traits_of(asked.row, CHAT, asked.model).unsigned_call) is not None:
        mendings.sign_calls(draft, word)


def _unknown_members(draft: Draft, asked: Rules, _: Rule) -> None:
    """A translation says whom its client calls for; a client of this API may say more than the API's page has."""
    translated = asked.call.api is not asked.api
    names = UNKNOWN[asked.row]
    mendings.without(draft, names | ({USER} - told_in(asked.row, asked.api)) if translated else names)


def _reasoning_effort(draft: Draft, asked: Rules, _: Rule) -> None:
    traits = traits_of(asked.row, CHAT, asked.model)
    efforts = None if traits.reasoning is None else traits.efforts
    mendings.effort_for_reasoning(draft, efforts, off=traits.unthinking)


def _claude_thinking(draft: Draft, asked: Rules, _: Rule) -> None:
    fit_thinking(draft, traits_of(asked.row, MESSAGES, asked.model))


def _no_sampling(draft: Draft, asked: Rules, _: Rule) -> None:
    """Anthropic's take what is usual; OpenAI's that may be told not to reason take all while they do not."""
    if draft.api is MESSAGES:
        mendings.unsampled(draft, SAMPLING, takes_usual=True)
    elif "none" not in traits_of(asked.row, CHAT, asked.model).efforts or mendings.is_told_to_reason(draft):
        mendings.unsampled(draft, SAMPLING, takes_usual=False)


def _moonshot(draft: Draft, asked: Rules, _: Rule) -> None:
    traits = traits_of(asked.row, CHAT, asked.model)
    thinks = draft.api is CHAT and asked.row == "moonshot" and is_like(asked.model, KIMI_TOGGLED)
    by_effort = traits.reasoning != "object" or bool(traits.efforts)
    mendings.for_moonshot(draft, by_effort=by_effort, by_thinking=thinks)


def _effort(draft: Draft, asked: Rules, _: Rule) -> None:
    mendings.fit_effort(draft, traits_of(asked.row, CHAT, asked.model).efforts)


# Headers.


def _affinity(draft: Draft, asked: Rules, _: Rule) -> None:
    key = _cache_key(asked)
    if key is not None:
        draft.header(b"x-affinity", key)


def _xai(draft: Draft, asked: Rules, _: Rule) -> None:
    draft.header(b"x-grok-conv-id", _cache_key(asked) or str(uuid.uuid4()).encode())
    draft.header(b"x-grok-req-id", str(uuid.uuid4()).encode())


def _cache_key(asked: Rules) -> bytes | None:
    """The client's own, whether or not the body may have it, else the task's; as a header takes it."""
    said = decoded(bytes(asked.request.members.get(CACHE_KEY, b"null")), CACHE_KEY)
    if isinstance(said, str) and said.isprintable() and said.isascii() and 0 < len(said) <= _LONGEST_KEY:
        return said.encode()
    task = asked.task() if asked.names_callers else None
    return task.encode() if task is not None else None


def _chat_betas(draft: Draft, asked: Rules, _: Rule) -> None:
    sent = asked.call.headers
    own = betas.named(sent.get(b"x-anthropic-beta", b"")) + betas.named(sent.get(betas.HEADER, b""))
    wanted = betas.FOR_CHAT_AT_VERCEL if asked.row == "vercel" else betas.FOR_CHAT
    name = betas.HEADERS.get(asked.row, betas.HEADER) if asked.api is CHAT else betas.HEADER
    if told := betas.known(asked.row, asked.model, own + wanted):
        draft.header(name, ",".join(told).encode("latin-1"))


def _betas(draft: Draft, asked: Rules, rule: Rule) -> None:
    named = betas.named(asked.call.headers[rule.header])
    told = betas.known(asked.row, asked.model, named)
    if told == named:
        return
    for name in named:
        if not betas.known(asked.row, asked.model, (name,)):
            draft.losses.add(f"{betas.HEADER.decode()}: {name}", _BETA_UNKNOWN)
    draft.header(betas.HEADER, ",".join(told).encode("latin-1"))


def _app_names(draft: Draft, asked: Rules, _: Rule) -> None:
    for name, header in (("referer", b"http-referer"), ("title", b"x-title")):
        told = asked.app(name) or asked.call.headers.get(header)
        if told:
            draft.header(header, told)


def _known_keys(draft: Draft, asked: Rules, _: Rule) -> None:
    keep_known(draft, row=asked.row)


def _no_stream_options(draft: Draft, asked: Rules, _: Rule) -> None:
    """A loss where the client itself asked for the usage, and not a translation."""
    asks = asked.call.api is asked.api and asked.request.wants_usage
    draft.remove("stream_options", _NO_USAGE if asks else None)


def _preferences(choose: Callable[..., None]) -> Callable[[Draft, Rules, Rule], None]:
    def act(draft: Draft, asked: Rules, _: Rule) -> None:
        choose(draft, asked.provider, asked.model, asked.policy, prefers=asked.prefers_vendors)

    return act


def _alone(act: Callable[[Draft], None]) -> Callable[[Draft, Rules, Rule], None]:
    """For an action that looks at nothing but the body."""
    return lambda draft, _, __: act(draft)


_ACTIONS: dict[str, Callable[[Draft, Rules, Rule], None]] = {
    "provider-preferences": _preferences(preferences.for_openrouter),
    "vercel-preferences": _preferences(preferences.for_vercel),
    "no-preferences": _alone(preferences.for_nobody),
    "nothing-stored": _nothing_stored,
    "vercel-effort": _alone(preferences.effort_at_vercel),
    "identity": _identity,
    "messages-identity": _messages_identity,
    "messages-user": _messages_user,
    "system-turns": _alone(without_system_turns),
    "tool-repair": _alone(repair_turns),
    "reasoning-copies": _alone(mendings.without_copies),
    "reasoning-member": _reasoning_member,
    "unthought-calls": _unthought_calls,
    "response-items": _alone(mendings.complete_items),
    "claude-tool-ids": _alone(lambda draft: fit_ids(draft, plain_id)),
    "mistral-tool-ids": _alone(lambda draft: fit_ids(draft, nine_letters)),
    "unsigned-calls": _unsigned_calls,
    "mistral-answers": _alone(mendings.answer_between),
    "cache-marks": _cache_marks,
    "conversation-cache": _alone(mark_conversation),
    "must-complete": _must_complete,
    "gemini-line-ranges": _alone(mendings.ranges_may_be_null),
    "moonshot": _moonshot,
    "embedded-stops": _alone(lambda draft: mendings.with_stops(draft, STOPS)),
    "qwen-limit": _alone(mendings.for_qwen),
    "mistral-models": _alone(mendings.for_mistrals_models),
    "mistral-affinity": _affinity,
    "mistral-members": lambda draft, _, rule: mendings.for_mistral(draft, rule.members),
    "xai-effort": _effort,
    "groq-effort": _effort,
    "reasoning-effort": _reasoning_effort,
    "unknown-members": _unknown_members,
    "claude-thinking": _claude_thinking,
    "no-sampling": _no_sampling,
    "completion-limit": _alone(mendings.limit_by_its_name),
    "xai-conversation": _xai,
    "claude-betas": _chat_betas,
    "betas": _betas,
    "app-names": _app_names,
    "no-stream-options": _no_stream_options,
    "known-keys": _known_keys,
}
