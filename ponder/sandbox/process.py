"""One sandbox: a process tree that is watched while it lives and that dies as a whole.

    sandboxed = await start(find(), ["python", "job.py"], workspace, Limits())
    await sandboxed.process.wait()
    await sandboxed.kill()
    print(sandboxed.output.text(), sandboxed.ended)

Memory of all processes together and the size of the workspace have no limit that an ordinary user could set, so they
are measured four times a second, and too much of either ends the sandbox. The limits of each process hold at once.
"""

import asyncio
import contextlib
import mmap
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path

from ponder.sandbox.launch import Isolation
from ponder.sandbox.limits import MB, SandboxLimits
from ponder.sandbox.output import BoundedOutput
from ponder.sandbox.tree import MAX_DEPTH, ChownLease, size

TICK = 0.25


class Sandboxed:
    """A running command. output: what it and its children wrote to stdout and stderr. ended: why the watcher killed it,
    "" if it did not."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        stdout: int,
        owner: int,
        workspace: Path,
        home: str | None,
        limits: SandboxLimits,
        lease: ChownLease | None,
    ) -> None:
        self.process = process  # the supervisor; everything else is below it
        self.stdout = stdout  # reading end, -1 once closed
        self.owner = owner  # our end of the pipe to the supervisor: closing it ends everything; -1 once closed
        self.workspace = workspace
        self.home = home  # on disk, for an isolation that has none in memory
        self.limits = limits
        self.lease = lease
        self.output = BoundedOutput(limits.output)
        self.ended = ""
        os.set_blocking(stdout, False)
        asyncio.get_running_loop().add_reader(stdout, self.drain, 1)
        self._watcher = asyncio.create_task(self._watch())

    def drain(self, chunks: int = 64) -> None:
        """Take over what lies in the pipe. Bounded: a thread that is left over may write for ever."""
        for _ in range(chunks if self.stdout >= 0 else 0):
            try:
                chunk = os.read(self.stdout, 65536)
            except BlockingIOError:
                return
            if not chunk:
                self._close()
                return
            self.output.add(chunk)

    def _close(self) -> None:
        if self.stdout >= 0:
            asyncio.get_running_loop().remove_reader(self.stdout)
            os.close(self.stdout)
            self.stdout = -1

    async def _watch(self) -> None:
        while not self.ended:
            begin = time.monotonic()
            self.ended = await asyncio.to_thread(self._excess)
            if self.ended:
                self.kill_now()
            # A large workspace takes long to measure: never more than a tenth of the time.
            await asyncio.sleep(max(TICK, 9 * (time.monotonic() - begin)))

    def _excess(self) -> str:
        if resident(self.process.pid) > self.limits.memory:
            return f"all processes together used more than {self.limits.memory // MB} MB of memory"
        if self.home and size(Path(self.home), stop=self.limits.entries).bytes > self.limits.scratch:
            return f"the files in the home folder grew beyond {self.limits.scratch // MB} MB"
        held = size(self.workspace, stop=self.limits.entries)
        if held.bytes > self.limits.workspace:
            return f"the files in the workspace grew beyond {self.limits.workspace // MB} MB"
        if held.entries > self.limits.entries:
            return f"the workspace holds more than {self.limits.entries:,} files and folders"
        if held.depth > MAX_DEPTH:
            return f"the folders in the workspace are nested deeper than {MAX_DEPTH}"
        return ""

    def kill_now(self) -> None:
        """Without waiting for the effect."""
        if self.owner >= 0:
            os.close(self.owner)
            self.owner = -1

    async def kill(self) -> None:
        """Ends everything in it and returns when nothing of it is left. Safe to call twice, and after the end."""
        self.kill_now()
        await self.process.wait()
        self._watcher.cancel()
        await asyncio.gather(self._watcher, return_exceptions=True)
        self.drain()
        self._close()
        if self.lease is not None:
            lease, self.lease = self.lease, None
            await asyncio.to_thread(lease.end)


async def start(
    isolation: Isolation,
    command: Sequence[str],
    workspace: Path,
    limits: SandboxLimits,
    *,
    stdin: bool,
    fds: Sequence[int] = (),
) -> Sandboxed:
    """command: as the code inside would call it. stdin: a pipe to `process.stdin`, else nothing to read. fds: passed on
    under the same numbers, and closed here."""
    # A start that is cancelled half-way is finished and then ended: the only way that surely leaves nothing.
    starting = asyncio.create_task(spawn(isolation, command, workspace, limits, stdin, fds))
    try:
        return await asyncio.shield(starting)
    except asyncio.CancelledError:
        await (await starting).kill()
        raise


async def spawn(
    isolation: Isolation,
    command: Sequence[str],
    workspace: Path,
    limits: SandboxLimits,
    stdin: bool,
    fds: Sequence[int],
) -> Sandboxed:
    (read, write), (theirs, owner) = os.pipe(), os.pipe()
    given = [write, theirs, *fds]
    launch = lease = None
    try:
        launch = isolation.launch(command, workspace, limits)
        given += launch.fds
        if launch.uid is not None:
            lease = await asyncio.to_thread(ChownLease, workspace, launch.uid)
            if launch.home is not None:
                os.chown(launch.home, launch.uid, launch.uid)
        process = await asyncio.create_subprocess_exec(
            *launch.supervised(theirs),
            env=launch.env,
            pass_fds=[theirs, *launch.fds, *fds],
            start_new_session=True,
            stdin=asyncio.subprocess.PIPE if stdin else asyncio.subprocess.DEVNULL,
            stdout=write,
            stderr=write,
        )
    except BaseException:  # the supervisor, whose part this is, may not have started
        close([read, owner])
        if launch is not None and launch.home is not None:
            shutil.rmtree(launch.home)
        if lease is not None:
            lease.end()
        raise
    finally:
        close(given)
    return Sandboxed(process, read, owner, workspace, launch.home, limits, lease)


def close(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)


def resident(root: int) -> int:
    """Bytes of memory of a process and its descendants; pages that two of them share count twice. 0 but on Linux."""
    total, todo = 0, [root]
    while todo:
        pid = todo.pop()
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * mmap.PAGESIZE
            for task in os.listdir(f"/proc/{pid}/task"):
                todo += map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split())
    return total
