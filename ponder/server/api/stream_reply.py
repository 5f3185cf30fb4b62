"""A reply on its way out, in any dialect: neutral pieces, which a dialect writes as bytes or as one body.

A reply is made of parts (thoughts, a text, a call), of which each choice has one open at a time: opened, extended,
closed. Streamed and whole replies come from the same pieces, so that the two are equal (RS-1, API-2).
"""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

from msgspec import structs

from ponder.core.event import (
    Event,
    Finish,
    ReasoningDelta,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    ToolCallDone,
)
from ponder.core.message import ToolCall
from ponder.core.protocol import READING, PromptProgress
from ponder.server.api.content_logprobs import content_only
from ponder.server.http.errors import ApiError, api_error
from ponder.server.http.log import log
from ponder.server.http.stream import Stream
from ponder.server.runtime.endpoint import Incoming
from ponder.server.runtime.service import ActiveRequest


class Source(Protocol):
    """What the events come from: a request, or several as one."""

    @property
    def id(self) -> str: ...
    def events(self) -> AsyncIterator[tuple[int, Event]]: ...


@dataclass
class ReplyPart:
    choice: int
    index: int  # among the parts of its choice
    kind: Literal["thoughts", "text", "call"]
    pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All there is so far; of a call: its arguments."""
        return "".join(self.pieces)

    def event(self) -> Event:
        return ReasoningDelta(self.text) if self.kind == "thoughts" else TextDelta(self.text)


@dataclass(kw_only=True)
class CallPart(ReplyPart):
    """complete: it is a call, with all its arguments. One that is told while it is written may turn out to be none:
    then it is closed without, its text follows as text, and a reply that is not streamed does not have it."""

    call: ToolCall
    number: int  # among the calls of its choice
    complete: bool = False
    kind: Literal["call"] = "call"

    def event(self) -> Event:
        return ToolCallDone(self.number, self.call)


class Opened(NamedTuple):
    """The engine has taken the request: what is wrong from here on comes after the headers."""

    source: Any


class PartOpened(NamedTuple):
    part: ReplyPart


class PartDelta(NamedTuple):
    part: ReplyPart
    text: str


class PartClosed(NamedTuple):
    part: ReplyPart


class Scored(NamedTuple):
    choice: int
    entry: TokenLogprob


class Ended(NamedTuple):
    """A choice is complete. finish.warnings: the request's as well."""

    choice: int
    finish: Finish


@dataclass
class Closed:
    """All choices are complete. logprobs: of a reply that is not streamed, by choice."""

    source: Any
    parts: dict[int, list[ReplyPart]] = field(default_factory=dict)
    finishes: dict[int, Finish] = field(default_factory=dict)
    logprobs: dict[int, list[TokenLogprob]] = field(default_factory=dict)

    def events(self, choice: int) -> list[Event]:
        """The choice as a stream that would have said the same."""
        return [
            *(part.event() for part in self.parts[choice]),
            *self.logprobs.get(choice, ()),
            self.finishes[choice],
        ]


class Failed(NamedTuple):
    """Something went wrong after the headers: the last piece."""

    error: ApiError


Piece = Opened | PromptProgress | PartOpened | PartDelta | PartClosed | Scored | Ended | Closed | Failed
Pieces = AsyncGenerator[Piece, None]


class Dialect(Protocol):
    async def write(self, piece: Piece) -> bytes:
        """What goes out for this piece; empty for nothing."""

    async def whole(self, reply: Closed) -> Any:
        """The body of a reply that is not streamed."""

    def alive(self) -> bytes:
        """What goes out where nothing has for a while: an item without content, for clients that leave after so many
        minutes without one and do not count comments."""


async def pieces_of(
    run: AbstractAsyncContextManager[Source], warnings: tuple[str, ...], *, reading: bool = False, raw: bool = False
) -> Pieces:
    """warnings: about the request. reading: with the progress of its prompt. raw: log-probabilities are of all ids, not
    of the content alone."""
    async with run as source:
        yield Opened(source)
        if reading and isinstance(source, ActiveRequest):
            async for progress in source.handle.areading(READING):
                yield progress
        reply = Closed(source)
        open_parts: dict[int, ReplyPart] = {}
        async for choice, event in source.events() if raw else content_only(source.events()):
            for piece in _pieces(choice, event, reply, open_parts, warnings):
                yield piece
        yield reply


