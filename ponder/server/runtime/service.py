"""What every dialect needs to answer a request: admission, the model, defaults, and one way to run a `ChatRequest`."""

import contextlib
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, TypeVar

from msgspec import structs

from ponder.core.client import CLIENT
from ponder.core.event import Event, Finish, ReasoningDelta, TextDelta, ToolCallDelta, Usage
from ponder.core.params import Thinking
from ponder.core.request import ChatRequest
from ponder.engine.result import Choice
from ponder.engine.scheduling.handle import Handle
from ponder.server.config import ServerConfig
from ponder.server.http.body import BODY, BodyBudget
from ponder.server.http.errors import ApiError
from ponder.server.http.log import log_event
from ponder.server.runtime.admission import Admission, InFlight
from ponder.server.runtime.defaults import with_defaults
from ponder.server.runtime.lanes import Lanes
from ponder.server.runtime.pool import Model, Pool
from ponder.server.runtime.reasoning_cache import ReasoningCache, ReasoningRestorer
from ponder.server.runtime.request_times import RequestTimes
from ponder.server.runtime.traces import trace_end

Result = TypeVar("Result")
PACE = 0.03  # seconds: nobody reads faster, and every write costs time that the engine needs


def joined(batch: list[tuple[int, Event]]) -> Iterator[tuple[int, Event]]:
    """Neighbouring texts of one kind, and pieces of one call, as one."""
    for (choice, _, _), group in groupby(batch, lambda item: (item[0], type(item[1]), _call_of(item[1]))):
        events = [event for _, event in group]
        first, texts = events[0], [e.text for e in events if isinstance(e, TextDelta | ReasoningDelta | ToolCallDelta)]
        if len(texts) > 1 and isinstance(first, TextDelta | ReasoningDelta | ToolCallDelta):
            yield choice, structs.replace(first, text="".join(texts))
        else:
            yield from ((choice, event) for event in events)


def _call_of(event: Event) -> int | None:
    return event.index if isinstance(event, ToolCallDelta) else None


@dataclass
class ActiveRequest:
    """One request that the engine works on."""

    in_flight: InFlight
    llm: Model
    handle: Handle
    restorer: ReasoningRestorer | None = None

    @property
    def id(self) -> str:
        return self.in_flight.id

    async def events(self) -> AsyncIterator[tuple[int, Event]]:
        """(choice, event) as they come; texts that came together are one. A request that ran out of time ends as if
        cancelled, and says so."""
        async for batch in self.handle.abatches(PACE):
            for choice, event in joined(batch):
                if isinstance(event, Finish):
                    self.in_flight.finish = event
                    if self.in_flight.timed_out and event.reason == "cancelled":
                        warnings = (*event.warnings, "the server's time limit")
                        event = structs.replace(event, stop_reason="timeout", warnings=warnings)
                    if self.restorer is not None:
                        event = structs.replace(event, warnings=(*self.restorer.warnings, *event.warnings))
                if self.restorer is not None:
                    self.restorer.follow(choice, event)
                yield choice, event

    async def choices(self) -> list[Choice]:
        """The whole answer."""
        events: list[list[Event]] = [[] for _ in range(len(self.handle))]
        async for choice, event in self.events():
            events[choice].append(event)
        return list(self.llm.result(self.handle, events).choices)


