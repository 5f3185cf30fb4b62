"""The replies of Ollama's /api/chat and /api/generate: lines of a stream, or their sum."""

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from msgspec import Struct

from ponder.core.event import Finish, TokenLogprob
from ponder.server.api.openai.chat_reply import malformed_calls, token_fields
from ponder.server.api.stream_reply import (
    CallPart,
    Closed,
    Ended,
    Failed,
    Opened,
    PartClosed,
    PartDelta,
    Piece,
    ReplyPart,
    Scored,
)
from ponder.server.http.errors import ollama_body
from ponder.server.http.stream import line
from ponder.server.runtime.service import ActiveRequest

Body = dict[str, Any]


class OllamaLine(Struct, kw_only=True):
    """The last line has done true, why it ended, the counts, and durations in nanoseconds."""

    model: str
    created_at: str
    done: bool
    done_reason: Literal["stop", "length", "load", "unload"]


class OllamaChat(OllamaLine, kw_only=True):
    message: dict[str, Any]


class OllamaGenerate(OllamaLine, kw_only=True):
    response: str


class OllamaChatDialect:
    """model: as the request calls it."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._begun = self._opened = time.monotonic()
        self._active: ActiveRequest

    async def write(self, piece: Piece) -> bytes:
        match piece:
            case Opened(active):
                self._active, self._opened = active, time.monotonic()
            case PartClosed(CallPart(complete=True) as part) if calls := self.calls([part]):
                return self._line(self.message(calls=calls), done=False)
            case PartDelta(part, text) if part.kind == "thoughts":
                return self._line(self.message(thoughts=text), done=False)
            case PartDelta(part, text) if part.kind == "text":
                return self._line(self.message(text), done=False)
            case Scored(_, entry):
                return self._line(self.message(), done=False, logprobs=[self._logprob(entry)])
            case Ended(_, finish):
                return self._line(self.message(), **self._counts(finish))
            case Failed(error):
                return line(ollama_body(error))
        return b""

    def alive(self) -> bytes:
        return self._line(self.message(), done=False)

    async def whole(self, reply: Closed) -> Body:
        self._active, parts = reply.source, reply.parts[0]
        text, thoughts = ("".join(p.text for p in parts if p.kind == kind) for kind in ("text", "thoughts"))
        logprobs = [self._logprob(entry) for entry in reply.logprobs.get(0, ())]
        body = self._frame() | self.message(text, thoughts, self.calls(parts)) | self._counts(reply.finishes[0])
        return body | ({"logprobs": logprobs} if logprobs else {})

    def message(self, text: str = "", thoughts: str = "", calls: Sequence[Body] = ()) -> Body:
        """What a line says, or all of them."""
        message: Body = {"role": "assistant", "content": text} | ({"thinking": thoughts} if thoughts else {})
        return {"message": message | ({"tool_calls": calls} if calls else {})}

    def calls(self, parts: Sequence[ReplyPart]) -> list[Body]:
        return [
            {
                "id": p.call.id,
                "function": {"index": p.number, "name": p.call.name, "arguments": json.loads(p.call.arguments)},
            }
            for p in parts
            if isinstance(p, CallPart)
        ]

    def _frame(self) -> Body:
        return {"model": self._model, "created_at": now()}

    def _line(self, message: Body, **fields: Any) -> bytes:
        return line(self._frame() | message | fields)

    def _counts(self, finish: Finish) -> Body:
        """Durations are in nanoseconds."""
        timings, usage = self._active.handle.timings(), finish.usage
        prompt_s = timings.first_id - timings.admitted if timings.first_id else 0.0
        counts: Body = {
            "done": True,
            "done_reason": "length" if finish.reason in ("cancelled", "length") else "stop",
            "total_duration": int((time.monotonic() - self._begun) * 1e9),
            "load_duration": int((self._opened - self._begun) * 1e9),
            "prompt_eval_count": usage.prompt_tokens,
            "prompt_eval_duration": int(prompt_s * 1e9),
            "eval_count": usage.completion_tokens,
            "eval_duration": int(max(0.0, timings.finished - timings.first_id) * 1e9) if timings.first_id else 0,
            "effective": finish.effective,
            **malformed_calls([finish]),
        }
        return counts | ({"warnings": [*finish.warnings]} if finish.warnings else {})

    def _logprob(self, entry: TokenLogprob) -> Body:
        token_bytes = self._active.llm.tokenizer.token_bytes
        top = [token_fields(token_bytes(id_), logprob) for id_, logprob in entry.top]
        return token_fields(entry.bytes, entry.logprob) | ({"top_logprobs": top} if top else {})


class OllamaGenerateDialect(OllamaChatDialect):
    """A text, and no calls. context: the ids of the whole conversation come with its end, for the next request."""

    def __init__(self, model: str, *, context: bool = False) -> None:
        super().__init__(model)
        self._context = context

    def _counts(self, finish: Finish) -> Body:
        handle = self._active.handle
        context = [*handle.prompt_ids(), *handle.ids()] if self._context else []
        return super()._counts(finish) | ({"context": context} if context else {})

    def message(self, text: str = "", thoughts: str = "", calls: Sequence[Body] = ()) -> Body:
        return {"response": text} | ({"thinking": thoughts} if thoughts else {})

    def calls(self, parts: Sequence[ReplyPart]) -> list[Body]:
        return []


def _call(part: CallPart) -> Body:
    function = {"index": part.number, "name": part.call.name, "arguments": json.loads(part.call.arguments)}
    return {"id": part.call.id, "function": function}


def now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")
