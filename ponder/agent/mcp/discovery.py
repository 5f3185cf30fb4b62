"""What a server offers, read to the last page."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from mcp import Client, MCPError
from mcp_types import (
    METHOD_NOT_FOUND,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    ListToolsResult,
    Prompt,
    Resource,
    ResourceTemplate,
    Tool,
)
from msgspec import Struct

PAGES = 200  # a server that always has a next page is cut off here
Page = TypeVar("Page", ListToolsResult, ListResourcesResult, ListResourceTemplatesResult, ListPromptsResult)


class Discovery(Struct, frozen=True):
    """has_resources: there is something to read, now; which, may change without a word (`read_resources`)."""

    tools: tuple[Tool, ...] = ()
    prompts: tuple[Prompt, ...] = ()
    has_resources: bool = False


async def discover(client: Client) -> Discovery:
    """Tools and prompts of a connected server, those kinds it says it has."""
    can = client.server_capabilities
    return Discovery(
        tuple([t for page in await pages(client.list_tools) for t in page.tools] if can.tools is not None else ()),
        tuple(
            [p for page in await pages(client.list_prompts) for p in page.prompts] if can.prompts is not None else ()
        ),
        can.resources is not None and await _any_resources(client),
    )


async def _any_resources(client: Client) -> bool:
    """Servers claim to have resources when they only could have."""
    if (await client.list_resources()).resources:
        return True
    return bool((await _templates(client))[0].resource_templates)


async def read_resources(client: Client) -> tuple[list[Resource], list[ResourceTemplate]]:
    listed = [r for page in await pages(client.list_resources) for r in page.resources]
    return listed, [t for page in await _templates(client) for t in page.resource_templates]


async def _templates(client: Client) -> list[ListResourceTemplatesResult]:
    """Never empty; servers that know no templates have none."""
    try:
        return await pages(client.list_resource_templates)
    except MCPError as e:
        if e.code != METHOD_NOT_FOUND:
            raise
        return [ListResourceTemplatesResult(resource_templates=[])]


async def pages(ask: Callable[..., Awaitable[Page]]) -> list[Page]:
    found: list[Page] = []
    cursor: Any = None
    seen: set[str] = set()
    while len(found) < PAGES:
        page = await ask(cursor=cursor)
        found.append(page)
        cursor = page.next_cursor
        if cursor is None or cursor in seen:
            break
        seen.add(cursor)
    return found
