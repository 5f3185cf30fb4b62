"""Chunks of a streamed reply -> events, for /chat/completions and /completions.

`reasoning_content` and `reasoning` are the thoughts; a server that has neither may have written them into the content
(tags.py). Finishes come at the very end, because the numbers of `usage` follow the last text.
"""

from collections.abc import Iterator

import msgspec
from msgspec import structs

from ponder.core.errors import UpstreamError
from ponder.core.event import (
    Effective,
    Event,
    Finish,
    FinishReason,
    Handover,
    ReasoningDelta,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    ToolCallDone,
    Usage,
    malformed_warning,
)  # fmt: skip
from ponder.core.message import ToolCall
from ponder.engine.remote.call_pieces import CallPieces, Chunk
from ponder.engine.remote.request import Outgoing
from ponder.engine.remote.tags import TagParser
from ponder.text.calls.tool_calls import format_call

MALFORMED = "malformed_tool_calls"  # of another Ponder
REASONS: dict[str, FinishReason] = {
    "stop": "stop", "eos": "stop", "length": "length", "tool_calls": "tool_calls", "function_call": "tool_calls",
    "abort": "cancelled", "content_filter": "stop",
}  # fmt: skip


class TokenNames:
    """Other servers tell a token's bytes, not its id. Here every byte string gets a number of its own, from 0 in the
    order of appearance: ids of remote log-probabilities mean nothing else."""

    def __init__(self) -> None:
        self._ids: dict[bytes, int] = {}
        self._bytes: list[bytes] = []

    def id_of(self, raw: bytes) -> int:
        if raw not in self._ids:
            self._ids[raw] = len(self._bytes)
            self._bytes.append(raw)
        return self._ids[raw]

    def token_bytes(self, id_: int) -> bytes:
        return self._bytes[id_]

    def decode(self, ids: list[int]) -> str:
        return b"".join(map(self.token_bytes, ids)).decode("utf-8", "replace")


class _ReplyChoice:
    """One choice of the reply."""

    def __init__(self, outgoing: Outgoing) -> None:
        self.reason: str | None = None
        self.stop_reason: str | None = None
        self.malformed = 0
        self.thought = False  # thoughts were seen
        self._tells = outgoing.call_deltas
        self._tags = TagParser(outgoing.schemas, calls=outgoing.calls, call_deltas=self._tells)
        self._apart = outgoing.path == "/completions"
        self._calls: dict[int, CallPieces] = {}  # that are not complete, by the server's number
        self._closed: set[int] = set()
        self._numbers: dict[int, int] = {}  # of calls that the parser found, by its own number
        self._next = 0  # number of the next call
        self.called = False

    def thoughts(self, text: str) -> Iterator[Event]:
        """From here on the server takes thoughts apart itself: tags in its content are words."""
        self.thought = self._apart = True
        yield ReasoningDelta(text)

    def content(self, text: str) -> Iterator[Event]:
        yield from self.close_calls()
        if self._apart:
            yield TextDelta(text)
        else:
            yield from self._counted(self._tags.feed(text))

    def call(self, piece: Chunk) -> Iterator[Event]:
        """Calls are told one after the other: the first of those that are not complete as it comes, whatever order the
        server has."""
        index, id_ = piece.get("index") or 0, piece.get("id") or ""
        known = self._calls.get(index)
        if known is None and index in self._closed and not (piece.get("function") or {}).get("name"):
            return  # the end of one that was whole
        begins = known is None or (known.id and id_ not in ("", known.id))  # some servers number all of them 0
        if begins and (known is not None or all(call.is_whole for call in self._calls.values())):
            yield from self.close_calls()
        self._calls.setdefault(index, CallPieces()).add(piece)
        first = next(iter(self._calls.values()))
        if self._tells and (text := first.tell()):
            yield ToolCallDelta(self._next, first.id, first.name, text)

    def close_calls(self) -> Iterator[Event]:
        for call in self._calls.values():
            if (done := call.done()) is not None:
                self.called = True
                yield ToolCallDone(self._next, done)
            else:
                self.malformed += 1
                yield TextDelta(f"<tool_call>\n{format_call(ToolCall(call.name, call.arguments))}\n</tool_call>")
            self._next += done is not None or call.told
        self._closed |= self._calls.keys()
        self._calls = {}

    def finish(self) -> Iterator[Event]:
        yield from self._counted(self._tags.finish(ended=self.reason in ("stop", "eos", "tool_calls")))
        self.malformed += self._tags.malformed_calls
        yield from self.close_calls()

    def _counted(self, events: list[Event]) -> Iterator[Event]:
        """The parser counts its calls from 0; others may have come before."""
        for event in events:
            if isinstance(event, ToolCallDelta | ToolCallDone):
                if event.index not in self._numbers:
                    self._numbers[event.index] = self._next
                    self._next += 1
                self.called |= isinstance(event, ToolCallDone)
                event = structs.replace(event, index=self._numbers[event.index])
            self.thought |= isinstance(event, ReasoningDelta)
            yield event


