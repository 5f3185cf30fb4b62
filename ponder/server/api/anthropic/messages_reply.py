"""The reply of POST /v1/messages: a list of blocks (thinking, text, tool_use), each opened, filled by deltas and
closed. A thinking block carries a signature, as clients send it back unread."""

import hashlib
import json
from typing import Any, Literal

from msgspec import field

from ponder.core.event import Effective, Finish
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
DELTAS = {"thoughts": ("thinking_delta", "thinking"), "text": ("text_delta", "text"),
          "call": ("input_json_delta", "partial_json")}  # fmt: skip
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
    def __init__(self, model: str) -> None:
        self._model = model
        self._id = ""

    async def write(self, piece: Piece) -> bytes:
        match piece:
            case Opened(active):
                self._id = active.id
                usage = {"input_tokens": len(active.handle.prompt_ids()), "output_tokens": 0}
                nothing: Body = {"content": [], "stop_reason": None, "stop_sequence": None, "usage": usage}
                return _event({"type": "message_start", "message": self._frame() | nothing}) + _event({"type": "ping"})
            case PartOpened(part):
                block = {"type": "content_block_start", "index": part.index, "content_block": self._empty(part)}
                return _event(block)
            case PartDelta(part, text):
                kind, name = DELTAS[part.kind]
                return _delta(part, {"type": kind, name: text})
            case PartClosed(part):
                signed = {"type": "signature_delta", "signature": _signature(part)}
                last = _delta(part, signed) if part.kind == "thoughts" else b""
                return last + _event({"type": "content_block_stop", "index": part.index})
            case Ended(_, finish):
                end = {"type": "message_delta", "delta": _ending(finish), "usage": _usage(finish)}
                return _event(end) + _event({"type": "message_stop"})
            case Failed(error):
                return event("error", anthropic_body(error))
        return b""

    async def whole(self, reply: Closed) -> MessageReply:
        self._id = reply.source.id
        finish = reply.finishes[0]
        blocks = [self._block(part) for part in reply.parts[0]]
        return MessageReply(**self._frame(), content=blocks, **_ending(finish), usage=_usage(finish))

    def _frame(self) -> Body:
        return {"id": self._id, "type": "message", "role": "assistant", "model": self._model}

    def _empty(self, part: ReplyPart) -> Body:
        """The block before its first delta."""
        match part:
            case CallPart():
                id_ = part.call.id or f"toolu_{self._id.removeprefix(PREFIX)}_{part.number}"
                return {"type": "tool_use", "id": id_, "name": part.call.name, "input": {}}
            case ReplyPart(kind="thoughts"):
                return {"type": "thinking", "thinking": "", "signature": ""}
        return {"type": "text", "text": ""}

    def _block(self, part: ReplyPart) -> Body:
        block = self._empty(part)
        match part.kind:
            case "call":
                return block | {"input": json.loads(part.text)}
            case "thoughts":
                return block | {"thinking": part.text, "signature": _signature(part)}
        return block | {"text": part.text}


def _signature(part: ReplyPart) -> str:
    return hashlib.sha256(part.text.encode()).hexdigest()


def _ending(finish: Finish) -> Body:
    matched = finish.reason == "stop" and finish.stop_reason is not None
    reason = "stop_sequence" if matched else STOP_REASONS[finish.reason]
    end: Body = {"stop_reason": reason, "stop_sequence": finish.stop_reason if matched else None}
    end |= {"effective": finish.effective} | malformed_calls([finish])
    return end | ({"warnings": [*finish.warnings]} if finish.warnings else {})


def _usage(finish: Finish) -> MessageUsage:
    """Anthropic's input_tokens leave out what came from the cache."""
    usage = finish.usage
    return MessageUsage(
        input_tokens=usage.prompt_tokens - usage.cached_tokens,
        cache_read_input_tokens=usage.cached_tokens,
        cache_creation_input_tokens=0,
        output_tokens=usage.completion_tokens,
    )


def _delta(part: ReplyPart, delta: Body) -> bytes:
    return _event({"type": "content_block_delta", "index": part.index, "delta": delta})


def _event(body: Body) -> bytes:
    return event(body["type"], body)
