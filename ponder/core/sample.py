"""The values of training and evaluation: a problem, its verdict, a rollout, and the sample that trains.

A task makes a `Problem`; a model continues its prompt (`TokenModel`, a `Continuation`); the task grades what came
back (`Verdict`); the three together are a `Rollout`. Whatever is to be learned becomes a `Sample`: ids, and for each
id how much which term of the loss counts there. The weights of a sample carry the normalisation, so that the trainer
never asks which algorithm made it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ponder.core.errors import UserError
from ponder.core.event import FinishReason, Handover
from ponder.core.message import Message

Split = Literal["train", "validation", "test"]
Status = Literal["graded", "unparsed", "truncated", "no_key"]
Writer = Literal["model", "environment", "hand_over"]
Floats = NDArray[np.float32]
Ints = NDArray[np.int32]

ROUNDING = 1e-5  # how far above 0 a log-prob in float32 may come out


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One question with its key. Filled by the task that made it; nobody changes it afterwards."""

    id: str
    """Unique inside the task, and the same whenever the same question is drawn again: splits hash it."""
    task: str
    """The name of the task, a key of the table of tasks."""
    split: Split
    level: int = 0
    """How hard it is, counted from 0 in the task's own ladder."""
    language: str = "en"
    """Language tag of the question (BCP 47)."""
    messages: tuple[Message, ...]
    """The conversation up to and including the question; rendered by whoever asks a model."""
    tools: tuple[dict[str, Any], ...] = ()
    """OpenAI tool objects that the model may call."""
    answer_key: object = None
    """What the task's verifier compares with. Opaque to everyone but the task; None means that there is no key."""

    def __post_init__(self) -> None:
        if not self.id or not self.task:
            raise UserError("a problem needs an id and the name of its task", param="id")
        if not self.messages:
            raise UserError(f"problem {self.id} has no messages: there is nothing to ask a model", param="messages")
        if self.level < 0:
            raise UserError(f"problem {self.id} has level {self.level}; levels count from 0", param="level")


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a verifier says about one answer. A verifier that fails raises: it never becomes a reward of 0."""

    reward: float
    """0 to 1, what reinforcement learning takes. Filled by the task."""
    ok: bool
    """Right or wrong, what evaluation counts."""
    status: Status = "graded"
    """graded: compared with the key. unparsed: no answer was found in the text. truncated: the thoughts were never
    closed, or the answer was cut. no_key: nothing to compare with. Only a graded answer can be right."""
    parts: Mapping[str, float] = field(default_factory=dict)
    """What the reward is made of, by name; for reports only."""

    def __post_init__(self) -> None:
        if not 0 <= self.reward <= 1:  # false for nan, too
            raise UserError(f"a reward is between 0 and 1, got {self.reward}", param="reward")
        if self.ok and self.status != "graded":
            raise UserError(f"an answer that is {self.status} cannot be right", param="ok")


@dataclass(frozen=True, kw_only=True)
class Continuation:
    """What a model made of one prompt: G ids. Filled by the engine; nothing in it is ever tokenised again."""

    ids: tuple[int, ...]
    """[G] every id after the prompt, exactly as sampled or forced; an end-of-turn id that was sampled included."""
    writers: tuple[Writer, ...]
    """[G] who wrote each id. model: sampled. hand_over: forced by the thinking budget, `</think>` after it included.
    environment: a tool's result or another turn that was put in between."""
    logprobs: tuple[float, ...] | None = None
    """[G] natural log of the probability with which the model drew the id, under the distribution that it was drawn
    from; 0.0 where the model did not write. None where the engine does not report it: good for grading only."""
    thinking_tokens: int = 0
    """Ids between `<think>` and `</think>`, those of a hand-over included."""
    finish: FinishReason
    handover: Handover | None = None
    """Why the thoughts were cut, if they were."""
    weights_version: int = 0
    """How often the weights of the model had changed when the first id was drawn."""

    def __post_init__(self) -> None:
        n = len(self.ids)
        if len(self.writers) != n or (self.logprobs is not None and len(self.logprobs) != n):
            found = "none" if self.logprobs is None else len(self.logprobs)
            raise UserError(f"{n} ids need {n} writers and log-probs, got {len(self.writers)} and {found}", param="ids")
        if self.logprobs is not None and not all(p <= ROUNDING for p in self.logprobs):
            raise UserError(f"log-probs are 0 or below, got {max(self.logprobs)}", param="logprobs")
        if not 0 <= self.thinking_tokens <= n:
            raise UserError(f"{self.thinking_tokens} thinking tokens in {n} ids", param="thinking_tokens")


