"""Pieces of a prompt -> its ids, and the spans that say which of them belong to what."""

from collections.abc import Sequence
from itertools import groupby
from typing import Literal

from msgspec import Struct

from ponder.text.chat.phase import PhaseMachine
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.text.tokenizer.utf8 import well_formed

SpanKind = Literal["header", "text", "reasoning", "tool_call", "tool_result", "end"]


class Span(Struct, frozen=True):
    """ids[start:end] of one message (-1: of none). `trainable`: the model itself generates these ids: its
    thoughts with their tags, its text, its calls and <|im_end|>. An empty block that the template puts where the
    message has no reasoning part is not. A token across a border belongs to the span of its first character."""

    start: int
    end: int
    message: int
    role: str
    kind: SpanKind
    trainable: bool


class Rendered(Struct, frozen=True):
    """ids with spans that tile them, the same as text, and what was left out."""

    ids: list[int]
    spans: list[Span]
    text: str
    warnings: list[str]


class Writer:
    """Collects pieces (texts and control ids), each with the span it belongs to. context: see `encode_pieces`."""

    def __init__(self, tokenizer: Tokenizer, allow_control: bool, context: int | None = None) -> None:
        self.tokenizer = tokenizer
        self._context = context
        self.message = -1
        self._role = ""
        self._allow_control = allow_control
        self._pieces: list[str | int] = []
        self._keys: list[tuple[int, str, SpanKind, bool]] = []
        self._warnings: list[str] = []

    def at(self, message: int, role: str) -> None:
        self.message, self._role = message, role

    def warn(self, text: str) -> None:
        self._warnings.append(text)

    def text(self, text: str, kind: SpanKind, *, trainable: bool = False) -> None:
        for piece in self.tokenizer.split_control(text) if self._allow_control else [text]:
            self.verbatim(piece, kind, trainable=trainable)

    def control(self, name: str, kind: SpanKind, *, trainable: bool = False) -> None:
        """A control token; plain text where the vocabulary lacks it (Qwen2.5 has no <tool_response>)."""
        self.verbatim(self.tokenizer.control.get(name, name), kind, trainable=trainable)

    def verbatim(self, piece: str | int, kind: SpanKind, *, trainable: bool) -> None:
        self._pieces.append(piece)
        self._keys.append((self.message, self._role, kind, trainable))

    def open_turn(self, role: str) -> None:
        self.control("<|im_start|>", "header")
        self.text(role + "\n", "header")

    def end_turn(self, *, trainable: bool = False) -> None:
        self.control("<|im_end|>", "end", trainable=trainable)
        self.text("\n", "end")

    def reopen_turn(self) -> None:
        """Take back the end of the last turn; of one that has thoughts and nothing else, the end of those, too."""
        self._take_back("end")
        n, kinds = self.message, [key[2] for key in self._keys if key[0] == self.message]
        if "reasoning" not in kinds or any(p for p, k in zip(self._pieces, self._keys) if k[0] == n and k[2] == "text"):
            return
        self._take_back("text")
        del self._pieces[-2:], self._keys[-2:]  # the tag, and the line break after it
        self._pieces[-1] = str(self._pieces[-1]).removesuffix("\n")

    def _take_back(self, kind: SpanKind) -> None:
        while self._keys and self._keys[-1][2] == kind:
            self._pieces.pop()
            self._keys.pop()

    def exact_turn(self, ids: Sequence[int], *, opened: bool = False) -> None:
        """HC-2: the ids as the model saw and produced them, after `<|im_start|>assistant\\n`. opened: the prompt of
        that turn ended in the open block, so the model did not write its beginning."""
        tok = self.tokenizer
        self.open_turn("assistant")
        ends = bool(ids) and ids[-1] == tok.im_end
        opening = [tok.think, *tok.encode("\n")]
        given = len(opening) if opened and list(ids[: len(opening)]) == opening else 0
        machine = PhaseMachine(tok)
        for n, id_ in enumerate(ids[:-1] if ends else ids):
            phases = (machine.phase, machine.advance(id_))
            kind: SpanKind = "reasoning" if "reasoning" in phases else "tool_call" if "tool_call" in phases else "text"
            self.verbatim(id_, kind, trainable=n >= given)
        self.end_turn(trainable=True)

    def finish(self) -> Rendered:
        ids, owners = self.tokenizer.encode_pieces(self._pieces, self._context)
        spans: list[Span] = []
        for (message, role, kind, trainable), run in groupby(owners, key=lambda owner: self._keys[owner]):
            start = spans[-1].end if spans else 0
            spans.append(Span(start, start + len(list(run)), message, role, kind, trainable))
        # Bytes first: exact ids may end inside a character that the next id completes.
        of = self.tokenizer.token_bytes
        raw = b"".join(of(p) if isinstance(p, int) else well_formed(p).encode() for p in self._pieces)
        return Rendered(ids, spans, raw.decode("utf-8", "replace"), self._warnings)
