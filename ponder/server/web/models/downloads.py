"""Models that are being downloaded for the page: how far each is, ended by a word, offered when it is here."""

import asyncio
from dataclasses import dataclass

from ponder.core.errors import UserError
from ponder.model.hub.fetch import locate
from ponder.server.http.errors import api_error
from ponder.server.runtime.pool import Pool


class Stopped(Exception):
    """A person ended a download; what came of it stays for the next time."""


@dataclass
class Download:
    done: int = 0
    total: int = 0
    error: str = ""
    stopped: bool = False

    def progress(self, done: int, total: int) -> None:
        self.done, self.total = done, total
        if self.stopped:
            raise Stopped


class Downloads:
    """by_name: those that run, and those that failed until they are begun again."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._tasks: set[asyncio.Task[None]] = set()
        self.by_name: dict[str, Download] = {}

    def begin(self, name: str) -> None:
        """Raises UserError where other servers compute."""
        if self._pool.opens is None:
            raise UserError("the models of this server are computed elsewhere: start it with others", param="model")
        running = self.by_name.get(name)
        if running is not None and not running.error:
            return
        self.by_name[name] = Download()
        task = asyncio.create_task(self._fetch(name, self.by_name[name]))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def stop(self, name: str) -> None:
        if (found := self.by_name.get(name)) is not None:
            found.stopped = True
            if found.error:
                del self.by_name[name]

    async def _fetch(self, name: str, download: Download) -> None:
        """In a thread, which a server that ends does not wait for longer than for its next bytes."""
        try:
            await asyncio.to_thread(locate, name, download.progress)
            self._pool.offer(name)
            del self.by_name[name]
        except Stopped:
            del self.by_name[name]
        except (OSError, ValueError, RuntimeError) as e:
            download.error = api_error(e).message

    async def close(self) -> None:
        for download in self.by_name.values():
            download.stopped = True
        await asyncio.gather(*self._tasks)
