"""Verifiers against labelled answers: nothing wrong is taken, hardly anything right is missed."""

import random

import pytest

from ponder.core.sample import Problem, Verdict
from ponder.tasks.base import Task
from ponder.tasks.labelled import LIMIT, VerifierError, check, judge, labelled
from ponder.tasks.letters import Letters
from ponder.tasks.read import read_choice, read_letters, read_number
from ponder.tasks.table import TASKS

RUNS = pytest.mark.slow  # minutes: a program for every answer
EVERY = pytest.mark.parametrize(
    "task", [pytest.param(t, marks=RUNS if t.trials < 12 else ()) for t in TASKS.values()], ids=lambda t: t.name
)


@EVERY
def test_a_thousand_labelled_answers_and_more(task: Task) -> None:
    own = task.own_answers(task.make(random.Random(0), 0, "train"), random.Random(0)) is not None
    checked = judge(task, labelled(task, problems=90 if own else 40, seed=11))
    assert checked.right >= 500 and checked.wrong >= 500
    assert checked.taken == ()
    assert len(checked.missed) <= LIMIT * checked.right


def test_programs_run_in_a_sandbox_and_end() -> None:
    task = TASKS["write_code"]
    problem = task.problem("f even square sum", 1, "train")
    right = task.answer(problem)
    assert task.verify(problem, f"Here:\n{right}").ok
    for body in ("while True: pass", "print('@result [0]')"):
        verdict = task.verify(problem, f"```python\ndef f(xs):\n    {body}\n```")
        assert verdict.status == "graded" and not verdict.ok
    assert task.verify(problem, right.replace("def f", "def g")).status == "unparsed"


NUMBERS = {
    "7311 + 7890 = 15201": "15201",
    "The sum of 7311 and 7890 is 15,201.": "15201",
    "In the word strawberry, the letter r appears 3 times: once after t, and twice near the end.": "3",
    "There are three.": "3",
    "Three": "3",
    "one": "1",
    "One of the letters": None,
    "\u22125": "-5",
    "2-3": None,
    "3.0": "3",
    "3.5": "3.5",
    "007": "007",
    "1,2": None,
    "v2": None,
    "12 of 15": None,
    "Answer: 12 of 15": None,
    "The answer to the question above is 4.": "4",
    "The answer to 34 + 84 is 128.": "128",
    "To add 9995 and 4945:\n\n\\[ 9995 + 4945 = 14940 \\]\n\nThis is obtained without steps or calculations.": "14940",
    "To add 9995 and 4945:\n\n9995 + 4945 = 14940 or 14941": None,
    "Is it 3? I cannot say.": None,
    "It is 3. Not really.": None,
    "It is 3. Wait, it is 3.": None,
    "\\boxed{5}, so the answer is 6": "5",
}


@pytest.mark.parametrize("text", NUMBERS)
def test_numbers(text: str) -> None:
    assert read_number(text) == NUMBERS[text]


CHOICES = {
    "K": "K",
    "k": "K",
    "(k)": "K",
    "At place 2 is M.": "M",
    "After the swaps the row is K L M N, so at 2 is L.": None,
    "K L M N": None,
    "At 2: L": "L",
    "Kim": None,
    "P": None,
}


@pytest.mark.parametrize("text", CHOICES)
def test_choices(text: str) -> None:
    assert read_choice(text, "KLMN") == CHOICES[text]


LETTERS = {
    "t e w": "t e w",
    "tew": "t e w",
    "T-E-W": "t e w",
    "t, e, w": "t e w",
    "w e t backwards is t e w.": "t e w",
    "w e t \u2192 t e w": "t e w",
    "I do not know": None,
    "w e t, t e w": "w e t t e w",
    "It was wet": None,
    "t e w b": "t e w b",
}


@pytest.mark.parametrize("text", LETTERS)
def test_rows_of_letters(text: str) -> None:
    assert read_letters(text, "aberstwy", 3) == LETTERS[text]


@EVERY
def test_what_cannot_be_read_is_unparsed_and_what_has_no_key_is_not_judged(task: Task) -> None:
    problem = task.make(random.Random(0), task.levels - 1, "train")
    unparsed = Verdict(reward=0.0, ok=False, status="unparsed", parts={"parsed": 0.0})
    if task.own_answers(problem, random.Random(0)) is None:  # for the others any words are an answer
        assert task.verify(problem, "Hm, hard to say.") == unparsed
    assert task.verify(problem, " \n") == unparsed
    keyless = Problem(id=problem.id, task=task.name, split="train", messages=problem.messages)
    assert task.verify(keyless, task.answer(problem)).status == "no_key"


@EVERY
def test_a_key_that_is_none_of_the_tasks_raises(task: Task) -> None:
    problem = task.make(random.Random(0), task.levels - 1, "train")
    for key in (3, "", ["3"]):
        broken = Problem(id=problem.id, task=task.name, split="train", messages=problem.messages, answer_key=key)
        with pytest.raises(TypeError, match="key"):
            task.verify(broken, "3")


def test_a_verifier_that_takes_too_much_or_too_little_is_found() -> None:
    class Generous(Letters):
        def read(self, problem: Problem, text: str) -> str | None:
            return self.answer(problem) if self.answer(problem) in text else None

    class Strict(Letters):
        def read(self, problem: Problem, text: str) -> str | None:
            return text if text == self.answer(problem) else None

    with pytest.raises(VerifierError, match="count takes"):
        check(Generous())
    with pytest.raises(VerifierError, match="count does not read"):
        check(Strict())
