"""The tools of one server as the agent sees them: each call goes over the connection and gives an `Output`, always."""

from collections.abc import Awaitable, Callable
from typing import Any

from mcp import MCPError
from mcp_types import Tool as ServerTool
from msgspec import Struct
from pydantic import ValidationError

from ponder.agent.mcp.connection import Connection, Unavailable
from ponder.agent.mcp.discovery import read_resources
from ponder.agent.mcp.pins import fingerprint
from ponder.agent.mcp.result import failure, lines_output, resource_output, tool_output
from ponder.agent.mcp.text import clean, clean_schema, mended_schema
from ponder.agent.tools.tool import Approval, Output, Tool, ToolContext

ABANDON = 5.0  # seconds beyond its own limit after which the loop may give a call up: ours always ends first


class ToolSpec(Struct, frozen=True):
    """A tool as its server describes it, made fit to be read. name: the server's own. hidden: characters that were
    taken out (or, in names and enums, should not be there)."""

    name: str
    description: str
    parameters: dict[str, Any]
    read_only: bool
    mark: str
    hidden: int


def tool_spec(tool: ServerTool) -> ToolSpec:
    told = tool.description or tool.title or ""  # what the model reads is what the mark is made of
    description, in_text = clean(told)
    parameters, in_schema = clean_schema(tool.input_schema)
    read_only = tool.annotations is not None and bool(tool.annotations.read_only_hint)
    mark = fingerprint(told, tool.input_schema, read_only)
    hidden = in_text + in_schema + clean(tool.name)[1]
    return ToolSpec(tool.name, description, mended_schema(parameters), read_only, mark, hidden)


class ConnectedTool(Tool):
    """A tool that asks a server."""

    def __init__(self, name: str, connection: Connection, approval: Approval) -> None:
        self.name, self.connection, self.approval = name, connection, approval
        self.timeout = connection.config.tool_timeout + ABANDON


class McpTool(ConnectedTool):
    """One tool of a server."""

    def __init__(self, name: str, connection: Connection, described: ToolSpec, approval: Approval) -> None:
        super().__init__(name, connection, approval)
        self.description, self.parameters = described.description, described.parameters
        self.own_name = described.name

    async def call(self, arguments: dict[str, Any], context: ToolContext) -> Output:
        if self.approval == "deny":
            return failure(f"{self.name} is not allowed here")

        async def told(progress: float, total: float | None, message: str | None) -> None:
            share = f"{progress:g}" if total is None else f"{progress:g} of {total:g}"
            context.progress(f"{self.name}: {share}{f' {clean(message)[0]}' if message else ''}")

        async def ask() -> Output:
            result = await self.connection.ask(
                lambda client: client.call_tool(self.own_name, arguments, progress_callback=told),
                self.connection.config.tool_timeout,
            )
            return tool_output(result, self.name, context.workspace, self.connection.config.max_result)

        return await answered(ask)


class ListResources(ConnectedTool):
    """What there is to read on a server."""

    def __init__(self, name: str, connection: Connection, approval: Approval) -> None:
        super().__init__(name, connection, approval)
        self.description = f"Lists the resources that the server {connection.name} offers for reading."
        self.parameters = {"type": "object", "properties": {}}

    async def call(self, arguments: dict[str, Any], context: ToolContext) -> Output:
        async def ask() -> Output:
            found, templates = await self.connection.ask(read_resources, self.connection.config.tool_timeout)
            lines = [_line(r.uri, r.name, r.mime_type, r.description) for r in found]
            lines += [_line(t.uri_template, t.name, t.mime_type, t.description) for t in templates]
            return lines_output(lines, self.connection.config.max_result)

        return await answered(ask)


class ReadResource(ConnectedTool):
    """One of them, by its address."""

    def __init__(self, name: str, connection: Connection, approval: Approval) -> None:
        super().__init__(name, connection, approval)
        self.description = f"Reads a resource of the server {connection.name}."
        uri = {"type": "string", "description": "the address of the resource, as listed"}
        self.parameters = {"type": "object", "properties": {"uri": uri}, "required": ["uri"]}

    async def call(self, arguments: dict[str, Any], context: ToolContext) -> Output:
        async def ask() -> Output:
            uri = str(arguments["uri"])
            result = await self.connection.ask(
                lambda client: client.read_resource(uri), self.connection.config.tool_timeout
            )
            return resource_output(result, self.name, context.workspace, self.connection.config.max_result)

        return await answered(ask)


async def answered(ask: Callable[[], Awaitable[Output]]) -> Output:
    """What the server says, or what went wrong, as an answer the model can act on."""
    try:
        return await ask()
    except Unavailable as e:
        return failure(str(e), lost=e.lost)
    except MCPError as e:
        return failure(e.message or f"code {e.code}")
    except ValidationError as e:
        return failure(f"the server's answer does not fit the protocol: {e.errors()[0]['msg']}")
    except (RuntimeError, OSError) as e:  # a result that does not fit its own schema; a file that cannot be written
        return failure(str(e))


def _line(uri: str, name: str, mime_type: str | None, description: str | None) -> str:
    about = f": {clean(description)[0]}" if description else ""
    return f"{uri} ({name}{f', {mime_type}' if mime_type else ''}){about}"
