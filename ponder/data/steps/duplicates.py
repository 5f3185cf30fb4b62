"""Documents that were there before: the same text, or nearly the same.

Nearly: the Jaccard similarity of their shingles, five characters each with blanks, case and digits evened out, so that
it works in every script; or five ids of a tokenizer. MinHash in bands finds who might be alike, and the shingles
themselves decide.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ponder.data.steps.characters import BLANK, PLANE, Points, blanks, points_of

SHINGLE = 5
HASHES, BANDS = 128, 32  # a pair with similarity 0.8 shares a band with probability 1 - (1 - 0.8^4)^32 = 0.9999999
Shingles = NDArray[np.uint32]
Encode = Callable[[str], Sequence[int]]

_FACTORS = [np.uint64(pow(0x9E3779B97F4A7C15, n + 1, 1 << 64)) for n in range(SHINGLE)]
_STARTS = (np.arange(HASHES, dtype=np.uint64) << np.uint64(32 - 7)).astype(np.uint32)  # of HASHES = 2**7 equal parts
_PREFIXES = [n.to_bytes(1, "little") for n in range(BANDS)]
_FAR = np.uint32(0x85EBCA6B)


class Duplicates:
    """Remembers every document it let pass; each takes about 4 KB and four bytes a character."""

    def __init__(self, similar: float, encode: Encode | None = None) -> None:
        """similar: from which Jaccard similarity on two documents are one; 1 looks for equal texts only. encode: of a
        tokenizer, whose ids are compared in place of characters."""
        self._similar, self._encode = similar, encode
        self._exact: dict[bytes, str] = {}
        self._names: list[str] = []
        self._shingles: list[Shingles] = []
        self._bands: dict[bytes, list[int]] = defaultdict(list)

    def earlier(self, name: str, text: str) -> str | None:
        """The name of an earlier document that this one repeats; None lets it pass, and remembers it."""
        even = evened(text)
        digest = hashlib.blake2b(even.tobytes(), digest_size=16).digest()
        if digest in self._exact:
            return self._exact[digest]
        if self._similar < 1:
            own = shingles(even if self._encode is None else np.array(self._encode(text), np.uint32))
            bands = bands_of(own)
            for n in sorted({n for band in bands for n in self._bands.get(band, ())}):
                if jaccard(own, self._shingles[n]) >= self._similar:
                    return self._names[n]
            for band in bands:
                self._bands[band].append(len(self._names))
            self._names.append(name)
            self._shingles.append(own)
        self._exact[digest] = name
        return None


def evened(text: str) -> Points:
    """Code points in lower case, one blank for any number of them, and 0 for every digit."""
    points = points_of(f" {text.casefold()} ")
    points = np.where(points < PLANE, _even()[np.minimum(points, PLANE)], points)
    blank = points == BLANK
    kept = ~blank
    kept[1:] |= ~blank[:-1]
    return points[kept][:-1] if len(points) > 2 else points[:0]


@cache
def _even() -> Points:
    """What each code point of the first plane is taken for."""
    table = np.arange(PLANE + 1, dtype=np.uint32)
    table[blanks()] = BLANK
    table[[point for point in range(PLANE) if chr(point).isdecimal()]] = ord("0")
    return table


def bands_of(own: Shingles) -> list[bytes]:
    """Documents that have one of these in common may be alike.

    MinHash by one permutation: the shingles are hashes in their order, so the smallest of each of HASHES equal parts is
    found by looking. A part without any takes that of the next one that has (Shrivastava and Li, arXiv 1406.4784)."""
    at = np.searchsorted(own, _STARTS)
    ends = np.append(at[1:], len(own))
    filled = np.flatnonzero(ends > at)
    nearest = np.searchsorted(filled, np.arange(HASHES))
    borrowed = filled[nearest % len(filled)]
    distance = (borrowed - np.arange(HASHES)) % HASHES
    smallest = own[at[borrowed]] + distance.astype(np.uint32) * _FAR
    raw = smallest.tobytes()
    size = len(raw) // BANDS
    return [_PREFIXES[n] + raw[n * size : (n + 1) * size] for n in range(BANDS)]


def shingles(units: Points) -> Shingles:
    """Hashes of all SHINGLE in a row, each once, in order of their numbers."""
    wide = units.astype(np.uint64)
    if len(wide) < SHINGLE:
        wide = np.pad(wide, (0, SHINGLE - len(wide)))
    count = len(wide) - SHINGLE + 1
    mixed = wide[:count] * _FACTORS[0]
    for n in range(1, SHINGLE):
        mixed += wide[n : n + count] * _FACTORS[n]
    mixed = (mixed ^ (mixed >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    hashes = np.sort((mixed >> np.uint64(32)).astype(np.uint32))
    first = np.ones(len(hashes), bool)
    first[1:] = hashes[1:] != hashes[:-1]
    return hashes[first]


def jaccard(a: Shingles, b: Shingles) -> float:
    at = np.minimum(np.searchsorted(a, b), len(a) - 1)
    both = int(np.count_nonzero(a[at] == b))
    return both / (len(a) + len(b) - both)
