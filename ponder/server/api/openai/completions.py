"""POST /v1/completions: continue a raw prompt, text or ids, without a template.

Control tokens in a text prompt are text, unless `allow_special_tokens` says otherwise (SEC-1). Several prompts make
n choices each, numbered in order.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator
from functools import partial
from typing import Any

from msgspec import structs
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ponder.core.event import Event, Finish, ReasoningDelta, TextDelta, TokenLogprob
from ponder.core.params import SamplingParams
from ponder.engine.scheduling.handle import Handle
from ponder.server.api.openai.chat_reply import FINGERPRINT, finish_reason, usage
from ponder.server.api.openai.completions_request import (
    CompletionBody,
    Prompt,
    prompts_of,
    sampling_of,
    scores_only,
    thinking_of,
)
from ponder.server.http.body import parse, read_json
from ponder.server.http.errors import api_error, openai_body
from ponder.server.http.log import log
from ponder.server.http.stream import Stream, cancel_on_disconnect, data
from ponder.server.runtime.backend import Model, Tokens, local
from ponder.server.runtime.service import ActiveRequest, Service

PREFIX = "cmpl-"
Body = dict[str, Any]


async def completions(request: Request) -> Response:
    service: Service = request.app.state.service
    body, warnings = parse(await read_json(request, service.config), CompletionBody, strict=service.config.strict)
    prompts, sampling = prompts_of(body), sampling_of(body)
    if body.stream:
        items = _streamed(service, body, prompts, sampling, warnings)
        return await Stream.sse(items, service.config.keep_alive)
    return JSONResponse(await cancel_on_disconnect(request, lambda: _whole(service, body, prompts, sampling, warnings)))


@contextlib.asynccontextmanager
async def _running(
    service: Service, body: CompletionBody, prompts: list[Prompt], sampling: SamplingParams
) -> AsyncIterator[list[ActiveRequest]]:
    """One engine request a prompt, all at once."""

    chat = thinking_of(body)

    def submit(prompt: Prompt, llm: Model) -> Handle:
        return llm.generate_stream(prompt, sampling, thinking=chat, allow_control=body.allow_special_tokens)

    async with contextlib.AsyncExitStack() as stack:
        runs = [service.run(body.model, lambda llm, p=p: submit(p, llm), PREFIX, p) for p in prompts]  # type: ignore[misc]
        yield [await stack.enter_async_context(run) for run in runs]


async def _merged(actives: list[ActiveRequest]) -> AsyncGenerator[tuple[int, Event], None]:
    """(choice over all prompts, event) in the order in which they come."""
    queue: asyncio.Queue[tuple[int, Event] | Exception | None] = asyncio.Queue()

    async def follow(first: int, active: ActiveRequest) -> None:
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


class LogprobLists:
    """Log-probabilities in OpenAI's old form: parallel lists, with the place of each piece in its choice's text."""

    def __init__(self, tokenizer: Tokens) -> None:
        self._tokenizer = tokenizer
        self._offset: dict[int, int] = {}

    def first(self, index: int, id_: int) -> Body:
        """The first id of an echoed prompt: nothing comes before it, so it has no probability."""
        return self._entry(index, self._tokenizer.token_bytes(id_)) | {"token_logprobs": [None], "top_logprobs": [None]}

    def logprobs(self, index: int, entry: TokenLogprob) -> Body:
        top = {self._tokenizer.token_bytes(i).decode("utf-8", "replace"): p for i, p in reversed(entry.top)}
        return self._entry(index, entry.bytes) | {"token_logprobs": [entry.logprob], "top_logprobs": [top]}

    def _entry(self, index: int, raw: bytes) -> Body:
        token = raw.decode("utf-8", "replace")
        offset = self._offset.get(index, 0)
        self._offset[index] = offset + len(token)
        return {"tokens": [token], "text_offset": [offset]}


async def _echoes(
    body: CompletionBody, prompts: list[Prompt], actives: list[ActiveRequest], lists: LogprobLists, n: int
) -> list[tuple[str, Body | None]]:
    """(text, log-probabilities) with which each choice begins."""
    if not body.echo:
        return [("", None)] * (len(prompts) * n)
    out: list[tuple[str, Body | None]] = []
    for prompt, active in zip(prompts, actives):
        ids_of = partial(local, active.llm, "echo")
        text = prompt if isinstance(prompt, str) else ids_of().tokenizer.decode(prompt, skip_special=False)
        places = range(len(out), len(out) + n)
        if body.logprobs is None:
            out += [(text, None)] * n
            continue
        ids = list(active.handle.prompt_ids())
        entries = await asyncio.to_thread(ids_of().prompt_logprobs, ids, body.logprobs)
        for place in places:
            scored = lists.first(place, ids[0])
            for entry in entries:
                _extend(scored, lists.logprobs(place, entry))
            out.append((text, scored))
    return out


def text_of(event: Event) -> str | None:
    return event.text if isinstance(event, TextDelta | ReasoningDelta) else None


async def _whole(
    service: Service, body: CompletionBody, prompts: list[Prompt], sampling: SamplingParams, warnings: tuple[str, ...]
) -> Body:
    async with _running(service, body, prompts, sampling) as actives:
        lists, count = LogprobLists(actives[0].llm.tokenizer), len(prompts) * sampling.n
        begun = await _echoes(body, prompts, actives, lists, sampling.n)
        texts, logprobs = [text for text, _ in begun], [scored for _, scored in begun]
        finishes: dict[int, Finish] = {}
        async for index, event in _merged(actives):
            if isinstance(event, Finish):
                finishes[index] = _counted(body, event)
            elif scores_only(body):
                continue
            elif isinstance(event, TokenLogprob):
                entry = lists.logprobs(index, event)
                logprobs[index] = _extend(logprobs[index], entry)
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

        lists = LogprobLists(actives[0].llm.tokenizer)
        begun = await _echoes(body, prompts, actives, lists, sampling.n)
        yield b"".join(chunk(i, text, logprobs=scored) for i, (text, scored) in enumerate(begun))
        finishes: dict[int, Finish] = {}
        try:
            async for index, event in _merged(actives):
                if isinstance(event, Finish):
                    finishes[index] = _counted(body, event)
                    yield chunk(index, finish_reason=finish_reason(event))
                elif scores_only(body):
                    continue
                elif isinstance(event, TokenLogprob):
                    yield chunk(index, logprobs=lists.logprobs(index, event))
                elif (text := text_of(event)) is not None:
                    yield chunk(index, text)
            if body.stream_options.include_usage:
                yield data(frame | {"choices": [], "usage": _usage(finishes, sampling.n)})
        except Exception as e:  # the headers are out: whatever went wrong becomes the last item
            log.exception("request %s failed", actives[0].id)
            yield data(openai_body(api_error(e)))
        yield b"data: [DONE]\n\n"


def _frame(service: Service, body: CompletionBody, active: ActiveRequest) -> Body:
    return {"id": active.id, "object": "text_completion", "created": int(time.time()),
            "model": service.pool.find(body.model).name, "system_fingerprint": FINGERPRINT}  # fmt: skip


def _extend(scored: Body | None, entry: Body) -> Body:
    """Lists grow in place: a long prompt has thousands of entries."""
    if scored is None:
        return entry
    for key, values in entry.items():
        scored[key] += values
    return scored


def _counted(body: CompletionBody, finish: Finish) -> Finish:
    """The id that the engine had to draw is nobody's when nothing was to be generated."""
    if not scores_only(body):
        return finish
    return structs.replace(finish, reason="length", usage=structs.replace(finish.usage, completion_tokens=0))


def _usage(finishes: dict[int, Finish], n: int) -> Body:
    """Every prompt once."""
    parts = [usage([finishes[i] for i in range(first, first + n)]) for first in range(0, len(finishes), n)]
    totals = {key: sum(p[key] for p in parts) for key in ("prompt_tokens", "completion_tokens", "total_tokens")}
    cached = sum(p["prompt_tokens_details"]["cached_tokens"] for p in parts)
    return totals | {"prompt_tokens_details": {"cached_tokens": cached}}
