"""`ponder mcp-check FILE`: try a config of MCP servers, see their tools, approve a tool that changed.

ponder mcp-check servers.json
ponder mcp-check servers.json --approve time-convert_time
"""

import argparse

from ponder.cli.terminal.printer import note

DESCRIPTION = "Start the MCP servers of a config and list their tools, with what an agent may do without asking."
NOTES = """\
FILE has the common form {"mcpServers": {"NAME": {"command": ..., "args": [...]}}}; docs/mcp.md has all keys.
Ends with 1 when a server did not start.
"""
WIDTH = 90  # of a line of description


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="the config")
    parser.add_argument(
        "--approve", action="append", default=[], metavar="TOOL", help="switch a changed tool on again, as it is now"
    )


def run(args: argparse.Namespace) -> int:
    import asyncio

    return asyncio.run(_check(args.file, args.approve))


async def _check(file: str, approve: list[str]) -> int:
    from ponder.agent.mcp.servers import McpServers

    async with McpServers(file) as servers:
        for name in approve:
            await servers.approve(name)
        tools = servers.tools()
        if not tools and not servers.warnings():
            note(f"{file}: no tools; does it name a server?")
        width = max((len(tool.name) for tool in tools), default=0)
        for tool in tools:
            about = " ".join(tool.description.split())
            print(f"{tool.name:{width}}  {tool.approval:4}  {about[:WIDTH]}{'...' if len(about) > WIDTH else ''}")
        for warning in servers.warnings():
            note(f"warning: {warning}")
        return 1 if servers.down() else 0
