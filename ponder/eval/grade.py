"""From what a model said to what is counted: only the answer phase is graded.

Thoughts that were never closed, and an answer that was cut, are `truncated`: wrong, and counted beside the score. An
endpoint that leaves thoughts in its text, tags and all, is read the same way.
"""

from collections.abc import Iterable

from msgspec import Struct, structs

from ponder.core.event import (
    Effective,
    Event,
    Finish,
    FinishReason,
    Handover,
    ReasoningDelta,
    TextDelta,
    ToolCallDone,
)
from ponder.core.message import split_thinking
from ponder.core.sample import Problem, Status, Verdict
from ponder.eval.settings import Cell
from ponder.tasks.base import Task
from ponder.tasks.labelled import VerifierError
from ponder.text.calls.tool_calls import tagged

_TRUNCATED = Verdict(reward=0.0, ok=False, status="truncated")
OPEN, CLOSE = "<think>", "</think>"


class Output(Struct, frozen=True, kw_only=True):
    """One answer to one problem in one cell, raw and graded.

    answer: the text after the thoughts. thinking_tokens: those of a hand-over included, as engines count. found: what
    the task read in the answer, for votes. seconds: from the request to its end, others in flight beside it. effective:
    the sampling values that held, without the seed, which is `seed`.
    """

    task: str
    problem: str
    level: int
    cell: Cell
    sample: int
    seed: int
    reasoning: str
    answer: str
    finish: FinishReason
    stop_reason: str | None
    handover: Handover | None
    prompt_tokens: int
    thinking_tokens: int
    handover_tokens: int
    completion_tokens: int
    effective: Effective
    status: Status
    ok: bool
    reward: float
    found: str | None
    language: str = "en"
    seconds: float = 0.0

    @property
    def key(self) -> tuple[str, str, Cell, int]:
        return self.task, self.problem, self.cell, self.sample

    @property
    def loops(self) -> bool:
        return self.handover == "loop" or self.stop_reason == "repetition"

    @property
    def whole(self) -> bool:
        """Whether the model ended its thoughts itself. A server may count the hand-over without saying why it was."""
        return self.handover is None and not self.handover_tokens and self.status != "truncated"


def graded(
    task: Task, problem: Problem, cell: Cell, sample: int, seed: int, events: Iterable[Event], seconds: float = 0.0
) -> Output:
    """events: of a stream that has ended. Raises what the verifier raises."""
    reasoning, answer, finish = reply_parts(events)
    truncated = finish.reason in ("length", "cancelled") or bool(reasoning.strip() and not answer.strip())
    verdict, found = (_TRUNCATED, None) if truncated else judged(task, problem, answer, reasoning)
    return Output(
        task=task.name,
        problem=problem.id,
        level=problem.level,
        cell=cell,
        sample=sample,
        seed=seed,
        reasoning=reasoning,
        answer=answer,
        finish=finish.reason,
        stop_reason=finish.stop_reason,
        handover=finish.handover,
        prompt_tokens=finish.usage.prompt_tokens,
        thinking_tokens=finish.usage.reasoning_tokens,
        handover_tokens=finish.usage.handover_tokens,
        completion_tokens=finish.usage.completion_tokens,
        effective=Effective(**{**structs.asdict(finish.effective), "seed": None}),
        status=verdict.status,
        ok=verdict.ok,
        reward=verdict.reward,
        found=found,
        language=problem.language,
        seconds=seconds,
    )


def judged(task: Task, problem: Problem, answer: str, thoughts: str) -> tuple[Verdict, str | None]:
    """A verifier that fails ends the run with what it failed on; it never becomes a score."""
    try:
        return task.verify_turn(problem, thoughts, answer), task.read(problem, answer)
    except (ArithmeticError, LookupError, TypeError, ValueError) as e:
        what = f"problem {problem.id!r} of {task.name}, answer {answer!r}"
        raise VerifierError(f"the verifier failed on {what}: {e}") from e


def reply_parts(events: Iterable[Event]) -> tuple[str, str, Finish]:
    """(thoughts, answer and calls, the end). Without `</think>` a text that begins with `<think>` is all thoughts."""
    reasoning, answer, finish = "", "", None
    for event in events:
        if isinstance(event, ReasoningDelta):
            reasoning += event.text
        elif isinstance(event, TextDelta):
            answer += event.text
        elif isinstance(event, ToolCallDone):  # as the model wrote it
            answer += tagged(event.call)
        elif isinstance(event, Finish):
            finish = event
    assert finish is not None, "a stream ends with Finish"
    if CLOSE in answer:
        left, answer = split_thinking(answer)
        reasoning += left
    elif answer.lstrip().startswith(OPEN):
        reasoning, answer = reasoning + answer, ""
    return reasoning, answer, finish
