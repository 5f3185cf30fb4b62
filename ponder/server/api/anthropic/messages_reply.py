"""The reply of POST /v1/messages: a list of blocks (thinking, text, tool_use), each opened, filled by deltas and
closed. A thinking block carries a signature, as clients send it back unread."""

import hashlib
import json
from typing import Any, Literal

from msgspec import field

from ponder.core.event import Effective, Finish
from ponder.server.api.anthropic.open_blocks import EMPTY, Kind, OpenBlocks, named_event
from ponder.server.api.openai.chat_reply import malformed_calls
from ponder.server.api.stream_reply import (
    CallPart,
    Closed,
    Ended,
    Failed,
    Opened,
    PartClosed,
    PartDelta,
    PartOpened,
    Piece,
    ReplyPart,
)
from ponder.server.http.errors import anthropic_body
from ponder.server.http.reply import JsonReply
from ponder.server.http.stream import event

PREFIX = "msg_"
STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use", "cancelled": "max_tokens"}
Body = dict[str, Any]


class MessageUsage(JsonReply):
    input_tokens: int
    cache_read_input_tokens: int
    cache_creation_input_tokens: int
    output_tokens: int


class MessageReply(JsonReply):
    id: str
    type: Literal["message"]
    role: Literal["assistant"]
    model: str
    content: list[dict[str, Any]]
    stop_reason: Literal["end_turn", "max_tokens", "tool_use", "stop_sequence"]
    stop_sequence: str | None
    usage: MessageUsage
    effective: Effective
    malformed_tool_calls: int = 0
    warnings: list[str] = field(default_factory=list)


class TokenCount(JsonReply):
    input_tokens: int


class MessagesDialect:
    def __init__(self, model: str, thinking: bool | None = None, search: str | None = None) -> None:
        """thinking: whether the model was asked to think. search: the name of the vendor's web search, if the model was
        told of it. There is none here: a call of it comes with the result that it is unavailable."""
        self._model, self._thinking, self._search = model, thinking, search
        self._calls = False  # there is one that the client has to run
        self._id = ""
        self._blocks = OpenBlocks()

    async def write(self, piece: Piece) -> bytes:
        match piece:
            case Opened(active):
                self._id, self._active = active.id, active
                usage = {"input_tokens": len(active.handle.prompt_ids()), "output_tokens": 0}
                nothing: Body = {"content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
                start: Body = {"type": "message_start", "message": self._frame() | nothing}
                return named_event(start) + named_event({"type": "ping"})
            case PartOpened(part):
                return self._blocks.open(part.kind, self._empty(part))
            case PartDelta(part, text):
                return self._blocks.delta(part.kind, text)
            case PartClosed(part):
                closed = self._blocks.close(_signature(part.text))
                return closed + b"".join(self._blocks.whole(block) for block in self._results(part))
            case Ended(_, finish):
                end = {"type": "message_delta", "delta": self._ending(finish), "usage": _usage(finish)}
                return self._blocks.end() + named_event(end) + named_event({"type": "message_stop"})
            case Failed(error):
                return event("error", anthropic_body(error))
        return b""

    async def whole(self, reply: Closed) -> MessageReply:
        self._id = reply.source.id
        finish = reply.finishes[0]
        blocks = [block for part in reply.parts[0] for block in (self._block(part), *self._results(part))]
        return MessageReply(**self._frame(), content=blocks, **self._ending(finish), usage=_usage(finish))

    def alive(self) -> bytes:
        """Claude Code leaves after 300 seconds in which there was no event but `ping`, also while a prompt is read: so
        a block is opened, of the kind that is likely to come, and gets empty deltas."""
        can = self._active.llm.abilities.capability
        thinks = can == "thinking" or (can == "hybrid" and self._thinking is not False)
        likely: Kind = "thoughts" if thinks else "text"
        return self._blocks.alive(likely)

    def _ending(self, finish: Finish) -> Body:
        matched = finish.reason == "stop" and finish.stop_reason is not None
        reason = "stop_sequence" if matched else STOP_REASONS[finish.reason]
        reason = "end_turn" if reason == "tool_use" and not self._calls else reason
        end: Body = {"stop_reason": reason, "stop_sequence": finish.stop_reason if matched else None}
        end |= {"effective": finish.effective} | malformed_calls([finish])
        return end | ({"warnings": [*finish.warnings]} if finish.warnings else {})

    def _frame(self) -> Body:
        return {"id": self._id, "type": "message", "role": "assistant", "model": self._model}

    def _empty(self, part: ReplyPart) -> Body:
        """The block before its first delta."""
        match part:
            case CallPart():
                kind = "server_tool_use" if part.call.name == self._search else "tool_use"
                return {"type": kind, "id": self._call_id(part), "name": part.call.name, "input": {}}
        return EMPTY[part.kind]

    def _call_id(self, part: CallPart) -> str:
        if part.call.name == self._search:
            return f"srvtoolu_{self._id.removeprefix(PREFIX)}_{part.number}"
        return part.call.id or f"toolu_{self._id.removeprefix(PREFIX)}_{part.number}"

    def _results(self, part: ReplyPart) -> list[Body]:
        """What a call gave that the client does not run."""
        if not isinstance(part, CallPart) or not part.complete:
            return []
        if part.call.name != self._search:
            self._calls = True
            return []
        error = {"type": "web_search_tool_result_error", "error_code": "unavailable"}
        return [{"type": "web_search_tool_result", "tool_use_id": self._call_id(part), "content": error}]

    def _block(self, part: ReplyPart) -> Body:
        block = self._empty(part)
        match part.kind:
            case "call":
                return block | {"input": json.loads(part.text)}
            case "thoughts":
                return block | {"thinking": part.text, "signature": _signature(part.text)}
        return block | {"text": part.text}


def _signature(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _usage(finish: Finish) -> MessageUsage:
    """Anthropic's input_tokens leave out what came from the cache."""
    usage = finish.usage
    return MessageUsage(
        input_tokens=usage.prompt_tokens - usage.cached_tokens,
        cache_read_input_tokens=usage.cached_tokens,
        cache_creation_input_tokens=0,
        output_tokens=usage.completion_tokens,
    )
