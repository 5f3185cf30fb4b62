"""A reply on its way out, in any dialect: neutral pieces, which a dialect writes as bytes or as one body.

A reply is made of parts (thoughts, a text, a call), of which each choice has one open at a time: opened, extended,
closed. Streamed and whole replies come from the same pieces, so that the two are equal (RS-1, API-2).
"""

from collections.abc import AsyncGenerator, AsyncIterator, Iterator
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
from ponder.server.http.errors import ApiError, logged_error
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
    """The engine has taken the request: what is wrong from here on is an item of the stream."""

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
        out = _Outgoing(pieces, dialect)
        open_stream, alive = (Stream.lines, dialect.alive) if lines else (Stream.sse, out.alive)
        return await open_stream(out.items(), incoming.service.config.keep_alive, alive, out.failure)

    async def whole() -> Any:
        return await dialect.whole(await _gathered(pieces))

    return await incoming.until_disconnect(whole)


class _Outgoing:
    """The pieces of a stream, as its dialect writes them. The engine may take long to take the request (its model is
    loaded first): until then there is nothing to say in the dialect."""

    def __init__(self, pieces: Pieces, dialect: Dialect) -> None:
        self._pieces, self._dialect = pieces, dialect
        self._opened = False

    def alive(self) -> bytes:
        return self._dialect.alive() if self._opened else b""

    async def items(self) -> AsyncGenerator[bytes, None]:
        """An error before the engine has taken the request is raised, a later one is the last item."""
        try:
            async for piece in self._pieces:
                item = await self._dialect.write(piece)
                self._opened = True
                if item:
                    yield item
        except Exception as e:
            if not self._opened:
                raise
            yield await self.failure(e)
        finally:
            await self._pieces.aclose()

    async def failure(self, error: Exception) -> bytes:
        return await self._dialect.write(Failed(logged_error("a streamed reply", error)))


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
