"""Asks a base model: every choice's log-likelihood, or a greedy continuation.

The log-likelihood of an answer is that of its ids after the ids of the prompt, both cut out of the ids of the whole
text; blanks at the end of a prompt belong to the answer. So does lm-eval, and item by item the numbers are the same.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from msgspec import Struct

from ponder.core.errors import UserError
from ponder.core.event import TokenLogprob
from ponder.core.params import SamplingParams
from ponder.eval.base.forms import FORMS, Form, right_choice
from ponder.eval.statistics import Estimate, estimate
from ponder.tasks.published.rows import Row, rows_of

BATCH = 32


class BaseModel(Protocol):
    """What is asked of a model."""

    def tokenize(self, text: str) -> list[int]: ...

    def prompt_logprobs(self, ids: list[int], top: int = 0) -> tuple[TokenLogprob, ...]: ...

    def complete(self, prompts: Sequence[str], sampling: SamplingParams) -> list[str]:
        """How each text goes on."""


class Answer(Struct, frozen=True, kw_only=True):
    """One item. logprobs: of each choice, natural logarithm. text: what was generated."""

    task: str
    place: int
    prompt: str
    logprobs: tuple[float, ...] = ()
    text: str = ""
    ok: bool


class BaseScore(Struct, frozen=True, kw_only=True):
    task: str
    shots: int
    accuracy: Estimate


def ask(
    model: BaseModel,
    names: Sequence[str],
    data: Mapping[str, Path],
    shots: Mapping[str, Path],
    *,
    n: int | None = None,
    tick: Callable[[int, int], None] = lambda done, total: None,
) -> list[Answer]:
    """The first n rows of each file. Raises UserError for a name that is no form, and for rows that are missing."""
    asked = [(form, *_read(form, data, shots)) for form in map(_form, names)]
    total = sum(len(rows[:n]) for _, rows, _ in asked)
    answers: list[Answer] = []
    for form, rows, solved in asked:
        tasks = [(place, row, form.prompt(row, _of_subject(row, solved, form))) for place, row in enumerate(rows[:n])]
        for start in range(0, len(tasks), BATCH):
            some = tasks[start : start + BATCH]
            answers += _chosen(model, form, some) if form.choices else _continued(model, form, some)
            tick(len(answers), total)
    return answers


def scores_of(answers: Sequence[Answer]) -> list[BaseScore]:
    names = dict.fromkeys(answer.task for answer in answers)
    return [
        BaseScore(
            task=name, shots=FORMS[name].shots, accuracy=estimate([float(a.ok) for a in answers if a.task == name])
        )
        for name in names
    ]


def split_ids(model: BaseModel, prompt: str, answer: str) -> tuple[list[int], list[int]]:
    """The ids of a whole text in two parts."""
    if blanks := len(prompt) - len(prompt.rstrip()):
        prompt, answer = prompt[:-blanks], prompt[-blanks:] + answer
    whole = model.tokenize(prompt + answer)
    first = len(model.tokenize(prompt))
    return whole[:first], whole[first:]


def loglikelihood(model: BaseModel, prompt: str, answer: str) -> float:
    before, after = split_ids(model, prompt, answer)
    scored = model.prompt_logprobs([*before, *after])
    return sum(entry.logprob for entry in scored[-len(after) :])


Task = tuple[int, Row, str]


def _chosen(model: BaseModel, form: Form, tasks: Sequence[Task]) -> list[Answer]:
    answers = []
    for place, row, prompt in tasks:
        logprobs = tuple(loglikelihood(model, prompt, choice) for choice in form.choices)
        ok = logprobs.index(max(logprobs)) == right_choice(row)
        answers.append(Answer(task=form.name, place=place, prompt=prompt, logprobs=logprobs, ok=ok))
    return answers


def _continued(model: BaseModel, form: Form, tasks: Sequence[Task]) -> list[Answer]:
    greedy = SamplingParams(
        temperature=0, repetition_penalty=1, presence_penalty=0, max_tokens=form.tokens, stop=form.until
    )
    made = model.complete([prompt for _, _, prompt in tasks], greedy)
    return [
        Answer(task=form.name, place=place, prompt=prompt, text=text, ok=form.right(row, text))
        for (place, row, prompt), text in zip(tasks, made, strict=True)
    ]


def _form(name: str) -> Form:
    if name not in FORMS:
        raise UserError(f"a base model is asked {', '.join(FORMS)}; {name!r} is none of them", param="tasks")
    return FORMS[name]


def _read(form: Form, data: Mapping[str, Path], shots: Mapping[str, Path]) -> tuple[list[Row], list[Row]]:
    for kind, files in (("data", data), ("shots", shots)):
        if form.name not in files:
            raise UserError(f"{form.name}: name the file of its {kind} with --{kind} {form.name}=FILE", param=kind)
    rows, solved = rows_of(data[form.name]), rows_of(shots[form.name])
    for place, row in enumerate((*rows, *solved)):
        try:
            form.asks(row), form.says(row)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as e:
            what = "data" if place < len(rows) else "shots"
            raise UserError(
                f"{form.name}: a row of its {what} is of another form ({type(e).__name__} {e})", param=what
            ) from e
    if len(solved) < form.shots:
        raise UserError(f"{form.name} needs {form.shots} shots, the file has {len(solved)}", param="shots")
    return rows, solved


def _of_subject(row: Row, solved: Sequence[Row], form: Form) -> Sequence[Row]:
    """The first shots; of the row's own subject where rows have one."""
    own = [shot for shot in solved if shot.get("subject") == row.get("subject")]
    return (own if len(own) >= form.shots else solved)[: form.shots]
