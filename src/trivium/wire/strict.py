"""Keys that Anthropic's Messages API knows, at every depth, and a request without any others.

Anthropic and its clouds answer "Extra inputs are not permitted" to a key that they do not know. Clients keep what other
servers told them (`reasoning_details`, an `index` in a block), and send it back. The keys are those of the API's
reference as anthropic-sdk-python 2.12.0 has it (`types/beta/*_param.py`), of the wire notes and of recordings. A kind
of block or tool that is not here stays as it is, for new ones come often; so does all that a tool's schema, its input
and examples hold, and `metadata`, which a client means for its reader (review point 6 of the behaviour page).

Most requests need nothing: their messages are compared with the table by a typed decoder, without making an object of
what is said. Only where that finds something else they are walked, and only what has to change becomes other bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import GenericAlias
from typing import Any

import msgspec

from trivium.errors import FieldUnsupported
from trivium.wire.body import begins
from trivium.wire.crowd import is_crowded
from trivium.wire.draft import Draft
from trivium.wire.losses import Losses

_WHY = "not a key that this provider's Messages API knows"


class Shape:
    """What may stand in an object, or in each object of a list: keys, each with the shape of what is under it. Of
    several kinds `type` says which; `also` holds of all kinds."""

    def __init__(self, keys: str = "", under: Mapping[str, Shape] | None = None, **kinds: str) -> None:
        self.under: dict[str, Shape] = dict(under or {})
        self.keys = frozenset(keys.split())
        self.kinds = {kind: self.keys | frozenset(more.split()) for kind, more in kinds.items()}

    def known(self, said: Mapping[str, msgspec.Raw]) -> frozenset[str] | None:
        """The keys of such an object; None where it is of a kind that nobody knows."""
        if not self.kinds:
            return self.keys
        kind = bytes(said.get("type", b""))
        return self.kinds.get(kind.decode("utf-8", "replace")[1:-1], None) if kind else self.kinds.get("untyped")


_CACHE = Shape("type ttl scope")
"""`scope` is Claude Code's, behind the beta `prompt-caching-scope`."""
_CITED = Shape(
    "type cited_text",
    char_location="document_index document_title start_char_index end_char_index file_id",
    page_location="document_index document_title start_page_number end_page_number file_id",
    content_block_location="document_index document_title start_block_index end_block_index file_id",
    web_search_result_location="encrypted_index title url",
    search_result_location="search_result_index source title start_block_index end_block_index",
)
_ENABLED = Shape("enabled")
_CALLER = Shape("type tool_id")
_SOURCE = Shape("type", base64="media_type data", text="media_type data", url="url", content="content", file="file_id")
_BLOCK = Shape(
    "type cache_control",
    text="text citations",
    image="source transformations",
    document="source title context citations",
    search_result="source title content citations",
    thinking="thinking signature",
    redacted_thinking="data",
    tool_use="id name input caller toolset_name",
    tool_result="tool_use_id content is_error toolset_name",
    server_tool_use="id name input caller",
    web_search_tool_result="tool_use_id content caller",
    web_fetch_tool_result="tool_use_id content caller",
    code_execution_tool_result="tool_use_id content caller",
    bash_code_execution_tool_result="tool_use_id content caller",
    text_editor_code_execution_tool_result="tool_use_id content caller",
    tool_search_tool_result="tool_use_id content caller",
    advisor_tool_result="tool_use_id content caller",
    mcp_tool_use="id name input server_name",
    mcp_tool_result="tool_use_id content is_error",
    mcp_tool_listing="mcp_server_name tools",
    container_upload="file_id",
    compaction="content encrypted_content signature tool_changes",
    tool_reference="tool_name",
    tool_addition="tool",
    tool_removal="tool",
    fallback="from to trigger",
    browser_state="tabs state_changes",
    # Results of the provider's own tools.
    web_search_result="encrypted_content page_age title url",
    web_search_tool_result_error="error_code",
    web_fetch_result="content retrieved_at url",
    web_fetch_tool_result_error="error_code",
    code_execution_result="content return_code stderr stdout",
    encrypted_code_execution_result="content encrypted_stdout return_code stderr",
    code_execution_output="file_id",
    code_execution_tool_result_error="error_code",
    bash_code_execution_result="content return_code stderr stdout",
    bash_code_execution_output="file_id",
    bash_code_execution_tool_result_error="error_code",
    text_editor_code_execution_view_result="content file_type num_lines start_line total_lines",
    text_editor_code_execution_create_result="is_file_update",
    text_editor_code_execution_str_replace_result="lines new_lines new_start old_lines old_start",
    text_editor_code_execution_tool_result_error="error_code error_message",
    tool_search_tool_search_result="tool_references",
    tool_search_tool_result_error="error_code error_message",
    advisor_result="text stop_reason",
    advisor_redacted_result="encrypted_content stop_reason",
    advisor_tool_result_error="error_code",
)
_SOURCE.under = {"content": _BLOCK}
_BLOCK.under = {
    "cache_control": _CACHE,
    "caller": _CALLER,
    "content": _BLOCK,
    "source": _SOURCE,
    "tool_references": _BLOCK,
}
_MESSAGE = Shape("role content clear_at output_config", {"content": _BLOCK, "output_config": Shape("effort")})
_THINKING = Shape("type budget_tokens display block_binding", {"block_binding": Shape("prefix_mismatch_behavior")})
_OUTPUT = Shape(
    "effort format task_budget",
    {"format": Shape("type schema"), "task_budget": Shape("type total remaining")},
)
_TOOL = Shape(
    "type name description input_schema cache_control strict input_examples defer_loading allowed_callers "
    "eager_input_streaming "
    # Of tools that Anthropic defines, of all versions.
    "max_uses allowed_domains blocked_domains user_location max_content_tokens citations url_sources use_cache "
    "response_inclusion display_width_px display_height_px display_number enable_zoom max_characters model max_tokens "
    "caching mcp_server_name default_config configs tools",
    {
        "cache_control": _CACHE,
        "caching": _CACHE,
        "citations": _ENABLED,
        "user_location": Shape("type city region country timezone"),
    },
)
_EDITS = Shape(
    "type keep trigger clear_at_least clear_tool_inputs exclude_tools instructions pause_after_compaction",
    dict.fromkeys(("keep", "trigger", "clear_at_least"), Shape("type value")),
)
_SERVER = Shape(
    "type url name authorization_token tool_configuration", {"tool_configuration": Shape("allowed_tools enabled")}
)
_CONTAINER = Shape("id skills", {"skills": Shape("type skill_id version")})

