"""The reply of POST /v1/chat/completions: its body, and its chunks. Both are built from the same pieces, so that the
concatenated stream equals the whole reply (RS-1, API-2)."""

import time
from collections.abc import Iterable
from typing import Any

from msgspec import UNSET, structs

from ponder import __version__
from ponder.core.event import Finish, TokenLogprob
from ponder.core.message import ToolCall
from ponder.core.protocol import PromptProgress
from ponder.engine.result import Choice, choice_of
from ponder.server.api.llamacpp.timings import timings_of
from ponder.server.api.openai.chat_request import ChatBody
from ponder.server.api.openai.structs.chat import (
    CachedTokens,
    ChatChoice,
    ChatChunk,
    ChatCompletion,
    ChatLogprobs,
    ChatMessage,
    ChatUsage,
    ChunkChoice,
    CompletionTokens,
    FinishReason,
    ReadingProgress,
    TokenAlternative,
    TokenLogprobReply,
    UsageSoFar,
)
from ponder.server.api.openai.tools import InputStream, chat_call, chat_custom_names
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
    Scored,
)
from ponder.server.http.errors import openai_body
from ponder.server.http.stream import data
from ponder.server.runtime.service import ActiveRequest

FINGERPRINT = f"ponder-{__version__}"
DONE = b"data: [DONE]\n\n"


class ChatDialect:
    """reasoning_field: "both", "reasoning_content", "reasoning" or "none" (RS-3)."""

    def __init__(self, body: ChatBody, model: str, reasoning_field: str) -> None:
        self._body, self._model = body, model
        self._created = int(time.time())
        self._fields = {"both": ("reasoning_content", "reasoning"), "none": ()}.get(reasoning_field, (reasoning_field,))
        self._scores: dict[int, list[TokenLogprob]] = {}
        self._custom = chat_custom_names(body.tools)
        self._inputs: dict[tuple[int, int], InputStream] = {}  # of custom calls, by choice and number
        self._active: ActiveRequest

    async def write(self, piece: Piece) -> bytes:
        match piece:
            case Opened(active):
                self._active = active
                first = {"role": "assistant", "content": ""}
                return b"".join(data(self._chunk(i, first)) for i in range(len(active.handle)))
            case Scored(choice, entry):
                self._scores.setdefault(choice, []).append(entry)
                return b""
            case PromptProgress():
                chunk = self._chunk(0, {})
                chunk.prompt_progress = self._reading(piece)
                return data(chunk)
            case Ended(choice, finish):
                return self._scored(choice, {}, finish)
            case Closed():
                return (self._usage_chunk(piece) if self._body.stream_options.include_usage else b"") + DONE
            case Failed(error):
                return data(openai_body(error)) + DONE
        return b"".join(self._scored(choice, delta) for choice, delta in self._deltas(piece))

    def alive(self) -> bytes:
        return data(self._chunk(0, {}))

    def _deltas(self, piece: Piece) -> Iterable[tuple[int, dict[str, Any]]]:
        match piece:
            case PartOpened(CallPart() as part):
                id_ = call_id(self._active.id, part.choice, part.number, part.call)
                if part.call.name in self._custom:
                    self._inputs[part.choice, part.number] = InputStream()
                    made: dict[str, Any] = {"type": "custom", "custom": {"name": part.call.name, "input": ""}}
                else:
                    made = {"type": "function", "function": {"name": part.call.name, "arguments": ""}}
                yield part.choice, {"tool_calls": [{"index": part.number, "id": id_, **made}]}
            case PartDelta(CallPart() as part, text) if heard := self._inputs.get((part.choice, part.number)):
                yield from _input_delta(part, heard.feed(text))
            case PartDelta(CallPart() as part, text):
                yield part.choice, {"tool_calls": [{"index": part.number, "function": {"arguments": text}}]}
            case PartClosed(CallPart(complete=True) as part) if heard := self._inputs.get((part.choice, part.number)):
                yield from _input_delta(part, heard.finish(part.text))
            case PartDelta(part, text) if part.kind == "text":
                yield part.choice, {"content": text}
            case PartDelta(part, text) if self._fields:
                yield part.choice, dict.fromkeys(self._fields, text)

    def _scored(self, index: int, delta: dict[str, Any], finish: Finish | None = None) -> bytes:
        """Log-probabilities ride on the next chunk of their choice: some clients drop a chunk whose delta is empty."""
        chunk = self._chunk(index, delta)
        (choice,) = chunk.choices
        if finish is not None:
            choice.finish_reason = finish_reason(finish)
            choice.stop_reason = UNSET if finish.stop_reason is None else finish.stop_reason
            timings = timings_of(self._active.handle, finish.usage, (index,))
            chunk = structs.replace(chunk, **_settings([finish]), warnings=_warnings([finish]), timings=timings)
        if scores := self._scores.pop(index, None):
            choice.logprobs = self._logprobs(scores)
        if self._body.stream_options.continuous_usage_stats:
            chunk.usage = self._so_far()
        return data(chunk)

    def _chunk(self, index: int, delta: dict[str, Any]) -> ChatChunk:
        choice = ChunkChoice(index=index, delta=delta, logprobs=None, finish_reason=None)
        return ChatChunk(**self._frame("chat.completion.chunk"), choices=[choice])

    def _usage_chunk(self, reply: Closed) -> bytes:
        finishes = [reply.finishes[i] for i in sorted(reply.finishes)]
        return data(ChatChunk(**self._frame("chat.completion.chunk"), choices=[], usage=usage(finishes)))

    def _reading(self, progress: PromptProgress) -> ReadingProgress:
        admitted = self._active.handle.timings().admitted
        spent = time.monotonic() - admitted if admitted else 0.0
        return ReadingProgress(
            total=progress.total, cache=progress.cached, processed=progress.processed, time_ms=round(spent * 1000)
        )

    def _so_far(self) -> UsageSoFar:
        handle = self._active.handle
        prompt = len(handle.prompt_ids())
        generated = sum(handle.timings(choice).generated for choice in range(len(handle)))
        return UsageSoFar(prompt_tokens=prompt, completion_tokens=generated, total_tokens=prompt + generated)

    async def whole(self, reply: Closed) -> ChatCompletion:
        self._active = reply.source
        choices = [choice_of(reply.events(i), None, ()) for i in sorted(reply.finishes)]
        finishes = [choice.finish for choice in choices]
        return ChatCompletion(
            **self._frame("chat.completion"),
            choices=[self._choice(i, c) for i, c in enumerate(choices)],
            usage=usage(finishes),
            **_settings(finishes),
            timings=timings_of(self._active.handle, finishes[0].usage, range(len(finishes))),
            warnings=_warnings(finishes),
        )

    def _choice(self, index: int, choice: Choice) -> ChatChoice:
        calls = [
            chat_call(call_id(self._active.id, index, n, call), call, self._custom)
            for n, call in enumerate(choice.tool_calls)
        ]
        thoughts = {} if choice.reasoning is None else dict.fromkeys(self._fields, choice.reasoning)
        content = choice.text if choice.text or not calls else None
        return ChatChoice(
            index=index,
            message=ChatMessage(role="assistant", content=content, tool_calls=calls, **thoughts),
            finish_reason=finish_reason(choice.finish),
            logprobs=self._logprobs(choice.logprobs) if self._body.logprobs else None,
            stop_reason=choice.finish.stop_reason or "",
        )

    def _logprobs(self, entries: Iterable[TokenLogprob]) -> ChatLogprobs:
        """`content` holds the ids of the answer one by one, `reasoning_content` those of the thoughts (API-3)."""
        entries = list(entries)
        return ChatLogprobs(
            content=[self._logprob(e) for e in entries if not e.reasoning],
            refusal=None,
            reasoning_content=[self._logprob(e) for e in entries if e.reasoning],
        )

    def _logprob(self, entry: TokenLogprob) -> TokenLogprobReply:
        token_bytes = self._active.llm.tokenizer.token_bytes
        top = [TokenAlternative(**token_fields(token_bytes(id_), logprob)) for id_, logprob in entry.top]
        return TokenLogprobReply(**token_fields(entry.bytes, entry.logprob), top_logprobs=top)

    def _frame(self, kind: str) -> dict[str, Any]:
        return {"id": self._active.id, "object": kind, "created": self._created, "model": self._model,
                "system_fingerprint": FINGERPRINT}  # fmt: skip


