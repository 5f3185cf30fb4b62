"""MCP over the stdin and stdout of a process: one JSON-RPC message a line, and a reader that no server can upset.

The official SDK has such a transport too. Ours differs in what it promises about bad servers: a log line on stdout is
skipped and remembered for the error message; a line is at most 64 MB; who sends megabytes that are no messages is cut
off; who sends messages faster than 1,000 a second is read no faster than that (its pipe fills, and it waits).
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.client._transport import TransportStreams
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCMessage, jsonrpc_message_adapter

from ponder.agent.mcp.config import McpServerConfig
from ponder.agent.mcp.process import ServerProcess

LINE_LIMIT = 64 << 20  # bytes of one message
GARBAGE_LIMIT = 4 << 20  # bytes that are no messages, in a row
RATE = 1000  # lines a second
WAITING = 1000  # messages for a server that does not read; no call blocks on them
FLUSH = 0.5  # seconds for the last messages to be written before stdin closes


class Stdio:
    """One process, for one `connect`. `complaint()` tells after a failure what the process had to say."""

    def __init__(self, config: McpServerConfig) -> None:
        self._config = config
        self._process: ServerProcess | None = None
        self._garbage = ""  # the last line that was no message
        self._fault = ""  # why we stopped reading

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[TransportStreams]:
        config = self._config
        assert config.command is not None
        process = await ServerProcess.start(config.command, config.args, config.environment(), config.cwd)
        self._process = process
        into_session, read_stream = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        write_stream, from_session = anyio.create_memory_object_stream[SessionMessage](WAITING)
        written = anyio.Event()
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._read, process, into_session)
                group.start_soon(self._write, process, from_session, written)
                try:
                    yield read_stream, write_stream
                finally:
                    with anyio.CancelScope(shield=True):
                        read_stream.close()
                        write_stream.close()
                        with anyio.move_on_after(FLUSH):
                            await written.wait()
                        await process.stop()
                    group.cancel_scope.cancel()
        finally:
            await process.stop()
            for stream in (into_session, from_session):
                stream.close()

    def complaint(self) -> str:
        """Why it went wrong, as far as the process shows: our reason, its exit code, the end of its stderr, its last
        line that was no message."""
        if self._process is None:
            return ""
        code, stderr = self._process.returncode, self._process.stderr_tail()
        parts = [self._fault]
        if code is not None and not self._fault:
            parts.append(f"it ended with code {code}")
        if self._garbage:
            parts.append(f"it printed what is no MCP message: {self._garbage!r}")
        if stderr:
            parts.append(f"its stderr ends with:\n{stderr}")
        return "; ".join(filter(None, parts))

    async def _read(self, process: ServerProcess, out: MemoryObjectSendStream[SessionMessage | Exception]) -> None:
        """Lines to messages until the end of the stream or of our patience; what follows is read and dropped, so that
        a server that is being stopped does not hang in a write."""
        async with out:
            try:
                await self._deliver(process, out)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                pass  # the session is gone
            finally:
                out.close()
        while await process.stdout.read(1 << 16):
            await asyncio.sleep(0.01)

    async def _deliver(self, process: ServerProcess, out: MemoryObjectSendStream[SessionMessage | Exception]) -> None:
        pieces: list[bytes] = []
        held = garbage = lines = 0
        window = time.monotonic()
        while chunk := await process.stdout.read(1 << 16):
            *complete, rest = chunk.split(b"\n")
            for part in complete:
                line = b"".join((*pieces, part))
                pieces, held = [], 0
                lines += 1
                if (message := _message(line)) is not None:
                    garbage = 0
                    await out.send(SessionMessage(message))
                elif line.strip():
                    garbage += len(line) + 1
                    self._garbage = line[:200].decode("utf-8", "replace")
                if lines >= RATE:
                    await asyncio.sleep(max(0.0, window + 1 - time.monotonic()))
                    lines, window = 0, time.monotonic()
            pieces.append(rest)
            held += len(rest)
            if held > LINE_LIMIT:
                self._fault = f"it sent a line of more than {LINE_LIMIT >> 20} MB"
                return
            if garbage > GARBAGE_LIMIT:
                self._fault = f"it sent {GARBAGE_LIMIT >> 20} MB that are no MCP messages"
                return

    async def _write(
        self, process: ServerProcess, messages: MemoryObjectReceiveStream[SessionMessage], written: anyio.Event
    ) -> None:
        try:
            async with messages:
                async for item in messages:
                    line = item.message.model_dump_json(by_alias=True, exclude_unset=True)
                    process.stdin.write(line.encode() + b"\n")
                    await process.stdin.drain()
        except OSError:  # it does not read any more; the end of its stdout tells the session
            pass
        finally:
            written.set()


def _message(line: bytes) -> JSONRPCMessage | None:
    if not line.lstrip().startswith(b"{"):
        return None
    try:
        return jsonrpc_message_adapter.validate_json(line, by_name=False)
    except ValueError:
        return None
