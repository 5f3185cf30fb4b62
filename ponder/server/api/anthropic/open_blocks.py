"""The blocks of a streamed message: one open at a time, numbered in the order in which they go out."""

from typing import Any, Literal

from ponder.server.http.stream import event

Kind = Literal["thoughts", "text", "call"]
Body = dict[str, Any]
EMPTY: dict[str, Body] = {
    "thoughts": {"type": "thinking", "thinking": "", "signature": ""},
    "text": {"type": "text", "text": ""},
}
DELTAS = {"thoughts": ("thinking_delta", "thinking"), "text": ("text_delta", "text"),
          "call": ("input_json_delta", "partial_json")}  # fmt: skip


class OpenBlocks:
    """Gives the events. A block that was opened for a sign of life becomes the next part's, if it has its kind."""

    def __init__(self) -> None:
        self._index = -1  # of the last block
        self._open: Kind | None = None
        self._unused = False  # it was opened for a sign of life, and nothing is in it
        self._over = False

    def open(self, kind: Kind, empty: Body) -> bytes:
        """empty: the block as it is before its first delta."""
        if self._unused and self._open == kind:
            self._unused = False
            return b""
        before = self.close("") if self._open is not None else b""
        self._index += 1
        self._open = kind
        return before + named_event({"type": "content_block_start", "index": self._index, "content_block": empty})

    def delta(self, kind: Kind, text: str) -> bytes:
        type_, name = DELTAS[kind]
        return self._delta({"type": type_, name: text})

    def close(self, signature: str) -> bytes:
        """signature: of thoughts."""
        last = b""
        if self._open == "thoughts":
            last = self._delta({"type": "signature_delta", "signature": signature})
        self._open, self._unused = None, False
        return last + named_event({"type": "content_block_stop", "index": self._index})

    def whole(self, block: Body) -> bytes:
        """A block that has no deltas."""
        return self.open("call", block) + self.close("")

    def alive(self, next_kind: Kind) -> bytes:
        """An empty delta. next_kind: the block to open for it, before the first one."""
        if self._over:
            return b""
        begun = b""
        if self._open is None:
            kind: Kind = next_kind if self._index < 0 else "text"
            begun = self.open(kind, EMPTY[kind])
            self._unused = True
        assert self._open is not None
        return begun + self.delta(self._open, "")

    def end(self) -> bytes:
        """The reply is over: a block for a sign of life that nothing came after is closed."""
        self._over = True
        return b"" if self._open is None else self.close("")

    def _delta(self, delta: Body) -> bytes:
        return named_event({"type": "content_block_delta", "index": self._index, "delta": delta})


def named_event(body: Body) -> bytes:
    return event(body["type"], body)
