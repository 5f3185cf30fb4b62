"""A Python kernel in a sandbox, seen from the host: start, execute, interrupt, kill.

    kernel = await Kernel.start(find(), workspace, Limits())
    answer = await kernel.execute("1 + 1", timeout=30)      # Answer(text="2\\n")
    await kernel.kill()

Variables stay from call to call. A call that takes too long is interrupted; if that does not help, the sandbox is
killed and `kernel.alive` is False. Everything that comes from inside is a claim by untrusted code: frames are bounded,
decoded against a schema, and pictures must look like pictures.
"""

import asyncio
import os
import struct
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct, structs

from ponder.core.errors import UserError
from ponder.sandbox.launch import Isolation
from ponder.sandbox.limits import SandboxLimits
from ponder.sandbox.process import Sandboxed, start

START_TIMEOUT = 30.0
GRACE = 0.7  # seconds between interrupt and kill
MAX_FRAME = 8 * 2**20
WAITING = 4  # frames; then the pipe fills and the code waits
MAGIC = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}


class Picture(Struct, frozen=True):
    media_type: str
    data: bytes


class Answer(Struct, frozen=True):
    """text: what was printed, results and errors included. error: the exception in one line, None without one.
    pictures: PNG and JPEG. lost: why the kernel had to be ended, "" if it lives. left_out: pictures above
    the limits."""

    text: str
    error: str | None = None
    pictures: tuple[Picture, ...] = ()
    lost: str = ""
    left_out: int = 0


class Frame(Struct):
    """What `guest/kernel.py` sends."""

    kind: Literal["ready", "image", "done"]
    id: int = 0
    type: str = ""
    data: bytes = b""  # base64 in JSON
    error: str | None = None


decoder = msgspec.json.Decoder(Frame)


class Kernel:
    def __init__(self, sandboxed: Sandboxed, reader: asyncio.StreamReader, transport: asyncio.ReadTransport) -> None:
        self.sandboxed = sandboxed
        self._transport = transport
        self._frames: asyncio.Queue[Frame | None] = asyncio.Queue(WAITING)
        self._pump = asyncio.create_task(pump(reader, self._frames))
        self._calls = 0
        self._lock = asyncio.Lock()

    @classmethod
    async def start(cls, isolation: Isolation, workspace: Path, limits: SandboxLimits) -> "Kernel":
        read, write = os.pipe()
        command = ["python", "-P", f"{isolation.inside}/kernel.py", str(write)]
        try:
            sandboxed = await start(isolation, command, workspace, limits, stdin=True, fds=[write])
        except BaseException:
            os.close(read)
            raise
        reader = asyncio.StreamReader()
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read, "rb", 0)
        )
        kernel = cls(sandboxed, reader, transport)
        try:
            ready = await kernel._next(loop.time() + START_TIMEOUT)
        except BaseException:
            await asyncio.shield(kernel.kill())
            raise
        if not isinstance(ready, Frame):
            await kernel.kill()
            raise UserError(f"The Python kernel did not start: {sandboxed.ended or problem(sandboxed.output.take())}")
        return kernel

    @property
    def alive(self) -> bool:
        return self.sandboxed.process.returncode is None and not self.sandboxed.ended

    async def execute(self, code: str, timeout: float) -> Answer:
        """One at a time; the next waits. Returns after `timeout` and GRACE at the latest. Cancelled, it kills the
        kernel."""
        async with self._lock:
            self._calls += 1
            if not self.alive:
                return Answer("", lost=self.sandboxed.ended or "its process ended")
            try:
                answer = await self._call(code, timeout)
            except BaseException:
                await asyncio.shield(self.kill())
                raise
            if answer.lost:
                await self.kill()
                answer = structs.replace(answer, lost=self.sandboxed.ended or answer.lost)
            self.sandboxed.drain()
            return structs.replace(answer, text=self.sandboxed.output.take())

    async def _call(self, code: str, timeout: float) -> Answer:
        """The answer without its text."""
        limits = self.sandboxed.limits
        pictures: list[Picture] = []
        left_out = 0
        interrupted = False
        deadline = asyncio.get_running_loop().time() + timeout
        await self._send({"id": self._calls, "code": code}, deadline)
        while True:
            frame = await self._next(deadline)
            if frame == "late" and interrupted:
                lost = f"it ran longer than {timeout:g} s and did not stop when interrupted"
                return Answer("", None, tuple(pictures), lost, left_out)
            if frame == "late":
                interrupted, deadline = True, deadline + GRACE
                await self._send({"interrupt": self._calls}, deadline)
            elif not isinstance(frame, Frame):
                return Answer("", None, tuple(pictures), self.sandboxed.ended or "its process ended", left_out)
            elif frame.id == self._calls and frame.kind == "done":
                error = f"TimeoutError: interrupted after {timeout:g} s" if interrupted else frame.error
                return Answer("", error, tuple(pictures), "", left_out)
            elif frame.id == self._calls and frame.kind == "image":
                if len(pictures) < limits.images and is_picture(frame, limits):
                    pictures.append(Picture(frame.type, frame.data))
                else:
                    left_out += 1

    async def _next(self, deadline: float) -> Frame | Literal["late"] | None:
        """None: there will be no more. The clock is asked first, because code may send without a pause."""
        if asyncio.get_running_loop().time() >= deadline:
            return "late"
        try:
            async with asyncio.timeout_at(deadline):
                return await self._frames.get()
        except TimeoutError:
            return "late"

    async def _send(self, command: dict[str, object], deadline: float) -> None:
        stdin = self.sandboxed.process.stdin
        assert stdin is not None
        content = msgspec.json.encode(command)
        try:
            stdin.write(struct.pack(">I", len(content)) + content)
            async with asyncio.timeout_at(deadline):
                await stdin.drain()
        except (TimeoutError, ConnectionError):
            return  # it does not read or is gone: the receiver finds out which

    async def kill(self) -> None:
        """Nothing of it is left afterwards. Safe to call twice."""
        await self.sandboxed.kill()
        self._pump.cancel()
        self._transport.close()


async def pump(reader: asyncio.StreamReader, frames: "asyncio.Queue[Frame | None]") -> None:
    """A task of its own, so that no deadline falls between the halves of a frame. None at the end, and instead of a
    frame that is none."""
    try:
        while (length := int.from_bytes(await reader.readexactly(4), "big")) <= MAX_FRAME:
            await frames.put(decoder.decode(await reader.readexactly(length)))
    except (asyncio.IncompleteReadError, msgspec.DecodeError):
        pass
    await frames.put(None)


def is_picture(frame: Frame, limits: SandboxLimits) -> bool:
    return len(frame.data) <= limits.image and frame.type in MAGIC and frame.data.startswith(MAGIC[frame.type])


def problem(said: str) -> str:
    if "No module named" in said and any(name in said for name in ("ipykernel", "jupyter_client", "traitlets")):
        return "ipykernel is not installed: pip install 'ponder-llm[agent]'."
    return said.strip() or "it gave no reason."
