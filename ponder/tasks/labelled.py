"""Labelled answers: what a verifier must take and what it must not. A run of evaluation begins with them.

    check(TASKS["count"])        # raises VerifierError when the verifier takes a wrong answer, or misses right ones

Each problem is answered in every form below, once with its own answer {a} and once with another of the same kind {b};
numbers have forms of their own ({q} is the name of the question, {c} the number with thousands set off).
"""

import random
from dataclasses import dataclass

from ponder.core.sample import Problem
from ponder.tasks.base import Task

RIGHT = (
    "{a}", " {a}\n", "{a}.", "**{a}**", "__{a}__", "`{a}`", "${a}$", "\\({a}\\)", "\\[ {a} \\]", "\\boxed{{{a}}}",
    "$\\boxed{{{a}}}$", "\\boxed{{\\text{{{a}}}}}", "\"{a}\"", "\u201c{a}\u201d", "({a})", "Answer: {a}", "answer: {a}",
    "ANSWER: {a}.", "**Answer:** {a}", "**Answer: {a}**", "Final answer: {a}", "The answer is {a}.",
    "The answer is: {a}", "The answer is **{a}**.", "So the answer is {a}", "The final answer is \\boxed{{{a}}}.",
    "The final answer is $\\boxed{{{a}}}$.", "The correct answer is {a}!", "It is {a}.", "It's {a}.", "That is {a}",
    "The result is {a}.", "Result: {a}", "= {a}", "### {a}", "Sure! The answer is {a}.", "I get {a}.",
    "Let me see.\n\nThe answer is {a}.", "Answer:\n{a}", "Answer:\n\n**{a}**\n", "> {a}", "- {a}",
    "```\n{a}\n```", "The answer is\n{a}", "{a} is the answer.", "{a} it is.", "Easy: {a}",
    "{b}? Wrong. \\boxed{{{a}}}", "Looking at it step by step, I find {a}.", "The answer must be {a}.",
)  # fmt: skip
WRONG = (
    "{b}", "{b}.", "**{b}**", "\\boxed{{{b}}}", "Answer: {b}", "The answer is {b}.", "It is {b}.", "{a} or {b}",
    "{b} or {a}", "Either {a} or {b}.", "The answer is {a} or {b}.", "Answer: {a}, {b}", "It is not {a}.",
    "The answer is not {a}.", "The answer isn't {a}.", "\\boxed{{{a}}} \\boxed{{{b}}}", "\\boxed{{{a} or {b}}}",
    "Answer: {a}\nAnswer: {b}", "Answer: {b}\nAnswer: {a}", "The answer is {a}. No, the answer is {b}.",
    "I do not know.", "", " \n", "?", "Between {a} and {b}.", "{a} {b}", "{a}, {b}", "{a}\n{b}", "{a}/{b}",
    "Not {a} but {b}.", "It is {b}, never {a}.", "{a}? I am sure that the answer is {b}.", "The answer is",
    "Answer:", "\\boxed{{}}", "x{a}x", "{a}x", "x{a}", "{b} rather than {a}", "Neither {a} nor {b}",
)  # fmt: skip
NUMBER_RIGHT = (
    "{a}.0", "There are {a}.", "It comes to {a}", "{q} = {a}", "{c}", "**{c}**", "The answer is {c}.", "{a} times",
    "The sum of 12 and 345 is {a}.", "The answer to 12 + 345 is {a}.",
    "It occurs {a} times in a word of 99 letters.", "\\boxed{{{a}}} of 99",
)  # fmt: skip
NUMBER_WRONG = (
    "{a}.5", "{a}e3", "{a}%", "1/{a}", "{a}th", "{b}{a}", "{a},{b}", "{q} = {b}", "7.{a}", "1,{a}.5", "more than {a}",
    "at least {a}", "The sum of {a} and 345 is {b}.", "The answer is {a}.5", "There are {b} in all of the {a}.",
)  # fmt: skip
LIMIT = 0.01  # of the right answers that may be missed


class VerifierError(Exception):
    """A verifier takes what is wrong, or does not read what is right: nothing that it says can be used."""


@dataclass(frozen=True)
class Checked:
    """How many answers were tried, and which were judged wrongly."""

    right: int
    wrong: int
    missed: tuple[str, ...]
    taken: tuple[str, ...]


def labelled(task: Task, problems: int, seed: int = 0) -> list[tuple[Problem, str, bool]]:
    """(problem, answer, whether it is right), problems of all levels in turn."""
    rng = random.Random(seed)
    rows = []
    for n in range(problems):
        problem = task.trial(rng, n % task.levels)
        if (own := task.own_answers(problem, rng)) is not None:
            rows += [(problem, text, right) for right, texts in zip((True, False), own) for text in texts]
            continue
        a, b = task.answer(problem), task.wrong(problem, rng)
        numbers = a.isdigit()
        values = {"a": a, "b": b, "q": problem.id, "c": f"{int(a):,}" if numbers else a}
        rows += [(problem, form.format(**values), True) for form in RIGHT + task.forms + NUMBER_RIGHT * numbers]
        rows += [(problem, form.format(**values), False) for form in WRONG + NUMBER_WRONG * numbers]
    return rows


def judge(task: Task, rows: list[tuple[Problem, str, bool]]) -> Checked:
    verdicts = [(text, right, task.verify(problem, text).ok) for problem, text, right in rows]
    return Checked(
        right=sum(right for _, right, _ in verdicts),
        wrong=sum(not right for _, right, _ in verdicts),
        missed=tuple(text for text, right, ok in verdicts if right and not ok),
        taken=tuple(text for text, right, ok in verdicts if ok and not right),
    )


def check(task: Task) -> Checked:
    """Raises VerifierError for one wrong answer that was taken, or for more than 1 % of the right ones missed."""
    checked = judge(task, labelled(task, task.trials))
    if checked.taken:
        raise VerifierError(f"{task.name} takes {checked.taken[0]!r} for right ({len(checked.taken)} such answers)")
    if len(checked.missed) > LIMIT * checked.right:
        missed = f"{len(checked.missed)} of {checked.right} right answers"
        raise VerifierError(f"{task.name} does not read {missed}, such as {checked.missed[0]!r}")
    return checked
