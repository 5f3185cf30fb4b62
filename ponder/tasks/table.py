"""The tasks by name."""

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path

from ponder.core.errors import UserError
from ponder.tasks.addition import Addition
from ponder.tasks.base import Task
from ponder.tasks.chain import Chain
from ponder.tasks.following.answer_language import AnswerLanguage
from ponder.tasks.following.instructions import Instructions
from ponder.tasks.following.length import Length
from ponder.tasks.following.memory import Memory
from ponder.tasks.following.modes import Modes
from ponder.tasks.following.structured import Structured
from ponder.tasks.grounded.declining import Declining
from ponder.tasks.grounded.passages import Passages
from ponder.tasks.grounded.premise import Premise
from ponder.tasks.gym import PREFIX, Gym
from ponder.tasks.letters import Letters
from ponder.tasks.published.table import RELEASED, released
from ponder.tasks.reasoning.bases import Bases
from ponder.tasks.reasoning.countdown import Countdown
from ponder.tasks.reasoning.dates import Dates
from ponder.tasks.reasoning.knights import Knights
from ponder.tasks.reasoning.products import Products
from ponder.tasks.reasoning.ranking import Ranking
from ponder.tasks.reasoning.science import Science
from ponder.tasks.reasoning.sorting import Sorting
from ponder.tasks.reasoning.stories import Stories
from ponder.tasks.reasoning.tracing import Tracing
from ponder.tasks.reasoning.units import Units
from ponder.tasks.reasoning.writing import Writing
from ponder.tasks.retrieval import RETRIEVAL
from ponder.tasks.reverse import Reverse
from ponder.tasks.swaps import Swaps
from ponder.tasks.tools.calling import Calling
from ponder.tasks.tools.goals import Goals
from ponder.tasks.tools.store import Store
from ponder.tasks.tools.world import PlayedTask
from ponder.tasks.tools.zones import Zones

FAMILIES: dict[str, tuple[Task, ...]] = {
    "tiny": (
        Letters(),
        Letters("strawberry", apart=False),
        Swaps(),
        Swaps("swap5", things=5),
        Addition(),
        Chain(),
        Reverse(),
    ),
    "long": (RETRIEVAL,),
    "reasoning": (
        Stories(),
        Countdown(),
        Products(),
        Sorting(),
        Bases(),
        Dates(),
        Units(),
        Science(),
        Knights(),
        Ranking(),
        Tracing(),
        Writing(),
    ),
    "following": (Instructions(), Length(), Structured(), Modes(), AnswerLanguage(), Memory()),
    "tools": (
        Calling(),
        Calling("tool_parallel", "parallel"),
        Calling("tool_none", "none"),
        Calling("tool_ask", "ask"),
    ),
    "grounded": (Passages(), Premise(), Declining()),
}
PLAYED: dict[str, PlayedTask] = {
    task.name: task for task in (Store(), Zones())
}  # with tools, over many steps; evaluation plays them
TASKS: dict[str, Task] = {task.name: task for family in FAMILIES.values() for task in family}


GOALS = "mcp"


def _goals(data: Mapping[str, str]) -> Goals:
    if GOALS not in data:
        raise UserError(f"{GOALS} plays goals with MCP servers: name their file with --data {GOALS}=FILE", param="data")
    return Goals.loaded(Path(data[GOALS]))


def tasks_named(names: Iterable[str], data: Mapping[str, str] | None = None) -> tuple[Task, ...]:
    """data: file of a released benchmark, by its name. Raises UserError with the nearest name for one that is none, and
    for a benchmark whose data is not here."""
    found: list[Task] = []
    for name in names:
        if name in RELEASED:
            found.append(released(name, (data or {}).get(name)))
            continue
        if name.startswith(PREFIX):
            found.append(Gym.named(name))
            continue
        if name in PLAYED:
            found.append(PLAYED[name])
            continue
        if name == GOALS:
            found.append(_goals(data or {}))
            continue
        if name not in TASKS:
            known = [*TASKS, *PLAYED, GOALS, *RELEASED]
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
            raise UserError(f"there is no task {name!r}; {hint}", param="tasks")
        found.append(TASKS[name])
    return tuple(found)
