"""How many tokens a request and its answer may come to: what a hold is priced by, and what an abort is charged by.

`usual_input` and `delivered_tokens` are best guesses, for what no provider has counted. `most_input` and `worst_usages`
are bounds that fewer than one request in 10,000 exceeds (`docs/holds.md`). Hosted tools are part of them: a provider
calls its tool, and reads all of the conversation once more with what the tool found.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from trivium.canon.size import BYTES_PER_TOKEN, IMAGE, Size
from trivium.canon.usage import DRAWN, Usage
from trivium.metering.prices import Limits, Rates, TierPrice

PREAMBLE = 900
"""Tokens that a request has beside its own words, templates and what vendors tell their models: 680 at xAI's, up to 550
at Anthropic's with tools or a form for the answer, 460 with citations."""
VENDOR_TOOL = 3_000
"""For each tool that the vendor describes: 2,000 to 2,500 for Anthropic's search of the web, 1,400 for a computer."""
TOOL_RESULT = 10_000
"""Of one call: a search of the web is 7,000 to 8,400 at Anthropic's and 8,000 at OpenAI's."""
DRAWING_PROMPT = 10_000
"""Tokens of text that the model behind `image_generation` reads for a picture: its API takes 32,000 characters."""
PICTURE_READ = 6_500
"""Of a picture that it reads to draw another one: up to 6,240 and a base at high fidelity."""
MOST_PICTURES_READ = 16
MOST_ROUNDS = 100
"""In which a provider calls its tools for one answer."""
LEAST_COMPACTED = 50_000
"""Tokens of the shortest conversation that Anthropic sums up."""

DEFAULT_OUTPUT = 32_000
"""Of an answer whose request names no limit, by a model of which none is known."""
LARGEST_OUTPUT = 128_000
"""Of an answer whose request names a limit, by a model of which none is known: no vendor's answer is longer."""


def usual_input(size: Size) -> int:
    """Input tokens of a request, at least 1: the best guess."""
    return max(1, round((size.text_bytes - size.sealed_bytes) / BYTES_PER_TOKEN) + size.media_tokens)


