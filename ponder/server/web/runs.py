"""The replies of the web chat that are running. A turn lives in the server, not in a connection.

So a page may be reloaded, and two may look at the same turn: who comes late is first sent all there is. When nobody has
looked for some seconds the turn is stopped, unless it was asked to go on or waits for a person's approval. Whatever
ends it (done, stopped, an error, the server's end), what was said so far is kept.
"""

import asyncio
import sqlite3
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, suppress
from functools import partial
from itertools import groupby
from typing import Protocol

from ponder.agent.loop.event import Decision
from ponder.server.http.errors import ApiError, api_error
from ponder.server.http.log import log
from ponder.server.http.stream import data
from ponder.server.runtime.lanes import Lane
from ponder.server.web.conversations import Conversations
from ponder.server.web.turn_steps import Row, Transcript

ABANDONED = 3600.0  # seconds without a page, after which a turn that waits for a person leaves the memory
WRITE_SECONDS = 1.0  # how much of a reply a killed process may lose


class RunControl(Protocol):
    """What computes a turn. cancel ends it, with a "finish" item if it can; answer_now ends its thoughts."""

    def cancel(self) -> None: ...
    def answer_now(self) -> None: ...


Source = Callable[
    ["WebRun"], AsyncGenerator[Row, None]
]  # opens the turn once it is admitted; yields what the page is sent


class Subscriber:
    """What one page was not sent yet. It never holds up the turn; texts that pile up are joined."""

    def __init__(self) -> None:
        self._items: list[Row | None] = []
        self._changed = asyncio.Event()

    def put(self, item: Row | None) -> None:
        self._items.append(item)
        self._changed.set()

    async def items(self) -> AsyncIterator[Row]:
        while True:
            await self._changed.wait()
            self._changed.clear()
            items, self._items = self._items, []
            for item in _joined(items):
                if item is None:
                    return
                yield item


def _joined(items: list[Row | None]) -> Iterator[Row | None]:
    for at, group in groupby(items, lambda i: i["at"] if i is not None and i["type"] == "delta" else None):
        if at is None:
            yield from group
        else:
            yield {"type": "delta", "at": at, "text": "".join(i["text"] for i in group if i is not None)}


