"""What every stage with an optimiser shares: its fields, its trainer, and the loop over steps.

    trainer = self.trainer(ctx, ctx.model())
    self.learn(ctx, trainer, lambda step: Drawn(normalise(samples_of(step), "token")))

`learn` restores the newest checkpoint of the folder before it asks for the first batch, so that a stage that reads the
weights (an engine over `trainer.decoder.checkpoint()`) must take them as changed at every call. It checkpoints, writes
`metrics.jsonl`, shows progress, keeps some of what the model says, and saves the model at the end.
"""

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from typing import Literal, NamedTuple

from msgspec import field

from ponder.core.errors import UserError
from ponder.core.sample import Rollout, Sample
from ponder.model.formats.hf_save import save_hf
from ponder.model.model import Model
from ponder.text import tokenizer_files
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.train import checkpoint
from ponder.train.lora.adapter import ADAPTER, write_adapter
from ponder.train.lora.settings import Lora
from ponder.train.loss import LossSettings
from ponder.train.memory import check_memory, check_state
from ponder.train.optim import OptimSettings
from ponder.train.record import generations
from ponder.train.record.board import Board
from ponder.train.record.metrics import Metrics, ProgressLine
from ponder.train.rollouts.collect import Ask
from ponder.train.scale.balance import BalanceSettings, Kind
from ponder.train.schedule import Schedule, Shape
from ponder.train.stage import MODEL, PARTIAL, Context, Dtype, Interrupted, Stage
from ponder.train.step import StepReport, StepSettings, Trainer


class Drawn(NamedTuple):
    """The samples of one step, their weights normalised (`weights.normalise`)."""

    samples: list[Sample]
    metrics: Mapping[str, float] = {}
    """What else is known of them, such as the mean reward: to metrics.jsonl and the progress line."""
    more: Mapping[str, float] = {}
    """To metrics.jsonl alone."""
    sampled: int = 0
    """Ids that an engine computed for them."""


class Likely(NamedTuple):
    """What a step is likely to work on: for an estimate, before any model is there."""

    samples: list[Sample]
    asks: Sequence[Ask] = ()
    """What an engine answers for it first."""
    answers: int = 0
    """To all of them."""
    new_tokens: int = 0
    """Of an answer, were it as long as the task's own."""


