"""What a run's folder tells of its stages, by what they left there: how each was made, from which, in what time.

The recipe is not asked: it may have been edited since, and the folders say what really ran.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ponder.core.errors import UserError
from ponder.train.recipe.graph import FINISHED, MADE
from ponder.train.record.metrics import read


@dataclass(frozen=True)
class Made:
    """A finished stage."""

    folder: Path
    identity: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.identity["name"])

    @property
    def kind(self) -> str:
        return str(self.identity["kind"])

    @property
    def before(self) -> str:
        """The folder's name of the stage whose model it went on from, "" for a new one."""
        return str(self.identity.get("from") or "")

    @property
    def lines(self) -> list[dict[str, float | str]]:
        """One a step, of a stage that learns."""
        metrics = self.folder / "metrics.jsonl"
        return read(metrics) if metrics.exists() else []

    @property
    def ids(self) -> float:
        return sum(float(line["tokens"]) for line in self.lines)

    @property
    def seconds(self) -> float:
        """Of its steps, however often it was interrupted; of a stage without steps from its begin to its end."""
        if lines := self.lines:
            return sum(float(line["seconds"]) for line in lines)
        return (self.folder / FINISHED).stat().st_mtime - (self.folder / MADE).stat().st_mtime


class Run:
    """The finished stages of a folder."""

    def __init__(self, folder: Path) -> None:
        files = sorted(folder.glob(f"*/{FINISHED}"), key=lambda file: file.stat().st_mtime)
        self.folder = folder
        self.stages = {
            file.parent.name: Made(file.parent, json.loads((file.parent / MADE).read_text())) for file in files
        }

    def find(self, name: str) -> Made:
        """Of several that were made by different sections, the last."""
        found = [made for made in self.stages.values() if made.name == name]
        if not found:
            have = ", ".join(dict.fromkeys(made.name for made in self.stages.values())) or "none"
            raise UserError(f"{self.folder} has no finished stage {name!r}; it has {have}", param="stage")
        return found[-1]

    def line(self, last: Made) -> list[Made]:
        """The stages that its model went through, the first one first."""
        path = [last]
        while path[0].before in self.stages:
            path.insert(0, self.stages[path[0].before])
        return path

    def needed(self, last: Made) -> list[Made]:
        """All that went into it, itself included, in the order in which they were finished."""
        names, left = set[str](), [last.folder.name]
        while left:
            name = left.pop()
            if name in self.stages and name not in names:
                names.add(name)
                left += [value for value in self.stages[name].identity.values() if isinstance(value, str)]
        return [made for name, made in self.stages.items() if name in names]

    def of_kind(self, kind: str, before: Made) -> Made | None:
        """The last stage of that kind that looked at the model of `before`."""
        found = [m for m in self.stages.values() if m.kind == kind and m.before == before.folder.name]
        return found[-1] if found else None
