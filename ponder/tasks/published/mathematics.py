"""Benchmarks of mathematics: GSM8K, MATH-500, AIME, and their translations. The answer is boxed."""

import re
from dataclasses import dataclass
from fractions import Fraction

from ponder.core.sample import Problem, Verdict
from ponder.tasks.published.released import Item, Released
from ponder.tasks.published.rows import Row
from ponder.tasks.read import BOXED, read_number

ASK = "Please reason step by step, and put your final answer within \\boxed{}."
LEVELS = ("low", "medium", "high", "top")  # of PolyMath
PLAIN = (  # what says nothing about the value
    r"\\left|\\right|\\!|\\,|\\;|\\ |\\%|%|\\\$|\$|\\circ|\^\{\\circ\}|~"
)
UNITS = re.compile(
    r"(?<=[\d}])(?:cm|mm|km|m|kg|g|degrees?|dollars?|cents?|hours?|minutes?|seconds?|days?|inches|feet|miles|units?|points?)$"
)


@dataclass(frozen=True, eq=False)
class Mathematics(Released):
    """Rows: question or problem, and answer; a GSM8K answer ends with #### and the number."""

    def item(self, row: Row, place: int) -> Item:
        question = row.get("question") or row["problem"]
        answer = str(row.get("answer") if row.get("answer") is not None else row["expected_answer"])
        key = answer.rpartition("####")[2].strip() if "####" in answer else answer.strip()
        level = row.get("level", 0)
        if isinstance(level, str):  # "Level 3" of MATH, "low" of PolyMath
            level = LEVELS.index(level) if level in LEVELS else int(re.sub(r"\D", "", level) or 1) - 1
        elif level:
            level -= 1
        if not key:
            raise ValueError("the answer is empty")
        id_ = row.get("unique_id") or row.get("id") or row.get("problem_idx")
        return Item(
            id=str(place if id_ is None else id_),
            question=question,
            key=normal(key),
            level=int(level),
            language=str(row.get("language") or row.get("lang") or "en"),
            solution=str(row.get("solution") or answer if "####" in answer else row.get("solution") or ""),
        )

    def prompt(self, item: Item) -> str:
        return f"{item.question}\n\n{ASK}"

    def read(self, problem: Problem, text: str) -> str | None:
        """What the boxes hold, if it is one value; without a box, a single number where the key is one."""
        if boxed := BOXED.findall(text):
            values = {normal(part) for part in boxed}
            return values.pop() if len(values) == 1 and "" not in values else None
        return read_number(text) if str(problem.answer_key).lstrip("-").isdigit() else None

    def grade(self, problem: Problem, found: str) -> Verdict:
        ok = same(found, str(problem.answer_key))
        return Verdict(reward=float(ok), ok=ok, parts={"parsed": 1.0})

    def own_answers(self, problem: Problem, rng: object) -> tuple[list[str], list[str]] | None:
        """The forms of `labelled` where the key is a number; else what may stand around a box."""
        key = self.answer(problem)
        if key.isdigit():
            return None
        forms = ("\\boxed{{{}}}", "So $\\boxed{{{}}}$.", "The answer is $\\boxed{{ {} }}$", "\\[\\boxed{{{}}}\\]")
        wrong = ("\\boxed{{{}+1}}", "\\boxed{{-({})x}}", "\\boxed{{}}", "It is clear.", "\\boxed{{{} or 7}}")
        return [form.format(key) for form in forms], [form.format(key) for form in wrong]


def normal(text: str) -> str:
    """The same for the ways of writing that mean the same: fractions, blanks, units, thousands."""
    text = re.sub(r"\\(?:d|t)frac", r"\\frac", text.strip().rstrip("."))
    text = re.sub(PLAIN, "", re.sub(r"\\(?:text|textbf|mathrm|mbox)\{([^{}]*)\}", r"\1", text))
    text = re.sub(r"\\frac(\d)(\d)", r"\\frac{\1}{\2}", text)
    text = re.sub(r"\\sqrt(\d)", r"\\sqrt{\1}", text)
    text = re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text)
    text = text.replace("\\cdot", "*").replace("\\pi", "pi").replace("π", "pi")
    text = re.sub(r"\s+", "", text.partition("=")[2] if re.match(r"^[a-zA-Z]\s*=", text) else text)
    return UNITS.sub("", text)


def same(found: str, key: str) -> bool:
    """As text, or as rational numbers."""
    if found == key:
        return True
    one, other = _number(found), _number(key)
    return one is not None and one == other


def _number(text: str) -> Fraction | None:
    if match := re.fullmatch(r"(-?)\\frac\{(-?\d+)\}\{(\d+)\}", text):
        return Fraction(int(match[2]), int(match[3])) * (-1 if match[1] else 1) if int(match[3]) else None
    if re.fullmatch(r"-?(\d+(\.\d*)?|\.\d+)", text) or re.fullmatch(r"-?\d+/[1-9]\d*", text):
        return Fraction(text)
    return None
