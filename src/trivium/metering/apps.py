"""Which program a call came from, as a word of a closed list: User-Agents are made up by callers, and sums by each of
them would have no end.

The word is the product's name in what records keep of the User-Agent (`client_app`): `claude-cli` of
`claude-cli/2.1.2`. What is on no list is `other`; the record still has it in full. A name may be added, and counts
from then on; taking one away would leave sums that nobody can name.
"""

from __future__ import annotations

OTHER = "other"

APPS = (
    *("claude-cli", "codex_cli_rs", "codex_exec", "codex_vscode", "opencode", "Kilo-Code", "RooCode", "Cline"),
    *("gemini-cli", "goose", "crush", "aider", "Zed", "Cursor", "GitHubCopilotChat"),
    *("OpenAI", "AsyncOpenAI", "Anthropic", "AsyncAnthropic", "litellm", "langchain", "ai"),
    *("python-requests", "python-httpx", "Python", "node", "axios", "undici", "okhttp", "Go-http-client", "Bun"),
    *("curl", "PostmanRuntime", "Mozilla", "trivium"),
)
"""By the names of their products."""

_KNOWN = frozenset(APPS)


def app_of(client_app: str | None) -> str:
    """Empty where the client does not say."""
    if not client_app:
        return ""
    name = client_app.partition("/")[0]
    return name if name in _KNOWN else OTHER


def _sql() -> str:
    exact = ", ".join(f"'{name}'" for name in APPS)
    cases = " ".join(f"WHEN substr(client_app, 1, {len(name) + 1}) = '{name}/' THEN '{name}'" for name in APPS)
    return (
        "CASE WHEN coalesce(client_app, '') = '' THEN ''"
        f" WHEN client_app IN ({exact}) THEN client_app {cases} ELSE '{OTHER}' END"
    )


SQL = _sql()
"""`app_of` of a record, for a database."""
