"""One session with an MCP server, from connecting to the end of the connection.

It is ready once what the server offers has been read; from then on that is read again whenever the server says that it
changed, and its end is noticed also when nobody is asking.
"""

import asyncio
from collections.abc import Awaitable, Callable
from importlib.metadata import version

import anyio
import httpx2
from mcp import Client, MCPError
from mcp.client.session import ElicitationFnT, IncomingMessage, SamplingFnT
from mcp.client.subscriptions import SubscriptionLost
from mcp_types import (
    Implementation,
    PromptListChangedNotification,
    ResourceListChangedNotification,
    ToolListChangedNotification,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from msgspec import Struct
from pydantic import ValidationError

from ponder.agent.mcp.config import McpServerConfig, Wire
from ponder.agent.mcp.discovery import Discovery, discover
from ponder.agent.mcp.http import Http
from ponder.agent.mcp.stdio import Stdio
from ponder.agent.mcp.watched import WatchedTransport

SETTLE = 0.2  # seconds between two readings of the lists, however often the server says they changed
CHANGES = ToolListChangedNotification | ResourceListChangedNotification | PromptListChangedNotification


class Callbacks(Struct, frozen=True):
    """What servers may ask of us. None: they are told that we cannot."""

    elicitation: ElicitationFnT | None = None
    sampling: SamplingFnT | None = None
    auth: httpx2.Auth | None = None
    """Signs requests, if the server wants that."""


class McpSession:
    def __init__(
        self,
        config: McpServerConfig,
        wire: Wire,
        callbacks: Callbacks,
        *,
        listed: Callable[[Discovery], Awaitable[None]],
        ready: Callable[[Client], None],
        lost: Callable[[], None],
    ) -> None:
        """listed: awaited with what the server offers, each time that is read. ready, lost: called when calls may
        begin, and when the session is of no use any more."""
        self.up = False
        """It was ready once."""
        self.lost = False
        self._config, self._callbacks = config, callbacks
        self._transport = Stdio(config) if wire == "stdio" else Http(config, sse=wire == "sse", auth=callbacks.auth)
        self._listed, self._on_ready, self._on_lost = listed, ready, lost
        self._stale = False  # what the server offers must be read again
        self._news = asyncio.Event()  # there is something to look at

    async def run(self) -> None:
        """Until the end of the connection."""
        limit = self._config.connect_timeout
        try:
            with anyio.fail_after(limit) as patience:
                async with Client(
                    WatchedTransport(self._transport, self.lose), cache=None, message_handler=self._notified,
                    client_info=Implementation(name="ponder", version=version("ponder-llm")),
                    elicitation_callback=self._callbacks.elicitation, sampling_callback=self._callbacks.sampling,
                ) as client:  # fmt: skip
                    await self._listed(await discover(client))
                    patience.deadline = float("inf")
                    self.up = True
                    self._on_ready(client)
                    await self._watch(client)
        except TimeoutError:
            if self.up:
                raise
            raise Unready(f"it did not come up within {limit:g} seconds (connect_timeout)") from None

    @property
    def forgotten(self) -> bool:
        """The server did not know this session, and has not done what was asked last."""
        return isinstance(self._transport, Http) and self._transport.forgotten

    def change(self) -> None:
        """Read again what the server offers."""
        self._stale = True
        self._news.set()

    def lose(self) -> None:
        """The session is of no use any more; from now on calls wait for the next one."""
        self.lost = True
        self._on_lost()
        self._news.set()

    def complaint(self) -> str:
        said = self._transport.complaint()
        return f"; {said}" if said else ""

    async def _watch(self, client: Client) -> None:
        async with anyio.create_task_group() as group:
            if client.protocol_version in MODERN_PROTOCOL_VERSIONS:
                group.start_soon(self._listen, client)
            while not self.lost:
                await self._news.wait()
                self._news.clear()
                if self._stale and not self.lost:
                    self._stale = False
                    with anyio.fail_after(self._config.connect_timeout):
                        await self._listed(await discover(client))
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
                        self.change()
                return  # the server ended it in good order: it will not tell
            except SubscriptionLost:
                await asyncio.sleep(1)
            except (MCPError, ValidationError):  # it does not offer this after all
                return

    async def _notified(self, message: IncomingMessage) -> None:
        """Before 2026-07-28 changes are told to everybody."""
        if isinstance(message, CHANGES):
            self.change()


class Unready(RuntimeError):
    """A server that was given its time to connect and did not use it."""
