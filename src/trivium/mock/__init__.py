"""The scripted upstream: a server that answers in all three dialects what a script tells it, well or badly.

It shares no code with the rest of the house but the errors: a double that made the decoder's mistakes would prove
nothing.
"""

from trivium.mock.load import load_script
from trivium.mock.record import Recorded
from trivium.mock.script import Citation, Error, Generation, Match, Model, Reply, Rule, Script, ToolCall, Usage
from trivium.mock.server import ScriptedUpstream, serve

__all__ = [
    "Citation",
    "Error",
    "Generation",
    "Match",
    "Model",
    "Recorded",
    "Reply",
    "Rule",
    "Script",
    "ScriptedUpstream",
    "ToolCall",
    "Usage",
    "load_script",
    "serve",
]
