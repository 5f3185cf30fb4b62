"""MCP servers as a set of tools.

    async with McpServers({"mcpServers": {"time": {"command": "mcp-server-time"}}}) as servers:
        for tool in servers.tools():
            print(tool.name, tool.approval)          # time-get_current_time ask

Each server has a connection of its own (`connection.py`): a dead one is reported and skipped, the others go on.
docs/mcp.md tells the whole story: config, approval, pins, limits.
"""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ponder.agent.mcp.config import McpServerConfig, read_config
from ponder.agent.tools.tool import Approval, Tool, Toolset
from ponder.core.errors import UserError

if TYPE_CHECKING:
    import httpx2
    from mcp.client.session import ElicitationFnT, SamplingFnT
    from mcp_types import GetPromptResult, Prompt

    from ponder.agent.mcp.connection import Connection
    from ponder.agent.mcp.discovery import Discovery
    from ponder.agent.mcp.tools import ConnectedTool, ToolSpec


class McpServers(Toolset):
    """config: the `mcpServers` form, as an object or the path of a JSON file; see `config.McpServerConfig`.

    approval: for tools that neither the config nor a trusted annotation decides. elicitation, sampling: the SDK's
    callbacks, for servers that ask the user or the model something; without them servers are told we cannot.
    auth: what signs the requests to a server with a url, by its name; the SDK's OAuth providers, for example.

    Raises UserError for a config that does not hold, and when the `mcp` package is missing.
    """

    def __init__(
        self,
        config: Mapping[str, Any] | str | Path,
        *,
        approval: Approval = "ask",
        elicitation: "ElicitationFnT | None" = None,
        sampling: "SamplingFnT | None" = None,
        auth: "Mapping[str, httpx2.Auth] | None" = None,
    ) -> None:
        try:
            from ponder.agent.mcp.connection import Connection
            from ponder.agent.mcp.session import Callbacks
        except ModuleNotFoundError as e:
            raise UserError(f"MCP needs the package {e.name}: pip install 'ponder-llm[agent]'") from e
        self._approval = approval
        signed = dict(auth or {})
        self._connections = {
            name: Connection(name, server, self._listed, Callbacks(elicitation, sampling, signed.pop(name, None)))
            for name, server in read_config(config).items()
        }
        if signed:
            raise UserError(f"auth: there is no MCP server {next(iter(signed))!r}", param="auth")
        self._specs: dict[str, list[ToolSpec]] = {}
        self._prompts: dict[str, tuple[Prompt, ...]] = {}
        self._resources: dict[str, bool] = {}
        self._changed: dict[tuple[str, str], ToolSpec] = {}  # switched off, by server and its own name
        self._names: dict[tuple[str, str], str] = {}  # a tool keeps its name for as long as we live
        self._tools: list[ConnectedTool] | None = None

    # -- Toolset ----------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Connect to all of them at once; each has its connect_timeout."""
        try:
            await asyncio.gather(*(each.open() for each in self._connections.values()))
        except BaseException:
            await self.close()
            raise
        dead = [each for each in self._connections.values() if each.down and each.config.required]
        if dead:
            problems = "; ".join(f"MCP server {each.name!r}: {each.problem}" for each in dead)
            await self.close()
            raise UserError(f"a required server did not start: {problems}")

    async def close(self) -> None:
        await asyncio.gather(*(each.close() for each in self._connections.values()))

    def tools(self) -> Sequence[Tool]:
        """Those of the servers that are up or coming back; names are `server-tool`."""
        if self._tools is None:
            self._tools = [tool for name, each in self._connections.items() for tool in self._tools_of(name, each)]
        return [tool for tool in self._tools if not tool.connection.down]

    def warnings(self) -> Sequence[str]:
        said = [f"MCP server {name!r}: {each.problem}" for name, each in self._connections.items() if each.problem]
        for (server, tool), _ in self._changed.items():
            said.append(
                f"MCP server {server!r}: tool {tool!r} is switched off, its description or schema is not the one that "
                f"was approved; look at it, then approve {self._name(server, tool)!r}"
            )
        for server, specs in self._specs.items():
            said += [
                f"MCP server {server!r}: tool {o.name!r} has {o.hidden} hidden characters in its description or schema"
                for o in specs
                if o.hidden
            ]
        return said

    # -- beyond tools -----------------------------------------------------------------------------------------------

    async def approve(self, tool: str) -> None:
        """Switch a changed tool on again, as it is now. tool: its name here, `server-tool`."""
        from ponder.agent.mcp import pins

        for (server, own), described in self._changed.items():
            if self._name(server, own) == tool:
                config = self._connections[server].config
                await asyncio.to_thread(pins.approve, _pin(server, config), own, described.mark)
                self._changed.pop((server, own))
                self._tools = None
                return
        raise UserError(f"no tool {tool!r} waits to be approved")

    def down(self) -> dict[str, str]:
        """Servers that did not start or were given up, and why."""
        return {name: each.problem for name, each in self._connections.items() if each.down}

    def prompts(self) -> dict[str, "tuple[Prompt, ...]"]:
        """The prompts that each server offers to people."""
        return {name: found for name, found in self._prompts.items() if not self._connections[name].down}

    async def get_prompt(self, server: str, name: str, arguments: dict[str, str] | None = None) -> "GetPromptResult":
        """Raises UserError for an unknown server, `connection.Unavailable` or MCPError when it does not answer well."""
        connection = self._connection(server)
        return await connection.ask(lambda client: client.get_prompt(name, arguments), connection.config.tool_timeout)

    # -- inside -----------------------------------------------------------------------------------------------------

    async def _listed(self, connection: "Connection", found: "Discovery") -> None:
        """A server said what it has, for the first time or again."""
        from ponder.agent.mcp import pins
        from ponder.agent.mcp.tools import tool_spec

        specs = list({tool.name: tool_spec(tool) for tool in found.tools}.values())
        different: set[str] = set()
        if connection.config.pin:
            marks = {o.name: o.mark for o in specs}
            different = await asyncio.to_thread(pins.check, _pin(connection.name, connection.config), marks)
        self._changed = {key: o for key, o in self._changed.items() if key[0] != connection.name}
        self._changed |= {(connection.name, o.name): o for o in specs if o.name in different}
        self._specs[connection.name] = specs
        self._prompts[connection.name] = found.prompts
        self._resources[connection.name] = found.has_resources and connection.config.resources
        self._tools = None

    def _tools_of(self, server: str, connection: "Connection") -> "list[ConnectedTool]":
        from ponder.agent.mcp.tools import ListResources, McpTool, ReadResource

        config = connection.config
        made: list[ConnectedTool] = [
            McpTool(self._name(server, o.name), connection, o, config.approval_of(o.name, o.read_only, self._approval))
            for o in self._specs.get(server, ())
            if (server, o.name) not in self._changed
        ]
        if self._resources.get(server):
            for name, kind in (("list_resources", ListResources), ("read_resource", ReadResource)):
                public = self._name(server, name, ours=True)
                made.append(kind(public, connection, config.approval_of(name, True, self._approval)))
        return made

    def _name(self, server: str, tool: str, *, ours: bool = False) -> str:
        """ours: a tool that we add; the server may have one of the same name."""
        from ponder.agent.mcp.text import legal_name

        key = (server, f"\0{tool}" if ours else tool)
        if key not in self._names:
            self._names[key] = legal_name(server, tool, set(self._names.values()))
        return self._names[key]

    def _connection(self, server: str) -> "Connection":
        if server not in self._connections:
            raise UserError(f"there is no MCP server {server!r}; there are {', '.join(self._connections) or 'none'}")
        return self._connections[server]


def _pin(server: str, config: McpServerConfig) -> str:
    """The key of a server's pins; the hash keeps secrets that args may hold out of the file."""
    import hashlib

    return f"{server}@{hashlib.sha256(config.identity().encode()).hexdigest()[:16]}"
