"""Goals with the tools of any MCP server, from a file: what is asked, and which answer is right.

    {"mcpServers": {"time": {"command": "mcp-server-time"}}, "shared": true,
     "goals": [{"id": "1", "ask": "When it is 14:30 in Berlin, what time is it in Tokyo?", "answer": "21:30"}]}

shared: the servers keep nothing between calls, so that one set of them is enough for all attempts.

The answer is looked for as a whole in the last words of the model, case aside; `not` lists what must not stand there.
"""

import hashlib
import json
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ponder.core.errors import UserError
from ponder.core.sample import Problem, Split
from ponder.tasks.tools.world import PlayedTask, World

Goal = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Goals(PlayedTask):
    name: str = "mcp"
    levels: int = 1
    servers: Mapping[str, Any] = field(default_factory=dict)
    goals: Mapping[str, Goal] = field(default_factory=dict)
    shared: bool = False

    @classmethod
    def loaded(cls, path: Path) -> "Goals":
        """Raises UserError for a file that holds no servers and goals."""
        try:
            raw = json.loads(path.read_text("utf-8"))
            goals = {str(goal["id"]): goal for goal in raw["goals"]}
            whole = all(isinstance(g["ask"], str) and str(g["answer"]).strip() for g in goals.values())
            servers, shared = raw["mcpServers"], bool(raw.get("shared", False))
        except (OSError, ValueError, KeyError, TypeError) as e:
            raise UserError(
                f"{path}: no file of goals with mcpServers, goals, ask and answer ({e})", param="data"
            ) from e
        if not goals or not whole or not isinstance(servers, dict) or len(goals) < len(raw["goals"]):
            raise UserError(f"{path}: every goal needs an id of its own, an ask and an answer", param="data")
        return cls(servers=servers, goals=goals, shared=shared)

    def draw(self, rng: random.Random, level: int) -> str:
        return rng.choice(list(self.goals))

    def make(self, rng: random.Random, level: int, split: Split) -> Problem:
        """Raises UserError when no goal is of this split."""
        return self.problem(rng.choice([p.id for p in self.distinct(rng, level, split, len(self.goals))]), level, split)

    def trial(self, rng: random.Random, level: int) -> Problem:
        """Of any split: none of them need be for training."""
        id_ = self.draw(rng, level)
        return self.problem(id_, level, self.split_of(id_))

    def distinct(self, rng: random.Random, level: int, split: Split, n: int) -> Iterator[Problem]:
        """The goals of a split, in the order of the file, n at most."""
        ids = [id_ for id_ in self.goals if self.split_of(id_) == split][:n]
        if not ids:
            raise UserError(f"no goal is in the split {split}: give goals a split", param="split")
        return (self.problem(id_, level, split) for id_ in ids)

    def split_of(self, id_: str) -> Split:
        """What the file says; test where it says nothing."""
        split: Split = self.goals[id_].get("split", "test")
        return split

    def question(self, id_: str) -> str:
        return str(self.goals[id_]["ask"])

    def think(self, id_: str) -> str:
        return ""

    def solve(self, id_: str) -> str:
        return str(self.goals[id_]["answer"])

    def open(self, problem: Problem) -> "Words":
        return Words()

    def read(self, problem: Problem, text: str) -> str | None:
        if not text.strip():
            return None
        found = re.search(rf"(?<![\w.:-]){re.escape(self.solve(problem.id))}(?![\w:]|[.-]\w)", text, re.I)
        unwanted = [word for word in self.goals[problem.id].get("not", ()) if str(word).lower() in text.lower()]
        return self.solve(problem.id) if found and not unwanted else text.strip()

    def wrong(self, problem: Problem, rng: random.Random) -> str:
        return "I could not find out."

    def own_answers(self, problem: Problem, rng: random.Random) -> tuple[list[str], list[str]]:
        a = self.answer(problem)
        forms = ("{}", "It is {}.", "**{}**", "The answer is {}!", "{}, as the tool says.")
        return [form.format(a) for form in forms], ["", "I could not find out.", f"x{a}x", f"1{a}", f"{a}9"]

    def chance(self, level: int) -> float:
        return 0.0

    def size(self, level: int) -> str:
        return "all"

    def fingerprint(self) -> str:
        return hashlib.sha256(json.dumps([dict(self.servers), dict(self.goals)], sort_keys=True).encode()).hexdigest()


class Words(World):
    """Nothing of its own: the servers have the state."""

    def call(self, name: str, arguments: Mapping[str, Any]) -> str:
        raise UserError(f"there is no tool {name}")

    def outcome(self, text: str) -> str:
        return text
