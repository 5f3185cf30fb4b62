"""Rollouts: a problem is rendered, a model continues the prompt, the task grades the answer.

    asks = [Ask(task, problem, thinking=True, budget=64, seed=7), ...]
    groups = roll_out(engine, tokenizer, asks, group=8, max_new_tokens=256, folder=run)

Ids are drawn from the model's whole distribution at temperature 1: that is where the log-probs of `Continuation` and
the trainer's are of the same thing. Nothing is tokenised again; only the answer phase is graded.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from msgspec import structs

from ponder.core.errors import UserError
from ponder.core.event import message_of
from ponder.core.params import UNSHAPED, Thinking
from ponder.core.sample import Continuation, Problem, Rollout, Verdict
from ponder.core.token_model import TokenModel, TokenRequest
from ponder.eval.grade import judged
from ponder.tasks.base import Task
from ponder.tasks.labelled import VerifierError
from ponder.text.chat.parse import StreamParser
from ponder.text.chat.render import render
from ponder.text.chat.template import Template
from ponder.text.tokenizer.tokenizer import Tokenizer

TRUNCATED = Verdict(reward=0.0, ok=False, status="truncated")
FAILED = "failed-problem.json"


@dataclass(frozen=True, kw_only=True)
class Ask:
    """One problem, and how it is put."""

    task: Task
    problem: Problem
    seed: int
    """Of the draws; each answer of the group has numbers of its own."""
    thinking: bool = True
    budget: int | None = None
    """Thinking ids, then the hand-over."""

    def __post_init__(self) -> None:
        if self.budget is not None and not self.thinking:
            raise UserError("a thinking budget belongs to a problem that is thought about", param="budget")


def request_of(
    ask: Ask, tokenizer: Tokenizer, *, group: int, max_new_tokens: int, template: Template | None = None
) -> TokenRequest:
    """group: answers to the problem; they share its prompt. No loop guard: it would end an answer that the model went
    on with, and blame the model for it."""
    ids = render(
        ask.problem.messages, tokenizer, tools=ask.problem.tools, enable_thinking=ask.thinking, template=template
    ).ids
    sampling = structs.replace(UNSHAPED, max_tokens=max_new_tokens, n=group, seed=ask.seed)
    thinking = Thinking(enabled=ask.thinking, budget=ask.budget, loop_guard=False)
    return TokenRequest(prompt_ids=tuple(ids), sampling=sampling, thinking=thinking)


def roll_out(
    model: TokenModel,
    tokenizer: Tokenizer,
    asks: Sequence[Ask],
    *,
    group: int,
    max_new_tokens: int,
    folder: Path,
    template: Template | None = None,
) -> list[tuple[Rollout, ...]]:
    """For each ask, in order, its group of graded answers. folder: where a problem is kept whose verifier fails.

    Raises VerifierError when one does: that is a bug of the task, and no answer's fault.
    """
    requests = [
        request_of(ask, tokenizer, group=group, max_new_tokens=max_new_tokens, template=template) for ask in asks
    ]
    return [
        tuple(
            Rollout(problem=ask.problem, prompt_ids=request.prompt_ids, continuation=one).graded(
                verdict(ask.task, ask.problem, request.prompt_ids, one, tokenizer, folder)
            )
            for one in said
        )
        for ask, request, said in zip(asks, requests, model.sample(requests), strict=True)
    ]


def verdict(
    task: Task, problem: Problem, prompt_ids: Sequence[int], said: Continuation, tokenizer: Tokenizer, folder: Path
) -> Verdict:
    """Thoughts that were never closed and answers that were cut are truncated: no verifier sees them."""
    thoughts, answer, phase = read(prompt_ids, said, tokenizer)
    unsaid = phase == "reasoning" or bool(thoughts.strip() and not answer.strip())
    if unsaid or said.finish in ("length", "cancelled"):
        return TRUNCATED
    return verdict_of(task, problem, answer, thoughts, folder, said.ids)


def verdict_of(
    task: Task, problem: Problem, answer: str, thoughts: str, folder: Path, ids: Sequence[int] = ()
) -> Verdict:
    """ids: of the answer, to be kept with a problem whose verifier fails."""
    try:
        return judged(task, problem, answer, thoughts)[0]
    except VerifierError as error:
        path = folder / FAILED
        path.parent.mkdir(parents=True, exist_ok=True)
        facts = {"task": problem.task, "problem": problem.id, "level": problem.level, "answer": answer,
                 "question": problem.messages[-1].text, "ids": list(ids), "error": str(error)}  # fmt: skip
        path.write_text(json.dumps(facts, ensure_ascii=False, indent=1))
        raise VerifierError(f"{error}. The problem is in {path}") from error


def read(prompt_ids: Sequence[int], said: Continuation, tokenizer: Tokenizer) -> tuple[str, str, str]:
    """(thoughts, answer, the phase at the end). The sentence of a hand-over is neither."""
    parser = StreamParser(tokenizer, prompt_ids, calls=False)
    pairs: Iterable[tuple[int, str]] = zip(said.ids, said.writers, strict=True)
    events = parser.feed(i for i, writer in pairs if writer != "hand_over" or i == tokenizer.end_think)
    phase = parser.phase
    message = message_of([*events, *parser.finish()])
    return message.reasoning or "", message.text, phase
