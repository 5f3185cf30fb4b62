"""Tool calls among the thoughts that may turn out to end them (TC-3).

Some models write their call inside the block and stop. Unless `tool_in_thinking` is "text", a run of complete calls
after which the turn ends counts as if `</think>` stood before it. Whether one does is known at the end only, so from
`<tool_call>` on the ids wait here; as soon as something comes that cannot be part of such a run, they are thoughts
after all. A raw newline in a string ends the hope too: a forgotten quote must not hold back the thoughts for long.
"""

from ponder.core.message import ToolCall
from ponder.text.calls.open_call import CLOSE, OPEN, OpenCall
from ponder.text.calls.xml_calls import Schemas
from ponder.text.chat.phase import ControlTokens


class PendingCalls:
    """Begun by a `<tool_call>` id. ids: all that are held. calls: those that are closed."""

    def __init__(self, opening: int, schemas: Schemas) -> None:
        self._schemas = schemas
        self.ids = [opening]
        self.calls: list[ToolCall] = []
        self._spans: list[tuple[int, ...]] = []
        self._open: OpenCall | None = OpenCall(schemas)
        self._start = 0  # where in ids the open call begins

    @property
    def unclosed(self) -> bool:
        """Whether the last call is whole but for its closing tag."""
        return self._open is not None and self._open.parsed(closed=False) is not None

    @property
    def whole_calls(self) -> list[ToolCall]:
        """The calls, if the turn ends here."""
        last = self._open.parsed(closed=False) if self._open is not None else None
        return self.calls if last is None else [*self.calls, last]

    def complete(self, tokenizer: ControlTokens) -> tuple[tuple[int, ...], ...]:
        """The ids of each call, tags included, if the turn ends here; () if it ends in the middle of one."""
        if self._open is None:
            return tuple(self._spans)
        if not self.unclosed or tokenizer.end_tool_call is None:
            return ()
        return (*self._spans, (*self.ids[self._start :], tokenizer.end_tool_call))

    def absorb(self, id_: int, tokenizer: ControlTokens) -> bool:
        """Whether the thoughts may still end with calls after this id; otherwise it is not taken."""
        data = tokenizer.text_bytes(id_)
        if self._open is None:
            fits = id_ == tokenizer.tool_call or (bool(data) and not data.strip(b" \n\r\t"))
            if id_ == tokenizer.tool_call:
                self._open, self._start = OpenCall(self._schemas), len(self.ids)
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
        parsed = call.parsed(closed=True)
        if parsed is None:
            return False
        self.calls.append(parsed)
        self._spans.append((*self.ids[self._start :], closing))
        self._open = None
        return True
