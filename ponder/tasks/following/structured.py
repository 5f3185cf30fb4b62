"""Facts in a sentence, to be given back as JSON that fits a schema: exactly the fields, types and values."""

import json
import random
from dataclasses import dataclass
from typing import Any

from ponder.core.sample import Problem
from ponder.tasks.base import Task
from ponder.tasks.reasoning.stories import NAMES

TOWNS = ("Oslo", "Lima", "Kyoto", "Accra", "Quito", "Turin")
FIELDS: dict[str, tuple[str, dict[str, Any]]] = {  # how it is told, and its schema
    "name": ("{} is a guest", {"type": "string"}),
    "age": ("{} years old", {"type": "integer"}),
    "town": ("from {}", {"type": "string", "enum": list(TOWNS)}),
    "vegetarian": ("eats {}", {"type": "boolean"}),
    "nights": ("stays for these nights: {}", {"type": "array", "items": {"type": "integer"}}),
    "address": (
        "lives at {}",
        {
            "type": "object",
            "properties": {"street": {"type": "string"}, "number": {"type": "integer"}},
            "required": ["street", "number"],
        },
    ),
    "price": ("pays {} a night", {"type": "number"}),
}


@dataclass(frozen=True)
class Structured(Task):
    """Level L has L + 2 fields."""

    name: str = "structured"
    levels: int = 6

    def draw(self, rng: random.Random, level: int) -> str:
        """The answer itself, as JSON."""
        names = ["name", *rng.sample([f for f in FIELDS if f != "name"], level + 1)]
        return json.dumps({name: _value(name, rng) for name in names}, separators=(",", ":"))

    def question(self, id_: str) -> str:
        facts = json.loads(id_)
        told = "; ".join(FIELDS[name][0].format(_told(value)) for name, value in facts.items())
        schema = {
            "type": "object",
            "properties": {name: FIELDS[name][1] for name in facts},
            "required": list(facts),
            "additionalProperties": False,
        }
        return f"{told}.\nGive these facts as JSON that fits this schema, and nothing else:\n{json.dumps(schema)}"

    def think(self, id_: str) -> str:
        return "\n".join(f"{name}: {json.dumps(value)}" for name, value in json.loads(id_).items())

    def solve(self, id_: str) -> str:
        return _written(json.loads(id_))

    def read(self, problem: Problem, text: str) -> str | None:
        """The JSON that the whole text is, with its fields in order; a fence may be around it."""
        bare = text.strip()
        if bare.startswith("```") and bare.endswith("```") and bare.count("```") == 2:
            bare = bare.removeprefix("```json").removeprefix("```").removesuffix("```").strip()
        try:
            found = json.loads(bare)
        except (ValueError, RecursionError):
            return None
        return _written(found) if isinstance(found, dict) else None

    def wrong(self, problem: Problem, rng: random.Random) -> str:
        facts = json.loads(problem.id)
        return json.dumps({**facts, "name": rng.choice([n for n in NAMES if n != facts["name"]])})

    def own_answers(self, problem: Problem, rng: random.Random) -> tuple[list[str], list[str]]:
        facts = json.loads(problem.id)
        text = json.dumps(facts)
        last, value = list(facts.items())[-1]
        right = [
            text,
            problem.id,
            f"\n{text}\n",
            f"```json\n{text}\n```",
            f"```\n{text}\n```",
            json.dumps(facts, indent=2),
            json.dumps(facts, indent="\t"),
            json.dumps(dict(reversed(facts.items()))),
            f"  {text}",
            json.dumps(facts, ensure_ascii=False),
            text.replace(": ", ":\n"),
            f"```json\n{json.dumps(facts, indent=1)}\n```",
        ]
        others = [
            {**facts, last: str(value) + "x"},
            {**facts, "extra": 1},
            {**facts, last: None},
            {**facts, last: [value]},
            {k: v for k, v in facts.items() if k != last},
            {"facts": facts},
            {k.upper(): v for k, v in facts.items()},
            [facts],
        ]
        broken = [
            text[:-1],
            text + ",",
            f"Here it is: {text}",
            f"{text}\nDone.",
            text.replace('"', "'"),
            "",
            "{}",
            "null",
            f"```json\n{text}\n```\nThat is all.",
            f"{text}{text}",
        ]
        return right, [self.wrong(problem, rng), *map(json.dumps, others), *broken]

    def chance(self, level: int) -> float:
        return 0.0

    def size(self, level: int) -> str:
        return f"{level + 2} fields"


def _value(field: str, rng: random.Random) -> object:
    match field:
        case "name":
            return rng.choice(NAMES)
        case "age":
            return rng.randrange(18, 90)
        case "town":
            return rng.choice(TOWNS)
        case "vegetarian":
            return rng.random() < 0.5
        case "nights":
            return sorted(rng.sample(range(1, 29), rng.randrange(1, 4)))
        case "address":
            return {"street": rng.choice(("Mill Lane", "High Street", "Long Road")), "number": rng.randrange(1, 200)}
    return rng.randrange(40, 200) + rng.choice((0.25, 0.5, 0.75))


def _told(value: object) -> str:
    if isinstance(value, bool):
        return "no meat" if value else "meat"
    if isinstance(value, dict):
        return f"{value['number']} {value['street']}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _written(facts: object) -> str:
    return json.dumps(facts, sort_keys=True)
