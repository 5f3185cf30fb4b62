"""What kinds of characters a text is made of, in every script: letters with their marks, digits, and the rest."""

import re
import unicodedata
from functools import cache

import numpy as np
from numpy.typing import NDArray

PLANE = 0x10000
"""What lies above the first plane are emoji and scripts that none of the 119 languages needs: no letters here."""
BLANK = 32
Points = NDArray[np.uint32]

UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
"""Scripts that write no blank between words: Thai, Lao, Burmese, Khmer, kana and Han."""


@cache
def kinds(wanted: str) -> NDArray[np.bool_]:
    """Which code points are of one of the general categories, by their first letters: "LM" are letters and marks."""
    return np.array([unicodedata.category(chr(point))[0] in wanted for point in range(PLANE)] + [False])


@cache
def blanks() -> NDArray[np.bool_]:
    return np.array([chr(point).isspace() for point in range(PLANE)] + [False])


def points_of(text: str) -> Points:
    return np.frombuffer(text.encode("utf-32-le", "replace"), np.uint32)


def words_apart(text: str, wanted: str) -> Points:
    """The text in lower case with one blank before, between and after its runs of wanted characters."""
    points = points_of(f" {text.lower()} ")
    good = kinds(wanted)[np.minimum(points, PLANE)]
    kept = good.copy()
    kept[1:] |= good[:-1]  # the first of what follows a word stands for all of it
    kept[0] = True
    return np.where(good, points, np.uint32(BLANK))[kept]


def words(text: str) -> list[str]:
    """In lower case, without what stands between them; marks and digits belong to words."""
    return words_apart(text, "LMN").tobytes().decode("utf-32-le").split()
