"""What every dialect needs to answer a request: admission, the model, defaults, and one way to run a `ChatRequest`."""

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from msgspec import structs

from ponder.core.event import Event, Finish
from ponder.core.params import Thinking
from ponder.core.request import ChatRequest
from ponder.engine.handle import Handle
from ponder.engine.llm import LLM
from ponder.engine.result import Choice
from ponder.server.config import ServerConfig
from ponder.server.errors import ApiError
from ponder.server.pool import Pool
from ponder.server.running import Run, Running


@dataclass
class Active:
    """One request that the engine works on."""

    run: Run
    llm: LLM
    handle: Handle

    async def events(self) -> AsyncIterator[tuple[int, Event]]:
        """(choice, event) as they come. A request that ran out of time ends as if cancelled, and says so."""
        async for choice, event in self.handle.amerged():
            if isinstance(event, Finish) and self.run.timed_out and event.reason == "cancelled":
                event = structs.replace(
                    event, stop_reason="timeout", warnings=(*event.warnings, "the server's time limit")
                )
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
    running: Running
    thinking: Thinking = field(default_factory=Thinking)

    def with_defaults(self, wish: ChatRequest) -> ChatRequest:
        if wish.thinking.enabled is None and wish.thinking.budget is None:
            return structs.replace(wish, thinking=self.thinking)
        return wish

    def run_chat(
        self, model: str | None, wish: ChatRequest, prefix: str
    ) -> "contextlib._AsyncGeneratorContextManager[Active]":
        return self.run(model, lambda llm: llm.stream(self.with_defaults(wish)), prefix)

    @contextlib.asynccontextmanager
    async def run(self, model: str | None, submit: Callable[[LLM], Handle], prefix: str) -> AsyncIterator[Active]:
        """Admit, load, submit; at the end the slot and the blocks are free again, whatever happened.

        submit runs in a thread: rendering a long conversation or compiling a grammar must not hold up the others.
        """
        async with self.running.admit(prefix) as run, self.pool.use(model) as llm:
            run.handle = await asyncio.to_thread(functools.partial(submit, llm))
            if run.timed_out:
                raise ApiError(
                    503, "the server's time limit passed before the request began", code="timeout", retry_after=1
                )
            yield Active(run, llm, run.handle)
