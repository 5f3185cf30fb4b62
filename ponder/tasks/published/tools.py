"""BFCL: which functions are called with which arguments, by the rules of its own checker.

An argument is right when it is one of the listed values; "" in the list means that it may be left out. Strings are
compared without case, blanks and punctuation. Categories of one turn: simple, multiple, parallel, parallel_multiple and
irrelevance (right is no call), of Python and of live questions."""

import json
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ponder.core.errors import UserError
from ponder.core.message import Message, ToolCall, messages_from_dicts
from ponder.core.sample import Problem, Verdict
from ponder.tasks.published.released import Item, Released
from ponder.tasks.published.rows import Row, rows_of
from ponder.text.calls.tool_calls import tagged, tagged_calls

TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": "string"}  # of BFCL, in JSON schema
CATEGORIES = (
    "simple_python",
    "multiple",
    "parallel",
    "parallel_multiple",
    "irrelevance",
    "live_simple",
    "live_multiple",
    "live_parallel",
    "live_parallel_multiple",
    "live_irrelevance",
)


@dataclass(frozen=True, eq=False)
class Functions(Released):
    """Rows: id, question, function, ground_truth. The package bfcl-eval has them in two files for each category; each
    category is a level."""

    def item(self, row: Row, place: int) -> Item:
        question = row["question"][0] if isinstance(row["question"][0], list) else row["question"]
        category = str(row["id"]).rsplit("_", 1)[0]
        category = re.sub(r"_\d+-\d+$", "", category)
        truth = row.get("ground_truth") or []
        if not truth and "irrelevance" not in category:
            raise KeyError("ground_truth")
        return Item(
            id=str(row["id"]),
            question=question[-1]["content"],
            key=json.dumps(truth),
            level=CATEGORIES.index(category) if category in CATEGORIES else 0,
            extra={"messages": messages_from_dicts(question), "function": row["function"], "truth": truth},
        )

    def packaged(self) -> "Functions":
        """The data of the installed package bfcl-eval. Raises UserError without it."""
        spec = find_spec("bfcl_eval")
        if spec is None or not spec.submodule_search_locations:
            raise UserError(f"{self.name} has no data here. {self.about}", param="data")
        folder = Path(spec.submodule_search_locations[0]) / "data"
        items = {}
        for category in CATEGORIES:
            path = folder / f"BFCL_v4_{category}.json"
            answers = folder / "possible_answer" / path.name
            truth = {row["id"]: row["ground_truth"] for row in _lines(answers)} if answers.exists() else {}
            for place, row in enumerate(_lines(path)):
                item = self.item({**row, "ground_truth": truth.get(row["id"])}, place)
                items[item.id] = item
        found = self.with_items(items, json.dumps(sorted(items)))
        assert isinstance(found, Functions)
        return found

    def messages(self, id_: str) -> tuple[Message, ...]:
        return tuple(self._found()[id_].extra["messages"])

    def tools(self, id_: str) -> tuple[dict[str, Any], ...]:
        return tuple({"type": "function", "function": _function(f)} for f in self._found()[id_].extra["function"])

    def solve(self, id_: str) -> str:
        """The first of the values that are right, as a model writes the calls."""
        calls = (
            ToolCall(_name(name), json.dumps(_first(a)))
            for one in self._found()[id_].extra["truth"]
            for name, a in one.items()
        )
        return "".join(map(tagged, calls)).strip() or "None of the functions can do that."

    def read(self, problem: Problem, text: str) -> str | None:
        return text.strip() or None

    def grade(self, problem: Problem, found: str) -> Verdict:
        _, calls = tagged_calls(found)
        item = self.items[problem.id]
        truth = item.extra["truth"]
        made = [(call.name, json.loads(call.arguments)) for call in calls if call]
        ok = len(made) == len(calls) == len(truth)
        for wanted in truth if ok else ():
            fits = next((call for call in made if _right(call, wanted, item.extra["function"])), None)
            if ok := fits is not None:
                made.remove(fits)
            else:
                break
        return Verdict(reward=float(ok), ok=ok, parts={"calls": float(bool(calls))})

    def own_answers(self, problem: Problem, rng: random.Random) -> tuple[list[str], list[str]]:
        right, truth = self.answer(problem), self.items[problem.id].extra["truth"]
        stray = tagged(ToolCall("no_such_function", '{"x": 1}'))
        if not truth:
            return [right, "I cannot do that.", "Which one do you mean?"], [stray, f"{right}{stray}", ""]
        return [right, f"I will call it.\n{right}", f"{right}\n"], [
            stray,
            f"{right}{stray}",
            "",
            "I cannot.",
            f"{right}\n{right}",
            right.replace('{"name": "', '{"name": "x'),
            right.replace("</tool_call>", "").replace("}}", "}"),
        ]

    def size(self, level: int) -> str:
        return CATEGORIES[level]


