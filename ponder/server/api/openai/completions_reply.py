"""The reply of POST /v1/completions: its body, and its chunks."""

import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
from msgspec import field

from ponder.core.event import Event, Finish, TokenLogprob
from ponder.server.api.llamacpp.timings import Timings, timings_of
from ponder.server.api.openai.chat_reply import DONE, FINGERPRINT, finish_reason, usage
from ponder.server.api.openai.completions_request import CompletionBody
from ponder.server.api.openai.structs.chat import CachedTokens, FinishReason
from ponder.server.api.stream_reply import Closed, Ended, Failed, Opened, PartDelta, Piece, Scored
from ponder.server.http.errors import openai_body
from ponder.server.http.reply import JsonReply
from ponder.server.http.stream import data
from ponder.server.runtime.pool import Tokens
from ponder.server.runtime.service import ActiveRequest

Lists = dict[str, Any]


class CompletionLogprobs(JsonReply):
    tokens: list[str]
    token_logprobs: list[float | None]
    top_logprobs: list[dict[str, float | None] | None]
    text_offset: list[int]


class CompletionChoice(JsonReply):
    index: int
    text: str
    logprobs: CompletionLogprobs | None
    finish_reason: FinishReason


class CompletionUsage(JsonReply):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: CachedTokens


class Completion(JsonReply):
    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    system_fingerprint: str
    choices: list[CompletionChoice]
    usage: CompletionUsage
    timings: Timings
    warnings: list[str] = field(default_factory=list)


class LogprobLists:
    """Log-probabilities in OpenAI's old form: parallel lists, with the place of each piece in its choice's text."""

    def __init__(self, tokenizer: Tokens) -> None:
        self._tokenizer = tokenizer
        self._offset: dict[int, int] = {}

    def first(self, index: int, id_: int) -> Lists:
        """The first id of an echoed prompt: nothing comes before it, so it has no probability."""
        return self._token(index, self._tokenizer.token_bytes(id_)) | {"token_logprobs": [None], "top_logprobs": [None]}

    def entry(self, index: int, entry: TokenLogprob) -> Lists:
        top = {self._tokenizer.token_bytes(i).decode("utf-8", "replace"): p for i, p in reversed(entry.top)}
        return self._token(index, entry.bytes) | {"token_logprobs": [entry.logprob], "top_logprobs": [top]}

    def extend(self, scores: Lists | None, entry: Lists) -> Lists:
        """Lists grow in place: a long prompt has thousands of entries."""
        if scores is None:
            return entry
        for key, values in entry.items():
            scores[key] += values
        return scores

    def _token(self, index: int, raw: bytes) -> Lists:
        token = raw.decode("utf-8", "replace")
        offset = self._offset.get(index, 0)
        self._offset[index] = offset + len(token)
        return {"tokens": [token], "text_offset": [offset]}


@dataclass
class PromptBatch:
    """The prompts of one request as one source of events."""

    actives: list[ActiveRequest]
    n: int  # choices of each prompt
    echoes: list[tuple[str, Lists | None]]  # (text, log-probabilities) with which each choice begins
    lists: LogprobLists
    events: Callable[[], AsyncIterator[tuple[int, Event]]]

    @property
    def id(self) -> str:
        return self.actives[0].id


class CompletionDialect:
    """A reply is one text, thoughts included."""

    def __init__(self, body: CompletionBody, model: str) -> None:
        self._body, self._model = body, model
        self._created = int(time.time())
        self._batch: PromptBatch

    async def write(self, piece: Piece) -> bytes:
        match piece:
            case Opened(batch):
                self._batch = batch
                return b"".join(self._chunk(i, text, logprobs=scores) for i, (text, scores) in enumerate(batch.echoes))
            case Scored(choice, entry):
                return self._chunk(choice, logprobs=self._batch.lists.entry(choice, entry))
            case PartDelta(part, text) if part.kind != "call":
                return self._chunk(part.choice, text)
            case Ended(choice, finish):
                return self._end(choice, finish)
            case Closed():
                last = data(self._frame() | {"choices": [], "usage": self._usage(piece)})
                return (last if self._body.stream_options.include_usage else b"") + DONE
            case Failed(error):
                return data(openai_body(error)) + DONE
        return b""

    def alive(self) -> bytes:
        return self._chunk(0)

    def _chunk(self, index: int, text: str = "", **more: Any) -> bytes:
        choice = {"index": index, "text": text, "logprobs": None, "finish_reason": None} | more
        return data(self._frame() | {"choices": [choice]})

    def _end(self, index: int, finish: Finish) -> bytes:
        choice = {"index": index, "text": "", "logprobs": None, "finish_reason": finish_reason(finish)}
        end = {"choices": [choice], "timings": self._timings({index: finish})}
        return data(self._frame() | end | ({"warnings": finish.warnings} if finish.warnings else {}))

    def _timings(self, finishes: dict[int, Finish]) -> Timings:
        """Of the first prompt among these choices."""
        first = min(finishes)
        prompt, n = first // self._batch.n, self._batch.n
        choices = [choice % n for choice in finishes if choice // n == prompt]
        return timings_of(self._batch.actives[prompt].handle, finishes[first].usage, choices)

    async def whole(self, reply: Closed) -> Completion:
        self._batch = reply.source
        warnings = dict.fromkeys(w for finish in reply.finishes.values() for w in finish.warnings)
        choices = [self._choice(i, reply, text, scores) for i, (text, scores) in enumerate(self._batch.echoes)]
        return Completion(
            **self._frame(),
            choices=choices,
            usage=self._usage(reply),
            timings=self._timings(reply.finishes),
            warnings=[*warnings],
        )

    def _choice(self, index: int, reply: Closed, text: str, scores: Lists | None) -> CompletionChoice:
        lists = self._batch.lists
        for entry in reply.logprobs.get(index, ()):
            scores = lists.extend(scores, lists.entry(index, entry))
        return CompletionChoice(
            index=index,
            text=text + "".join(part.text for part in reply.parts[index] if part.kind != "call"),
            logprobs=None if scores is None else msgspec.convert(scores, CompletionLogprobs),
            finish_reason=finish_reason(reply.finishes[index]),
        )

    def _frame(self) -> dict[str, Any]:
        return {"id": self._batch.id, "object": "text_completion", "created": self._created, "model": self._model,
                "system_fingerprint": FINGERPRINT}  # fmt: skip

    def _usage(self, reply: Closed) -> CompletionUsage:
        """Every prompt once."""
        n = self._batch.n
        finishes: list[Finish] = [reply.finishes[i] for i in sorted(reply.finishes)]
        prompts = [usage(finishes[first : first + n]) for first in range(0, len(finishes), n)]
        return CompletionUsage(
            prompt_tokens=sum(p.prompt_tokens for p in prompts),
            completion_tokens=sum(p.completion_tokens for p in prompts),
            total_tokens=sum(p.total_tokens for p in prompts),
            prompt_tokens_details=CachedTokens(
                cached_tokens=sum(p.prompt_tokens_details.cached_tokens for p in prompts)
            ),
        )
