"""Documents that were there before: the same text, or nearly the same.

Nearly: the Jaccard similarity of their shingles, five characters each with blanks, case and digits evened out, so that
it works in every script. MinHash (`rensa`) in bands finds who might be alike, and the shingles themselves decide.
"""

import hashlib
import re
from collections import defaultdict

import numpy as np
import rensa
from numpy.typing import NDArray

SHINGLE = 5
HASHES, BANDS = 128, 32  # a pair with similarity 0.8 shares a band with probability 1 - (1 - 0.8^4)^32 = 0.9999999
_BLANKS, _DIGITS = re.compile(r"\s+"), re.compile(r"\d")


class Duplicates:
    """Remembers every document it let pass; each takes about 4 KB and four bytes a character."""

    def __init__(self, similar: float) -> None:
        """similar: from which Jaccard similarity on two documents are one; 1 looks for equal texts only."""
        self._similar = similar
        self._exact: dict[bytes, str] = {}
        self._names: list[str] = []
        self._shingles: list[NDArray[np.uint32]] = []
        self._bands: dict[bytes, list[int]] = defaultdict(list)

    def earlier(self, name: str, text: str) -> str | None:
        """The name of an earlier document that this one repeats; None lets it pass, and remembers it."""
        even = _DIGITS.sub("0", _BLANKS.sub(" ", text.casefold())).strip()
        digest = hashlib.sha256(even.encode()).digest()
        if digest in self._exact:
            return self._exact[digest]
        if self._similar < 1:
            own = shingles(even)
            bands = _bands(own)
            for n in sorted({n for band in bands for n in self._bands.get(band, ())}):
                if jaccard(own, self._shingles[n]) >= self._similar:
                    return self._names[n]
            for band in bands:
                self._bands[band].append(len(self._names))
            self._names.append(name)
            self._shingles.append(own)
        self._exact[digest] = name
        return None


def _bands(own: NDArray[np.uint32]) -> list[bytes]:
    """Documents that have one of these in common may be alike."""
    hashes = own.astype(np.uint64)
    matrix = rensa.RMinHash.digest_matrix_from_flat_token_hashes(hashes, [0, len(hashes)], HASHES, 42)
    rows = np.array(matrix.to_rows()[0], np.uint32).reshape(BANDS, -1)
    return [n.to_bytes(2, "little") + band.tobytes() for n, band in enumerate(rows)]


def shingles(text: str) -> NDArray[np.uint32]:
    """Hashes of all pieces of SHINGLE characters, each once, in order of their numbers."""
    points = np.frombuffer(text.encode("utf-32-le"), np.uint32).astype(np.uint64)
    if len(points) < SHINGLE:
        points = np.pad(points, (0, SHINGLE - len(points)))
    windows = np.lib.stride_tricks.sliding_window_view(points, SHINGLE)
    factors = np.array([pow(0x9E3779B97F4A7C15, n + 1, 1 << 64) for n in range(SHINGLE)], np.uint64)
    mixed = (windows * factors).sum(-1, dtype=np.uint64)
    mixed = (mixed ^ (mixed >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    return np.unique((mixed >> np.uint64(32)).astype(np.uint32))


def jaccard(a: NDArray[np.uint32], b: NDArray[np.uint32]) -> float:
    both = len(np.intersect1d(a, b, assume_unique=True))
    return both / (len(a) + len(b) - both)
