"""Documents that hold an item of a test: who learns from them can no longer be tested with it.

    held_out = HeldOut({"gsm8k": [Item("Natalia sold clips to ...", "72"), ...]})
    held_out.found("... natalia SOLD clips to 48 of her friends in April, and then she ...").set   # "gsm8k"

A document holds an item when it has 13 words in a row of its question or of its answer, or 30 characters where words
are not written apart. Questions of fewer words are found whole, with their answer soon after. Case, marks of
punctuation, and how lines are broken make no difference. Pieces that many items of a set have in common, such as "how
many apples are there in", are no sign of any of them.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ponder.data.steps.characters import UNSPACED, words

WORDS, CHARACTERS = 13, 30
FEWEST = 4
"""Words of a question that can be told from chance when its answer follows."""
NEAR = 30
"""Words after a question in which its answer must begin."""
COMMON = 10
"""Items of a set that a piece may belong to."""

Hashes = NDArray[np.uint64]
Units = Sequence[str]


class Item(NamedTuple):
    question: str
    answer: str = ""


class Hit(NamedTuple):
    set: str
    words: str
    """That the document has in common with an item of it."""


class HeldOut:
    def __init__(self, sets: Mapping[str, Iterable[Item]]) -> None:
        self.items: Counter[str] = Counter()
        """Of each set."""
        self.missed: Counter[str] = Counter()
        """Items that cannot be told from others or from chance."""
        self._numbers: dict[str, int] = {}
        self._short: dict[int, dict[int, list[tuple[str, list[str]]]]] = defaultdict(lambda: defaultdict(list))
        pieces: dict[int, dict[int, str]] = {WORDS: {}, CHARACTERS: {}}
        for name, items in sets.items():
            self._add(name, list(items), pieces)
        self._keys = {size: np.array(sorted(found), np.uint64) for size, found in pieces.items()}
        self._sets = pieces

    def found(self, text: str) -> Hit | None:
        """The first item that the text holds."""
        units = words(text)
        return self._long(WORDS, units) or self._long(CHARACTERS, unspaced(units)) or self._with_answer(units)

    def _add(self, name: str, items: list[Item], pieces: dict[int, dict[int, str]]) -> None:
        holders: dict[int, Counter[int]] = {WORDS: Counter(), CHARACTERS: Counter()}
        own: list[list[tuple[int, int]]] = []
        for item in items:
            self.items[name] += 1
            question, answer = words(item.question), words(item.answer)
            hashes = [(size, int(key)) for units in (question, answer) for size, key in self._windows(units)]
            if not hashes:
                self._remember(name, question, answer)
                continue
            own.append(hashes)
            for size, key in set(hashes):
                holders[size][key] += 1
        for hashes in own:
            telling = [(size, key) for size, key in hashes if holders[size][key] <= COMMON]
            if not telling:
                self.missed[name] += 1
            for size, key in telling:
                pieces[size].setdefault(key, name)

    def _remember(self, name: str, question: list[str], answer: list[str]) -> None:
        if len(question) < FEWEST or not answer:
            self.missed[name] += 1
            return
        key = int(self._hashes(question, len(question), learn=True)[0])
        self._short[len(question)][key].append((name, answer))

    def _windows(self, units: list[str]) -> Iterable[tuple[int, np.uint64]]:
        """The pieces of a text, each with its size."""
        for size, parts in ((WORDS, units), (CHARACTERS, unspaced(units))):
            for key in self._hashes(parts, size, learn=True):
                yield size, key

    def _hashes(self, units: Units, size: int, *, learn: bool = False) -> Hashes:
        """Of every `size` units in a row; without learn only of those that held-out items have, others are 0."""
        if len(units) < size:
            return np.zeros(0, np.uint64)
        if learn:
            for unit in units:
                self._numbers.setdefault(unit, len(self._numbers) + 1)
        numbers = self._numbers
        ids = np.array([numbers.get(unit, 0) for unit in units], np.uint64)
        windows = np.lib.stride_tricks.sliding_window_view(ids, size)
        hashes: Hashes = (windows * _factors(size)).sum(-1, dtype=np.uint64)
        unknown = np.concatenate([[0], np.cumsum(ids == 0)])
        hashes[unknown[size:] > unknown[:-size]] = 0
        return hashes

    def _long(self, size: int, units: Units) -> Hit | None:
        keys = self._keys[size]
        if not len(keys):
            return None
        hashes = self._hashes(units, size)
        places = np.flatnonzero(hashes)
        at = np.minimum(np.searchsorted(keys, hashes[places]), len(keys) - 1)
        hits = places[keys[at] == hashes[places]]
        if not len(hits):
            return None
        n = int(hits[0])
        piece = units[n : n + size]
        return Hit(self._sets[size][int(hashes[n])], piece if isinstance(piece, str) else " ".join(piece))

    def _with_answer(self, units: list[str]) -> Hit | None:
        for size, known in self._short.items():
            hashes = self._hashes(units, size)
            for n in map(int, np.flatnonzero(hashes)):
                for name, answer in known.get(int(hashes[n]), ()):
                    if _stands_in(answer, units[n + size : n + size + NEAR + len(answer)]):
                        return Hit(name, " ".join([*units[n : n + size], "...", *answer]))
        return None


def unspaced(units: list[str]) -> str:
    """The words of scripts that write them without blanks, joined; the others are left out."""
    return "".join(unit for unit in units if UNSPACED.search(unit))


def _factors(size: int) -> Hashes:
    return np.array([pow(0x9E3779B97F4A7C15, n + 1, 1 << 64) for n in range(size)], np.uint64)


def _stands_in(answer: list[str], units: list[str]) -> bool:
    return any(units[n : n + len(answer)] == answer for n in range(len(units) - len(answer) + 1))
