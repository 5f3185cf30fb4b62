"""Logic and mixed benchmarks: ZebraLogic (a grid as JSON), AutoLogi (a program checks the answer), LiveBench."""

import ast
import json
import random
import re
import secrets
from dataclasses import dataclass
from typing import Any

from ponder.core.sample import Problem, Verdict
from ponder.tasks.published.mathematics import normal
from ponder.tasks.published.programs import SECONDS
from ponder.tasks.published.released import Item, Released
from ponder.tasks.published.rows import Row
from ponder.tasks.read import BOXED
from ponder.tasks.run_code import FENCED, printed

OBJECT = re.compile(r"\{.*\}", re.S)
SOLUTION = re.compile(r"<solution>(.*?)</solution>", re.S | re.I)
BOLD = re.compile(r"\*\*(.+?)\*\*", re.S)
GRADED = ("math", "reasoning", "data_analysis", "language")  # categories of LiveBench with one right text


@dataclass(frozen=True, eq=False)
class Zebra(Released):
    """Rows: puzzle, solution with header and rows. Right is a whole grid."""

    def item(self, row: Row, place: int) -> Item:
        solution = json.loads(row["solution"]) if isinstance(row["solution"], str) else row["solution"]
        head = [str(name) for name in solution["header"]]
        grid = {
            f"House {r[0]}" if str(r[0]).isdigit() else str(r[0]): dict(zip(head[1:], map(str, r[1:])))
            for r in solution["rows"]
        }
        if not grid or not all(grid.values()):
            raise ValueError("the grid is empty")
        return Item(id=str(row.get("id") or place), question=row["puzzle"], key=json.dumps(grid))

    def prompt(self, item: Item) -> str:
        grid = json.loads(item.key)
        empty = {house: dict.fromkeys(cells, "___") for house, cells in grid.items()}
        form = json.dumps({"solution": empty}, indent=1)
        return f"{item.question}\n\nAnswer with JSON of this form, every ___ filled in:\n{form}"

    def read(self, problem: Problem, text: str) -> str | None:
        found = _last_object(text)
        grid = found.get("solution", found) if found else None
        return json.dumps(grid) if isinstance(grid, dict) and all(isinstance(v, dict) for v in grid.values()) else None

    def grade(self, problem: Problem, found: str) -> Verdict:
        key, given = json.loads(str(problem.answer_key)), json.loads(found)
        cells = [(house, name) for house, row in key.items() for name in row]
        hits = sum(_bare(given.get(house, {}).get(name)) == _bare(key[house][name]) for house, name in cells)
        ok = hits == len(cells)
        return Verdict(reward=float(ok), ok=ok, parts={"cells": hits / len(cells)})

    def own_answers(self, problem: Problem, rng: random.Random) -> tuple[list[str], list[str]]:
        grid = json.loads(self.answer(problem))
        house = next(iter(grid))
        other = {**grid, house: dict.fromkeys(grid[house], "nobody")}
        less = {name: row for name, row in grid.items() if name != house}
        right = [
            json.dumps(grid),
            json.dumps({"solution": grid}),
            f"```json\n{json.dumps({'solution': grid}, indent=1)}\n```",
        ]
        return [*right, f"So it is:\n{right[1]}"], [
            json.dumps(other),
            json.dumps(less),
            "",
            "{}",
            "I do not know.",
            "[]",
        ]


@dataclass(frozen=True, eq=False)
class AutoLogi(Released):
    """Rows: prompt, and code with Inputs_Check_code and Constraint_List_code. Many answers are right."""

    trials: int = 2

    def item(self, row: Row, place: int) -> Item:
        code = json.loads(row["code"]) if isinstance(row["code"], str) else row["code"]
        checks = f"{code['Inputs_Check_code']}\n{code['Constraint_List_code']}"
        return Item(id=str(row.get("id") or row.get("index") or place), question=row["prompt"], key=checks,
                    solution=str(row.get("Inputs_Example") or ""))  # fmt: skip

    def read(self, problem: Problem, text: str) -> str | None:
        """The last object in the text, as Python or JSON writes it."""
        found = _last_object(text)
        return None if found is None else repr(found)

    def grade(self, problem: Problem, found: str) -> Verdict:
        word = secrets.token_hex(16)
        ends = f"assert inputs_check(x) is True\nassert all(check(x) for check in constraint_list)\nprint({word!r})\n"
        said = printed(f"{problem.answer_key}\nx = {found}\n{ends}", SECONDS)
        ok = said is not None and said.rstrip().endswith(word)
        return Verdict(reward=float(ok), ok=ok, parts={"parsed": 1.0})

    def own_answers(self, problem: Problem, rng: random.Random) -> tuple[list[str], list[str]]:
        return [], ["", "{}", "I do not know.", '{"no": "such"}']


@dataclass(frozen=True, eq=False)
class LiveBench(Released):
    """Rows: turns, ground_truth, category. Those of the categories with one right text; the others are left out."""

    def item(self, row: Row, place: int) -> Item:
        truth = row.get("ground_truth")
        category = str(row.get("category", "math"))
        if category not in GRADED or not isinstance(truth, str) or not truth.strip():
            raise ValueError(f"category {category} has no single right text; keep the rows of {', '.join(GRADED)}")
        return Item(id=str(row.get("question_id") or place), question=row["turns"][0], key=_bare(normal(truth)))

    def read(self, problem: Problem, text: str) -> str | None:
        for pattern in (SOLUTION, BOXED, BOLD):
            if found := pattern.findall(text):
                return _bare(normal(found[-1])) or None
        lines = text.strip().splitlines()
        return _bare(normal(lines[-1])) or None if lines else None

    def own_answers(self, problem: Problem, rng: random.Random) -> tuple[list[str], list[str]]:
        a, b = self.answer(problem), self.wrong(problem, rng)
        forms = ("<solution>{}</solution>", "\\boxed{{{}}}", "So:\n**{}**", "Well.\n{}")
        return [form.format(a) for form in forms], [*(form.format(b + "z") for form in forms), "", "I do not know."]


def _last_object(text: str) -> dict[str, Any] | None:
    blocks = FENCED.findall(text.replace("```json", "```")) or [text]
    found = OBJECT.search(blocks[-1])
    if found is None:
        return None
    for read in (json.loads, ast.literal_eval):
        try:
            value = read(found[0])
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
        return value if isinstance(value, dict) else None
    return None


def _bare(value: object) -> str:
    return re.sub(r"\s+", " ", str(value)).strip().lower()
