"""Never answers `wait`; `cancelled` tells how many of those calls were called off."""

import json
import sys

from wire import send, text, tool

cancelled = 0
for line in sys.stdin:
    message = json.loads(line)
    number = message.get("id")
    match message.get("method"):
        case "initialize":
            about = {"name": "fault", "version": "1"}
            send(
                {
                    "id": number,
                    "result": {"protocolVersion": "2025-11-25", "capabilities": {"tools": {}}, "serverInfo": about},
                }
            )
        case "tools/list":
            send({"id": number, "result": {"tools": [tool("wait"), tool("cancelled")]}})
        case "notifications/cancelled":
            cancelled += 1
        case "tools/call" if message["params"]["name"] == "cancelled":
            send({"id": number, "result": text(f"{cancelled} call cancelled")})
        case "tools/call":
            pass
        case _ if number is not None:
            send({"id": number, "error": {"code": -32601, "message": "no"}})
