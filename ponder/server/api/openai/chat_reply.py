"""Events of the engine -> the bodies and chunks of POST /v1/chat/completions. Streamed and not are built from the same
pieces, so that the concatenated stream equals the whole reply (RS-1, API-2)."""

import time
from collections.abc import Iterable
from typing import Any

from msgspec import structs

from ponder import __version__
from ponder.core.event import Event, Finish, ReasoningDelta, TextDelta, TokenLogprob, ToolCallDone
from ponder.core.message import ToolCall
from ponder.core.protocol import PromptProgress
from ponder.engine.result import Choice
from ponder.engine.scheduling.sequence import Timings
from ponder.server.runtime.backend import Tokens

FINGERPRINT = f"ponder-{__version__}"


class ChatReply:
    """One reply in the making: ids, names and the shape of its parts.

    reasoning_field: "both", "reasoning_content", "reasoning" or "none" (RS-3)."""

    def __init__(self, id_: str, model: str, tokenizer: Tokens, reasoning_field: str, logprobs: bool) -> None:
        self.id, self.model, self.tokenizer = id_, model, tokenizer
        self.created = int(time.time())
        self._fields = {"both": ("reasoning_content", "reasoning"), "none": ()}.get(reasoning_field, (reasoning_field,))
        self._logprobs = logprobs

    # -- not streamed -----------------------------------------------------------------------------------------------

    def whole(self, choices: Iterable[Choice], warnings: tuple[str, ...]) -> dict[str, Any]:
        choices = list(choices)
        return self._frame("chat.completion") | {
            "choices": [self._choice(i, c) for i, c in enumerate(choices)],
            "usage": usage([c.finish for c in choices]),
            **self.settings([c.finish for c in choices], warnings),
        }

    def _choice(self, index: int, choice: Choice) -> dict[str, Any]:
        calls = [
            {
                "id": call_id(self.id, index, n, c),
                "type": "function",
                "function": {"name": c.name, "arguments": c.arguments},
            }
            for n, c in enumerate(choice.tool_calls)
        ]
        text = choice.text
        message: dict[str, Any] = {"role": "assistant", "content": text if text or not calls else None}
        if choice.reasoning is not None:
            message |= dict.fromkeys(self._fields, choice.reasoning)
        if calls:
            message["tool_calls"] = calls
        body = {"index": index, "message": message, "finish_reason": finish_reason(choice.finish)}
        body["logprobs"] = self.logprobs(choice.logprobs) if self._logprobs else None
        return body | _stop_reason(choice.finish)

    # -- streamed ---------------------------------------------------------------------------------------------------

    def first(self, index: int) -> dict[str, Any]:
        return self.chunk(index, {"role": "assistant", "content": ""})

    def delta(self, index: int, event: Event) -> list[dict[str, Any]]:
        """The chunks of one event; none for a Finish (see `last`) and for a log-probability."""
        match event:
            case ReasoningDelta(text):
                return [self.chunk(index, dict.fromkeys(self._fields, text))] if self._fields else []
            case TextDelta(text):
                return [self.chunk(index, {"content": text})]
            case ToolCallDone(place, call):
                head = {"index": place, "id": call_id(self.id, index, place, call), "type": "function",
                        "function": {"name": call.name, "arguments": ""}}  # fmt: skip
                body = {"index": place, "function": {"arguments": call.arguments}}
                return [self.chunk(index, {"tool_calls": [part]}) for part in (head, body)]
        return []

    def reading(self, progress: PromptProgress, timings: Timings) -> dict[str, Any]:
        """llama.cpp's form. time_ms: since the prompt's turn came; 0 while it waits."""
        spent = time.monotonic() - timings.admitted if timings.admitted else 0.0
        counts = {"total": progress.total, "cache": progress.cached, "processed": progress.processed,
                "time_ms": round(spent * 1000)}  # fmt: skip
        return self.chunk(0, {}) | {"prompt_progress": counts}

    def last(self, index: int, finish: Finish, warnings: tuple[str, ...]) -> dict[str, Any]:
        chunk = self.chunk(index, {}, finish_reason=finish_reason(finish))
        chunk["choices"][0] |= _stop_reason(finish)
        return chunk | self.settings([finish], warnings)

    def usage_chunk(self, finishes: list[Finish]) -> dict[str, Any]:
        return self._frame("chat.completion.chunk") | {"choices": [], "usage": usage(finishes)}

    def chunk(self, index: int, delta: dict[str, Any], **more: Any) -> dict[str, Any]:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None} | more
        return self._frame("chat.completion.chunk") | {"choices": [choice]}

    # -- both -------------------------------------------------------------------------------------------------------

    def logprobs(self, entries: Iterable[TokenLogprob]) -> dict[str, Any]:
        """`content` holds the ids of the answer one by one, `reasoning_content` those of the thoughts (API-3)."""
        entries = list(entries)
        thoughts = [self._logprob(e) for e in entries if e.reasoning]
        answer = [self._logprob(e) for e in entries if not e.reasoning]
        return {"content": answer, "refusal": None} | ({"reasoning_content": thoughts} if thoughts else {})

    def _logprob(self, entry: TokenLogprob) -> dict[str, Any]:
        top = [self._token(self.tokenizer.token_bytes(id_), logprob) for id_, logprob in entry.top]
        return self._token(entry.bytes, entry.logprob) | {"top_logprobs": top}

    def _token(self, raw: bytes, logprob: float) -> dict[str, Any]:
        return {"token": raw.decode("utf-8", "replace"), "logprob": max(logprob, -9999.0), "bytes": list(raw)}

    def settings(self, finishes: list[Finish], warnings: tuple[str, ...]) -> dict[str, Any]:
        """What really held, and what was ignored or lowered (TH-5, TH-6)."""
        told = [*warnings, *dict.fromkeys(w for f in finishes for w in f.warnings)]
        effective = structs.asdict(finishes[0].effective)
        truncated = any(f.handover not in (None, "answer_now") for f in finishes)
        return {"effective": effective, "thinking_truncated": truncated} | ({"warnings": told} if told else {})

    def _frame(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model,
                "system_fingerprint": FINGERPRINT}  # fmt: skip


def usage(finishes: list[Finish]) -> dict[str, Any]:
    """The prompt once, the completions of all choices together."""
    parts = [f.usage for f in finishes]
    prompt, completion = parts[0].prompt_tokens, sum(u.completion_tokens for u in parts)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": parts[0].cached_tokens},
        "completion_tokens_details": {
            "reasoning_tokens": sum(u.reasoning_tokens for u in parts),
            "handover_tokens": sum(u.handover_tokens for u in parts),
        },
    }


def finish_reason(finish: Finish) -> str:
    return "length" if finish.reason == "cancelled" else finish.reason


def _stop_reason(finish: Finish) -> dict[str, Any]:
    return {} if finish.stop_reason is None else {"stop_reason": finish.stop_reason}


def call_id(reply: str, choice: int, place: int, call: ToolCall) -> str:
    """The same id in the streamed and the whole reply; unique over requests."""
    return call.id or f"call_{reply.rpartition('-')[2]}_{choice}_{place}"
