"""Just enough MCP to misbehave with: JSON-RPC lines on stdin and stdout, the handshake of 2025-11-25, no SDK."""

import json
import sys
from collections.abc import Callable
from typing import Any

PLAIN = {"type": "object", "properties": {}}


def tool(name: str, description: str = "A tool.", schema: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"name": name, "description": description, "inputSchema": PLAIN if schema is None else schema}


def text(words: str) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": words}]}


def send(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
    sys.stdout.flush()


def serve(
    tools: Callable[[], list[dict[str, Any]]],
    call: Callable[[str, dict[str, Any], int], dict[str, Any] | None],
) -> None:
    """call: (tool, params, id) -> the result, or None when it answered (or did not) by itself."""
    for line in sys.stdin:
        message = json.loads(line)
        method, number = message.get("method"), message.get("id")
        if method == "initialize":
            version = message["params"]["protocolVersion"]
            about = {"name": "fault", "version": "1"}
            result = {"protocolVersion": version, "capabilities": {"tools": {"listChanged": True}}, "serverInfo": about}
            send({"id": number, "result": result})
        elif method == "tools/list":
            send({"id": number, "result": {"tools": tools()}})
        elif method == "tools/call":
            answer = call(message["params"]["name"], message["params"], number)
            if answer is not None:
                send({"id": number, "result": answer})
        elif number is not None:
            send({"id": number, "error": {"code": -32601, "message": f"no {method} here"}})
