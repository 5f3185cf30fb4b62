"""Benchmarks of programs: HumanEval and MBPP (with EvalPlus's tests), LiveCodeBench, CodeForces. A sandbox runs them.

A program has passed when its last line is a word that is drawn for this run alone; tests of input and output are
compared outside of the sandbox."""

import json
import random
import re
import secrets
from dataclasses import dataclass
from typing import Any

from ponder.core.sample import Problem, Verdict
from ponder.tasks.published.released import Item, Released
from ponder.tasks.published.rows import Row
from ponder.tasks.run_code import FENCED, code_in, printed

SECONDS = 15.0
HEADER = "import collections, functools, heapq, itertools, math, re, string, sys\nfrom typing import *\n"
ASK = "Please provide a self-contained Python script that solves the following problem in a markdown code block:"


@dataclass(frozen=True, eq=False)
class Programs(Released):
    """Rows of HumanEval (prompt, entry_point, test, canonical_solution) or MBPP (text or prompt, code, test_list)."""

    trials: int = 2

    def item(self, row: Row, place: int) -> Item:
        if "entry_point" in row:
            return Item(
                id=str(row["task_id"]),
                question=row["prompt"],
                key=row["prompt"] + row["canonical_solution"],
                extra={
                    "test": f"{row['test']}\ncheck({row['entry_point']})",
                    "name": row["entry_point"],
                    "head": row["prompt"],
                },
            )
        tests = row["test_list"] if isinstance(row["test_list"], list) else json.loads(row["test_list"])
        name = _called(tests[0])
        setup = row.get("test_setup_code") or "\n".join(row.get("test_imports") or [])
        asked = row.get("text") or row["prompt"]
        return Item(
            id=str(row["task_id"]),
            question=f"{asked}\nYour code should pass these tests:\n" + "\n".join(tests),
            key=row["code"],
            extra={
                "test": "\n".join([setup, *tests, *row.get("challenge_test_list", ())]),
                "name": name,
                "head": "",
                "text": asked,
                "tests": tests,
            },
        )

    def prompt(self, item: Item) -> str:
        return f"{ASK}\n```\n{item.question.strip()}\n```\n"

    def solve(self, id_: str) -> str:
        return f"```python\n{self._found()[id_].key}\n```"

    def read(self, problem: Problem, text: str) -> str | None:
        """The code that defines the function; a bare body goes on with the prompt, as a base model's does."""
        extra = self.items[problem.id].extra
        if (code := code_in(text, extra["name"])) is not None:
            return code
        return f"{extra['head']}{text}" if extra["head"] and re.match(r"(?: {4}|\t)\S", text) else None

    def grade(self, problem: Problem, found: str) -> Verdict:
        extra = self.items[problem.id].extra  # tests may use what the prompt defines beside the function
        ok = passes("\n".join([HEADER, extra["head"], found, "", extra["test"], ""]))
        return Verdict(reward=float(ok), ok=ok, parts={"parsed": 1.0})

    def own_answers(self, problem: Problem, rng: random.Random) -> tuple[list[str], list[str]]:
        right, item = self.answer(problem), self.items[problem.id]
        name = item.extra["name"]
        alone = right.replace("```python\n", "```\npython\n")  # the language on a line of its own
        return [right, f"Here it is.\n\n{right}\n\nIt works.", alone], [
            f"```python\ndef {name}(*args):\n    return object()\n```",
            f"```python\ndef {name}(*args):\n    import os; os._exit(0)\n```",
            right.replace(name, f"{name}_"),
            "",
            "I do not know.",
        ]


@dataclass(frozen=True, eq=False)
class Contests(Released):
    """Rows of LiveCodeBench: question_content, starter_code, public_test_cases and private_test_cases as JSON of
    {input, output, testtype}; or of CodeForces: description, rating, examples or tests as {input, output}."""

    trials: int = 2

    def item(self, row: Row, place: int) -> Item:
        tests: list[dict[str, Any]] = []
        for column in ("public_test_cases", "private_test_cases", "official_tests", "tests", "examples"):
            value = row.get(column) or []
            tests += json.loads(value) if isinstance(value, str) else value
        if not tests or any("input" not in test or "output" not in test for test in tests):
            raise ValueError("no tests with input and output")
        metadata = row.get("metadata") or {}
        metadata = json.loads(metadata) if isinstance(metadata, str) else metadata
        return Item(
            id=str(row.get("question_id") or row.get("id") or place),
            question="\n\n".join(
                filter(None, (row.get("question_content") or row["description"], row.get("starter_code")))
            ),
            key="tests",
            extra={"tests": tests, "name": metadata.get("func_name"), "rating": row.get("rating")},
        )

    def prompt(self, item: Item) -> str:
        ends = "Complete the given class." if item.extra["name"] else "Read from stdin and write to stdout."
        return f"{item.question}\n\n{ends} Answer with the Python program in a markdown code block."

    def read(self, problem: Problem, text: str) -> str | None:
        blocks = FENCED.findall(text)
        return blocks[-1] if blocks else None

    def grade(self, problem: Problem, found: str) -> Verdict:
        extra = self.items[problem.id].extra
        ok = all(_answers(found, extra["name"], test) for test in extra["tests"])
        return Verdict(reward=float(ok), ok=ok, parts={"parsed": 1.0})

    def own_answers(self, problem: Problem, rng: random.Random) -> tuple[list[str], list[str]]:
        """A row has no solution, but what writes a test's own output back is right for a single test."""
        return [], ["", "I do not know.", "```python\nprint(object())\n```"]


def passes(program: str) -> bool:
    word = secrets.token_hex(16)
    said = printed(f"{program}\nprint({word!r})\n", SECONDS)
    return said is not None and said.rstrip().endswith(word)


def _called(test: str) -> str:
    """The function that an assertion is about."""
    found = re.search(r"assert\s+(?:\(|not\s+|abs\(|set\(|sorted\(|math\.isclose\()*\s*(\w+)\s*\(", test)
    if found is None:
        raise ValueError(f"no call in {test!r}")
    return found[1]


def _answers(code: str, name: str | None, test: dict[str, Any]) -> bool:
    if name and test.get("testtype", "functional") == "functional":
        arguments = ", ".join(line for line in str(test["input"]).splitlines() if line.strip())
        word = secrets.token_hex(8)
        call = f"import json\nprint({word!r} + json.dumps(Solution().{name}({arguments})))"
        said = printed(f"{HEADER}{code}\n\n{call}\n", SECONDS)
        given = (said or "").rpartition(word)[2].strip()
    else:
        fed = f"import io, sys\nsys.stdin = io.StringIO({str(test['input'])!r})\n"
        given = printed(f"{fed}{HEADER}{code}\n", SECONDS) or ""
    return _lines(given) == _lines(str(test["output"]))


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.strip().splitlines()]
