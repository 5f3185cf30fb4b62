"""Answers byte by byte, and tells of progress on the way; it would take an hour."""

import json
import os
import time

from wire import send, serve, text, tool


def call(name, params, number):
    token = params.get("_meta", {}).get("progressToken")
    answer = json.dumps({"jsonrpc": "2.0", "id": number, "result": text("x" * 3000)}).encode()
    for n in range(len(answer)):
        if name == "progress":
            send({"method": "notifications/progress", "params": {"progressToken": token, "progress": n, "total": 3000}})
        else:
            os.write(1, answer[n : n + 1])
        time.sleep(0.1)


serve(lambda: [tool("drip"), tool("progress")], call)