def _input_delta(part: CallPart, text: str) -> Iterable[tuple[int, dict[str, Any]]]:
    if text:
        yield part.choice, {"tool_calls": [{"index": part.number, "custom": {"input": text}}]}


def token_fields(raw: bytes, logprob: float) -> dict[str, Any]:
    return {"token": raw.decode("utf-8", "replace"), "logprob": max(logprob, -9999.0), "bytes": list(raw)}


def _settings(finishes: list[Finish]) -> dict[str, Any]:
    """What really held (TH-5)."""
    truncated = any(f.handover not in (None, "answer_now") for f in finishes)
    return {"effective": finishes[0].effective, "thinking_truncated": truncated, **malformed_calls(finishes)}


def malformed_calls(finishes: Iterable[Finish]) -> dict[str, int]:
    """How many calls were broken and stayed text, in every dialect; nothing where none was (TC-5)."""
    count = sum(f.malformed_calls for f in finishes)
    return {"malformed_tool_calls": count} if count else {}


def _warnings(finishes: Iterable[Finish]) -> list[str]:
    """What was ignored or lowered, each once (TH-6)."""
    return [*dict.fromkeys(w for f in finishes for w in f.warnings)]


def usage(finishes: list[Finish]) -> ChatUsage:
    """The prompt once, the completions of all choices together."""
    parts = [f.usage for f in finishes]
    prompt, completion = parts[0].prompt_tokens, sum(u.completion_tokens for u in parts)
    return ChatUsage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        prompt_tokens_details=CachedTokens(cached_tokens=parts[0].cached_tokens),
        completion_tokens_details=CompletionTokens(
            reasoning_tokens=sum(u.reasoning_tokens for u in parts),
            handover_tokens=sum(u.handover_tokens for u in parts),
        ),
    )


def finish_reason(finish: Finish) -> FinishReason:
    return "length" if finish.reason == "cancelled" else finish.reason


def call_id(reply: str, choice: int, place: int, call: ToolCall) -> str:
    """The same id in the streamed and the whole reply; unique over requests."""
    return call.id or f"call_{reply.rpartition('-')[2]}_{choice}_{place}"
