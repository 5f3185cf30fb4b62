"""A driver as a process of its own: one JSON line in, one JSON line out. For clients that live in another environment.

A driver has `ask(body, stream)`. It sends the body through its client and returns what the client made of the answer as
plain data (readers.py makes a neutral reply of it), or {"error": {"status", "message", "field"}}.
"""

import json
import sys
import traceback
from typing import Any


def serve(driver: Any) -> None:
    out, sys.stdout = sys.stdout, sys.stderr  # what the client prints must not get between the lines
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer = driver.ask(asked["body"], asked["stream"])
        except Exception:  # this case has failed; the next ones want a driver all the same
            answer = {"crash": traceback.format_exc()}
        out.write(json.dumps(answer, default=str) + "\n")
        out.flush()


def error(status: int, message: str, body: Any) -> dict[str, Any]:
    field = body.get("param") if isinstance(body, dict) else None
    return {"error": {"status": status, "message": message, "field": field}}
