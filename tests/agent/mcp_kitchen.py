"""A server of the official SDK with one tool for each kind of result; run as `mcp_kitchen.py stdio`, or `http PORT`,
`sse PORT`."""

import asyncio
import base64
import sys
from typing import Any

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import (
    AudioContent,
    BlobResourceContents,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    ResourceLink,
    TextContent,
    TextResourceContents,
    ToolAnnotations,
)
from pydantic import BaseModel

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
server = MCPServer("kitchen", version="1", log_level="ERROR")


class Sum(BaseModel):
    sum: int


@server.tool(annotations=ToolAnnotations(read_only_hint=True))
def add(a: int, b: int) -> Sum:
    """Adds two numbers."""
    return Sum(sum=a + b)


@server.tool()
def mixed() -> list[ContentBlock]:
    """Everything a result can hold."""
    blob = base64.b64encode(b"%PDF-fake").decode()
    return [
        TextContent(type="text", text="words"),
        ImageContent(type="image", data=PIXEL, mime_type="image/png"),
        AudioContent(type="audio", data=base64.b64encode(b"RIFF").decode(), mime_type="audio/wav"),
        EmbeddedResource(type="resource", resource=TextResourceContents(uri="note://1", text="a note")),
        EmbeddedResource(
            type="resource", resource=BlobResourceContents(uri="doc://2", blob=blob, mime_type="application/pdf")
        ),
        ResourceLink(type="resource_link", uri="doc://3", name="third", mime_type="text/plain"),
        ImageContent(type="image", data="no base64!", mime_type="image/png"),
    ]


@server.tool()
def fail(why: str) -> str:
    """Fails."""
    raise ToolError(why)


@server.tool()
async def steps(context: Context[Any, Any]) -> str:
    """Tells how far it is."""
    for n in range(1, 4):
        await context.report_progress(n, 3, f"step {n}")
        await asyncio.sleep(0.02)
    return "done"


@server.tool()
async def grow(context: Context[Any, Any]) -> str:
    """Adds a tool, and tells those who listen."""
    number = len(await server.list_tools())

    def more() -> str:
        """One more."""
        return "more"

    server.add_tool(more, name=f"more_{number}")
    await context.notify_tools_changed()
    return f"more_{number}"


@server.tool()
async def slow() -> str:
    """Takes a minute."""
    await asyncio.sleep(60)
    return "done"


@server.resource("menu://today", description="What there is")
def menu() -> str:
    return "soup"


@server.resource("recipe://{dish}")
def recipe(dish: str) -> str:
    return f"how to make {dish}"


@server.resource("photo://soup", mime_type="image/png")
def photo() -> bytes:
    return base64.b64decode(PIXEL)


@server.prompt()
def suggest(taste: str) -> str:
    """Suggests a dish."""
    return f"Suggest something {taste}."


if __name__ == "__main__":
    kind, *port = sys.argv[1:]
    if kind == "stdio":
        server.run("stdio")
    elif kind == "http":
        server.run("streamable-http", port=int(port[0]))
    else:
        server.run("sse", port=int(port[0]))
