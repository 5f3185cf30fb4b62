"""Distillation on the student's own text: it answers, in either mode, and the teacher says what should have come.

    [[stage]]
    name = "small"
    kind = "distill"
    from = "small-sft"
    teacher = "rl"
    steps = 100
    tasks = ["count", "swaps"]

The whole distribution of the teacher at every id that the student wrote, over the whole vocabulary, is compared with
the student's (`head.divergence`): more to learn from in one answer than a reward, and only where the student goes. Text
of the teacher's instead (`from_teacher`) is the usual distillation; it is worth its time while the student is so weak
that its own answers lead nowhere.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ponder.core.errors import UserError
from ponder.core.sample import Rollout, Sample
from ponder.engine.token_model import TokenEngine
from ponder.model.torch.modules import Decoder
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.train import weights
from ponder.train.loss import LossSettings
from ponder.train.rollouts.collect import Ask, roll_out
from ponder.train.rollouts.groups import metrics_of
from ponder.train.rollouts.hand_over import engine_of
from ponder.train.stage import Context
from ponder.train.stages.prompted import SHOWN, PromptedStage
from ponder.train.stages.training import Drawn


class Distill(PromptedStage, frozen=True, kw_only=True, tag="distill"):
    """Fields beside those of `PromptedStage`."""

    teacher: str
    """The stage whose model teaches."""
    beta: float = 0.0
    """0: forward KL, 1: reverse KL, between them the generalised JSD; see `LossSettings`."""
    from_teacher: float = 0.0
    """Share of the problems that the teacher answers: 0 is on-policy, 1 off-policy."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.group < 1:
            raise UserError("group must be 1 answer or more", param="group")
        if not 0 <= self.from_teacher <= 1:
            raise UserError("from_teacher is a share, between 0 and 1", param="from_teacher")
        LossSettings(beta=self.beta)

    def parents(self) -> dict[str, str]:
        return {"from": self.from_, "teacher": self.teacher}

    def stand_in(self, ids: list[int], own: NDArray[np.float32]) -> Sample:
        return Sample.of(ids, kl=own / own.sum())

    def run(self, ctx: Context) -> None:
        tokenizer = ctx.tokenizer()
        student, teacher = ctx.model(), ctx.model("teacher")
        check_vocabulary(tokenizer, ctx.tokenizer("teacher"), student.config.vocab_size, teacher.config.vocab_size)
        trainer = self.trainer(ctx, student, loss=LossSettings(beta=self.beta), teacher=teacher)
        writers = [engine_of(trainer.decoder, tokenizer)]
        if self.from_teacher:
            writers.append(engine_of(Decoder(teacher), tokenizer))

        def answered(engine: TokenEngine, asks: Sequence[Ask]) -> list[tuple[Rollout, ...]]:
            return roll_out(engine, tokenizer, asks, group=self.group, max_new_tokens=self.max_new_tokens,
                            folder=ctx.folder)  # fmt: skip

        said: list[Rollout] = []  # of the newest step

        def batch(step: int) -> Drawn:
            writers[0].weights_changed()
            asks = self.asks(ctx.seed, step)
            own = len(asks) - round(self.from_teacher * len(asks))
            groups = answered(writers[0], asks[:own]) if own else []
            metrics = metrics_of(groups) if groups else {}  # what the student can do
            if own < len(asks):
                groups += answered(writers[1], asks[own:])
            said[:] = [group[0] for group in groups[:SHOWN]]
            samples = [taught(rollout) for group in groups for rollout in group]
            return Drawn(weights.normalise(samples, "token"), metrics)

        self.learn(ctx, trainer, tokenizer, batch, speak=lambda: said)


def taught(rollout: Rollout) -> Sample:
    """The teacher speaks wherever a model wrote, and not where ids were forced."""
    said, prompt = rollout.continuation, len(rollout.prompt_ids)
    own = [w == "model" for w in said.writers]
    kl = np.concatenate([np.zeros(prompt, np.float32), np.array(own, np.float32)])
    return Sample.of([*rollout.prompt_ids, *said.ids], kl=kl)


def check_vocabulary(student: Tokenizer, teacher: Tokenizer, student_size: int, teacher_size: int) -> None:
    """An id has to mean the same to both: their distributions are compared id by id."""
    a, b = student.vocabulary, teacher.vocabulary
    if (a.ids, a.added) != (b.ids, b.added):
        differ = {*a.ids.items(), *a.added.items()} ^ {*b.ids.items(), *b.added.items()}
        raise UserError(
            f"teacher and student have different tokenizers: {len(differ)} entries differ, such as "
            f"{min(differ)[0]!r}; distillation needs one vocabulary, so train both with the same tokenizer",
            param="teacher",
        )
    if student_size != teacher_size:
        raise UserError(
            f"the teacher knows {teacher_size} ids and the student {student_size}: distillation needs one vocabulary",
            param="teacher",
        )
