"""The requests that are being answered: admission, cancel and "answer now" by id, time limit.

A request is admitted when the queue has room and its API key has not taken its share of it (SR-6), known by its id
while it runs, and gone afterwards whatever happened.
"""

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from ponder.core.client import CLIENT
from ponder.core.event import Finish
from ponder.engine.scheduling.handle import Handle
from ponder.server.config import ServerConfig
from ponder.server.http.errors import ApiError


@dataclass
class Run:
    """One admitted request. handle is None until the engine has taken it, finish until a choice has ended."""

    id: str
    caller: str = ""
    handle: Handle | None = None
    timed_out: bool = False
    finish: Finish | None = None
    admitted: float = field(default_factory=time.monotonic)


@dataclass
class Running:
    """capacity: requests the engine computes together; config.queue more may wait."""

    config: ServerConfig
    capacity: int
    runs: dict[str, Run] = field(default_factory=dict)
    rejected: int = 0
    draining: bool = False

    @property
    def share(self) -> int:
        """The most requests that one key may have here: as the operator says, or an equal part."""
        if self.config.key_limit is not None:
            return self.config.key_limit
        keys = {*self.config.api_keys, *self.config.admin_keys}
        return max(1, (self.capacity + self.config.queue) // max(1, len(keys)))

    def _refused(self, why: str, code: str) -> ApiError:
        self.rejected += 1
        return ApiError(429, f"{why}; try again soon", kind="rate_limit_error", code=code, retry_after=1)

    @contextlib.asynccontextmanager
    async def admit(self, prefix: str) -> AsyncIterator[Run]:
        """A place for one request, freed (and its handle cancelled) at the end. Raises ApiError 429 or 503."""
        if self.draining:
            raise ApiError(503, "the server is shutting down", kind="server_error", code="shutting_down", retry_after=5)
        caller = CLIENT.get()
        mine = sum(run.caller == caller for run in self.runs.values())
        if len(self.runs) >= self.capacity + self.config.queue:
            raise self._refused(f"{len(self.runs)} requests are running or waiting already", "queue_full")
        if mine >= self.share:
            raise self._refused(f"{mine} requests of this API key are running or waiting already", "key_limit")
        run = Run(prefix + secrets.token_hex(12), caller)
        self.runs[run.id] = run
        limit = self.config.timeout
        timer = None if limit is None else asyncio.get_running_loop().call_later(limit, self._expire, run)
        try:
            yield run
        finally:
            if timer is not None:
                timer.cancel()
            if run.handle is not None:
                run.handle.cancel()
            del self.runs[run.id]

    def find(self, id_: str) -> Run:
        """Raises ApiError 404 when the caller has no such request running (any more)."""
        if id_ not in self.runs or self.runs[id_].caller != CLIENT.get():
            raise ApiError(404, f"no request {id_} is running", code="request_not_found", param="id")
        return self.runs[id_]

    def cancel(self, id_: str) -> None:
        if (handle := self.find(id_).handle) is not None:
            handle.cancel()

    def cancel_all(self) -> None:
        for run in self.runs.values():
            if run.handle is not None:
                run.handle.cancel()

    def answer_now(self, id_: str) -> None:
        if (handle := self.find(id_).handle) is not None:
            handle.answer_now()

    def _expire(self, run: Run) -> None:
        run.timed_out = True
        if run.handle is not None:
            run.handle.cancel()
