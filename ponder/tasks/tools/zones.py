"""What time it is elsewhere, asked of the published time server: one conversion or several, then an answer in words.

Only zones without summer time, so that an answer holds on every day of the year.
"""

import json
import random
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import MappingProxyType

from ponder.core.message import Message, ToolCall
from ponder.core.sample import Problem
from ponder.tasks.tools.goals import Words
from ponder.tasks.tools.world import PlayedTask

ZONES: dict[str, tuple[str, int]] = {  # city -> zone, minutes before UTC
    "Tokyo": ("Asia/Tokyo", 540),
    "Lagos": ("Africa/Lagos", 60),
    "Dubai": ("Asia/Dubai", 240),
    "Nairobi": ("Africa/Nairobi", 180),
    "Bogota": ("America/Bogota", -300),
    "Karachi": ("Asia/Karachi", 300),
    "Kolkata": ("Asia/Kolkata", 330),
    "Bangkok": ("Asia/Bangkok", 420),
    "Phoenix": ("America/Phoenix", -420),
    "Honolulu": ("Pacific/Honolulu", -600),
    "Brisbane": ("Australia/Brisbane", 600),
    "Reykjavik": ("Atlantic/Reykjavik", 0),
}
TIME = re.compile(r"(?<![\d:])\d\d:\d\d(?![\d:])")
SERVER = {
    "command": sys.executable,
    "args": ["-m", "mcp_server_time", "--local-timezone=UTC"],
    "approval": {"get_current_time": "deny"},  # what it is now is no question that has one answer
}
TOOL = "time-convert_time"


@dataclass(frozen=True)
class Zones(PlayedTask):
    """Level L asks for L + 1 cities."""

    name: str = "zones"
    levels: int = 3
    servers = MappingProxyType({"time": SERVER})
    shared = True

    def draw(self, rng: random.Random, level: int) -> str:
        """JSON: the time, the city where it is that, the cities that are asked for."""
        here, *there = rng.sample(list(ZONES), level + 2)
        return json.dumps([f"{rng.randrange(24):02d}:{rng.randrange(60):02d}", here, there])

    def question(self, id_: str) -> str:
        time, here, there = json.loads(id_)
        return f"It is {time} in {here}. What time is it in {' and in '.join(there)}?"

    def think(self, id_: str) -> str:
        _, here, there = json.loads(id_)
        return "\n".join(f"{city}: {ZONES[city][0]}" for city in (here, *there))

    def solve(self, id_: str) -> str:
        time, here, there = json.loads(id_)
        hours, minutes = map(int, time.split(":"))
        utc = 60 * hours + minutes - ZONES[here][1]
        times = ((utc + ZONES[city][1]) % 1440 for city in there)
        return " and ".join(f"{t // 60:02d}:{t % 60:02d}" for t in times)

    def open(self, problem: Problem) -> Words:
        return Words()

    def act(self, problem: Problem, heard: Sequence[str]) -> Message:
        """A call for each city, and then the times that came back."""
        time, here, there = json.loads(problem.id)
        if len(heard) < len(there):
            city = there[len(heard)]
            arguments = {"source_timezone": ZONES[here][0], "time": time, "target_timezone": ZONES[city][0]}
            thought = f"{here} is {ZONES[here][0]}, {city} is {ZONES[city][0]}."
            return Message.assistant("", reasoning=thought, tool_calls=(ToolCall(TOOL, json.dumps(arguments)),))
        times = " and ".join(json.loads(text)["target"]["datetime"][11:16] for text in heard)
        return Message.assistant(times, reasoning="I have all times.")

    def read(self, problem: Problem, text: str) -> str | None:
        """All times that are said, in their order."""
        return " and ".join(TIME.findall(text)) or None

    def wrong(self, problem: Problem, rng: random.Random) -> str:
        """An hour or more off."""
        *before, last = self.answer(problem).split(" and ")
        return " and ".join([*before, f"{(int(last[:2]) + rng.randrange(1, 24)) % 24:02d}{last[2:]}"])

    def own_answers(self, problem: Problem, rng: random.Random) -> tuple[list[str], list[str]]:
        a, b = self.answer(problem), self.wrong(problem, rng)
        right = ["{}", "It is {}.", "**{}**", "The answer is {}!", "{} there.", "({})", "{}\n", "That is {}, I think."]
        wrong = [b, f"It is {b}.", f"{a} or {b}", f"{a} and {a}", f"1{a}", f"{a}9", "", "I do not know.", a[:-1], a[1:]]
        return [form.format(a) for form in right], wrong

    def chance(self, level: int) -> float:
        """A guess of the hour, for each city."""
        return (1 / 24) ** (level + 1)

    def size(self, level: int) -> str:
        return "1 city" if not level else f"{level + 1} cities"
