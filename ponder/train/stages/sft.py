"""Supervised tuning of both modes at once: every step has as many non-thinking as thinking conversations.

It learns what tasks write (`tasks`), or the conversations of other stages (`data`), each once in a round.
"""

import random
from collections.abc import Callable, Sequence
from typing import ClassVar

from msgspec import field

from ponder.core.errors import UserError
from ponder.core.sample import Rollout, Sample
from ponder.data.procedural import problems
from ponder.tasks.table import tasks_named
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.train.rollouts.collect import Ask, roll_out
from ponder.train.rollouts.hand_over import engine_of
from ponder.train.select import conversations, keep
from ponder.train.select.keep import Told
from ponder.train.stage import Context
from ponder.train.stages.conversation import Mode, can_be_cut, conversation, cut_short, sample_of
from ponder.train.stages.text import Levels, check_tasks
from ponder.train.stages.training import Drawn, Likely, TuningStage
from ponder.train.step import Trainer
from ponder.train.weights import Kind, kind_of, normalise

SPOKEN = 128  # ids of an answer that people get to read, at most


class Tune(TuningStage, frozen=True, kw_only=True, tag="sft"):
    together: ClassVar[bool] = True
    tasks: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    """Stages that have conversations; their answers are learned as they stand."""
    levels: Levels = field(default_factory=dict)
    batch: int = 64
    """Conversations of a step."""
    modes: tuple[Mode, ...] = ("think", "no_think")
    """Take turns. One alone makes a control run."""
    switch: float = 0.2
    """Share of conversations whose question says /think or /no_think."""
    cut: float = 0.2
    """Share of thinking conversations whose thought is cut and handed over."""
    keep: float = 0.25
    """Where `data` has no thoughts at all: as many of the model's own, this share of a step more. 0 leaves them out."""
    keep_tokens: int = 1024
    """Longest of those answers."""
    normalisation: Kind = "token"

    def __post_init__(self) -> None:
        super().__post_init__()
        if bool(self.tasks) == bool(self.data):
            raise UserError("tuning learns from tasks or from the data of other stages: name the one", param="data")
        if self.tasks:
            check_tasks(self.tasks, self.levels)
        kind_of(self.normalisation)
        if self.batch < 1 or not self.modes:
            raise UserError("a step needs one conversation or more, of one mode or more", param="batch")
        if not all(0 <= share <= 1 for share in (self.switch, self.cut, self.keep)):
            raise UserError("switch, cut and keep are shares: 0 to 1", param="cut")

    def run(self, ctx: Context) -> None:
        model, tokenizer = ctx.model(), ctx.tokenizer()
        if tokenizer.vocab_size > model.config.vocab_size:
            raise UserError(
                f"the tokenizer has {tokenizer.vocab_size} ids, the model {model.config.vocab_size}: they do not "
                "belong together",
                param="vocab_size",
            )
        trainer = self.trainer(ctx, model)
        if self.data:
            told = answers_of(ctx, self.data, tokenizer, model.max_context)
            kept = self._kept(ctx, trainer, tokenizer)
            self.learn(ctx, trainer, tokenizer, self._rounds(told, ctx.seed, tokenizer, kept))
            return
        self._check_lengths(tokenizer, model.max_context)
        speak = self._speaker(ctx, trainer, tokenizer) if trainer.processes == 1 else tuple  # no engine has parts
        self.learn(ctx, trainer, tokenizer, lambda step: self.batch_of(step, ctx.seed, tokenizer), speak=speak)

    def parents(self) -> dict[str, str]:
        return {"from": self.from_} | {name: name for name in self.data}

    def _kept(self, ctx: Context, trainer: Trainer, tokenizer: Tokenizer) -> list[Told]:
        """The model's own thoughts, as it had them when the stage began; none where the data has some."""
        data = [c for name in self.data for c in conversations.read(ctx.parents[name] / conversations.CONVERSATIONS)]
        if not self.keep or keep.has_thoughts(data) or tokenizer.think is None:
            return []
        if trainer.processes > 1:
            raise UserError("the data has no thoughts, and the model's own are drawn in one process: keep = 0 goes on "
                            "without them", param="keep")  # fmt: skip
        path = ctx.folder / keep.KEPT
        if not path.exists():
            engine = engine_of(trainer.decoder, tokenizer)
            random.Random(ctx.seed).shuffle(data)
            own = keep.own_thoughts(engine, tokenizer, data, seed=ctx.seed, max_new_tokens=self.keep_tokens)
            keep.save(path, own)
            ctx.say(f"{self.name}: the data has no thoughts; {len(own)} of the model's own are learned beside it")
        return keep.load(path)

    def _rounds(
        self, told: Sequence[Told], seed: int, tokenizer: Tokenizer, kept: Sequence[Told] = ()
    ) -> Callable[[int], Drawn]:
        """The samples of each step; every answer once in a round, in an order of its own."""
        order = rounds(len(told), self.steps * self.batch, seed)

        def of(step: int) -> Drawn:
            rng = random.Random(f"{seed} {step}")
            drawn = []
            for ids, counts in (told[n] for n in order[step * self.batch : (step + 1) * self.batch]):
                cut = can_be_cut(ids, counts, tokenizer) and rng.random() < self.cut
                drawn.append(cut_short(ids, counts, tokenizer, rng) if cut else (ids, counts))
            drawn += [rng.choice(kept) for _ in range(round(self.keep * self.batch)) if kept]
            return Drawn(normalise([sample_of(*one) for one in drawn], self.normalisation))

        return of

    def _speaker(self, ctx: Context, trainer: Trainer, tokenizer: Tokenizer) -> Callable[[], Sequence[Rollout]]:
        asks = self.asks(ctx.seed)
        engine = engine_of(trainer.decoder, tokenizer, max_batch=len(asks))

        def speak() -> list[Rollout]:
            engine.weights_changed()
            said = roll_out(engine, tokenizer, asks, group=1, max_new_tokens=SPOKEN, folder=ctx.folder)
            return [answer for (answer,) in said]

        return speak

    def preview(self, ctx: Context) -> list[Sample]:
        if self.data:
            told = answers_of(ctx, self.data, ctx.tokenizer(), ctx.model().max_context)
            return self._rounds(told, ctx.seed, ctx.tokenizer())(0).samples
        return self.batch_of(0, ctx.seed, ctx.tokenizer()).samples

    def likely(self, tokenizer: Tokenizer, texts: Sequence[str], seed: int, positions: int) -> Likely:
        return Likely(self.batch_of(0, seed, tokenizer).samples)

    def batch_of(self, step: int, seed: int, tokenizer: Tokenizer) -> Drawn:
        return Drawn(normalise([sample_of(*c) for c in self.conversations(step, seed, tokenizer)], self.normalisation))

    def conversations(self, step: int, seed: int, tokenizer: Tokenizer) -> list[tuple[list[int], list[bool]]]:
        """Those of one step: ids, and which count."""
        rng = random.Random(f"{seed} {step}")
        tasks = {task.name: task for task in tasks_named(self.tasks)}
        drawn = problems(tuple(tasks.values()), self.levels, seed=rng.getrandbits(60))
        found = []
        for n, problem in zip(range(self.batch), drawn, strict=False):
            mode = self.modes[(step + n // len(tasks)) % len(self.modes)]  # tasks take turns inside a mode
            made = conversation(problem, tasks[problem.task], tokenizer, mode, switch=rng.random() < self.switch)
            if mode == "think" and rng.random() < self.cut:
                made = cut_short(*made, tokenizer, rng)
            found.append(made)
        return found

    def asks(self, seed: int) -> list[Ask]:
        """The same at every look: a question that nothing is learned from, of each task, in each mode."""
        tasks = tasks_named(self.tasks)
        drawn = problems(tasks, self.levels, seed=seed, split="validation")
        return [
            Ask(task=task, problem=problem, seed=n, thinking=mode == "think")
            for n, (task, problem) in enumerate(zip(tasks, drawn))
            for mode in self.modes
        ]

    def _check_lengths(self, tokenizer: Tokenizer, positions: int) -> None:
        """The highest levels have the longest conversations: better to hear it now than in step 900."""
        for task in tasks_named(self.tasks):
            level = max(self.levels.get(task.name, (task.levels - 1,)))
            problem = task.make(random.Random(0), level, "train")
            ids, _ = conversation(problem, task, tokenizer, "think", switch=True)
            if len(ids) > positions:
                raise UserError(
                    f"a conversation about {task.name} at level {level} has {len(ids)} ids, the model {positions} "
                    "positions: leave high levels out (levels), or pre-train with more positions",
                    param="max_position_embeddings",
                )


def rounds(count: int, wanted: int, seed: int) -> list[int]:
    """`wanted` numbers below `count`: each once in every round, in an order of its own."""
    found: list[int] = []
    while len(found) < wanted:
        order = list(range(count))
        random.Random(f"{seed} {len(found)}").shuffle(order)
        found += order
    return found[:wanted]


def answers_of(ctx: Context, stages: Sequence[str], tokenizer: Tokenizer, positions: int) -> list[Told]:
    """All answers of these stages' conversations; of those that are read after the very ids of the one before, as in a
    loop of calls, one sample. Raises UserError for what the model has no positions for."""
    found: list[Told] = []
    for name in stages:
        path = ctx.parents[name] / conversations.CONVERSATIONS
        for n, each in enumerate(conversations.read(path), 1):
            told: list[Told] = []
            for ids, counts in conversations.samples(each, tokenizer):
                if len(ids) > positions:
                    raise UserError(
                        f"conversation {n} of {name} has {len(ids)} ids, the model {positions} positions: leave it "
                        "out, or take a model with more",
                        param="data",
                    )
                if told and ids[: len(told[-1][0])] == told[-1][0]:
                    before = told.pop()[1]
                    counts = [*before, *counts[len(before) :]]
                told.append((ids, counts))
            found += told
    return found
