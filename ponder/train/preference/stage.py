"""A preference model: tuned on pairs of replies, tried on pairs that it never saw, and on replies that would fool it.

    [[stage]]
    name = "liked"
    kind = "preference"
    from = "hybrid"
    tasks = ["count", "length"]     # right and wrong answers; or file = "pairs.jsonl"
    steps = 200

A line of the file is `{"messages": [...], "chosen": "...", "rejected": "..."}`; one in ten is held out. What it leaves
besides the model is `preference.json`: the share of held-out pairs in which it likes the better reply more, and how it
likes replies that have nothing to them but length or assurance. Rewards that are learned are gamed by what learns from
them: see how before you use it (`preference` and `preferred` of a stage of kind rl).
"""

import json
import random
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import field

from ponder.core.atomic import replacing
from ponder.core.errors import UserError
from ponder.core.message import Message, messages_from_dicts
from ponder.core.sample import Sample, Split
from ponder.tasks.table import tasks_named
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.train.preference.score import Preference, sample_of
from ponder.train.stage import Context
from ponder.train.stages.text import Levels, check_tasks
from ponder.train.stages.training import Drawn, TuningStage
from ponder.train.weights import normalise

RESULT = "preference.json"
HELD_OUT = 10  # one in so many lines of a file


class Pair(NamedTuple):
    messages: tuple[Message, ...]
    chosen: str
    rejected: str


class Prefer(TuningStage, frozen=True, kw_only=True, tag="preference"):
    tasks: tuple[str, ...] = ()
    levels: Levels = field(default_factory=dict)
    file: str | None = None
    batch: int = 32
    """Pairs of a step."""
    tried: int = 200
    """Held-out pairs at the end, at most."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if bool(self.tasks) == (self.file is not None):
            raise UserError("pairs come from tasks or from a file: name the one", param="file")
        if self.tasks:
            check_tasks(self.tasks, self.levels)
        if min(self.batch, self.tried) < 1:
            raise UserError("batch and tried are 1 pair or more", param="batch")

    def run(self, ctx: Context) -> None:
        tokenizer, trainer = ctx.tokenizer(), self.trainer(ctx, ctx.model())
        known, held_out = self._pairs_of_file() if self.file is not None else ([], [])

        def batch(step: int) -> Drawn:
            rng = random.Random(f"{ctx.seed} {step}")
            pairs = rng.choices(known, k=self.batch) if known else islice(self._drawn(rng, "train"), self.batch)
            return Drawn(normalise([s for pair in pairs for s in samples_of(pair, tokenizer)], "token"))

        self.learn(ctx, trainer, tokenizer, batch)
        if not held_out:
            held_out = list(islice(self._drawn(random.Random(ctx.seed), "validation"), self.tried))
        found = tried(Preference(ctx.made(), tokenizer), held_out[: self.tried])
        with replacing(ctx.folder / RESULT) as out:
            out.write(json.dumps(found, indent=1).encode())
        ctx.say(f"{self.name}: {found['accuracy']:.0%} of {found['pairs']} held-out pairs; mean scores "
                + ", ".join(f"{name} {score:.2f}" for name, score in found["scores"].items()))  # fmt: skip

    def _drawn(self, rng: random.Random, split: Split) -> Iterator[Pair]:
        tasks = tasks_named(self.tasks)
        while True:
            task = rng.choice(tasks)
            problem = task.make(rng, rng.choice(task.levels_of(self.levels)), split)
            yield Pair(problem.messages, task.answer(problem), task.wrong(problem, rng))

    def _pairs_of_file(self) -> tuple[list[Pair], list[Pair]]:
        """(to learn from, held out)"""
        path = Path(str(self.file))
        try:
            lines = path.read_bytes().splitlines()
        except OSError as e:
            raise UserError(f"{path}: {e.strerror}", param="file") from e
        pairs = [_pair(line, f"{path}, line {n}") for n, line in enumerate(lines, 1) if line.strip()]
        known = [pair for n, pair in enumerate(pairs) if n % HELD_OUT]
        if not known:
            raise UserError(f"{path}: {len(pairs)} pairs are too few, one in {HELD_OUT} is held out", param="file")
        return known, pairs[::HELD_OUT]


class _Line(msgspec.Struct):
    messages: list[dict[str, Any]]
    chosen: str
    rejected: str


def _pair(line: bytes, where: str) -> Pair:
    try:
        raw = msgspec.json.decode(line, type=_Line)
        return Pair(messages_from_dicts(raw.messages), raw.chosen, raw.rejected)
    except (msgspec.DecodeError, UserError) as e:
        raise UserError(f"{where}: {e}", param="file") from e


def samples_of(pair: Pair, tokenizer: Tokenizer) -> list[Sample]:
    return [sample_of((pair.messages, pair.chosen), True, tokenizer),
            sample_of((pair.messages, pair.rejected), False, tokenizer)]  # fmt: skip


def tried(score: Preference, pairs: Sequence[Pair]) -> dict[str, Any]:
    """Accuracy on pairs, and mean scores of replies that only look better."""
    kinds = {
        "better": [p.chosen for p in pairs],
        "worse": [p.rejected for p in pairs],
        "worse, and sure of itself": [f"This is certainly right: {p.rejected}" for p in pairs],
        "worse, five times": ["\n".join([p.rejected] * 5) for p in pairs],
        "empty": ["" for _ in pairs],
    }
    found = {
        name: score([(p.messages, reply) for p, reply in zip(pairs, replies, strict=True)])
        for name, replies in kinds.items()
    }
    return {
        "pairs": len(pairs), "accuracy": float((found["better"] > found["worse"]).mean()),
        "scores": {name: float(scores.mean()) for name, scores in found.items()},
    }  # fmt: skip
