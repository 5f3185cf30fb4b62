"""A stored turn with one step of every kind."""

import base64
import struct
import zlib
from typing import Any

from pages import Site

from ponder.server.web.conversations import Conversations


def a_png(side: int = 8) -> bytes:
    """A blue square."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    rows = b"".join(b"\0" + b"\x30\x50\xd0" * side for _ in range(side))
    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def a_call(id_: str, name: str, state: str, **more: Any) -> dict[str, Any]:
    blank = {"arguments": "{}", "note": "", "output": "", "images": [], "diff": ""}
    return {"kind": "call", "id": id_, "name": name, "state": state} | blank | more


STEPS: list[dict[str, Any]] = [
    {"kind": "thought", "text": "I should draw it.", "seconds": 1.2, "tokens": 6, "budget": 64},
    {"kind": "text", "text": "Let me draw the chart."},
    a_call("1", "python", "done", arguments='{"code": "import matplotlib\\nplot([1, 2])"}', output="<Figure>",
           images=[{"media_type": "image/png", "data": base64.b64encode(a_png()).decode(), "name": "chart.png"}]),
    a_call("2", "write_file", "done", arguments='{"path": "a.txt", "lines": 2}', output="Written.",
           diff="--- a.txt\n+++ a.txt\n@@ -1 +1 @@\n-old\n+new"),
    a_call("3", "web_fetch", "failed", arguments='{"url": "http://10.0.0.1/"}', output="Error: not allowed"),
    a_call("4", "rm", "denied", arguments="not JSON", output="Error: the user did not allow this call."),
    {"kind": "note", "text": "No more calls: the limit of steps is reached."},
    {"kind": "text", "text": "Here is the **chart**."},
]  # fmt: skip


def seeded(site: Site, steps: list[dict[str, Any]]) -> str:
    store = Conversations(site.store)
    id_ = str(store.create("Steps")["id"])
    asked = store.add(id_, None, "user", {"content": "Draw a chart."})["id"]
    store.add(id_, asked, "assistant", {"content": "Here is the **chart**.", "steps": steps})
    store.close()
    return id_