@dataclass
class Service:
    """thinking: what holds when a request says nothing about it."""

    config: ServerConfig
    pool: Pool
    admission: Admission
    thinking: Thinking = field(default_factory=Thinking)
    reasoning_cache: ReasoningCache = field(init=False)

    def __post_init__(self) -> None:
        self.lanes = Lanes()
        self.times = RequestTimes()
        self.bodies = BodyBudget(max(2 * self.config.max_body, 64 << 20), max(8 * self.config.max_body, 256 << 20))
        self.reasoning_cache = ReasoningCache(self.config.restore_thoughts)

    def run_chat(
        self, model: str | None, request: ChatRequest, prefix: str
    ) -> "contextlib._AsyncGeneratorContextManager[ActiveRequest]":
        """The reply to a chat in any dialect."""
        restorer = self.restorer(model, request)

        def submit(llm: Model) -> Handle:
            return llm.stream(self.prepared(request, llm, restorer))

        return self.run(model, submit, prefix, request.messages, restorer)

    def prepared(self, request: ChatRequest, llm: Model, restorer: ReasoningRestorer | None) -> ChatRequest:
        """What the model is asked: with the server's defaults, and with thoughts that it restores."""
        return with_defaults(request if restorer is None else restorer.restored(), llm, self.thinking)

    def restorer(self, model: str | None, request: ChatRequest) -> ReasoningRestorer | None:
        """Of a server that restores thoughts."""
        if not self.reasoning_cache.limit:
            return None
        return ReasoningRestorer(self.reasoning_cache, self.pool.find(model).name, request)

    @contextlib.asynccontextmanager
    async def run(
        self,
        model: str | None,
        submit: Callable[[Model], Handle],
        prefix: str,
        prompt: Any,
        restorer: ReasoningRestorer | None = None,
    ) -> AsyncIterator[ActiveRequest]:
        """Admit, load, submit; at the end the slot and the blocks are free again, whatever happened.

        prompt: what people wrote, for a log that may hold it. restorer: keeps the thoughts of the reply.
        """
        name = self.pool.find(model).name
        async with self.admission.admit(prefix) as slot, self.pool.use(model) as llm:
            if self.config.log_prompts:
                log_event("prompt", id=slot.id, prompt=prompt)
            _check_engine(llm, name)
            slot.handle = await self._submitted(slot, lambda: submit(llm), _length(prompt))
            try:
                yield ActiveRequest(slot, llm, slot.handle, restorer)
            finally:
                self._ended(slot, name, failed=isinstance(sys.exception(), Exception))

    async def in_thread(self, work: Callable[[], Result]) -> Result:
        """Work on the body of a request; what is long holds up nothing that is short."""
        return await self.lanes.of(BODY.get()).run(work)

    def _ended(self, slot: InFlight, model: str, *, failed: bool) -> None:
        """Written down; who left early has used what was computed until then."""
        assert slot.handle is not None
        used = slot.finish.usage if slot.finish else None
        if used is None:
            used = Usage(prompt_tokens=len(slot.handle.prompt_ids()), completion_tokens=slot.handle.timings().generated)
        reason = slot.finish.reason if slot.finish else "failed" if failed else "left"
        _log_end(slot, model, used, reason)
        trace_end(slot, model, used, reason)
        self.times.observe(model, slot.client, slot.handle.timings(), used, time.monotonic() - slot.admitted)
        self.used(used.prompt_tokens, used.completion_tokens)

    def used(self, prompt_tokens: int, completion_tokens: int = 0) -> None:
        """By the client whose request this is."""
        if self.admission.usage is not None:
            self.admission.usage.add(CLIENT.get(), prompt_tokens=prompt_tokens, completion_tokens=completion_tokens)

    async def _submitted(self, slot: InFlight, submit: Callable[[], Handle], length: int) -> Handle:
        """In a thread: rendering a long conversation or compiling a grammar must not hold up the others. Raises
        ApiError 503 when the time limit passed meanwhile."""
        lane = self.lanes.of(max(length, BODY.get()))
        slot.handle = await lane.run(submit, lambda handle: handle.cancel())
        if slot.timed_out:
            text = "the server's time limit passed before the request began"
            raise ApiError(503, text, code="timeout", retry_after=1)
        return slot.handle


def _check_engine(llm: Model, name: str) -> None:
    """Raises ApiError 503 for an engine that would not answer."""
    health = llm.health()
    if not health.can_answer:
        raise ApiError(503, f"{name}: {health.trouble}", kind="server_error", code="engine_stuck", retry_after=5)


def _length(prompt: Any) -> int:
    """Characters or ids."""
    if prompt and isinstance(prompt, tuple):
        return sum(len(message.text) for message in prompt)
    return len(prompt)


def _log_end(run: InFlight, model: str, usage: Usage, reason: str) -> None:
    """A line about a request that has ended: numbers, and whose it was."""
    assert run.handle is not None
    finish, timings = run.finish, run.handle.timings()
    whose = {"key": run.client} if run.client else {}
    log_event(
        "request",
        id=run.id,
        model=model,
        reason=reason,
        seconds=round(time.monotonic() - run.admitted, 3),
        queue_s=round(timings.queue_s, 3),
        first_s=round(timings.first_id_s, 3),
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=usage.cached_tokens if finish else None,
        completion_tokens=usage.completion_tokens,
        **whose,
    )