class WebRun:
    """One reply. approvals: the calls that wait for a person, by id, and the future that takes the decision."""

    task: asyncio.Task[None]

    def __init__(self, runs: "WebRuns", conversation: str, parent: str, message: Row, *, background: bool) -> None:
        self.runs, self.conversation, self.background = runs, conversation, background
        self.transcript = Transcript()
        self.approvals: dict[str, asyncio.Future[Decision | None]] = {}
        self._decided: set[str] = set()
        self._over = False
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._parent, self._row = parent, message
        self._control: RunControl | None = None
        self._subscribers: set[Subscriber] = set()
        self._idle_timeout: asyncio.TimerHandle | None = None
        self._written = time.monotonic()

    @property
    def id(self) -> str:
        return str(self._row["id"])

    async def run(self, source: Source) -> None:
        """Ends without an exception; one that comes before the turn is open is for `opened`."""
        try:
            async with aclosing(source(self)) as items:
                async for item in items:
                    self._publish(item)
                    await self._write_now_and_then()
        except asyncio.CancelledError:
            log.debug("a turn was stopped")
        except Exception as e:
            if not self.opened.done():
                self.opened.set_exception(e)
            else:
                log.exception("reply %s failed", self.id)
                self._publish({"type": "error", "message": api_error(e).message})
        if self._control is not None:
            ending = asyncio.ensure_future(self._end())
            while not ending.done():  # what was said is kept, however often the turn is stopped
                with suppress(asyncio.CancelledError):
                    await asyncio.shield(ending)

    def steps_so_far(self, budget: int | None, *, extend: bool = False) -> Transcript:
        """The steps there are so far: none, unless the turn goes on. extend: with the last of them."""
        return Transcript(budget, self._row.get("steps", ()), extend=extend)

    async def open(self, control: RunControl, transcript: Transcript) -> None:
        """The source was admitted: there is a message now, and pages may look."""
        if "id" not in self._row:
            body = self._row | transcript.body()
            add = partial(self.runs.store.add, self.conversation, self._parent, "assistant", body)
            self._row = await self.runs.threads.run(add)
        self._control, self.transcript = control, transcript
        self.runs.running[self.id] = self
        if not self.opened.done():
            self.opened.set_result(None)

    def _publish(self, item: Row) -> None:
        if item["type"] == "finish":
            self._row |= {"facts": item["facts"], "stopped": item["stopped"]}
        elif item["type"] == "error":
            self._row["error"] = item["message"]
        for subscriber in self._subscribers:
            subscriber.put(item)

    async def _write_now_and_then(self) -> None:
        if time.monotonic() - self._written > WRITE_SECONDS:
            await self._write()

    async def _write(self) -> None:
        """A disk that is full, or busy, ends no turn: the next time may be better."""
        self._written = time.monotonic()
        try:
            await self.runs.threads.run(partial(self.runs.store.write, self.id, self._body()))
        except (sqlite3.Error, ApiError):
            log.exception("reply %s could not be written", self.id)

    def _last(self) -> Row:
        if "error" in self._row:
            return {"type": "error", "message": self._row["error"]}
        return {"type": "finish", "facts": self._row.get("facts"), "stopped": self._row["stopped"]}

    async def _end(self) -> None:
        if "facts" not in self._row and "error" not in self._row:
            self._publish({"type": "finish", "facts": None, "stopped": True})
        self._over = True
        await self._write()
        del self.runs.running[self.id]
        for subscriber in self._subscribers:
            subscriber.put(None)
        if self._idle_timeout is not None:
            self._idle_timeout.cancel()

    def _body(self) -> Row:
        fields = {k: v for k, v in self._row.items() if k not in ("id", "parent", "role", "created")}
        return fields | self.transcript.body()

    async def subscribe(self) -> AsyncGenerator[bytes, None]:
        """Server-sent events for one page: everything so far, then what comes."""
        subscriber = Subscriber()
        if self._idle_timeout is not None:
            self._idle_timeout.cancel()
        self._subscribers.add(subscriber)
        if self._over:  # it was quicker than its first page
            subscriber.put(self._last())
            subscriber.put(None)
        try:
            yield data({"type": "start", "message": self._row | {"steps": self.transcript.steps()}})
            async for item in subscriber.items():
                yield data(item)
        finally:
            self._subscribers.discard(subscriber)
            if not self._subscribers and not self.background and self.id in self.runs.running:
                self._idle_timeout = asyncio.get_running_loop().call_later(self.runs.linger, self._stop_when_idle)

    def _stop_when_idle(self) -> None:
        if self._subscribers:
            return
        if self.approvals:
            self._idle_timeout = asyncio.get_running_loop().call_later(ABANDONED, self._leave_when_idle)
        else:
            self.stop()

    def _leave_when_idle(self) -> None:
        """What waits is stored as waiting: a page that comes later goes on from there."""
        if not self._subscribers:
            self.task.cancel()

    def stop(self) -> None:
        assert self._control is not None, "a turn that is not open is nobody's yet"
        self._control.cancel()

    def answer_now(self) -> None:
        assert self._control is not None, "a turn that is not open is nobody's yet"
        self._control.answer_now()

    async def decision_on(self, call: str) -> Decision | None:
        """Waits for a person's decision on a call; None: the turn was stopped."""
        try:
            return await self._approval(call)
        finally:
            del self.approvals[call]

    def _approval(self, call: str) -> "asyncio.Future[Decision | None]":
        """Pages may decide as soon as they are told, other calls may run meanwhile."""
        return self.approvals.setdefault(call, asyncio.get_running_loop().create_future())

    def is_decided(self, call: str) -> bool:
        return call in self._decided

    def stop_waiting(self) -> None:
        for future in self.approvals.values():
            if not future.done():
                future.set_result(None)

    def decide(self, call: str, decision: Decision) -> None:
        """A person's decision on a call that waits. Raises ApiError 404 when it does not."""
        if self.transcript.state(call) != "waiting" or call in self._decided:
            raise ApiError(404, f"no call {call} waits for approval (any more)", param="call")
        self._decided.add(call)
        self._approval(call).set_result(decision)


class WebRuns:
    """linger: seconds that a turn goes on without anybody looking."""

    def __init__(self, store: Conversations, linger: float, threads: Lane) -> None:
        """threads: for the store."""
        self.store, self.linger, self.threads = store, linger, threads
        self.running: dict[str, WebRun] = {}

    async def start(self, conversation: str, parent: str, message: Row, source: Source, *, background: bool) -> WebRun:
        """Returns when the turn was admitted; raises what was wrong with it before. message: what is known
        already, or the whole message if the turn goes on."""
        if message.get("id") in self.running:
            raise ApiError(409, "this turn is running", param="message")
        run = WebRun(self, conversation, parent, message | {"stopped": True}, background=background)
        run.task = asyncio.create_task(run.run(source))
        try:
            await run.opened
        except BaseException:
            run.task.cancel()
            raise
        return run

    async def find(self, id_: str) -> WebRun:
        """Raises ApiError 404 when no such turn of the caller's conversations is running (any more)."""
        run = self.running.get(id_)
        if run is None or not await self.threads.run(partial(self.store.has, run.conversation)):
            raise ApiError(404, f"no turn {id_} is running (any more)", param="id")
        return run

    def of(self, conversation: str) -> list[str]:
        return [run.id for run in self.running.values() if run.conversation == conversation]

    async def stop(self, conversation: str | None = None) -> None:
        """Stop the replies of a conversation, or all, and wait until they are written."""
        tasks = [r.task for r in self.running.values() if conversation in (None, r.conversation)]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)
