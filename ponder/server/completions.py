"""POST /v1/completions: continue a raw prompt, text or ids, without a template.

Control tokens in a text prompt are text, unless `allow_special_tokens` says otherwise (SEC-1). Several prompts make
n choices each, numbered in order.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Annotated, Any

from msgspec import Meta, Struct, field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ponder.core.errors import UserError
from ponder.core.event import Event, Finish, ReasoningDelta, TextDelta, TokenLogprob
from ponder.core.params import SamplingParams, Thinking
from ponder.engine.handle import Handle
from ponder.engine.llm import LLM
from ponder.server.body import parse, read_json
from ponder.server.errors import api_error, openai_body
from ponder.server.log import log
from ponder.server.openai_reply import FINGERPRINT, finish_reason, usage
from ponder.server.openai_request import StreamOptions, logit_bias_of
from ponder.server.service import Active, Service
from ponder.server.stream import Stream, data, unless_gone
from ponder.text.tokenizer import Tokenizer

PREFIX = "cmpl-"
MAX_PROMPTS = 128
Prompt = str | list[int]
Body = dict[str, Any]


class CompletionBody(Struct, frozen=True, kw_only=True):
    prompt: str | list[Any]
    model: str = ""
    max_tokens: int | None = 16  # OpenAI's default
    stream: bool = False
    stream_options: StreamOptions = StreamOptions()
    echo: bool = False
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    repetition_penalty: float | None = None
    seed: int | None = None
    stop: str | list[str] = field(default_factory=list)
    logit_bias: dict[str, float] = field(default_factory=dict)
    n: int = 1
    best_of: int | None = None
    suffix: str | None = None
    allow_special_tokens: bool = False
    user: str | None = None


async def completions(request: Request) -> Response:
    service: Service = request.app.state.service
    body, warnings = parse(await read_json(request, service.config), CompletionBody, strict=service.config.strict)
    prompts, sampling = prompts_of(body), sampling_of(body)
    if body.stream:
        items = _streamed(service, body, prompts, sampling, warnings)
        return await Stream.sse(items, service.config.keep_alive)
    return JSONResponse(await unless_gone(request, lambda: _whole(service, body, prompts, sampling, warnings)))


def prompts_of(body: CompletionBody) -> list[Prompt]:
    """A text, a list of ids, or a list of either. Raises UserError."""
    raw = body.prompt
    if isinstance(raw, str) or (raw and all(isinstance(i, int) for i in raw)):
        return [raw]
    good = [p for p in raw if isinstance(p, str) or (isinstance(p, list) and all(isinstance(i, int) for i in p))]
    if not raw or len(good) < len(raw):
        raise UserError("prompt is a text, a list of token ids, or a list of these", param="prompt")
    if len(raw) > MAX_PROMPTS:
        raise UserError(f"prompt: at most {MAX_PROMPTS} prompts in one request, got {len(raw)}", param="prompt")
    return good


def sampling_of(body: CompletionBody) -> SamplingParams:
    if body.suffix:
        raise UserError("suffix is not supported: these models continue text, they do not fill it in", param="suffix")
    if body.best_of not in (None, body.n):
        raise UserError("best_of is not supported; use n", param="best_of")
    if body.echo and body.logprobs is not None:
        raise UserError("logprobs of the prompt (echo with logprobs) are not supported", param="echo")
    return SamplingParams(
        temperature=body.temperature,
        top_p=body.top_p,
        top_k=None if body.top_k is None else max(0, body.top_k),
        min_p=body.min_p,
        presence_penalty=body.presence_penalty,
        frequency_penalty=body.frequency_penalty,
        repetition_penalty=body.repetition_penalty,
        seed=body.seed,
        max_tokens=body.max_tokens,
        stop=(body.stop,) if isinstance(body.stop, str) else tuple(body.stop),
        logit_bias=logit_bias_of(body.logit_bias),
        logprobs=body.logprobs,
        n=body.n,
    )


@contextlib.asynccontextmanager
async def _running(
    service: Service, body: CompletionBody, prompts: list[Prompt], sampling: SamplingParams
) -> AsyncIterator[list[Active]]:
    """One engine request a prompt, all at once."""

    def submit(prompt: Prompt, llm: LLM) -> Handle:
        wish = Thinking(loop_guard=False)  # raw text may repeat itself
        return llm.generate_stream(prompt, sampling, thinking=wish, allow_control=body.allow_special_tokens)

    async with contextlib.AsyncExitStack() as stack:
        runs = [service.run(body.model, lambda llm, p=p: submit(p, llm), PREFIX) for p in prompts]  # type: ignore[misc]
        yield [await stack.enter_async_context(run) for run in runs]


async def _merged(actives: list[Active]) -> AsyncGenerator[tuple[int, Event], None]:
    """(choice over all prompts, event) in the order in which they come."""
    queue: asyncio.Queue[tuple[int, Event] | Exception | None] = asyncio.Queue()

    async def follow(first: int, active: Active) -> None:
        try:
            async for choice, event in active.events():
                queue.put_nowait((first + choice, event))
            queue.put_nowait(None)
        except Exception as e:
            queue.put_nowait(e)

    n = len(actives[0].handle)
    tasks = [asyncio.ensure_future(follow(i * n, active)) for i, active in enumerate(actives)]
    try:
        left = len(tasks)
        while left:
            item = await queue.get()
            if isinstance(item, Exception):
                raise item
            if item is None:
                left -= 1
            else:
                yield item
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Pieces:
    """The text of each choice so far, and its log-probabilities in OpenAI's old form, with places in the text."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._offset: dict[int, int] = {}

    def logprobs(self, index: int, entry: TokenLogprob) -> Body:
        token = entry.bytes.decode("utf-8", "replace")
        offset = self._offset.get(index, 0)
        self._offset[index] = offset + len(token)
        top = {self._tokenizer.token_bytes(i).decode("utf-8", "replace"): p for i, p in reversed(entry.top)}
        return {"tokens": [token], "token_logprobs": [entry.logprob], "top_logprobs": [top], "text_offset": [offset]}


