"""Always has one more page of tools."""

import json
import sys

from wire import send

for line in sys.stdin:
    message = json.loads(line)
    number = message.get("id")
    if message.get("method") == "initialize":
        result = {
            "protocolVersion": "2025-11-25",
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "x", "version": "1"},
        }
        send({"id": number, "result": result})
    elif message.get("method") == "tools/list":
        page = int(message.get("params", {}).get("cursor", "0"))
        tools = [{"name": f"t{page}", "inputSchema": {"type": "object"}}]
        send({"id": number, "result": {"tools": tools, "nextCursor": str(page + 1)}})
    elif number is not None:
        send({"id": number, "error": {"code": -32601, "message": "no"}})
