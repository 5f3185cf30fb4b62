"""The connection to one server. One task opens a session, opens it again when it dies, and closes it.

That it is one task is not a matter of taste: the SDK's cancel scopes must be left by the task that entered them. Calls
may come from any task: they only send a message and wait for the answer.

States: connecting, ready, lost (being reconnected), down (gone for long, or never came up). A call waits while the
server is being reconnected, within its own time; every wait here has an end. One that is gone for long has no tools,
and is looked for once a minute.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
import httpx2
from mcp import Client, MCPError
from mcp_types import CONNECTION_CLOSED
from pydantic import ValidationError

from ponder.agent.mcp.config import McpServerConfig, Wire
from ponder.agent.mcp.discovery import Discovery
from ponder.agent.mcp.session import Callbacks, McpSession
from ponder.core.errors import UserError

Answer = TypeVar("Answer")
DELAYS = (0.5, 1.0, 2.0, 4.0, 8.0)  # seconds before each new attempt; after the last the server is down
REST = 60.0  # seconds before each attempt from then on
STEADY = 60.0  # seconds a session must last for its end to count as the first again
CLOSING = 5.5  # seconds: a process is ended in 5
GOODBYE = 1.0  # seconds for a server over HTTP to hear that its session ends
FAILURES = (MCPError, UserError, RuntimeError, ValidationError, OSError, EOFError, anyio.ClosedResourceError,
            anyio.BrokenResourceError, ExceptionGroup)  # fmt: skip


# The SDK logs a traceback for every connection that breaks; warnings() and the calls say it in a line. Who configures
# logging still gets it.
logging.getLogger("mcp").addHandler(logging.NullHandler())


class Unavailable(Exception):
    """The server cannot be reached; the text says why, for the model and for people. lost: it is gone; else it only
    took too long."""

    def __init__(self, text: str, *, lost: bool = True) -> None:
        super().__init__(text)
        self.lost = lost


class Connection:
    """listed: awaited with what the server offers, each time that is read."""

    def __init__(
        self,
        name: str,
        config: McpServerConfig,
        listed: Callable[["Connection", Discovery], Awaitable[None]],
        callbacks: Callbacks,
    ) -> None:
        self.name, self.config = name, config
        self.problem = ""  # why it is lost or down
        self.down = False
        self._listed, self._callbacks = listed, callbacks
        self._client: Client | None = None
        self._session: McpSession | None = None
        self._task: asyncio.Task[None] | None = None
        self._turn = asyncio.Event()  # set, and replaced, whenever the state changes

    # -- for the owner ----------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Returns when the server is ready or has failed; see `down`. May be called again after `close`."""
        if self._task is not None:
            return
        self._turn = asyncio.Event()  # of this event loop
        self.down, self.problem = False, ""
        self._task = asyncio.create_task(self._keep_open(), name=f"mcp {self.name}")
        self._task.add_done_callback(self._ended)
        while self._client is None and not self.down:
            await self._turn.wait()

    async def close(self) -> None:
        task, self._task = self._task, None
        if task is None:
            return
        patience = GOODBYE if self.config.url else CLOSING
        for _ in range(2):  # the second time for a peer that does not answer our goodbye
            task.cancel()
            done, _pending = await asyncio.wait({task}, timeout=patience)
            if done:
                break
        self._settle(None, down=True, problem="it was closed")

    async def ask(self, question: Callable[[Client], Awaitable[Answer]], seconds: float) -> Answer:
        """Put a question to the server. Raises Unavailable when there is no answer within the time, or the connection
        ends; MCPError, RuntimeError or ValidationError for an answer that is an error or no answer at all."""
        client = None
        try:
            with anyio.fail_after(seconds):
                client, session = await self._connected(), self._session
                try:
                    return await question(client)
                except FAILURES:
                    if not _was_forgotten(session):
                        raise
                client = None
                client = await self._connected()  # in a new session, once
                return await question(client)
        except TimeoutError:
            if client is None:
                raise Unavailable(f"MCP server {self.name!r} is not connected: {self.problem}") from None
            raise Unavailable(
                f"MCP server {self.name!r} did not answer within {seconds:g} seconds; the call was cancelled",
                lost=False,
            ) from None
        except MCPError as e:
            if not self._ends(e):
                raise
            raise Unavailable(f"MCP server {self.name!r} went away during the call{self._complaint()}") from e
        except (anyio.ClosedResourceError, anyio.BrokenResourceError) as e:  # it had just gone when we wrote to it
            raise Unavailable(f"MCP server {self.name!r} went away before the call{self._complaint()}") from e

    def _ends(self, error: MCPError) -> bool:
        """Whether an error means the end of the session; it is lost, then."""
        session = self._session
        assert session is not None, "somebody answered"
        if _was_forgotten(session):
            return True
        if self.config.url is not None and error.code != CONNECTION_CLOSED:
            session.change()  # is the session still good? reading the lists will tell
            return False
        return (session.lost and error.code == CONNECTION_CLOSED) or error.message == "Connection closed"

    async def _connected(self) -> Client:
        while self._client is None:
            if self.down:
                raise Unavailable(f"MCP server {self.name!r} is not available: {self.problem}")
            await self._turn.wait()
        return self._client

    # -- the task ---------------------------------------------------------------------------------------------------

    async def _keep_open(self) -> None:
        failures, ever_ready = 0, False
        while True:
            began, problem = time.monotonic(), ""
            try:
                await self._session_by_any_wire()
            except FAILURES as e:
                problem = _innermost(e)
            ready, self._client = self._session is not None and self._session.up, None
            ever_ready |= ready
            if ready and self._session is not None and self._session.forgotten:
                continue  # the server is there, it only has to be told who we are
            problem = f"{problem or 'the connection ended'}{self._complaint()}"
            failures = 1 if ready and time.monotonic() - began > STEADY else failures + 1
            if not ever_ready:
                return self._settle(None, down=True, problem=problem)
            if down := failures > len(DELAYS):
                problem += f" (after {failures} attempts; it is tried again every {REST:g} seconds)"
            self._settle(None, down=down, problem=problem)
            await asyncio.sleep(REST if down else DELAYS[failures - 1])

    async def _session_by_any_wire(self) -> None:
        *first, last = self.config.wires()
        for wire in first:
            session = self._new_session(wire)
            try:
                return await session.run()
            except FAILURES as e:
                if session.up or not _speaks_http(e):
                    raise
        await self._new_session(last).run()

    def _new_session(self, wire: Wire) -> McpSession:
        async def listed(found: Discovery) -> None:
            await self._listed(self, found)

        def lost() -> None:
            if self._session is session:
                self._client = None

        session = McpSession(self.config, wire, self._callbacks, listed=listed, ready=self._settle, lost=lost)
        self._session = session
        return session

    def _settle(self, client: Client | None, *, down: bool = False, problem: str = "") -> None:
        self._client, self.down, self.problem = client, down, problem
        self._turn.set()
        self._turn = asyncio.Event()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Whatever ended the task, nobody may wait for it any longer."""
        if not self.down:
            error = None if task.cancelled() else task.exception()
            self._settle(None, down=True, problem=f"{type(error).__name__}: {error}" if error else "it was closed")

    def _complaint(self) -> str:
        return self._session.complaint() if self._session is not None else ""


def _was_forgotten(session: McpSession | None) -> bool:
    """Whether the server does not know this session, so that a call may be repeated in a new one."""
    assert session is not None, "somebody answered"
    if session.forgotten:
        session.lose()
    return session.forgotten


def _innermost(error: BaseException) -> str:
    """What really happened, out of the groups that task groups wrap it in."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) or type(error).__name__


def _speaks_http(error: BaseException) -> bool:
    """Somebody answered, only not with MCP: the other transport may be what it speaks."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return isinstance(error, MCPError | ValidationError | httpx2.HTTPStatusError)
