"""The codecs by API: who decodes what an upstream of an API says."""

from __future__ import annotations

from collections.abc import Callable

from trivium.canon import conventions as named
from trivium.canon.api import CHAT, Api
from trivium.canon.events import Event
from trivium.canon.fold import Answer
from trivium.canon.usage import Conventions
from trivium.wire.chat import plain as plain_chat
from trivium.wire.chat.stream import StreamDecoder as ChatDecoder
from trivium.wire.decoder import Decoder
from trivium.wire.messages.stream import StreamDecoder as MessagesDecoder
from trivium.wire.responses.stream import StreamDecoder as ResponsesDecoder
from trivium.wire.sse import SseParser

_DECODERS: dict[Api, Callable[[Conventions], Decoder]] = {
    Api.CHAT: ChatDecoder,
    Api.RESPONSES: ResponsesDecoder,
    Api.MESSAGES: MessagesDecoder,
}


def stream_decoder(api: Api, conventions: Conventions = named.DEFAULT) -> Decoder:
    """A decoder for one stream of the API."""
    return _DECODERS[api](conventions)


def decode_answer(api: Api, body: bytes, conventions: Conventions = named.DEFAULT) -> list[Event]:
    """What a whole body of the API says; a body that is no answer is one Fault. Never raises."""
    return stream_decoder(api, conventions).whole(body)


def plain_answer(api: Api, body: bytes) -> Answer | None:
    """What a whole body says that says nothing unusual: the same as its events would, in less time. None for others,
    good or bad. Never raises."""
    return plain_chat.read(body) if api is CHAT else None


def decode_stream(api: Api, body: bytes, conventions: Conventions = named.DEFAULT) -> list[Event]:
    """What a stream of the API says that is all there. Never raises."""
    parser, decoder = SseParser(), stream_decoder(api, conventions)
    said = [*parser.feed(body), *parser.close()]
    return [event for one in said for event in decoder.decode(one)] + decoder.close()