_REQUEST = Shape(
    "model messages max_tokens system metadata stop_sequences stream temperature top_k top_p thinking tools "
    "tool_choice service_tier output_config output_format cache_control container context_management mcp_servers "
    "inference_geo speed fallbacks fallback_credit_token diagnostics compaction billing_policy user_profile_id "
    "workspace_id thread",
    {
        "messages": _MESSAGE,
        "system": _BLOCK,
        "thinking": _THINKING,
        "tools": _TOOL,
        "tool_choice": Shape("type name disable_parallel_tool_use"),
        "output_config": _OUTPUT,
        "output_format": Shape("type schema"),
        "cache_control": _CACHE,
        "container": _CONTAINER,
        "context_management": Shape("edits", {"edits": _EDITS}),
        "mcp_servers": _SERVER,
    },
)
_AT_CLOUDS = frozenset(("anthropic_version", "anthropic_beta"))
"""Further members at Bedrock and Vertex (wire notes, section 8)."""
CLOUDS = frozenset(("bedrock", "vertex"))
_BEDROCKS_TOOL = Shape(" ".join(_TOOL.keys - {"eager_input_streaming"}), _TOOL.under)
"""InvokeModel answers a tool that has this key with 400, whatever beta stands beside it (vercel/ai#17179)."""

_members = msgspec.json.Decoder(dict[str, msgspec.Raw])
_list = msgspec.json.Decoder(list[msgspec.Raw])
_encode = msgspec.json.Encoder().encode


_MOST_ENTRIES = 100_000
"""Of a member, at all depths: to walk as many takes some 0.2 s, for which everybody waits."""
_DEEPEST = 16
"""Four more than the API's reference goes: a citation in a text of a document that a tool has fetched."""


def keep_known(draft: Draft, *, row: str) -> None:
    """The draft without what the provider does not know; each key that goes is a loss. Raises FieldUnsupported."""
    known = _REQUEST.keys | _AT_CLOUDS if row in CLOUDS else _REQUEST.keys
    for name in [name for name in draft.members() if name not in known]:
        draft.remove(name, _WHY)
    for name, shape in _REQUEST.under.items():
        if name not in draft:
            continue
        raw = draft.raw(name)
        if name in _QUICK and _is_plain(raw, _QUICK[name]):
            continue
        wanted = _BEDROCKS_TOOL if name == "tools" and row == "bedrock" else shape
        if (told := _Walk(name, draft.losses).known(raw, wanted)) is not None:
            draft.put(name, bytes(told))


