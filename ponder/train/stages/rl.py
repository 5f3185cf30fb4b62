"""Reinforcement learning from verifiable rewards: GRPO and its kin, by the choice of advantage, ratio and weights.

    [[stage]]
    name = "rl"
    kind = "rl"
    from = "sft"
    steps = 100
    tasks = ["count"]
    levels = { count = [6, 7] }
    budgets = [0, 8, 16, 32]        # thoughts of random length: the model learns to answer from cut ones

A step draws problems, answers each `group` times with the weights as they are, and learns from the groups whose answers
differ in reward. With `minibatches` above 1 the same rollouts serve several optimiser steps, in parts. The engine
computes with the trainer's own arrays, so the log-probs of an answer agree with the trainer's up to rounding; their
distance is measured in the first minibatch, and above `mismatch_limit` the run stops: then something is broken, and
such runs fail late and without a word. Answers are drawn from the whole distribution at temperature 1, always: the
log-prob of an id that a filter let through is not the probability with which it was drawn.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ponder.core.errors import UserError
from ponder.core.protocol import ChatModel
from ponder.core.sample import Rollout, Sample
from ponder.engine.token_model import TokenEngine
from ponder.model.torch.modules import Decoder
from ponder.tasks.tools.world import PlayedTask
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.train import weights
from ponder.train.loss import LossSettings
from ponder.train.preference.score import Preference
from ponder.train.rollouts.advantage import Kind
from ponder.train.rollouts.collect import Ask, roll_out
from ponder.train.rollouts.episodes import Episodes
from ponder.train.rollouts.groups import GroupSource, NoSignal, computed, metrics_of
from ponder.train.rollouts.hand_over import engine_of
from ponder.train.rollouts.judged import Group, Judge, Preferred
from ponder.train.rollouts.pass_rates import PassRates
from ponder.train.rollouts.reference import with_reference
from ponder.train.rollouts.samples import overlong, samples_of
from ponder.train.select.teacher import teacher_of
from ponder.train.stage import Context
from ponder.train.stages.minibatches import Minibatches
from ponder.train.stages.prompted import SHOWN, PromptedStage
from ponder.train.stages.training import Drawn
from ponder.train.step import StepReport, Trainer


class Rl(PromptedStage, frozen=True, kw_only=True, tag="rl"):
    """Fields beside those of `PromptedStage`. The defaults are DAPO's, at the size of a tiny model."""

    group: int = 8
    """Answers to a problem, 2 or more: they are compared with each other."""
    minibatches: int = 1
    """Optimiser steps that learn from the same rollouts, each from another part of them."""
    no_signal: NoSignal = "drop"
    """What is done about groups whose answers all got the same reward."""
    advantage: Kind = "grpo"
    normalisation: str = "token"
    """token, sequence or constant, or TRL's names: dapo, bnpo, cispo, grpo, dr_grpo."""
    truncated: Literal["keep", "leave_out"] = "keep"
    surrogate: Literal["ppo", "cispo"] = "ppo"
    ratio: Literal["token", "sequence"] = "token"
    clip_low: float = 0.2
    clip_high: float = 0.28
    cap: float = 5.0
    entropy_target: float | None = None
    """Nats; a bonus for entropy holds it there. About what the first steps show keeps exploration alive."""
    overlong: int = 0
    """The last so many of max_new_tokens cost reward, up to 1 at the limit; 0: nothing."""
    pass_rate: tuple[float, float] = (0.0, 1.0)
    """Levels whose pass rate, as the model has it now, lies outside are drawn seldom; 0.1 and 0.8 are a good band."""
    judge: str | None = None
    """A model by name, a folder or a server's URL, whose verdict is the reward of the tasks in `judged`."""
    judged: tuple[str, ...] = ()
    preference: str | None = None
    """A stage of kind preference, whose score is the reward of the tasks in `preferred`."""
    preferred: tuple[str, ...] = ()
    measure_every: int = 0
    """Steps between two measurements on problems of the validation split: pass@1 and pass@measure_samples; 0: none."""
    measure_problems: int = 16
    measure_samples: int = 64
    kappa: float = 0.0
    """Weight of the KL to the model that the stage began with."""
    turns: int = 8
    """Of the model in a task that is played with tools, at most."""
    mismatch_limit: float = 1e-4
    """Mean k3 between engine and trainer, nats an id."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.group < 2:
            raise UserError(
                f"group = {self.group}: the advantage of an answer is its reward beside that of others to the same "
                "problem; take 4 or more",
                param="group",
            )
        if not 1 <= self.minibatches <= self.problems * self.group:
            raise UserError("minibatches is between 1 and the number of answers of a step", param="minibatches")
        if bool(self.judge) != bool(self.judged) or not set(self.judged) <= set(self.tasks):
            raise UserError("a judge needs tasks to judge, of those that are asked: judge and judged belong together",
                            param="judged")  # fmt: skip
        if bool(self.preference) != bool(self.preferred) or not set(self.preferred) <= set(self.tasks):
            raise UserError("preference and preferred belong together: a stage, and tasks of those that are asked",
                            param="preferred")  # fmt: skip
        played = {task.name for task in self.found() if isinstance(task, PlayedTask)}
        if played and (self.overlong or played & {*self.judged, *self.preferred}):
            raise UserError(f"{min(played)} is played: what it leaves behind is its reward, without overlong, judge or "
                            "preference", param="tasks")  # fmt: skip
        if self.turns < 1:
            raise UserError("an episode has one turn or more", param="turns")
        low, high = self.pass_rate
        if not 0 <= low < high <= 1:
            raise UserError("pass_rate is a band of two shares, such as [0.1, 0.8]", param="pass_rate")
        if not 0 <= self.overlong < self.max_new_tokens or min(self.measure_problems, self.measure_samples) < 1:
            raise UserError("overlong is a part of max_new_tokens; measure at least one problem, one sample",
                            param="overlong")  # fmt: skip
        if self.measure_every < 0 or self.measure_every % self.minibatches:
            raise UserError(
                "measure_every is a multiple of minibatches: answers are drawn there", param="measure_every"
            )
        if not self.mismatch_limit > 0:
            raise UserError("mismatch_limit must be above 0: two orders of summing are never equal", param="mismatch")
        weights.kind_of(self.normalisation)
        self.loss()

    def parents(self) -> dict[str, str]:
        return super().parents() | ({} if self.preference is None else {"preference": self.preference})

    def loss(self) -> LossSettings:
        return LossSettings(surrogate=self.surrogate, ratio=self.ratio, clip_low=self.clip_low,
                            clip_high=self.clip_high, cap=self.cap, kappa=self.kappa,
                            entropy_target=self.entropy_target)  # fmt: skip

    def run(self, ctx: Context) -> None:
        tokenizer, trainer = ctx.tokenizer(), self.trainer(ctx, ctx.model(), loss=self.loss())
        engine = engine_of(trainer.decoder, tokenizer)
        episodes = Episodes(engine, self.turns, self.max_new_tokens, ctx.folder)
        with episodes, nullcontext() if self.judge is None else teacher_of(self.judge) as model:
            self._run(ctx, trainer, tokenizer, engine, episodes, model)

    def _run(
        self, ctx: Context, trainer: Trainer, tokenizer: Tokenizer, engine: TokenEngine, episodes: Episodes,
        judging: ChatModel | None,
    ) -> None:  # fmt: skip
        reference = Decoder(ctx.model()) if self.kappa else None

        rewards = self._rewards(ctx, judging, tokenizer)
        rates = PassRates(self.pass_rate, ctx.metrics)
        worth = rates.worth if self.pass_rate != (0.0, 1.0) else None

        def answered(asks: Sequence[Ask], group: int) -> Sequence[Sequence[Rollout]]:
            played = [ask for ask in asks if isinstance(ask.task, PlayedTask)]
            single = [ask for ask in asks if not isinstance(ask.task, PlayedTask)]
            groups = episodes(played, group) if played else []
            return [*groups, *roll_out(engine, tokenizer, single, group=group, max_new_tokens=self.max_new_tokens,
                                       folder=ctx.folder)]  # fmt: skip

        def draw(step: int, turn: int, count: int) -> Sequence[Sequence[Rollout]]:
            groups = answered(self.asks(ctx.seed, step, turn, count, worth=worth), self.group)
            for reward in rewards:
                groups = reward(groups)
            seen.extend(groups)
            return groups

        def measured(draw: int) -> tuple[dict[str, float], int]:
            if not self.measure_every or draw * self.minibatches % self.measure_every:
                return {}, 0
            held_out = self.asks(ctx.seed, -1, count=self.measure_problems, split="validation")
            groups = answered(held_out, self.measure_samples)
            found = metrics_of(groups)
            told = {"validation": found["accuracy"], f"validation pass@{self.measure_samples}": found["pass_at_group"]}
            return told, computed(groups)

        seen: list[Sequence[Rollout]] = []  # of the newest draw, groups without signal included
        source = GroupSource(draw, self.problems, self.no_signal)
        said: list[Rollout] = []  # of the newest draw

        def collect(step: int) -> Drawn:
            engine.weights_changed()
            told, ids = measured(step)
            seen.clear()
            groups, metrics = source.collect(step)
            said[:] = [answer for group in groups[:SHOWN] for answer in group[:2]]
            reward = partial(overlong, most=self.max_new_tokens, room=self.overlong) if self.overlong else None
            samples = samples_of(groups, kind=self.advantage, truncated=self.truncated, reward=reward)
            if reference is not None:
                samples = with_reference(samples, reference, self.max_tokens)
            told |= {f"episode {name}": value for name, value in episodes.told.items()}
            return Drawn(samples, metrics, rates.note(seen) | told, ids + computed(seen))

        parts = Minibatches(collect, self.minibatches, ctx.seed, ctx.folder, ctx.checkpoints)

        def batch(step: int) -> Drawn:
            drawn = parts.of(step)
            kind = weights.kind_of(self.normalisation)
            length = self.max_new_tokens if kind == "constant" else None
            return drawn._replace(samples=weights.normalise(drawn.samples, kind, length=length))

        self.learn(ctx, trainer, tokenizer, batch, check=self.check, speak=lambda: said)

    def _rewards(
        self, ctx: Context, judging: ChatModel | None, tokenizer: Tokenizer
    ) -> list[Callable[[Sequence[Group]], list[Group]]]:
        """Of a judge and of a preference model, where there are some; rules have given theirs before."""
        found: list[Callable[[Sequence[Group]], list[Group]]] = []
        if judging is not None:
            found.append(Judge(judging, self.judged, tokenizer))
        if self.preference is not None:
            scores = Preference(ctx.model("preference"), ctx.tokenizer("preference"))
            found.append(Preferred(scores, self.preferred, tokenizer))
        return found

    def stand_in(self, ids: list[int], own: NDArray[np.float32]) -> Sample:
        return Sample.of(ids, rl=own / own.sum(), advantage=0 * own)

    def check(self, report: StepReport) -> None:
        """The first minibatch is learned by the weights that wrote it; in the others the two differ as they should."""
        mismatch = report.metrics.get("mismatch_kl", 0.0)
        if report.step % self.minibatches == 0 and not mismatch <= self.mismatch_limit:  # true for nan, too
            raise UserError(
                f"step {report.step}: engine and trainer disagree on what the answers' ids were worth, mean k3 "
                f"{mismatch:.2e} nats an id, over {self.mismatch_limit:.0e}. Learning from such log-probs fails later "
                "and without a word. Train in float32, or raise mismatch_limit if you know where it comes from",
                param="mismatch_limit", code="mismatch",
            )  # fmt: skip
