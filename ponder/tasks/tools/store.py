"""A small store with a state: things on shelves with prices, to be moved and priced as a rule says.

What the rule applies to must be looked up first; right is that just those things have changed."""

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ponder.core.errors import UserError
from ponder.core.sample import Problem
from ponder.tasks.tools.world import PlayedTask, World

THINGS = ("lamp", "chair", "clock", "vase", "mirror", "basket", "kettle", "blanket")
SHELVES = ("A", "B", "C")
State = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Store(PlayedTask):
    """Level L has L + 2 things. Even levels move, odd ones price."""

    name: str = "store"
    levels: int = 6

    def draw(self, rng: random.Random, level: int) -> str:
        """JSON: the state, "move" or "price", the limit, the shelf or the new price."""
        things = rng.sample(THINGS, level + 2)
        prices = [rng.randrange(5, 60) for _ in things]
        state = {thing: {"shelf": rng.choice(SHELVES[:2]), "price": price} for thing, price in zip(things, prices)}
        limit = sorted(prices)[len(things) // 2] - 1
        act = ["move", limit, "C"] if level % 2 == 0 else ["price", limit, rng.randrange(60, 99)]
        return json.dumps([state, *act])

    def question(self, id_: str) -> str:
        _, act, limit, to = json.loads(id_)
        what = f"Move everything that costs more than {limit} to shelf {to}."
        if act == "price":
            what = f"Set the price of everything that costs more than {limit} to {to}."
        return f"{what} Change nothing else, and say so when it is done."

    def tools(self, id_: str) -> tuple[dict[str, Any], ...]:
        thing = {"type": "string", "description": "its name"}
        return (
            _tool("list_things", "The names of all things in the store.", {}),
            _tool("look_at", "The shelf and price of a thing.", {"thing": thing}),
            _tool(
                "move",
                "Moves a thing to a shelf.",
                {"thing": thing, "shelf": {"type": "string", "enum": list(SHELVES)}},
            ),
            _tool("set_price", "Changes the price of a thing.", {"thing": thing, "price": {"type": "integer"}}),
        )

    def think(self, id_: str) -> str:
        """The calls that do it."""
        state, act, limit, to = json.loads(id_)
        looks = [f"look_at {thing}: {item['price']}" for thing, item in state.items()]
        acts = [f"{act} {thing} {to}" for thing, item in state.items() if item["price"] > limit]
        return "\n".join(["list_things", *looks, *acts])

    def solve(self, id_: str) -> str:
        state, act, limit, to = json.loads(id_)
        for item in state.values():
            if item["price"] > limit:
                item["shelf" if act == "move" else "price"] = to
        return _written(state)

    def open(self, problem: Problem) -> "Shelves":
        return Shelves(json.loads(problem.id)[0])

    def read(self, problem: Problem, text: str) -> str | None:
        """A state as JSON."""
        try:
            found = json.loads(text)
        except ValueError:
            return None
        return _written(found) if isinstance(found, dict) else None

    def wrong(self, problem: Problem, rng: random.Random) -> str:
        return _written(json.loads(problem.id)[0])

    def own_answers(self, problem: Problem, rng: random.Random) -> tuple[list[str], list[str]]:
        goal = json.loads(self.answer(problem))
        thing = rng.choice(list(goal))
        cheaper = {**goal, thing: {**goal[thing], "price": goal[thing]["price"] - 1}}
        less = {name: item for name, item in goal.items() if name != thing}
        right = [json.dumps(goal), json.dumps(dict(reversed(goal.items()))), json.dumps(goal, indent=1)]
        return right * 4, [self.wrong(problem, rng), json.dumps(cheaper), json.dumps(less), "", "Done.", "{}", "[]"] * 2

    def chance(self, level: int) -> float:
        return 0.0

    def size(self, level: int) -> str:
        return f"{level + 2} things"


class Shelves(World):
    def __init__(self, state: State) -> None:
        self.state = state

    def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        if name == "list_things":
            return ", ".join(self.state)
        thing = arguments.get("thing")
        if thing not in self.state:
            raise UserError(f"there is no {thing!r}; there are {', '.join(self.state)}")
        item = self.state[thing]
        match name:
            case "look_at":
                return f"{thing}: shelf {item['shelf']}, price {item['price']}"
            case "move" if arguments.get("shelf") in SHELVES:
                item["shelf"] = arguments["shelf"]
            case "set_price" if isinstance(arguments.get("price"), int):
                item["price"] = arguments["price"]
            case _:
                raise UserError(f"{name} cannot be called with {json.dumps(dict(arguments))}")
        return "Done."

    def outcome(self, text: str) -> str:
        return _written(self.state)


def _tool(name: str, about: str, properties: dict[str, Any]) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "description": about, "parameters": schema}}


def _written(state: State) -> str:
    return json.dumps(state, sort_keys=True)
