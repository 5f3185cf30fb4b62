"""Helper processes: for what reads wild input with a library that may take long over it, such as Markdown or a PDF.

A process can be ended: by a time limit, by a client that leaves. Each job is a function of `ponder.server.web.helper`,
its arguments and its result are plain values.
"""

import asyncio
import sys
from typing import Any

import msgspec

from ponder.server.http.errors import ApiError
from ponder.server.runtime.lanes import Turns

HEADER = 8  # bytes before each message: its length, big-endian
QUEUE = 64  # jobs of one client that may wait


class Helpers:
    """total: processes that may be at work, all but one of them for one client. seconds: that one job may take."""

    def __init__(self, total: int, seconds: float) -> None:
        self._seconds = seconds
        self._turns = Turns(total, max(1, total - 1), QUEUE)
        self._idle: list[asyncio.subprocess.Process] = []

    async def run(self, job: str, *arguments: Any) -> Any:
        """Raises ApiError: what the job raises, 422 for one that takes too long or ends its process."""
        async with self._turns.turn():
            process = await self._taken()
            try:
                async with asyncio.timeout(self._seconds):
                    done, value = await _exchange(process, [job, *arguments])
            except BaseException as e:
                await _ended(process)
                if isinstance(e, TimeoutError):
                    text = f"this took longer than {self._seconds:.0f} s and was stopped"
                    raise ApiError(422, text, code="too_slow") from e
                if isinstance(e, asyncio.IncompleteReadError | ConnectionError):
                    raise ApiError(422, "this cannot be read: it needs too much memory", code="too_large") from e
                raise
            self._idle.append(process)
        if done:
            return value
        status, message, param = value
        raise ApiError(status, message, param=param)

    async def _taken(self) -> asyncio.subprocess.Process:
        while self._idle:
            if (process := self._idle.pop()).returncode is None:
                return process
        command = (sys.executable, "-P", "-m", "ponder.server.web.helper", str(self._seconds))
        pipe = asyncio.subprocess.PIPE
        return await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.DEVNULL
        )

    async def close(self) -> None:
        while self._idle:
            await _ended(self._idle.pop())


async def _exchange(process: asyncio.subprocess.Process, job: list[Any]) -> Any:
    assert process.stdin is not None and process.stdout is not None
    raw = msgspec.msgpack.encode(job)
    process.stdin.write(len(raw).to_bytes(HEADER, "big") + raw)
    await process.stdin.drain()
    length = int.from_bytes(await process.stdout.readexactly(HEADER), "big")
    return msgspec.msgpack.decode(await process.stdout.readexactly(length))


async def _ended(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()
