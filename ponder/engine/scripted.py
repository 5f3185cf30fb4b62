"""The scripted model: it says what a file tells it to, so that everything around a model can be tested exactly.

    echo '{"text": "<think>\\nEasy.\\n</think>\\n\\nFour."}' > replies.jsonl
    ponder run scripted:replies.jsonl "2 + 2?"

It is a model like any other: it gives logits, and scheduler, cache bookkeeping, RequestState and parser work as always.
The file has one reply a line. Requests take replies in the order they arrive, each of n choices takes one, and after
the last the first comes again. A line is
    "text" or {"text": "..."}      tokenised, control tokens such as <think> or <tool_call> included
    [1, 2, 3] or {"ids": [...]}    exact ids
and may also have
    "eos": false       never ends: after its last id it starts again (without a leading <think>)
    "answer": "..."    what it says once a hand-over has been fed, when it has no </think> of its own
    "delay_ms": 20     how long an id takes
The first line may be {"model": {"capability", "context", "vocab", "read_ms", "chat_template"}}: "hybrid" (default),
"thinking", "instruct" or "base"; 40960; "qwen3" or "qwen2.5" (the packaged vocabulary, which decides the chat template
too); how long an id of a prompt takes; the text of a chat template as a model's file would have it, which decides about
the capability and the form of prompts and calls.

The logits: the next id of the script is the likeliest, the ids after it follow, each far below the one before, all
others come last. So any sampling follows the script, and a masked id falls through to the next one that is allowed. A
`<think>` falls through to what stands after its block: a model that may not think answers.
"""

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal
from weakref import WeakKeyDictionary

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from ponder.core.errors import LoadError
from ponder.core.params import Capability
from ponder.engine.scheduling.runner import BLOCK_SIZE, Runner
from ponder.engine.scheduling.scheduler import Work
from ponder.engine.scheduling.sequence import Sequence
from ponder.text.chat.phase import PhaseMachine
from ponder.text.tokenizer.tokenizer import Tokenizer

WINDOW = 8  # ids of the script that are candidates at a time
STEP = 1000.0  # logits between them: penalties and temperature cannot change their order
OTHERS = -1e5  # below all candidates; each id of its own, for a sampler must rank what ties
DEFAULT_BLOCKS = 8192


class ScriptedReply(Struct, frozen=True, forbid_unknown_fields=True):
    text: str | None = None
    ids: tuple[int, ...] | None = None
    eos: bool = True
    answer: str | None = None
    delay_ms: float = 0.0


class ScriptedModel(Struct, frozen=True, forbid_unknown_fields=True):
    """The `{"model": ...}` line."""

    capability: Capability = "hybrid"
    context: int = 40960
    vocab: Literal["qwen3", "qwen2.5"] = "qwen3"
    read_ms: float = 0.0
    chat_template: str | None = None


class Script(Struct, frozen=True):
    model: ScriptedModel
    replies: tuple[ScriptedReply, ...]


def read_script(path: str | Path) -> Script:
    """Read a file of replies. Raises LoadError that names the file and the line."""
    try:
        lines = Path(path).read_text("utf-8").split("\n")  # not splitlines: JSON text may hold U+2028
    except OSError as e:
        raise LoadError(f"scripted:{path}: {e.strerror}; after the colon comes a file with one reply a line") from e
    except UnicodeDecodeError as e:
        raise LoadError(f"scripted:{path}: {e}") from e
    model = ScriptedModel()
    replies: list[ScriptedReply] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            raw = msgspec.json.decode(line)
            if isinstance(raw, dict) and "model" in raw and not replies:
                model = msgspec.convert(raw["model"], ScriptedModel)
            else:
                replies.append(_reply(raw))
        except msgspec.MsgspecError as e:
            raise LoadError(f"scripted:{path}, line {number}: {e}") from e
    if not replies:
        raise LoadError(f'scripted:{path}: no replies; write one a line, such as {{"text": "Hello"}}')
    return Script(model, tuple(replies))


def _reply(raw: Any) -> ScriptedReply:
    if isinstance(raw, str):
        return ScriptedReply(text=raw)
    reply = (
        ScriptedReply(ids=tuple(msgspec.convert(raw, list[int])))
        if isinstance(raw, list)
        else msgspec.convert(raw, ScriptedReply)
    )
    if (reply.text is None) == (reply.ids is None):
        raise msgspec.ValidationError('a reply needs either "text" or "ids"')
    return reply


@dataclass
class ScriptLine:
    """A reply in ids. `at(i)` is its i-th id for every i: it ends with an end id for ever, or goes round."""

    ids: list[int]
    loop: list[int]  # what follows for ever
    answer: list[int] | None
    delay: float
    behind_block: int | None = None  # where it goes on behind a block that it begins with

    def at(self, index: int) -> int:
        over = index - len(self.ids)
        return self.ids[index] if over < 0 else self.loop[over % len(self.loop)]


@dataclass
class ScriptPosition:
    """Where one sequence is in its line: `next` is the index of the id to say, `seen` how many ids were followed.
    closed: its prompt ends after a block, so none may open."""

    line: ScriptLine
    next: int = 0
    seen: int = 0
    closed: bool = False

    def ahead(self) -> list[int]:
        """The places of the likeliest ids, in their order."""
        behind = self.line.behind_block if self.closed and self.next == 0 else None
        start = self.next + 1 if behind is None else behind
        return [self.next, *range(start, start + WINDOW - 1)]


