"""One request on its way: what the reader's `Handle` sees of it, and the task that talks to the servers.

The task tries servers until one gives a first token; after that a failure is the end of the stream, because what was
said cannot be taken back. Closing the connection is how a request is cancelled.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from contextlib import aclosing
from dataclasses import dataclass, field

from ponder.core.errors import UpstreamError, UserError
from ponder.core.event import Event, Finish
from ponder.engine.remote.client import Client, Unreachable
from ponder.engine.remote.reply import RemoteReply, TokenNames
from ponder.engine.remote.request import Outgoing
from ponder.engine.remote.upstream import Upstream
from ponder.engine.scheduling.channel import EventChannel
from ponder.engine.scheduling.sequence import Timings

ELSEWHERE = frozenset((404, 408, 425, 429))  # and everything from 500 on: another server may do better
Build = Callable[[Upstream], Outgoing]


@dataclass(eq=False)
class RemoteChoice:
    """What a `Handle` asks of a choice. Ids do not travel: there are none."""

    index: int
    timings: Timings = field(default_factory=Timings)
    finished: bool = False
    ids: tuple[int, ...] = ()
    prompt: int = 0
    forced: frozenset[int] = frozenset()

    def turn_ids(self) -> None:
        return None

    def progress(self) -> None:
        return None


class RemoteCall:
    """choose: the next server, without those tried. build: the body for it; raises UserError when its dialect cannot
    say it. first: the body for one that is known."""

    def __init__(
        self,
        client: Client,
        choose: Callable[[set[Upstream]], Upstream | None],
        build: Build,
        names: TokenNames,
        first: Outgoing,
        choices: int,
    ) -> None:
        self.channel = EventChannel(choices)
        self.choices = [RemoteChoice(n) for n in range(choices)]
        self._client, self._choose, self._build, self._names = client, choose, build, names
        self._reply = RemoteReply(first, choices, names)
        self._upstream: Upstream | None = None
        self._task: asyncio.Task[None] | None = None
        self._begun = False
        self._answer_now = False

    # -- commands, in the client's loop -----------------------------------------------------------------------------

    def cancel(self, choice: RemoteChoice) -> None:
        """The reader of this choice has gone; with the last one the connection goes."""
        if not choice.finished:
            self._put([(choice.index, self._reply.finish_of(choice.index, "cancelled"))])
            if self._task is not None and all(c.finished for c in self.choices):
                self._task.cancel()

    def answer_now(self) -> None:
        """Kept until the reply's id is known."""
        self._answer_now = True
        if self._upstream is not None and self._reply.id:
            self._answer_now = False
            self._client.keep(self._ask_for_answer(f"{self._upstream.url}/requests/{self._reply.id}/answer-now"))

    async def _ask_for_answer(self, url: str) -> None:
        try:
            await self._client.json("POST", url, {}, seconds=10)
        except (UpstreamError, UserError):
            return  # the answer has begun or ended: nothing to hand over

    # -- the task ---------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Never raises but when cancelled: the readers get what went wrong."""
        self._task = asyncio.current_task()
        try:
            if not all(c.finished for c in self.choices):
                await self._try_all()
        except Exception as error:  # also a bug of ours: nobody may wait for an event that never comes
            self._fail(error)
        except asyncio.CancelledError:
            for choice in self.choices:  # the client is being closed
                self.cancel(choice)
            raise

    async def _try_all(self) -> None:
        tried: set[Upstream] = set()
        last: UpstreamError | UserError = UpstreamError("there is no server to ask")
        while (upstream := self._choose(tried)) is not None:
            tried.add(upstream)
            try:
                await self._attempt(upstream)
                return
            except UpstreamError as e:
                last = UpstreamError(f"{upstream.root}: {e}", status=e.status, retry_after=e.retry_after)
                if self._begun or not (e.status is None or e.status in ELSEWHERE or e.status >= 500):
                    break
                upstream.retried += 1
        self._fail(last)

    async def _attempt(self, upstream: Upstream) -> None:
        """Raises UpstreamError; UserError when the request itself is wrong."""
        upstream.in_flight += 1
        upstream.requests += 1
        started = time.monotonic()
        try:
            if upstream.dialect is None:
                await self._client.describe(upstream)
            outgoing = self._build(upstream)
            self._reply, self._upstream = RemoteReply(outgoing, len(self.choices), self._names), upstream
            async with aclosing(self._client.events(upstream.url + outgoing.path, outgoing.body)) as chunks:
                async for chunk in chunks:
                    self._put(self._reply.feed(chunk))
                    if self._begun and started:
                        upstream.first_tokens += 1
                        upstream.first_token_seconds += time.monotonic() - started
                        started = 0.0
                    if self._answer_now:
                        self.answer_now()
            self._put(self._reply.finish())
            upstream.worked()
        except UpstreamError as e:
            if e.status == 429:
                upstream.is_busy(e.retry_after)
            else:
                upstream.failures += 1
                upstream.failed(str(e), at_once=isinstance(e, Unreachable))
            raise
        finally:
            upstream.in_flight -= 1

    def _put(self, items: Iterable[tuple[int, Event]]) -> None:
        for index, event in items:
            choice = self.choices[index]
            if choice.finished:
                continue
            timings = choice.timings
            if isinstance(event, Finish):
                choice.finished = True
                timings.finished = time.monotonic()
                timings.generated = event.usage.completion_tokens or timings.generated
            else:
                self._begun = True
                timings.generated += 1
                timings.first_id = timings.first_id or time.monotonic()
            self.channel.put(index, [event])

    def _fail(self, error: Exception) -> None:
        for choice in self.choices:
            if not choice.finished:
                choice.finished = True
                self.channel.put(choice.index, [error])
