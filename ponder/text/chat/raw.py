"""Everything that a model wrote, as one text: after a raw prompt nobody asked for thoughts or calls."""

from collections.abc import Sequence

from ponder.core.event import Event, TextDelta
from ponder.text.chat.parse import StreamParser
from ponder.text.chat.phase import ControlTokens
from ponder.text.tokenizer.utf8 import Utf8Stream


class RawParser(StreamParser):
    """Tags and all newlines are text; special tokens (`<|im_start|>`) are none (UT-3). The phases are those of
    `StreamParser`, for a thinking budget counts here, too."""

    def __init__(self, tokenizer: ControlTokens, prompt_ids: Sequence[int] = ()) -> None:
        self._utf8 = Utf8Stream()
        super().__init__(tokenizer, prompt_ids, calls=False)
        self._utf8 = Utf8Stream()  # a character that the prompt leaves open is not ours
        self._ended = False

    def finish(self, *, ended: bool = False) -> list[Event]:
        self._emit(self._utf8.flush())
        return self._out.take()

    def _step(self, id_: int) -> None:
        if self._ended or id_ in self._tokenizer.eos_ids:
            self._ended = True
            return
        self._machine.advance(id_)
        self._emit(self._utf8.feed(self._tokenizer.text_bytes(id_)))

    def _emit(self, text: str) -> None:
        if text:
            self._out.delta(TextDelta, text)
