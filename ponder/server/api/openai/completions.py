"""POST /v1/completions: continue a raw prompt, text or ids, without a template.

Raw in both directions: control tokens in a text prompt are control tokens, unless `allow_special_tokens: false` says
that the text is somebody else's (SEC-1), and what the model wrote comes back whole, with its tags. Several prompts make
n choices each, numbered in order.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from msgspec import structs

from ponder.core.event import Event, Finish
from ponder.core.params import SamplingParams
from ponder.engine.scheduling.handle import Handle
from ponder.server.api.openai.completions_reply import CompletionDialect, LogprobLists, PromptBatch
from ponder.server.api.openai.completions_request import (
    CompletionBody,
    Prompt,
    prompts_of,
    sampling_of,
    scores_only,
    thinking_of,
)
from ponder.server.api.stream_reply import answer, pieces_of
from ponder.server.api.structured_output import grammar_of
from ponder.server.runtime.endpoint import Incoming, endpoint
from ponder.server.runtime.pool import Model
from ponder.server.runtime.service import ActiveRequest, Service

PREFIX = "cmpl-"


@endpoint(CompletionBody)
async def completions(incoming: Incoming[CompletionBody]) -> Any:
    service, body = incoming.service, incoming.body
    batch = _running(service, body, prompts_of(body), sampling_of(body))
    dialect = CompletionDialect(body, service.pool.find(body.model).name)
    return await answer(incoming, pieces_of(batch, incoming.warnings, raw=True), dialect)


@contextlib.asynccontextmanager
async def _running(
    service: Service, body: CompletionBody, prompts: list[Prompt], sampling: SamplingParams
) -> AsyncIterator[PromptBatch]:
    """One engine request a prompt, all at once."""
    thinking, grammar = thinking_of(body), grammar_of(body)

    def submit(prompt: Prompt, llm: Model) -> Handle:
        return llm.generate_stream(
            prompt, sampling, thinking=thinking, grammar=grammar, allow_control=body.allow_special_tokens, raw=True,
            suffix=body.suffix or None,
        )  # fmt: skip

    async with contextlib.AsyncExitStack() as stack:
        runs = [service.run(body.model, partial(submit, prompt), PREFIX, prompt) for prompt in prompts]
        actives = [await stack.enter_async_context(run) for run in runs]
        lists = LogprobLists(actives[0].llm.tokenizer)
        echoes = await _echoes(body, prompts, actives, lists, sampling.n)
        events = _scores_only if scores_only(body) else _merged
        yield PromptBatch(actives, sampling.n, echoes, lists, partial(events, actives))


async def _echoes(
    body: CompletionBody, prompts: list[Prompt], actives: list[ActiveRequest], lists: LogprobLists, n: int
) -> list[tuple[str, dict[str, Any] | None]]:
    """(text, log-probabilities) with which each choice begins."""
    if not body.echo:
        return [("", None)] * (len(prompts) * n)
    out: list[tuple[str, dict[str, Any] | None]] = []
    for prompt, active in zip(prompts, actives):
        if isinstance(prompt, str):
            text = prompt
        else:
            text = active.llm.in_process("echo").tokenizer.decode(prompt, skip_special=False)
        if body.logprobs is None:
            out += [(text, None)] * n
            continue
        ids = list(active.handle.prompt_ids())
        entries = await asyncio.to_thread(active.llm.in_process("echo").prompt_logprobs, ids, body.logprobs)
        for choice in range(len(out), len(out) + n):
            scores = lists.first(choice, ids[0])
            for entry in entries:
                lists.extend(scores, lists.entry(choice, entry))
            out.append((text, scores))
    return out


async def _merged(actives: list[ActiveRequest]) -> AsyncIterator[tuple[int, Event]]:
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


async def _scores_only(actives: list[ActiveRequest]) -> AsyncIterator[tuple[int, Event]]:
    """The ends alone: the id that the engine had to sample is nobody's when nothing was to be generated."""
    async for choice, event in _merged(actives):
        if isinstance(event, Finish):
            usage = structs.replace(event.usage, completion_tokens=0)
            yield choice, structs.replace(event, reason="length", usage=usage)