class RemoteReply:
    """Feed it chunks, then `finish`. id: of the reply, once it is known. usage: the last that was told; llama.cpp tells
    that of every choice at the end, one after the other, and they are added up."""

    def __init__(self, outgoing: Outgoing, choices: int, names: TokenNames) -> None:
        self.id = ""
        self.usage: Chunk = {}
        self._totals: list[Chunk] = []
        self._outgoing = outgoing
        self._names = names
        self._choices = [_ReplyChoice(outgoing) for _ in range(choices)]
        self._told: Chunk = {}  # what only another Ponder says: effective, warnings, ...

    def feed(self, chunk: Chunk) -> Iterator[tuple[int, Event]]:
        """Raises UpstreamError for an error in the stream."""
        if error := chunk.get("error"):
            text = error.get("message", error) if isinstance(error, dict) else error
            raise UpstreamError(f"it broke off: {text}")
        self.id = self.id or str(chunk.get("id") or "")
        if usage := chunk.get("usage"):
            self._totals += [] if chunk.get("choices") else [usage]
            self.usage = usage
        self._told |= {
            k: chunk[k] for k in ("effective", "warnings", "handover", MALFORMED) if chunk.get(k) is not None
        }
        for part in chunk.get("choices") or ():
            index = part.get("index") or 0
            if index >= len(self._choices):
                raise UpstreamError(f"it sent choice {index}, {len(self._choices)} were asked for")
            for event in self._part(self._choices[index], part):
                yield index, event

    def finish(self) -> Iterator[tuple[int, Event]]:
        """The end of the stream. Raises UpstreamError when a choice never came to an end."""
        for index, choice in enumerate(self._choices):
            if choice.reason is None:
                raise UpstreamError("the connection was closed in the middle of the answer")
            for event in choice.finish():
                yield index, event
            yield index, self.finish_of(index, _reason(choice))

    def finish_of(self, index: int, reason: FinishReason) -> Finish:
        """All tokens count for the first choice: servers tell one number for all of them."""
        choice, outgoing = self._choices[index], self._outgoing
        effective = outgoing.effective
        if isinstance(told := self._told.get("effective"), dict):
            effective = msgspec.convert(told, Effective)
        elif choice.thought:
            effective = structs.replace(effective, thinking=True)
        malformed = choice.malformed or (self._told.get(MALFORMED, 0) if index == 0 else 0)
        warnings = [*outgoing.warnings, *self._told.get("warnings", ()), *malformed_warning(choice.malformed)]
        if outgoing.must_call and not choice.called:
            warnings.append("tool_choice: the other server was told that there must be a call, and made none")
        if not self.usage:
            warnings.append("the other server did not say how many tokens it used")
        handover: Handover | None = self._told.get("handover")
        return Finish(
            reason, self._usage() if index == 0 else structs.replace(self._usage(), completion_tokens=0,
            reasoning_tokens=0, handover_tokens=0), effective, choice.stop_reason, handover, malformed,
            tuple(dict.fromkeys(warnings)),
        )  # fmt: skip

    def _part(self, choice: _ReplyChoice, part: Chunk) -> Iterator[Event]:
        delta = part.get("delta") or {}
        thoughts = delta.get("reasoning_content") or delta.get("reasoning")
        if isinstance(thoughts, str) and thoughts:
            yield from choice.thoughts(thoughts)
        text = delta.get("content") or part.get("text")
        if isinstance(text, str) and text:
            yield from choice.content(text)
        for piece in delta.get("tool_calls") or ():
            yield from choice.call(piece)
        yield from self._logprobs(part.get("logprobs"), reasoning=bool(thoughts))
        if part.get("finish_reason"):
            choice.reason = str(part["finish_reason"])
            stop = part.get("stop_reason")
            choice.stop_reason = stop if isinstance(stop, str) else None

    def _logprobs(self, raw: Chunk | None, *, reasoning: bool) -> Iterator[TokenLogprob]:
        if not raw:
            return
        for kind in ("reasoning_content", "content"):
            for entry in raw.get(kind) or ():
                top = tuple((self._id(t), t["logprob"]) for t in entry.get("top_logprobs") or ())
                about = reasoning or kind == "reasoning_content"
                yield TokenLogprob(self._id(entry), _bytes(entry), entry["logprob"], top, about)
        tokens, tops = raw.get("tokens") or (), raw.get("top_logprobs") or ()  # the old form, of /completions
        for n, token in enumerate(tokens):
            known = (tops[n] if n < len(tops) else None) or {}
            top = tuple((self._names.id_of(t.encode()), p) for t, p in known.items())
            yield TokenLogprob(self._names.id_of(token.encode()), token.encode(), raw["token_logprobs"][n] or 0.0, top)

    def _id(self, entry: Chunk) -> int:
        return self._names.id_of(_bytes(entry))

    def _usage(self) -> Usage:
        prompt, more = self.usage.get("prompt_tokens_details") or {}, self.usage.get("completion_tokens_details") or {}
        return Usage(
            prompt_tokens=self.usage.get("prompt_tokens") or 0,
            completion_tokens=sum(u.get("completion_tokens") or 0 for u in self._totals or [self.usage]),
            reasoning_tokens=more.get("reasoning_tokens") or 0,
            handover_tokens=more.get("handover_tokens") or 0,
            cached_tokens=prompt.get("cached_tokens") or 0,
        )


def _reason(choice: _ReplyChoice) -> FinishReason:
    """A call that only our parser found is one, too."""
    if choice.called and choice.reason == "stop":
        return "tool_calls"
    return REASONS.get(choice.reason or "", "stop")


def _bytes(entry: Chunk) -> bytes:
    raw = entry.get("bytes")
    return bytes(raw) if raw is not None else str(entry.get("token", "")).encode("utf-8", "replace")
