"""The tasks by name."""

import difflib
from collections.abc import Iterable

from ponder.core.errors import UserError
from ponder.tasks.addition import Addition
from ponder.tasks.base import Task
from ponder.tasks.chain import Chain
from ponder.tasks.letters import Letters
from ponder.tasks.retrieval import RETRIEVAL
from ponder.tasks.reverse import Reverse
from ponder.tasks.swaps import Swaps

_ALL: tuple[Task, ...] = (
    Letters(),
    Letters("strawberry", apart=False),
    Swaps(),
    Swaps("swap5", things=5),
    Addition(),
    Chain(),
    Reverse(),
    RETRIEVAL,
)
TASKS: dict[str, Task] = {task.name: task for task in _ALL}


def tasks_named(names: Iterable[str]) -> tuple[Task, ...]:
    """Raises UserError with the nearest name for one that is none."""
    found = []
    for name in names:
        if name not in TASKS:
            close = difflib.get_close_matches(name, TASKS, n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(TASKS)}"
            raise UserError(f"there is no task {name!r}; {hint}", param="tasks")
        found.append(TASKS[name])
    return tuple(found)