class TrainingStage(Stage, frozen=True, kw_only=True):
    """steps is the only field without a default."""

    steps: int
    dtype: Dtype | None = None
    """Of its weights; the recipe's where it says nothing."""
    rate: float = 1e-3
    """At the peak."""
    warmup: int = 0
    decay: int = 0
    shape: Shape = "linear"
    floor: float = 0.0
    optimiser: Literal["adamw", "muon"] = "adamw"
    weight_decay: float = 0.1
    beta2: float = 0.95
    clip: float = 1.0
    balance: Kind = "global"
    """Of a mixture of experts: what its loads are to be even over (`train.scale.balance`)."""
    balance_weight: float = 0.001
    max_tokens: int = 8192
    """Ids of one micro-batch."""
    checkpoint_every: int = 100
    """Steps between two checkpoints, and between two looks at what the model says."""
    checkpoint_seconds: float = 120.0
    """Longest time without one, looked at after each step."""

    def __post_init__(self) -> None:
        self.schedule()
        self.balancing()
        self.optim()
        if self.max_tokens < 1 or not self.checkpoint_seconds >= 0:
            raise UserError("max_tokens is 1 id or more, checkpoint_seconds 0 or more", param="max_tokens")
        if self.checkpoint_every < 1:
            raise UserError("checkpoint_every must be 1 step or more", param="checkpoint_every")

    def schedule(self) -> Schedule:
        return Schedule(steps=self.steps, peak=self.rate, warmup=self.warmup, decay=self.decay, shape=self.shape,
                        floor=self.floor)  # fmt: skip

    def balancing(self) -> BalanceSettings:
        return BalanceSettings(kind=self.balance, weight=self.balance_weight)

    def optim(self) -> OptimSettings:
        return OptimSettings(kind=self.optimiser, weight_decay=self.weight_decay, beta2=self.beta2, clip=self.clip)

    def trainer(
        self, ctx: Context, model: Model, *, loss: LossSettings | None = None, teacher: Model | None = None
    ) -> Trainer:
        """loss: how `rl` and `kl` weights count; supervised stages need none."""
        lora = self.factors()
        if lora is None:
            check_state(model.config)
        settings = StepSettings(loss=loss or LossSettings(), optim=self.optim(), balance=self.balancing(),
                                max_tokens=self.max_tokens, lora=lora, seed=ctx.seed,
                                recompute=ctx.layout.recompute)  # fmt: skip
        return Trainer(model, settings, ctx.notes, teacher=teacher, together=self.together, layout=ctx.layout)

    def factors(self) -> Lora | None:
        """What learns in place of the weights."""
        return None

    def likely(self, tokenizer: Tokenizer, texts: Sequence[str], seed: int, positions: int) -> Likely:
        """texts: of a stage of kind text. positions: of the model."""
        raise NotImplementedError

    def preview(self, ctx: Context) -> list[Sample]:
        """The samples of the first step, for people to look at."""
        raise UserError(
            f"{self.name} draws its samples from the model while it runs; look at what it tunes", param="stage"
        )

    def learn(
        self, ctx: Context, trainer: Trainer, tokenizer: Tokenizer, batch: Callable[[int], Drawn],
        check: Callable[[StepReport], None] = lambda report: None, speak: Callable[[], Sequence[Rollout]] = tuple,
    ) -> None:  # fmt: skip
        """All steps that are left, then `ctx.folder / "model"`. batch: of a step, the same whenever it is asked.
        check: raises when a step shows that it makes no sense to go on. speak: answers of the model, for people."""
        offset = self._resume(ctx, trainer)
        first, schedule = trainer.progress.step, self.schedule()
        active = trainer.model.config.parameter_counts().active
        taught = 0 if trainer.teacher is None else 2 * trainer.teacher.config.parameter_counts().active
        progress = ProgressLine(self.name, self.steps, first=first, out=ctx.out)
        with Metrics(ctx.metrics, offset) as metrics, closing(Board(ctx.notes, first)) as board:
            saved = time.monotonic()
            for step in range(first, self.steps):
                began = time.monotonic()
                drawn = batch(step)
                if step == first:
                    check_memory(trainer, drawn.samples)
                report = trainer.step(drawn.samples, schedule.rate(step))
                flops = float(active * (6 * report.tokens + 2 * drawn.sampled) + taught * report.tokens)
                line = metrics.write(
                    report, seconds=time.monotonic() - began, flops=flops, **drawn.metrics, **drawn.more
                )
                board.write(line)
                progress.show(report, **drawn.metrics)
                check(report)
                due = (step + 1) % self.checkpoint_every == 0 or step + 1 == self.steps
                if due:
                    generations.write(ctx.notes, step + 1, speak(), tokenizer)
                stop = trainer.agreed(ctx.stop())
                if due or stop or trainer.agreed(time.monotonic() - saved > self.checkpoint_seconds):
                    checkpoint.save(ctx.checkpoints, trainer, ctx.identity, cursor=None, offset=metrics.offset)
                    saved = time.monotonic()
                if stop:
                    raise Interrupted
        save_model(ctx, trainer, tokenizer)

    def _resume(self, ctx: Context, trainer: Trainer) -> int:
        newest = checkpoint.latest(ctx.checkpoints)
        if newest is None:
            return 0
        offset = checkpoint.load(newest, trainer, ctx.identity, accept=ctx.accept).offset
        ctx.say(f"{self.name}: goes on at step {trainer.progress.step} of {self.steps}")
        return offset if ctx.aside is None else 0


class TuningStage(TrainingStage, frozen=True, kw_only=True):
    """Goes on from a model, whole or by factors beside it."""

    from_: str = field(name="from")
    """The stage whose model it goes on from."""
    lora: Lora | None = None

    def parents(self) -> dict[str, str]:
        return {"from": self.from_}

    def factors(self) -> Lora | None:
        return self.lora


def save_model(ctx: Context, trainer: Trainer, tokenizer: Tokenizer) -> None:
    """Weights and tokenizer, as transformers, llama.cpp and Ponder read them; whole or not at all. Factors go into the
    weights, and lie in a folder of their own besides: the trainer learns no more."""
    lora = trainer.settings.lora
    if lora is not None:
        shutil.rmtree(ctx.folder / ADAPTER, ignore_errors=True)  # of a run that was killed here
        write_adapter(ctx.folder / ADAPTER, trainer.decoder, lora, str(ctx.parents["from"].resolve() / MODEL))
        trainer.decoder.fold()
    made = trainer.checkpoint()
    if ctx.aside is not None:
        return
    partial = ctx.folder / (MODEL + PARTIAL)
    shutil.rmtree(partial, ignore_errors=True)
    save_hf(partial, made, ctx.dtype)
    tokenizer_files.save(tokenizer, partial)
    shutil.rmtree(ctx.folder / MODEL, ignore_errors=True)
    partial.rename(ctx.folder / MODEL)
