"""The client that the official conformance suite drives: `McpServers`, one scenario a run. `run.py` starts it.

The scenario's name is in MCP_CONFORMANCE_SCENARIO, what it needs to know in MCP_CONFORMANCE_CONTEXT; the last
argument is the server's address.
"""

import asyncio
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from conformance_auth import signer
from mcp_types import ElicitRequestFormParams, ElicitResult

from ponder.agent.mcp.servers import McpServers
from ponder.agent.tools.tool import ToolContext

CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "tools_call": ("add_numbers", {"a": 5, "b": 3}),
    "sse-retry": ("test_reconnection", {}),
    "elicitation-sep1034-client-defaults": ("test_client_elicitation_defaults", {}),
}


async def accept_defaults(context: Any, params: Any) -> ElicitResult:
    """A person who takes every default."""
    content: dict[str, Any] = {}
    if isinstance(params, ElicitRequestFormParams):
        fields = params.requested_schema.get("properties", {})
        content = {name: field["default"] for name, field in fields.items() if "default" in field}
    return ElicitResult(action="accept", content=content)


async def main() -> int:
    scenario, url = os.environ["MCP_CONFORMANCE_SCENARIO"], sys.argv[-1]
    context = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT") or "{}")
    auth = {"suite": signer(scenario, url, context)} if scenario.startswith("auth/") else None
    config = {"suite": {"url": url, "type": "http", "connect_timeout": 25, "tool_timeout": 25}}
    async with McpServers(config, elicitation=accept_defaults, auth=auth) as servers:
        for warning in servers.warnings():
            print(warning, file=sys.stderr)
        tools = {tool.name: tool for tool in servers.tools()}
        print("tools:", ", ".join(tools), file=sys.stderr)
        name, arguments = CALLS.get(scenario, ("test-tool" if "suite-test-tool" in tools else "", {}))
        if name:
            context = ToolContext("conformance", Path(tempfile.gettempdir()))
            out = await tools[f"suite-{name}"].call(arguments, context)
            print(out.text, file=sys.stderr)
            return 1 if out.error else 0
        return 1 if servers.warnings() else 0


if __name__ == "__main__":
    os.environ["PONDER_HOME"] = tempfile.mkdtemp()
    sys.exit(asyncio.run(main()))
