"""Prompt lookup: what followed the last time the text went like this?

Copying is common: code is rewritten, documents are quoted, JSON repeats its keys, thoughts come back to the question.
The longest run of ids at the end of a sequence that occurred before in the same sequence says what comes next, and its
length how sure that is. Adding an id costs a dictionary entry, asking looks at a few earlier places: microseconds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

SHORTEST = 2  # ids that must agree; one alone says nothing
LONGEST = 32  # a longer agreement is not told apart
PLACES = 12  # earlier places that are compared, newest first


@dataclass
class PromptLookup:
    """Earlier places of every pair of ids, as chains from the newest to the oldest."""

    _newest: dict[tuple[int, int], int] = field(default_factory=dict)  # pair -> where its second id is
    _earlier: list[int] = field(default_factory=list)  # [ids] where the pair that ends here ended before, or -1

    def find(self, ids: Sequence[int], count: int) -> tuple[Sequence[int], int]:
        """(`count` ids that may follow, or none; how many ids agree before them). ids: of the last call, and more."""
        self._extend(ids)
        end = len(ids) - 1
        best, length = -1, SHORTEST - 1
        place = self._earlier[end]
        for _ in range(PLACES):
            if place < 0 or length >= LONGEST:
                break
            if (agree := _agreement(ids, place, end)) > length:
                best, length = place, agree
            place = self._earlier[place]
        if best < 0:
            return (), 0
        found = list(ids[best + 1 : best + 1 + count])
        while len(found) < count:  # the copy reaches the end: a repetition, which goes on
            found.append(found[len(found) - (end - best)])
        return found, length

    def _extend(self, ids: Sequence[int]) -> None:
        newest, earlier = self._newest, self._earlier
        if not earlier:
            earlier.append(-1)
        for at in range(len(earlier), len(ids)):
            pair = (ids[at - 1], ids[at])
            earlier.append(newest.get(pair, -1))
            newest[pair] = at


def _agreement(ids: Sequence[int], place: int, end: int) -> int:
    """How many ids that end at `place` are those that end at `end`; the last two are known to be."""
    most = min(LONGEST, place + 1)
    length = SHORTEST
    while length < most and ids[place - length] == ids[end - length]:
        length += 1
    return length