@dataclass
class ScriptedRunner(Runner):
    """See `runner.Runner`. `fed` counts ids that went through the model, for tests of what was computed."""

    script: Script
    tokenizer: Tokenizer
    blocks: int = DEFAULT_BLOCKS
    block_size: int = BLOCK_SIZE
    fed: int = 0
    _lines: list[ScriptLine] = field(init=False)
    _others: NDArray[np.float32] = field(init=False)
    _pointers: "WeakKeyDictionary[Sequence, ScriptPosition]" = field(default_factory=WeakKeyDictionary)

    def __post_init__(self) -> None:
        self.context = min(self.script.model.context, self.blocks * self.block_size)
        self._end = self.tokenizer.im_end if self.tokenizer.im_end is not None else self.tokenizer.eos_ids[0]
        self._lines = [self._line(reply) for reply in self.script.replies]
        width = -(-self.tokenizer.vocab_size // 128) * 128  # padded rows, as released models have
        self._others = OTHERS - np.arange(width, dtype=np.float32)

    def run(self, work: list[Work]) -> NDArray[np.float32]:
        self.fed += sum(w.end - w.start for w in work)
        pointers = [pointer for w in work if w.rows for pointer in self._rows(w)]
        logits = np.tile(self._others, (len(pointers), 1))  # [R, V]
        read = sum(max(0, min(w.end, w.sequence.prompt) - w.start) for w in work)
        delay = read * self.script.model.read_ms / 1000
        for row, pointer in zip(logits, pointers):
            delay = max(delay, pointer.line.delay)
            for rank, index in reversed([*enumerate(pointer.ahead())]):
                row[pointer.line.at(index)] = -STEP * rank
        if delay:  # sleep(0) would give the processor away
            time.sleep(delay)
        return logits

    def _rows(self, item: Work) -> list[ScriptPosition]:
        """Where the script stands at each row that wants logits: after the sequence's ids, then after its draft."""
        pointers = [replace(self._follow(item.sequence))]
        for n, id_ in enumerate(item.draft, 1):
            if n > len(item.draft) + 1 - item.rows:
                pointers.append(replace(pointers[-1]))
            _match(pointers[-1], id_)
        return pointers

    def _follow(self, sequence: Sequence) -> ScriptPosition:
        """Move the sequence's pointer over the ids that were added since it was last here."""
        pointer = self._pointers.get(sequence)
        if pointer is None:
            closed = PhaseMachine(self.tokenizer, sequence.ids[: sequence.prompt]).phase == "answer"
            line = self._lines[sequence.serial % len(self._lines)]
            pointer = self._pointers[sequence] = ScriptPosition(line, closed=closed)
        added = range(sequence.prompt + pointer.seen, len(sequence.ids))
        forced = [sequence.ids[p] for p in added if p in sequence.forced]
        handed_over = self.tokenizer.end_think is not None and self.tokenizer.end_think in forced
        for p in added:
            if not handed_over or p not in sequence.forced:
                _match(pointer, sequence.ids[p])
        if handed_over:
            self._hand_over(pointer)
        pointer.seen += len(added)
        return pointer

    def _hand_over(self, pointer: ScriptPosition) -> None:
        """Go on where the answer begins: after the script's own </think> and its newlines, else with `answer`, else
        after an end id that the hand-over has replaced, else as if nothing had happened."""
        line, rest = pointer.line, pointer.line.ids[pointer.next :]
        if self.tokenizer.end_think in rest:
            pointer.next += rest.index(self.tokenizer.end_think) + 1
            after = line.ids[pointer.next : pointer.next + 1]
            if after and self.tokenizer.token_bytes(after[0]).strip(b"\n") == b"":
                pointer.next += 1
        elif line.answer is not None:
            pointer.line, pointer.next = ScriptLine(line.answer, [self._end], None, line.delay), 0
        elif len(rest) > 1 and rest[0] in self.tokenizer.eos_ids:
            pointer.next += 1

    def _line(self, reply: ScriptedReply) -> ScriptLine:
        ids = list(reply.ids) if reply.ids is not None else self._encode(reply.text or "")
        outside = [i for i in ids if not 0 <= i < self.tokenizer.vocab_size]
        if outside:
            raise LoadError(f"scripted: id {outside[0]} is not in the vocabulary of {self.tokenizer.vocab_size}")
        loop = [self._end]
        if not reply.eos:
            loop = ids[1:] if ids[:1] == [self.tokenizer.think] else ids
            if not loop:
                raise LoadError('scripted: a reply with "eos": false needs ids to repeat')
        answer = None if reply.answer is None else self._encode(reply.answer)
        return ScriptLine(ids, loop, answer, reply.delay_ms / 1000, self._behind_block(ids))

    def _behind_block(self, ids: list[int]) -> int | None:
        tok = self.tokenizer
        if tok.think is None or ids[:1] != [tok.think] or tok.end_think not in ids:
            return None
        behind = ids.index(tok.end_think) + 1
        newline = behind < len(ids) and not tok.token_bytes(ids[behind]).strip(b"\n")
        return behind + newline

    def _encode(self, text: str) -> list[int]:
        return self.tokenizer.encode(text, allow_control=True)


def _match(pointer: ScriptPosition, id_: int) -> None:
    """Go past the first of the next few ids that equals the last one; stay when there is none."""
    for index in pointer.ahead():
        if pointer.line.at(index) == id_:
            pointer.next = index + 1
            return
