"""The process of a stdio server: started under a supervisor, its stderr remembered, ended with its whole tree.

The supervisor (`ponder/sandbox/supervisor.py`) makes "no orphan, ever" true: it lives in a session of its own and ends
the server when the pipe that this object holds is closed, by `stop()` or because this process is gone.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
from collections import deque
from collections.abc import Mapping
from pathlib import Path

from ponder.core.errors import UserError
from ponder.sandbox.supervisor import supervised

STDIN_GRACE = 1.5  # seconds for a server to end by itself once its stdin is closed
TERM_GRACE = 1.5  # then, between SIGTERM and SIGKILL
KILL_GRACE = 1.5  # then, for the supervisor to be done; after that the group is killed from here
STDERR_KEPT = 8192  # bytes of stderr that are remembered
LINE_LIMIT = 64 << 20  # bytes of one message


class ServerProcess:
    """Make it with `start`. stdin and stdout are the server's own pipes, as asyncio streams."""

    def __init__(self, process: asyncio.subprocess.Process, owner: int) -> None:
        self._process = process
        self._owner = owner  # our end of the pipe to the supervisor; -1 once closed
        self._stderr: deque[bytes] = deque()
        self._reader = asyncio.create_task(self._remember())
        assert process.stdin is not None and process.stdout is not None
        self.stdin, self.stdout = process.stdin, process.stdout

    @classmethod
    async def start(
        cls, command: str, args: tuple[str, ...], env: Mapping[str, str], cwd: str | None
    ) -> "ServerProcess":
        """env: the whole environment. Raises UserError when there is no such command or folder."""
        if sys.platform == "win32":
            raise UserError("MCP servers over stdin and stdout need Linux or macOS: on Windows use WSL 2, or a url")
        if cwd is not None and not Path(cwd).is_dir():
            raise UserError(f"cwd: there is no folder {cwd}")
        if "\0" in "".join((command, *args, *env, *env.values())):
            raise UserError("command, args and env cannot hold a NUL character")
        if shutil.which(command, path=env.get("PATH")) is None and not Path(cwd or ".", command).is_file():
            raise UserError(f"there is no command {command!r} on the PATH; install it, or give its full path")
        theirs, ours = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *supervised([command, *args], theirs, grace=TERM_GRACE),
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
                env=dict(env), cwd=cwd, start_new_session=True, pass_fds=(theirs,), limit=LINE_LIMIT,
            )  # fmt: skip
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        return cls(process, ours)

    @property
    def pid(self) -> int:
        """The supervisor's; the server and what it starts are below it."""
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    def stderr_tail(self, lines: int = 8) -> str:
        text = b"".join(self._stderr).decode("utf-8", "replace")
        return "\n".join(text.splitlines()[-lines:]).strip()

    async def _remember(self) -> None:
        stderr = self._process.stderr
        assert stderr is not None
        size = 0
        while chunk := await stderr.read(4096):
            self._stderr.append(chunk)
            size += len(chunk)
            while size > STDERR_KEPT and len(self._stderr) > 1:
                size -= len(self._stderr.popleft())

    async def stop(self) -> None:
        """End the server and its tree: stdin closed, SIGTERM, SIGKILL; 5 seconds at most. Safe to call twice."""
        if not self.stdin.is_closing():
            self.stdin.close()
        if not await self._ended(STDIN_GRACE):
            self._let_go()
            if not await self._ended(TERM_GRACE + KILL_GRACE):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.pid, signal.SIGKILL)
                await self._ended(0.5)
        self._let_go()
        await asyncio.wait({self._reader}, timeout=0.2)  # what it said last
        self._reader.cancel()
        self._process._transport.close()  # type: ignore[attr-defined]  # pipes that a runaway grandchild keeps open

    def _let_go(self) -> None:
        """Close our end of the pipe, once: the sign for the supervisor."""
        if self._owner >= 0:
            os.close(self._owner)
            self._owner = -1

    async def _ended(self, seconds: float) -> bool:
        """Not `process.wait()`: that also waits for pipes which a grandchild may hold open."""
        deadline = asyncio.get_running_loop().time() + seconds
        while self._process.returncode is None:
            if asyncio.get_running_loop().time() >= deadline:
                return False
            await asyncio.sleep(0.01)
        return True