class _Walk:
    """Through one member of a request."""

    def __init__(self, name: str, losses: Losses) -> None:
        self._name = name
        self._losses = losses
        self._entries = 0

    def known(self, raw: bytes, shape: Shape) -> msgspec.Raw | None:
        """The member without keys that its shape does not have; None where it is as it should be, or no JSON. Raises
        FieldUnsupported where it cannot be walked to its end: unknown keys would go on from there."""
        if is_crowded(raw, b","):
            raise self._too("many entries")
        try:
            return self._value(msgspec.Raw(raw), shape, self._name, 0)
        except RecursionError:
            raise self._too("deep a nesting") from None

    def _too(self, what: str) -> FieldUnsupported:
        return FieldUnsupported(f"`{self._name}` has too {what} to look through.", param=self._name)

    def _value(self, raw: msgspec.Raw, shape: Shape, at: str, depth: int) -> msgspec.Raw | None:
        first = begins(raw)
        if first not in (b"{", b"["):
            return None
        if depth > _DEEPEST:
            raise self._too("deep a nesting")
        try:
            said = _members.decode(raw) if first == b"{" else _list.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        self._entries += len(said)
        if self._entries > _MOST_ENTRIES:
            raise self._too("many entries")
        if isinstance(said, list):
            return self._list(said, shape, at, depth + 1)
        return self._object(said, shape, at, depth + 1)

    def _list(self, said: list[msgspec.Raw], shape: Shape, at: str, depth: int) -> msgspec.Raw | None:
        told = [self._value(one, shape, f"{at}[{place}]", depth) for place, one in enumerate(said)]
        if not any(one is not None for one in told):
            return None
        return msgspec.Raw(_encode([new or old for new, old in zip(told, said, strict=True)]))

    def _object(self, said: dict[str, msgspec.Raw], shape: Shape, at: str, depth: int) -> msgspec.Raw | None:
        known = shape.known(said)
        if known is None:
            return None
        kept, changed = dict[str, msgspec.Raw](), False
        for name, raw in said.items():
            if name not in known:
                changed = True
                self._losses.add(f"{at}.{name}", _WHY)
                continue
            under = _under(shape, name, raw)
            new = self._value(raw, under, f"{at}.{name}", depth) if under is not None else None
            changed = changed or new is not None
            kept[name] = raw if new is None else new
        return msgspec.Raw(_encode(kept)) if changed else None


def _under(shape: Shape, name: str, raw: msgspec.Raw) -> Shape | None:
    """Of citations there are two sorts: those of a text are a list, a document's say whether there should be any."""
    if shape is _BLOCK and name == "citations":
        return _CITED if begins(raw) == b"[" else _ENABLED
    return shape.under.get(name)


# The quick look.


def _plain(name: str, keys: frozenset[str], tag: str | None = None, **types: Any) -> Any:
    """An object with these keys and no others; of those without a type anything may be said."""
    fields = [(key, types.get(key, msgspec.Raw), _NULL if key not in types else None) for key in sorted(keys)]
    return msgspec.defstruct(
        name, fields, tag=tag, tag_field="type" if tag else None, forbid_unknown_fields=True, gc=False
    )


def _kind(shape: Shape, kind: str, **types: Any) -> Any:
    cached = {"cache_control": _MARK} if "cache_control" in shape.kinds[kind] else {}
    return _plain(kind, shape.kinds[kind] - {"type"}, kind, **cached, **types)


def _list_of(kind: Any) -> Any:
    return GenericAlias(list, (kind,))


_NULL = msgspec.Raw(b"null")
_MARK = _plain("Mark", _CACHE.keys) | None
_CALL = _plain("Call", _CALLER.keys) | None
_Text = _kind(_BLOCK, "text", citations=None)
_Image = _kind(_BLOCK, "image", source=_kind(_SOURCE, "base64") | _kind(_SOURCE, "url") | _kind(_SOURCE, "file"))
_Inner = _Text | _Image | _kind(_BLOCK, "tool_reference")
_Outer = (
    _Text
    | _Image
    | _kind(_BLOCK, "thinking")
    | _kind(_BLOCK, "redacted_thinking")
    | _kind(_BLOCK, "tool_use", caller=_CALL)
    | _kind(_BLOCK, "tool_result", content=str | _list_of(_Inner) | None)
)
_Message = _plain("Message", frozenset(("role", "content")), content=str | _list_of(_Outer))
_QUICK: dict[str, msgspec.json.Decoder[Any]] = {
    "messages": msgspec.json.Decoder(_list_of(_Message)),
    "system": msgspec.json.Decoder(str | _list_of(_Text)),
}
"""Shapes that most conversations have, all of whose keys the table has too."""


def _is_plain(raw: bytes, decoder: msgspec.json.Decoder[Any]) -> bool:
    try:
        decoder.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return True
