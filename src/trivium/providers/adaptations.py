"""The names of all that is done to a request on its way, as records keep them, and what each means: the rules of
`rules.py`, and what is done beside them. docs/adaptations.md has both for people."""

from __future__ import annotations

from trivium.providers.rules import RULES

TRANSLATED = "translated"
FALLBACK_LIMIT = "fallback-limit"
AUTO_SETTINGS = "auto-settings"
NO_PAID_EXTRAS = "no-paid-extras"
CUSTOM_TOOLS = "custom-tools"
CUSTOM_SETTINGS = "custom-settings"
OWN_KEY = "own-key"

BESIDE = {
    FALLBACK_LIMIT: "an answer no longer than the model that stands in can give",
    AUTO_SETTINGS: "reasoning and verbosity as the auto model's choice has them",
    NO_PAID_EXTRAS: "what a provider runs for money goes, since nobody pays for the call",
    CUSTOM_TOOLS: "tools go that the custom model's admins leave out",
    CUSTOM_SETTINGS: "`extra_body` and `output_limit` of the custom model",
    TRANSLATED: "written in the upstream's API",
    OWN_KEY: "the gateway that is called with an own key is told to ask that key's vendor alone",
}
"""In the order in which it is done; `translated` may stand before rules that work on what was written."""
WHAT = {rule.name: rule.what for rule in RULES} | BESIDE
