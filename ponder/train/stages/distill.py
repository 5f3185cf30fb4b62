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
from msgspec import field
from numpy.typing import NDArray

from ponder.core.errors import UserError
from ponder.core.sample import Rollout, Sample
from ponder.engine.token_model import TokenEngine
from ponder.model.torch.modules import Decoder
from ponder.tasks.tools.world import PlayedTask
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.train import weights
from ponder.train.loss import LossSettings
from ponder.train.rollouts.collect import Ask, roll_out
from ponder.train.rollouts.groups import computed, metrics_of
from ponder.train.rollouts.hand_over import engine_of
from ponder.train.rollouts.said_by_teacher import told_by
from ponder.train.rollouts.watch import Watch
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
    teachers: dict[str, str] = field(default_factory=dict)
    """Further ones: a task's name and the stage whose model teaches it, in place of `teacher`."""
    top: int = 0
    """The teacher's so many likeliest ids and the rest as one; 0: its whole distribution. With several teachers it is
    above 0, since each sample then carries what its own said."""
    length_limit: float = 3.0
    """The run stops when answers are so many times longer than in its first steps; 0: never."""
    loop_limit: float = 0.5
    """The run stops when so large a share of the answers ends in a loop; 0: never."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if played := [task.name for task in self.found() if isinstance(task, PlayedTask)]:
            raise UserError(f"{played[0]} is played with tools, which kind rl can", param="tasks")
        if self.group < 1:
            raise UserError("group must be 1 answer or more", param="group")
        if not 0 <= self.from_teacher <= 1:
            raise UserError("from_teacher is a share, between 0 and 1", param="from_teacher")
        LossSettings(beta=self.beta)
        if unknown := [name for name in self.teachers if name not in self.tasks]:
            raise UserError(f"a teacher is named for {unknown[0]}, which is not among the tasks", param="teachers")
        if self.top < 0:
            raise UserError(f"top is 0 (the whole distribution) or a number of ids, got {self.top}", param="top")
        if self.teachers and not self.top:
            raise UserError("several teachers say their likeliest ids: set top, such as 64", param="top")
        if self.teachers and self.from_teacher:
            raise UserError("with several teachers the student answers: from_teacher is 0", param="from_teacher")
        if not self.length_limit >= 0 or not 0 <= self.loop_limit <= 1:
            raise UserError("length_limit is 0 or more, loop_limit between 0 and 1", param="length_limit")

    def parents(self) -> dict[str, str]:
        return {"from": self.from_, "teacher": self.teacher} | {name: name for name in self.teachers.values()}

    def stand_in(self, ids: list[int], own: NDArray[np.float32]) -> Sample:
        return Sample.of(ids, kl=own / own.sum())

    def run(self, ctx: Context) -> None:
        tokenizer = ctx.tokenizer()
        student, teacher = ctx.model(), ctx.model("teacher")
        own = {task: ctx.model(stage) for task, stage in self.teachers.items()}
        for role, model in (("teacher", teacher), *((self.teachers[task], model) for task, model in own.items())):
            check_vocabulary(tokenizer, ctx.tokenizer(role), student.config.vocab_size, model.config.vocab_size)
        alone = None if self.top else teacher
        trainer = self.trainer(ctx, student, loss=LossSettings(beta=self.beta), teacher=alone)
        watch = Watch(ctx.metrics, self.length_limit, self.loop_limit)
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
            student_part = len(asks) - round(self.from_teacher * len(asks))
            groups = answered(writers[0], asks[:student_part]) if student_part else []
            metrics = metrics_of(groups) if groups else {}  # what the student can do
            watch.note(metrics)
            if student_part < len(asks):
                groups += answered(writers[1], asks[student_part:])
            said[:] = [group[0] for group in groups[:SHOWN]]
            samples = [taught(rollout) for group in groups for rollout in group]
            if self.top:
                asked = [rollout.problem.task for group in groups for rollout in group]
                samples = [
                    told for sample, task in zip(samples, asked, strict=True)
                    for told in told_by(own.get(task, teacher), [sample], self.top)
                ]  # fmt: skip
            return Drawn(weights.normalise(samples, "token"), metrics, sampled=computed(groups))

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
