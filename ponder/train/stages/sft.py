"""Supervised tuning of both modes at once: every step has as many non-thinking as thinking conversations."""

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
from ponder.train.stage import Context
from ponder.train.stages.conversation import Mode, conversation, cut_short, sample_of
from ponder.train.stages.text import Levels, check_tasks
from ponder.train.stages.training import Drawn, Likely, TuningStage
from ponder.train.step import Trainer
from ponder.train.weights import Kind, kind_of, normalise

SPOKEN = 128  # ids of an answer that people get to read, at most


class Tune(TuningStage, frozen=True, kw_only=True, tag="sft"):
    together: ClassVar[bool] = True
    tasks: tuple[str, ...]
    levels: Levels = field(default_factory=dict)
    batch: int = 64
    """Conversations of a step."""
    modes: tuple[Mode, ...] = ("think", "no_think")
    """Take turns. One alone makes a control run."""
    switch: float = 0.2
    """Share of conversations whose question says /think or /no_think."""
    cut: float = 0.2
    """Share of thinking conversations whose thought is cut and handed over."""
    normalisation: Kind = "token"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_tasks(self.tasks, self.levels)
        kind_of(self.normalisation)
        if self.batch < 1 or not self.modes:
            raise UserError("a step needs one conversation or more, of one mode or more", param="batch")
        if not (0 <= self.switch <= 1 and 0 <= self.cut <= 1):
            raise UserError("switch and cut are shares: 0 to 1", param="cut")

    def run(self, ctx: Context) -> None:
        model, tokenizer = ctx.model(), ctx.tokenizer()
        if tokenizer.vocab_size > model.config.vocab_size:
            raise UserError(
                f"the tokenizer has {tokenizer.vocab_size} ids, the model {model.config.vocab_size}: they do not "
                "belong together",
                param="vocab_size",
            )
        self._check_lengths(tokenizer, model.max_context)
        trainer = self.trainer(ctx, model)
        speak = self._speaker(ctx, trainer, tokenizer) if trainer.processes == 1 else tuple  # no engine has parts
        self.learn(ctx, trainer, tokenizer, lambda step: self.batch_of(step, ctx.seed, tokenizer), speak=speak)

    def _speaker(self, ctx: Context, trainer: Trainer, tokenizer: Tokenizer) -> Callable[[], Sequence[Rollout]]:
        asks = self.asks(ctx.seed)
        engine = engine_of(trainer.decoder, tokenizer, max_batch=len(asks))

        def speak() -> list[Rollout]:
            engine.weights_changed()
            said = roll_out(engine, tokenizer, asks, group=1, max_new_tokens=SPOKEN, folder=ctx.folder)
            return [answer for (answer,) in said]

        return speak

    def preview(self, ctx: Context) -> list[Sample]:
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