def text_of(event: Event) -> str | None:
    return event.text if isinstance(event, TextDelta | ReasoningDelta) else None


async def _whole(
    service: Service, body: CompletionBody, prompts: list[Prompt], sampling: SamplingParams, warnings: tuple[str, ...]
) -> Body:
    async with _running(service, body, prompts, sampling) as actives:
        pieces, count = Pieces(actives[0].llm.tokenizer), len(prompts) * sampling.n
        texts = [_echo(body, prompts[i // sampling.n], actives[0]) for i in range(count)]
        logprobs: list[Body | None] = [None] * count
        finishes: dict[int, Finish] = {}
        async for index, event in _merged(actives):
            if isinstance(event, Finish):
                finishes[index] = event
            elif isinstance(event, TokenLogprob):
                logprobs[index] = _joined(logprobs[index], pieces.logprobs(index, event))
            elif (text := text_of(event)) is not None:
                texts[index] += text
        choices = [
            {"index": i, "text": texts[i], "logprobs": logprobs[i], "finish_reason": finish_reason(finishes[i])}
            for i in range(count)
        ]
        told = [*warnings, *dict.fromkeys(w for f in finishes.values() for w in f.warnings)]
        out = _frame(service, body, actives[0]) | {"choices": choices, "usage": _usage(finishes, sampling.n)}
        return out | ({"warnings": told} if told else {})


async def _streamed(
    service: Service, body: CompletionBody, prompts: list[Prompt], sampling: SamplingParams, warnings: tuple[str, ...]
) -> AsyncGenerator[bytes, None]:
    async with _running(service, body, prompts, sampling) as actives:
        frame = _frame(service, body, actives[0])

        def chunk(index: int, text: str = "", **more: Any) -> bytes:
            choice = {"index": index, "text": text, "logprobs": None, "finish_reason": None} | more
            return data(frame | {"choices": [choice]})

        yield b"".join(
            chunk(i, _echo(body, prompts[i // sampling.n], actives[0])) for i in range(len(prompts) * sampling.n)
        )
        pieces = Pieces(actives[0].llm.tokenizer)
        finishes: dict[int, Finish] = {}
        try:
            async for index, event in _merged(actives):
                if isinstance(event, Finish):
                    finishes[index] = event
                    yield chunk(index, finish_reason=finish_reason(event))
                elif isinstance(event, TokenLogprob):
                    yield chunk(index, logprobs=pieces.logprobs(index, event))
                elif (text := text_of(event)) is not None:
                    yield chunk(index, text)
            if body.stream_options.include_usage:
                yield data(frame | {"choices": [], "usage": _usage(finishes, sampling.n)})
        except Exception as e:  # the headers are out: whatever went wrong becomes the last item
            log.exception("request %s failed", actives[0].run.id)
            yield data(openai_body(api_error(e)))
        yield b"data: [DONE]\n\n"


def _frame(service: Service, body: CompletionBody, active: Active) -> Body:
    return {"id": active.run.id, "object": "text_completion", "created": int(time.time()),
            "model": service.pool.find(body.model).name, "system_fingerprint": FINGERPRINT}  # fmt: skip


def _echo(body: CompletionBody, prompt: Prompt, active: Active) -> str:
    if not body.echo:
        return ""
    return prompt if isinstance(prompt, str) else active.llm.tokenizer.decode(prompt)


def _joined(a: Body | None, b: Body) -> Body:
    return b if a is None else {key: a[key] + b[key] for key in a}


def _usage(finishes: dict[int, Finish], n: int) -> Body:
    """Every prompt once."""
    parts = [usage([finishes[i] for i in range(first, first + n)]) for first in range(0, len(finishes), n)]
    totals = {key: sum(p[key] for p in parts) for key in ("prompt_tokens", "completion_tokens", "total_tokens")}
    cached = sum(p["prompt_tokens_details"]["cached_tokens"] for p in parts)
    return totals | {"prompt_tokens_details": {"cached_tokens": cached}}
