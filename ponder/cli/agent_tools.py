"""The flags that give a model tools, for `ponder agent` and `ponder serve`."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ponder.agent.tools.tool import Tool, Toolset


def add_tool_flags(tools: "argparse._ArgumentGroup") -> None:
    tools.add_argument("--tool", action="append", default=[], metavar="NAME", help="a built-in tool; repeat for more")
    tools.add_argument("--mcp", type=Path, action="append", default=[], metavar="FILE", help="MCP servers")
    tools.add_argument("--unsafe-host-exec", action="store_true", help="run code on this machine without a sandbox")


def tools_of(args: argparse.Namespace, default: tuple[str, ...] = ()) -> "list[Tool | Toolset]":
    """What the flags name; `default` where they name nothing. Raises UserError for a tool that is not known."""
    from ponder.agent.tools.builtin import builtin_tool

    names = args.tool or ([] if args.mcp else default)
    tools = [builtin_tool(name, unsafe_host_exec=args.unsafe_host_exec) for name in dict.fromkeys(names)]
    if args.mcp:
        from ponder.agent.mcp.servers import McpServers

        tools += [McpServers(path) for path in args.mcp]
    return tools
