"""Tool calls among the thoughts that may turn out to end them (TC-3).

Some models write their call inside the block and stop. With `tool_in_thinking="close"` a run of complete calls after
which the turn ends counts as if `</think>` stood before it. Whether one does is known at the end only, so from
`<tool_call>` on the ids wait here; as soon as something comes that cannot be part of such a run, they are thoughts
after all. A raw newline in a string ends the hope too: a forgotten quote must not hold back the thoughts for long.
"""

from ponder.core.message import ToolCall
from ponder.text.chat.open_call import CLOSE, OPEN, OpenCall
from ponder.text.chat.phase import ControlTokens


class PendingCalls:
    """Begun by a `<tool_call>` id. ids: all that are held. calls: those that are complete."""

    def __init__(self, opening: int) -> None:
        self.ids = [opening]
        self.calls: list[ToolCall] = []
        self._spans: list[tuple[int, ...]] = []
        self._open: OpenCall | None = OpenCall()
        self._start = 0  # where in ids the open call begins

    @property
    def complete(self) -> tuple[tuple[int, ...], ...]:
        """The ids of each call, tags included, when nothing is open; else ()."""
        return tuple(self._spans) if self._open is None else ()

    def absorb(self, id_: int, tokenizer: ControlTokens) -> bool:
        """Whether the thoughts may still end with calls after this id; otherwise it is not taken."""
        data = tokenizer.text_bytes(id_)
        if self._open is None:
            fits = id_ == tokenizer.tool_call or (bool(data) and not data.strip(b" \n\r\t"))
            if id_ == tokenizer.tool_call:
                self._open, self._start = OpenCall(), len(self.ids)
        elif id_ in (tokenizer.tool_call, tokenizer.end_tool_call):
            closes = id_ == tokenizer.end_tool_call
            fits = self._open.absorb_tag(CLOSE if closes else OPEN) or (closes and self._done(self._open, id_))
        else:
            self._open.feed(data)
            fits = not self._open.hopeless
        if fits:
            self.ids.append(id_)
        return fits

    def _done(self, call: OpenCall, closing: int) -> bool:
        parsed = call.parsed()
        if parsed is None:
            return False
        self.calls.append(parsed)
        self._spans.append((*self.ids[self._start :], closing))
        self._open = None
        return True