def _pieces(
    choice: int, event: Event, reply: Closed, open_parts: dict[int, ReplyPart], warnings: tuple[str, ...]
) -> Iterator[Piece]:
    part = open_parts.get(choice)
    parts = reply.parts.setdefault(choice, [])
    match event:
        case TokenLogprob():
            yield Scored(choice, event)
            return
        case ReasoningDelta(text) | TextDelta(text):
            kind: Literal["thoughts", "text"] = "thoughts" if isinstance(event, ReasoningDelta) else "text"
            if part is not None and part.kind == kind:
                part.pieces.append(text)
                yield PartDelta(part, text)
                return
            made = ReplyPart(choice, len(parts), kind)
        case ToolCallDelta(number, id_, name, text):
            if isinstance(part, CallPart) and part.number == number:
                part.pieces.append(text)
                yield PartDelta(part, text)
                return
            made = CallPart(choice, len(parts), call=ToolCall(name, "", id_), number=number)
        case ToolCallDone(number, call):
            if isinstance(part, CallPart) and part.number == number:
                del open_parts[choice]
                yield from _completed(part, call)
                return
            made, text = CallPart(choice, len(parts), call=call, number=number, complete=True), call.arguments
    if part is not None:
        del open_parts[choice]
        yield PartClosed(part)
    if isinstance(event, Finish):
        reply.parts[choice] = [p for p in parts if not isinstance(p, CallPart) or p.complete]
        finish = structs.replace(event, warnings=(*warnings, *event.warnings))
        reply.finishes[choice] = finish
        yield Ended(choice, finish)
        return
    parts.append(made)
    yield PartOpened(made)
    made.pieces.append(text)
    yield PartDelta(made, text)
    if isinstance(made, CallPart) and made.complete:
        yield PartClosed(made)
    else:
        open_parts[choice] = made


def _completed(part: CallPart, call: ToolCall) -> Iterator[Piece]:
    """The open call is complete."""
    rest = call.arguments[len(part.text) :]
    part.call, part.complete = call, True
    part.pieces.append(rest)
    yield PartDelta(part, rest)
    yield PartClosed(part)


async def answer(incoming: Incoming[Any], pieces: Pieces, dialect: Dialect, *, lines: bool = False) -> Any:
    """The reply as the body asks for it, streamed or whole. lines: a stream is of JSON lines, not of events."""
    if incoming.body.stream:
        open_stream = Stream.lines if lines else Stream.sse
        return await open_stream(_encoded(pieces, dialect.write), incoming.service.config.keep_alive, dialect.alive)

    async def whole() -> Any:
        return await dialect.whole(await _gathered(pieces))

    return await incoming.until_disconnect(whole)


async def _encoded(pieces: Pieces, write: Callable[[Piece], Awaitable[bytes]]) -> AsyncGenerator[bytes, None]:
    """The headers may go out once the engine has taken the request: an error before becomes a status, a later one the
    last item."""
    started = False
    try:
        async for piece in pieces:
            started = True
            if item := await write(piece):
                yield item
    except Exception as e:
        if not started:
            raise
        log.exception("a streamed reply failed")
        yield await write(Failed(api_error(e)))
    finally:
        await pieces.aclose()


async def _gathered(pieces: Pieces) -> Closed:
    reply: Closed | None = None
    logprobs: dict[int, list[TokenLogprob]] = {}
    try:
        async for piece in pieces:
            match piece:
                case Scored(choice, entry):
                    logprobs.setdefault(choice, []).append(entry)
                case Closed():
                    reply = piece
    finally:
        await pieces.aclose()
    assert reply is not None, "a reply ends with Closed"
    reply.logprobs = logprobs
    return reply
