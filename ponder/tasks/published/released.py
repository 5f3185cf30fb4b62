"""A released benchmark as a task: its rows are the questions, in one split and in the order of the file.

A benchmark says how a row becomes an item, what is asked, and what is right; `preset` is how the report asks it.
"""

import hashlib
import random
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ponder.core.errors import UserError
from ponder.core.message import Message
from ponder.core.sample import Problem, Split
from ponder.tasks.base import Task
from ponder.tasks.published.rows import Row, digest, rows_of


@dataclass(frozen=True)
class Preset:
    """The report's settings of a benchmark. samples: answers to each question, of which the mean counts. tokens: most
    that an answer has, thoughts included. presence: the penalty with and without thoughts."""

    samples: int = 1
    tokens: int = 32_768
    presence: tuple[float, float] = (0.0, 1.5)


@dataclass(frozen=True)
class Item:
    """key: what is right, as text. extra: what else the verifier needs."""

    id: str
    question: str
    key: str
    level: int = 0
    language: str = "en"
    solution: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Released(Task):
    """Empty until `loaded`."""

    name: str
    preset: Preset = Preset()
    about: str = ""
    """Where the data is, for whoever does not have it."""
    items: Mapping[str, Item] = field(default_factory=dict)
    source: str = ""
    """The digest of the file."""
    levels: int = 1
    trials: int = 12

    @abstractmethod
    def item(self, row: Row, place: int) -> Item:
        """Raises KeyError, TypeError or ValueError for a row that is no item of this benchmark."""

    def loaded(self, path: Path) -> "Released":
        """Raises UserError for a file that is missing or of another benchmark."""
        items = {}
        for place, row in enumerate(rows_of(path)):
            try:
                item = self.item(row, place)
            except (KeyError, TypeError, ValueError, AttributeError) as e:
                what = f"{type(e).__name__} {e}"
                raise UserError(f"{path}, row {place + 1}: no item of {self.name} ({what})", param="data") from e
            if item.id in items:
                raise UserError(f"{path}, row {place + 1}: {item.id} is there twice", param="data")
            items[item.id] = item
        return self.with_items(items, digest(path))

    def with_items(self, items: Mapping[str, Item], source: str) -> "Released":
        levels = 1 + max(item.level for item in items.values())
        known = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return type(self)(**{**known, "items": items, "source": source, "levels": levels})

    # -- as a task --------------------------------------------------------------------------------------------------

    def draw(self, rng: random.Random, level: int) -> str:
        """Of any level, where a file has none of this one."""
        items = list(self._found().values())
        return rng.choice([item.id for item in items if item.level == level] or [item.id for item in items])

    def make(self, rng: random.Random, level: int, split: Split) -> Problem:
        """A row is what it is, whatever the split is called."""
        self.check_level(level)
        id_ = self.draw(rng, level)
        return self.problem(id_, self.items[id_].level, "test")

    def distinct(self, rng: random.Random, level: int, split: Split, n: int) -> Iterator[Problem]:
        """All of a level in the order of the file, or n of them by chance, as many of each language; never for
        training."""
        if split != "test":
            raise UserError(f"{self.name} is a test: it has no {split} split", param="split")
        ids = [item.id for item in self._found().values() if item.level == level]
        chosen = set(ids if n >= len(ids) else self._some(ids, n, rng))
        return (self.problem(id_, level, split) for id_ in ids if id_ in chosen)

    def _some(self, ids: Sequence[str], n: int, rng: random.Random) -> list[str]:
        """n of them; a language that has too few leaves its places to the others."""
        groups: dict[str, list[str]] = {}
        for id_ in ids:
            groups.setdefault(self.language(id_), []).append(id_)
        turns = [language for turn in range(n) for language, group in groups.items() if turn < len(group)]
        shares = Counter(turns[:n])
        return [id_ for language, group in groups.items() for id_ in rng.sample(group, shares[language])]

    def split_of(self, id_: str) -> Split:
        return "test"

    def language(self, id_: str) -> str:
        return self._found()[id_].language

    def question(self, id_: str) -> str:
        return self.prompt(self._found()[id_])

    def prompt(self, item: Item) -> str:
        return item.question

    def messages(self, id_: str) -> tuple[Message, ...]:
        return (Message.user(self.question(id_)),)

    def think(self, id_: str) -> str:
        return self._found()[id_].solution

    def solve(self, id_: str) -> str:
        return self._found()[id_].key

    def wrong(self, problem: Problem, rng: random.Random) -> str:
        """The answer of another item."""
        right = self.answer(problem)
        others = sorted({item.key for item in self._found().values()} - {right})
        return rng.choice(others) if others else f"{right}0"

    def chance(self, level: int) -> float:
        return 0.0

    def size(self, level: int) -> str:
        return "all" if self.levels == 1 else f"level {level + 1}"

    def fingerprint(self) -> str:
        """Of the file and of how it is asked."""
        first = next(iter(self._found()))
        return hashlib.sha256("\0".join((self.source, type(self).__name__, self.question(first))).encode()).hexdigest()

    def _found(self) -> Mapping[str, Item]:
        if not self.items:
            raise UserError(
                f"{self.name} has no data here: name its file with --data {self.name}=FILE. {self.about}", param="data"
            )
        return self.items