@dataclass(frozen=True, kw_only=True)
class Rollout:
    """One attempt at one problem."""

    problem: Problem
    prompt_ids: tuple[int, ...]
    """[P] the rendered prompt, generation prompt included. Filled by whoever asked the model."""
    continuation: Continuation
    verdict: Verdict | None = None
    """Filled by the task's verifier; None until then."""
    earlier: tuple["Rollout", ...] = ()
    """Of an episode of several turns: what was said before a prompt that did not go on from the last one, because
    something in it had been left out or cut. Without verdicts; all of it is learned with the one of the whole."""

    def __post_init__(self) -> None:
        if not self.prompt_ids:
            raise UserError(f"the rollout of problem {self.problem.id} has an empty prompt", param="prompt_ids")

    def graded(self, verdict: Verdict) -> "Rollout":
        return replace(self, verdict=verdict)

    @property
    def stretches(self) -> tuple["Rollout", ...]:
        """All of it, in order."""
        return (*self.earlier, self)


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """One sequence to learn from: T ids, and streams over them. The only thing that crosses into the trainer.

    Entry t of every stream speaks of id t as predicted from the ids before it, so that entry 0 of each weight is 0.
    The loss of a step is the plain sum over all its samples of `ce·(-log p) + rl·(-S + kappa·k3) + kl·D`; means over
    tokens or sequences are in the weights (`train.weights`). `Sample.of` fills absent streams with zeros.
    """

    ids: Ints
    """[T] the whole sequence, prompt included."""
    ce: Floats
    """[T] weight of -log p, 0 or more; from the renderer's spans. Pre-training and supervised tuning."""
    rl: Floats
    """[T] weight of the policy term, 0 or more; 0 where the model did not write the id."""
    kl: Floats
    """[T] weight of the divergence from the teacher, 0 or more. Distillation."""
    advantage: Floats
    """[T] how much better than expected the rollout was, in units of the reward or of its deviation."""
    behaviour: Floats
    """[T] log-prob with which the id was drawn, nats, 0 or below; `Continuation.logprobs`, never recomputed."""
    reference: Floats | None = None
    """[T] log-prob of the id under the reference policy, nats; for k3 alone."""
    teacher_ids: Ints | None = None
    """[T, K] the teacher's most likely ids in place of id t. None: the trainer runs the teacher itself."""
    teacher_logprobs: Floats | None = None
    """[T, K] their log-probs, nats; what is missing to 1 is the tail class."""

    @classmethod
    def of(
        cls,
        ids: ArrayLike,
        *,
        ce: ArrayLike | None = None,
        rl: ArrayLike | None = None,
        kl: ArrayLike | None = None,
        advantage: ArrayLike | None = None,
        behaviour: ArrayLike | None = None,
        reference: ArrayLike | None = None,
        teacher_ids: ArrayLike | None = None,
        teacher_logprobs: ArrayLike | None = None,
    ) -> "Sample":
        """From anything array-like; a number stands for the same value everywhere but at id 0, where nothing is
        predicted."""
        whole = np.asarray(ids, np.int32)

        def stream(values: ArrayLike | None) -> Floats:
            if values is None:
                return np.zeros(whole.shape, np.float32)
            given = np.asarray(values, np.float32)
            if given.ndim == 0:
                given = np.full(whole.shape, given, np.float32)
                given[:1] = 0
            return given

        return cls(
            ids=whole,
            ce=stream(ce),
            rl=stream(rl),
            kl=stream(kl),
            advantage=stream(advantage),
            behaviour=stream(behaviour),
            reference=None if reference is None else stream(reference),
            teacher_ids=None if teacher_ids is None else np.asarray(teacher_ids, np.int32),
            teacher_logprobs=None if teacher_logprobs is None else np.asarray(teacher_logprobs, np.float32),
        )

    def __post_init__(self) -> None:
        if self.ids.ndim != 1 or len(self.ids) < 2:
            raise UserError(f"a sample needs a row of 2 ids or more, got shape {self.ids.shape}", param="ids")
        if self.ids.dtype != np.int32 or self.ids.min() < 0:
            raise UserError(f"ids are int32 and 0 or more, got {self.ids.dtype} from {self.ids.min()}", param="ids")
        for name in ("ce", "rl", "kl", "advantage", "behaviour", "reference"):
            self._check_stream(name)
        if not (self.ce.any() or self.rl.any() or self.kl.any()):
            raise UserError("a sample whose weights are all 0 teaches nothing; leave it out", param="ce")
        self._check_teacher()

    def _check_stream(self, name: str) -> None:
        values: Floats | None = getattr(self, name)
        if values is None:
            return
        if values.shape != self.ids.shape or values.dtype != np.float32:
            expected = f"float32 {self.ids.shape}"
            raise UserError(f"{name} must be {expected}, got {values.dtype} {values.shape}", param=name)
        if not np.isfinite(values).all():
            at = int(np.flatnonzero(~np.isfinite(values))[0])
            raise UserError(f"{name} is {values[at]} at id {at}", param=name)
        if name in ("ce", "rl", "kl") and (values[0] != 0 or values.min() < 0):
            raise UserError(f"{name} must be 0 at id 0, which nothing predicts, and nowhere below 0", param=name)
        if name in ("behaviour", "reference") and values.max() > ROUNDING:
            raise UserError(f"{name} holds log-probs, 0 or below; got {values.max()}", param=name)

    def _check_teacher(self) -> None:
        ids, logprobs = self.teacher_ids, self.teacher_logprobs
        if (ids is None) != (logprobs is None):
            raise UserError("teacher_ids and teacher_logprobs belong together; give both or neither", param="teacher")
        if ids is None or logprobs is None:
            return
        if ids.ndim != 2 or ids.shape != logprobs.shape or len(ids) != len(self.ids) or not ids.shape[1]:
            raise UserError(
                f"teacher_ids and teacher_logprobs must be [{len(self.ids)}, K], got {ids.shape} and {logprobs.shape}",
                param="teacher",
            )
        rows = self.kl > 0
        mass = np.exp(logprobs[rows].astype(np.float64)).sum(-1)
        if not (mass <= 1 + 1e-3).all():  # false for nan, too; the slack is rounding to float32
            raise UserError(f"the teacher's probabilities of one row sum to {mass.max():.4f}, over 1", param="teacher")
        if rows.any() and (np.diff(np.sort(ids[rows], axis=-1), axis=-1) == 0).any():
            raise UserError("teacher_ids names an id twice in one row", param="teacher")

    def __len__(self) -> int:
        return len(self.ids)