def delivered_tokens(content_bytes: int) -> int:
    """Output tokens of content that was delivered: the best guess, and at least 1 for any."""
    return -round(-content_bytes // BYTES_PER_TOKEN)


def most_input(size: Size, context: int | None = None, image: int | None = None) -> int:
    """Input tokens that a request has at the most. `context` is the model's, in tokens, `image` what it counts for an
    image at the most, where that is more than all others count.

    No input is longer than the context; where a hosted tool is called, the conversation is read again for each call,
    and once more to be summed up.
    """
    more = _more_for_images(size, image)
    own, calls = _own(size), _calls(size)
    reads = (*range(calls + 1), calls) if _is_compacted(size) else range(calls + 1)
    return sum(_within(own + TOOL_RESULT * call, context) + more for call in reads)


def worst_usages(size: Size, max_tokens: int | None, limits: Limits, price: TierPrice) -> Iterator[Usage]:
    """The usages to price a hold by, of which the dearest counts: the longest, and the longest at each of the price's
    shorter lengths, since more may be the cheaper. `max_tokens` is the request's limit, `limits` are the model's."""
    longest = most_usage(size, max_tokens, limits, price)
    yield longest
    for step in price.long_context:
        if step.over < longest.input:
            yield most_usage(size, max_tokens, limits, price, within=step.over)


def most_usage(
    size: Size, max_tokens: int | None, limits: Limits, price: TierPrice, *, within: int | None = None
) -> Usage:
    """The longest usage; with no more than `within` tokens of input.

    Tokens are in the dearest bucket that they may fall into: many vendors write to their caches unasked,
    and what a write costs, next to what is not cached, differs from model to model.
    """
    input = _within(most_input(size, limits.context, limits.image), within)
    output = size.answers * most_output(max_tokens, limits.context, limits.output)
    if _is_compacted(size):  # the summary is an answer for which the request names no limit
        output += most_output(DEFAULT_OUTPUT, limits.context, limits.output)
    rates = price.at(input)
    bucket, rate = _dearest_bucket(size, rates)
    media = _dear_media(size, limits, rates, rate)
    apart = min(sum(media.values()), input)
    tokens: dict[str, Any] = {"input_uncached": apart, "output": output, **media, **_dear_output(size, output, rates)}
    tokens[bucket] = tokens.get(bucket, 0) + input - apart
    return Usage(
        **tokens,
        server_tools={name: calls for name, calls in (size.server_tools | _drawn(size)).items() if calls},
        service_tier=size.service_tier,
    )


def _drawn(size: Size) -> dict[str, int]:
    """What the model behind `image_generation` reads and draws: it may be shown all pictures there are by then."""
    pictures = size.server_tools.get("image_generation", 0)
    shown = sum(min(size.images + drawn, MOST_PICTURES_READ) for drawn in range(pictures))
    return {
        f"{DRAWN}input": DRAWING_PROMPT * pictures,
        f"{DRAWN}image_input": PICTURE_READ * shown,
        f"{DRAWN}output": size.drawn,
    }


def _own(size: Size) -> int:
    """Input tokens of the first reading."""
    return size.text_tokens_most + size.media_tokens_most + PREAMBLE + VENDOR_TOOL * size.vendor_tools


def _calls(size: Size) -> int:
    return min(sum(size.server_tools.values()), MOST_ROUNDS)


def _is_compacted(size: Size) -> bool:
    return size.compacts and _own(size) + TOOL_RESULT * _calls(size) >= LEAST_COMPACTED


def _dearest_bucket(size: Size, rates: Rates) -> tuple[str, int]:
    """The bucket of the input, and its rate."""
    short = rates.input if rates.cache_write_5m is None else rates.cache_write_5m
    long = short if rates.cache_write_1h is None else rates.cache_write_1h
    choices = [("input_uncached", rates.input), ("cache_write_5m", short)]
    if size.cache_1h:
        choices.append(("cache_write_1h", long))
    return max(choices, key=lambda choice: choice[1])


def _dear_media(size: Size, limits: Limits, rates: Rates, rate: int) -> dict[str, int]:
    """Media that cost more than other input, at `rate`: they are priced apart where they are not cached."""
    reads = _calls(size) + 1 + _is_compacted(size)
    images = size.media_tokens_most - size.sound_tokens_most + _more_for_images(size, limits.image)
    media = {
        "image_input": (images, rates.image_input),  # as pages of documents may count
        "audio_input": (size.sound_tokens_most, rates.audio_input),
    }
    return {name: tokens * reads for name, (tokens, own) in media.items() if tokens and (own or 0) > rate}


def _dear_output(size: Size, output: int, rates: Rates) -> dict[str, int]:
    """All of the answer as what costs the most of it: reasoning, images, sound where that was asked for, or neither."""
    choices = [("output", rates.output), ("reasoning", rates.reasoning or 0), ("image_output", rates.image_output or 0)]
    if size.speaks:
        choices.append(("audio_output", rates.audio_output or 0))
    name, _ = max(choices, key=lambda choice: choice[1])
    return {"image_output": 0} | ({} if name == "output" else {name: output})


def most_output(max_tokens: int | None, context: int | None, output_limit: int | None) -> int:
    """Output tokens of one answer at the most: what was asked for, as far as the model can produce it."""
    if output_limit is None:
        output_limit = DEFAULT_OUTPUT if max_tokens is None else LARGEST_OUTPUT
    limit = _within(output_limit, context)
    return limit if max_tokens is None else min(max_tokens, limit)


def _more_for_images(size: Size, image: int | None) -> int:
    """Of a model that counts more for one than all others: tokens that are a way to price, and take up no context."""
    return size.images * max(0, (image or 0) - IMAGE.most)


def _within(tokens: int, most: int | None) -> int:
    return tokens if most is None else min(tokens, most)
