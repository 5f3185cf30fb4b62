"""Lines and paragraphs that many documents of a source have in common: menus, licences, "was this page helpful?".

They are counted in one pass over a source, and left out in a second, except where they stand first. Short lines stay:
a closing bracket or a "Yes" is no boilerplate, however often it is there.
"""

import hashlib
import re
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

SHORTEST = 40
"""Characters of a line or a paragraph that is counted."""
_DIGITS = re.compile(r"\d+")


class SharedLines:
    """Of one source. Call `count` for all of its documents, then `without` for all of them in the same order."""

    def __init__(self, documents: int) -> None:
        """documents: how many must have a line so that it is shared; 0: none is."""
        self._least = documents
        self._counted: list[NDArray[np.uint64]] = []
        self._shared: frozenset[int] | None = None
        self._seen: set[int] = set()

    def count(self, text: str) -> None:
        if self._least:
            found = {key for paragraph in text.split("\n\n") for key in _numbers(paragraph)}
            self._counted.append(np.fromiter(found, np.uint64, len(found)))

    def without(self, text: str) -> str:
        """The text without what is shared and was there before."""
        if self._shared is None:
            keys, counts = np.unique(np.concatenate(self._counted or [np.zeros(0, np.uint64)]), return_counts=True)
            self._shared = frozenset(keys[counts >= max(self._least, 2)].tolist())
            self._counted = []
        if not self._shared:
            return text
        paragraphs = map(self._kept, text.split("\n\n"))
        return "\n\n".join(paragraph for paragraph in paragraphs if paragraph is not None)

    def _kept(self, paragraph: str) -> str | None:
        lines = paragraph.split("\n")
        if len(lines) > 1 and self._again(paragraph):
            return None
        kept = [line for line in lines if not self._again(line)]
        return "\n".join(kept) if kept else None

    def _again(self, piece: str) -> bool:
        if len(piece) < SHORTEST or (key := number(piece)) not in (self._shared or ()):
            return False
        before = key in self._seen
        self._seen.add(key)
        return before


def _numbers(paragraph: str) -> Iterator[int]:
    lines = paragraph.split("\n")
    if len(lines) > 1 and len(paragraph) >= SHORTEST:
        yield number(paragraph)
    yield from (number(line) for line in lines if len(line) >= SHORTEST)


def number(piece: str) -> int:
    """The same for pieces that differ in case, digits and the blanks around them."""
    even = _DIGITS.sub("0", piece.strip().casefold())
    return int.from_bytes(hashlib.blake2b(even.encode(), digest_size=8).digest(), "little")
