"""Embeddings and fill-in-the-middle in tests: bodies, and a house that serves them."""

from __future__ import annotations

from typing import Any

EMBEDDINGS = "/v1/embeddings"
FIM = "/v1/fim/completions"
SOLO = 'apis = ["chat", "embeddings", "fim"]\nmodels = ["m", "e-1"]'
PRICES = '[models."up/*"]\nprice = { input = "2", output = "6" }\n'
INPUT, OUTPUT = 2_000, 6_000
"""Nanodollars a token."""
CREDITS = f'{PRICES}[billing]\nmode = "credits"\n'


def texts(*said: Any, **more: Any) -> dict[str, Any]:
    """A request for embeddings."""
    return {"model": "e-1", "input": list(said) or "hello", **more}


def gap(model: str = "mistralai/codestral-2508", **more: Any) -> dict[str, Any]:
    """A request to fill in."""
    return {"model": model, "prompt": "def add(a, b):", "suffix": "print(add(1, 2))", "max_tokens": 100, **more}


CALLS = [(EMBEDDINGS, texts()), (FIM, gap())]
