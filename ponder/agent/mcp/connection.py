"""The connection to one server. One task opens the session, watches it, opens it again when it dies, and closes it.

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
from importlib.metadata import version
from typing import TypeVar

import anyio
import httpx2
from mcp import Client, MCPError
from mcp.client.session import ElicitationFnT, IncomingMessage, SamplingFnT
from mcp.client.subscriptions import SubscriptionLost
from mcp_types import (
    CONNECTION_CLOSED,
    Implementation,
    PromptListChangedNotification,
    ResourceListChangedNotification,
    ToolListChangedNotification,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import ValidationError

from ponder.agent.mcp.config import McpServerConfig, Wire
from ponder.agent.mcp.discovery import Discovery, discover
from ponder.agent.mcp.http import Http
from ponder.agent.mcp.stdio import Stdio
from ponder.agent.mcp.watched import WatchedTransport
from ponder.core.errors import UserError

Answer = TypeVar("Answer")
DELAYS = (0.5, 1.0, 2.0, 4.0, 8.0)  # seconds before each new attempt; after the last the server is down
REST = 60.0  # seconds before each attempt from then on
STEADY = 60.0  # seconds a session must last for its end to count as the first again
SETTLE = 0.2  # seconds between two readings of the lists, however often the server says they changed
CLOSING = 5.5  # seconds: a process is ended in 5
GOODBYE = 1.0  # seconds for a server over HTTP to hear that its session ends
# What the SDK makes of the HTTP errors by which servers say that they do not know our session, 404 and 400.
FORGOTTEN = ("Session terminated", "Server returned an error response")
FAILURES = (MCPError, UserError, RuntimeError, ValidationError, OSError, EOFError, anyio.ClosedResourceError,
            anyio.BrokenResourceError, ExceptionGroup)  # fmt: skip


# The SDK logs a traceback for every connection that breaks; warnings() and the calls say it in a line. Who configures
# logging still gets it.
logging.getLogger("mcp").addHandler(logging.NullHandler())


class Unavailable(Exception):
    """The server cannot be reached; the text says why, for the model and for people."""


class Connection:
    """listed: awaited with what the server offers, each time that is read."""

    def __init__(
        self,
        name: str,
        config: McpServerConfig,
        listed: Callable[["Connection", Discovery], Awaitable[None]],
        *,
        elicitation: ElicitationFnT | None = None,
        sampling: SamplingFnT | None = None,
        auth: httpx2.Auth | None = None,
    ) -> None:
        self.name, self.config = name, config
        self.problem = ""  # why it is lost or down
        self.down = False
        self._listed, self._elicitation, self._sampling, self._auth = listed, elicitation, sampling, auth
        self._client: Client | None = None
        self._transport: Stdio | Http | None = None
        self._task: asyncio.Task[None] | None = None
        self._turn = asyncio.Event()  # set, and replaced, whenever the state changes
        self._news = asyncio.Event()  # the session's task has something to look at
        self._lost = self._stale = self._up = False  # of the session there is: ended, to be listed anew, ever ready

    # -- for the owner ----------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Returns when the server is ready or has failed; see `down`. May be called again after `close`."""
        if self._task is not None:
            return
        self._turn, self._news = asyncio.Event(), asyncio.Event()  # of this event loop
        self.down, self.problem = False, ""
        self._task = asyncio.create_task(self._supervise(), name=f"mcp {self.name}")
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
                client = await self._connected()
                return await question(client)
        except TimeoutError:
            if client is None:
                raise Unavailable(f"MCP server {self.name!r} is not connected: {self.problem}") from None
            raise Unavailable(
                f"MCP server {self.name!r} did not answer within {seconds:g} seconds; the call was cancelled"
            ) from None
        except MCPError as e:
            if e.message in FORGOTTEN:
                self._lose()
            elif self.config.url is not None and e.code != CONNECTION_CLOSED:
                self._change()  # is the session still good? reading the lists will tell
                raise
            elif not (self._lost and e.code == CONNECTION_CLOSED) and e.message != "Connection closed":
                raise
            raise Unavailable(f"MCP server {self.name!r} went away during the call{self._complaint()}") from e

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Whatever ended the task, nobody may wait for it any longer."""
        if not self.down:
            error = None if task.cancelled() else task.exception()
            self._settle(None, down=True, problem=f"{type(error).__name__}: {error}" if error else "it was closed")

    # -- the supervisor ---------------------------------------------------------------------------------------------

    async def _supervise(self) -> None:
        failures, ever_ready = 0, False
        while True:
            began, problem, self._up = time.monotonic(), "", False
            try:
                await self._session_by_any_wire()
            except FAILURES as e:
                problem = _innermost(e)
            ready, self._client = self._up, None
            ever_ready |= ready
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
            try:
                return await self._session(self._transport_of(wire))
            except FAILURES as e:
                if self._up or not _speaks_http(e):
                    raise
        await self._session(self._transport_of(last))

    def _transport_of(self, wire: Wire) -> Stdio | Http:
        return Stdio(self.config) if wire == "stdio" else Http(self.config, sse=wire == "sse", auth=self._auth)

    async def _session(self, transport: Stdio | Http) -> None:
        """From connecting to the end of the connection."""
        self._transport, self._lost, self._stale, self._up = transport, False, False, False
        limit = self.config.connect_timeout
        try:
            with anyio.fail_after(limit) as patience:
                async with Client(
                    WatchedTransport(transport, self._lose), cache=None, message_handler=self._notified,
                    client_info=Implementation(name="ponder", version=version("ponder-llm")),
                    elicitation_callback=self._elicitation, sampling_callback=self._sampling,
                ) as client:  # fmt: skip
                    await self._listed(self, await discover(client))
                    patience.deadline = float("inf")
                    self._up = True
                    self._settle(client)
                    await self._watch(client)
        except TimeoutError:
            if self._up:
                raise
            raise Unready(f"it did not come up within {limit:g} seconds (connect_timeout)") from None

    async def _watch(self, client: Client) -> None:
        async with anyio.create_task_group() as group:
            if client.protocol_version in MODERN_PROTOCOL_VERSIONS:
                group.start_soon(self._listen, client)
            while not self._lost:
                await self._news.wait()
                self._news.clear()
                if self._stale and not self._lost:
                    self._stale = False
                    with anyio.fail_after(self.config.connect_timeout):
                        await self._listed(self, await discover(client))
                    await asyncio.sleep(SETTLE)
            group.cancel_scope.cancel()

    async def _listen(self, client: Client) -> None:
        """Since 2026-07-28 changes are told to those who listen."""
        can = client.server_capabilities
        tools = can.tools is not None and bool(can.tools.list_changed)
        resources = can.resources is not None and bool(can.resources.list_changed)
        prompts = can.prompts is not None and bool(can.prompts.list_changed)
        while tools or resources or prompts:
            try:
                async with client.listen(
                    tools_list_changed=tools, resources_list_changed=resources, prompts_list_changed=prompts
                ) as changes:
                    async for _ in changes:
                        self._change()
                return  # the server ended it in good order: it will not tell
            except SubscriptionLost:
                await asyncio.sleep(1)
            except (MCPError, ValidationError):  # it does not offer this after all
                return

    async def _notified(self, message: IncomingMessage) -> None:
        """Before 2026-07-28 changes are told to everybody."""
        changes = ToolListChangedNotification | ResourceListChangedNotification | PromptListChangedNotification
        if isinstance(message, changes):
            self._change()

    def _change(self) -> None:
        self._stale = True
        self._news.set()

    def _lose(self) -> None:
        """The session is of no use any more; from now on calls wait for the next one."""
        self._lost, self._client = True, None
        self._news.set()

    def _settle(self, client: Client | None, *, down: bool = False, problem: str = "") -> None:
        self._client, self.down, self.problem = client, down, problem
        self._turn.set()
        self._turn = asyncio.Event()

    async def _connected(self) -> Client:
        while self._client is None:
            if self.down:
                raise Unavailable(f"MCP server {self.name!r} is not available: {self.problem}")
            await self._turn.wait()
        return self._client

    def _complaint(self) -> str:
        said = self._transport.complaint() if self._transport is not None else ""
        return f"; {said}" if said else ""


class Unready(RuntimeError):
    """A server that was given its time to connect and did not use it."""


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
