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
from ponder.server.accounts.book import KeyBook
from ponder.server.accounts.keyring import Keyring
from ponder.server.accounts.usage import Usage
from ponder.server.config import ServerConfig
from ponder.server.http.errors import ApiError

PATIENCE = 0.1  # seconds between two looks whether there is room


@dataclass
class InFlight:
    """One admitted request. handle is None until the engine has taken it, finish until a choice has ended."""

    id: str
    client: str = ""
    handle: Handle | None = None
    timed_out: bool = False
    finish: Finish | None = None
    admitted: float = field(default_factory=time.monotonic)


@dataclass
class Admission:
    """capacity: requests the engine computes together; config.queue more may wait."""

    config: ServerConfig
    capacity: int
    usage: Usage | None = None
    """Counts what each name takes; None where nobody counts."""
    in_flight: dict[str, InFlight] = field(default_factory=dict)
    rejected: int = 0
    draining: bool = False

    def __post_init__(self) -> None:
        self.keyring = Keyring(self.config, KeyBook(self.config.key_book) if self.config.key_book else None)

    @property
    def share(self) -> int:
        """The most requests that one key may have here: as the operator says, or an equal part."""
        if self.config.key_limit is not None:
            return self.config.key_limit
        return max(1, (self.capacity + self.config.queue) // max(1, self.keyring.size()))

    def _no_room(self, client: str) -> ApiError | None:
        own = sum(request.client == client for request in self.in_flight.values())
        if len(self.in_flight) >= self.capacity + self.config.queue:
            return _refused(f"{len(self.in_flight)} requests are running or waiting already", "queue_full")
        if own >= self.share:
            return _refused(f"{own} requests of this API key are running or waiting already", "key_limit")
        return None

    @contextlib.asynccontextmanager
    async def admit(self, prefix: str, *, patient: bool = False) -> AsyncIterator[InFlight]:
        """A place for one request, freed (and its handle cancelled) at the end. patient: wait for it, as who had one
        already and gave it back. Raises ApiError 429 or 503."""
        client = CLIENT.get()
        while patient and not self.draining and self._no_room(client):
            await asyncio.sleep(PATIENCE)
        if self.draining:
            raise ApiError(503, "the server is shutting down", kind="server_error", code="shutting_down", retry_after=5)
        refused = self._no_room(client) or (self.usage.refusal(client) if self.usage else None)
        if refused is not None:
            self.rejected += 1
            raise refused
        if self.usage is not None:
            self.usage.add(client, requests=1)
        request = InFlight(prefix + secrets.token_hex(12), client)
        self.in_flight[request.id] = request
        limit = self.config.timeout
        timer = None if limit is None else asyncio.get_running_loop().call_later(limit, self._expire, request)
        try:
            yield request
        finally:
            if timer is not None:
                timer.cancel()
            if request.handle is not None:
                request.handle.cancel()
            del self.in_flight[request.id]

    def find(self, id_: str) -> InFlight:
        """Raises ApiError 404 when the client has no such request running (any more)."""
        if id_ not in self.in_flight or self.in_flight[id_].client != CLIENT.get():
            raise ApiError(404, f"no request {id_} is running", code="request_not_found", param="id")
        return self.in_flight[id_]

    def cancel(self, id_: str) -> None:
        if (handle := self.find(id_).handle) is not None:
            handle.cancel()

    def cancel_all(self) -> None:
        for request in self.in_flight.values():
            if request.handle is not None:
                request.handle.cancel()

    def answer_now(self, id_: str) -> None:
        if (handle := self.find(id_).handle) is not None:
            handle.answer_now()

    def _expire(self, request: InFlight) -> None:
        request.timed_out = True
        if request.handle is not None:
            request.handle.cancel()


def _refused(why: str, code: str) -> ApiError:
    return ApiError(429, f"{why}; try again soon", kind="rate_limit_error", code=code, retry_after=1)