def _lines(path: Path) -> list[Row]:
    """BFCL's .json files hold a row a line."""
    text = path.read_text("utf-8").strip()
    return [json.loads(line) for line in text.splitlines()] if text.startswith("{") else rows_of(path)


def _name(name: str) -> str:
    return name.replace(".", "_")


def _function(function: dict[str, Any]) -> dict[str, Any]:
    return {**function, "name": _name(function["name"]), "parameters": _schema(function["parameters"])}


def _schema(schema: Any) -> Any:
    if isinstance(schema, dict):
        fixed = {key: _schema(value) for key, value in schema.items()}
        if isinstance(fixed.get("type"), str):
            fixed["type"] = TYPES.get(fixed["type"], fixed["type"])
        return fixed
    return [_schema(value) for value in schema] if isinstance(schema, list) else schema


def _first(arguments: Mapping[str, list[Any]]) -> dict[str, Any]:
    return {name: _unfolded(values[0]) for name, values in arguments.items() if values and values[0] != ""}


def _unfolded(value: Any) -> Any:
    """Values inside of objects are lists of what is right, too."""
    if isinstance(value, dict):
        return {k: _unfolded(v[0]) for k, v in value.items() if isinstance(v, list) and v and v[0] != ""}
    return [_unfolded(item) for item in value] if isinstance(value, list) else value


def _right(call: tuple[str, dict[str, Any]], wanted: Mapping[str, Any], functions: list[dict[str, Any]]) -> bool:
    ((name, truth),) = wanted.items()
    if call[0] != _name(name):
        return False
    described = next(f for f in functions if f["name"] == name)["parameters"]
    required, known = described.get("required", []), described["properties"]
    given = call[1]
    if any(key not in given for key in required) or any(key not in known or key not in truth for key in given):
        return False
    if not all(_one_of(given[key], truth[key], str(known[key].get("type"))) for key in given):
        return False
    return all(key in given or "" in values for key, values in truth.items())


def _one_of(value: Any, values: list[Any], kind: str) -> bool:
    if kind in ("integer", "float", "boolean") and not _typed(value, kind):
        return False
    return any(_same(value, other) for other in values)


def _typed(value: Any, kind: str) -> bool:
    if kind == "boolean":
        return isinstance(value, bool)
    return not isinstance(value, bool) and isinstance(value, int if kind == "integer" else (int, float))


def _same(value: Any, other: Any) -> bool:
    if isinstance(value, str) and isinstance(other, str):
        return _bare(value) == _bare(other)
    if isinstance(value, dict) and isinstance(other, dict):
        return all(k in other and any(_same(v, o) for o in _listed(other[k])) for k, v in value.items()) and all(
            k in value or "" in _listed(o) for k, o in other.items()
        )
    if isinstance(value, list) and isinstance(other, list):
        return len(value) == len(other) and all(_same(v, o) for v, o in zip(value, other))
    return (type(value) is type(other) and bool(value == other)) or (
        _is_number(value) and _is_number(other) and value == other
    )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _bare(text: str) -> str:
    return re.sub(r"[ ,./\-_*^]", "", text).lower().replace("'", '"')
