"""What untrusted code prints, made fit to read: bounded in size, without control characters, valid Unicode."""

import re

# CSI and OSC sequences, two-character escapes, then every control character but newline and tab.
ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[PX^_][^\x1b]*(?:\x1b\\)?|[ -/]*[0-~])"
)
CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class BoundedOutput:
    """Bytes of which the first and the last half of `limit` are kept, however many come."""

    def __init__(self, limit: int) -> None:
        self.half = limit // 2
        self.head = bytearray()
        self.tail = bytearray()
        self.total = 0

    def add(self, chunk: bytes) -> None:
        self.total += len(chunk)
        room = self.half - len(self.head)
        self.head += chunk[:room]
        self.tail += chunk[room:][-self.half :] if room > 0 else chunk[-self.half :]
        if len(self.tail) > 2 * self.half:
            del self.tail[: -self.half]

    def take(self) -> str:
        """The text so far; the next call starts afresh."""
        tail = bytes(self.tail[-self.half :])
        left_out = self.total - len(self.head) - len(tail)
        if left_out:
            head, end = clean(bytes(self.head)), clean(tail)
            text = f"{head}\n[... {left_out:,} bytes left out ...]\n{end}"
        else:
            text = clean(bytes(self.head) + tail)
        self.head.clear()
        self.tail.clear()
        self.total = 0
        return text


def clean(raw: bytes) -> str:
    """Text a model and a terminal can take: no escape sequences, no control or direction characters; a progress bar
    that overwrites its line is its last state."""
    text = ESCAPES.sub("", raw.decode("utf-8", errors="replace"))
    text = text.replace("\r\n", "\n")
    text = "\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in text.split("\n"))
    return CONTROLS.sub("", text)
