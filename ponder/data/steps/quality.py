"""Rules that tell text from what only looks like it, after Gopher's (arXiv 2112.11446) and FineWeb's (2406.17557).

They count characters and lines where the originals count words, so that they mean the same in Thai and in Chinese. Each
has a name; `fault` gives that of the first one that a text breaks.
"""

from collections import Counter

import numpy as np
from msgspec import Struct

from ponder.data.steps.characters import PLANE, blanks, kinds, points_of


class Rules(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    shortest: int = 100
    """Characters of a document."""
    letters: float = 0.6
    """Least share of letters and marks among characters that are not blank."""
    repeated_lines: float = 0.3
    """Largest share of lines that stood before in the document."""
    repeated_text: float = 0.2
    """Largest share of characters in pieces of 10 words (or 30 characters, without blanks) that stood before."""
    bullets: float = 0.9
    """Largest share of lines that begin with a bullet."""
    ellipses: float = 0.3
    """Largest share of lines that end with an ellipsis."""


BULLETS = ("•", "‣", "▪", "●", "◦", "*", "-", "·")
ELLIPSES = ("...", "…")


def fault(text: str, rules: Rules) -> str | None:
    """The name of the first rule that is broken: too short, symbols, repeated lines, ..."""
    if len(text) < rules.shortest:
        return "too short"
    letters, visible = _letters(text)
    if letters < rules.letters * visible:
        return "symbols"
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    if len(lines) - len(set(lines)) > rules.repeated_lines * len(lines):
        return "repeated lines"
    if sum(line.startswith(BULLETS) for line in lines) > rules.bullets * len(lines):
        return "bullets"
    if sum(line.endswith(ELLIPSES) for line in lines) > rules.ellipses * len(lines):
        return "ellipses"
    if _repeated(text) > rules.repeated_text:
        return "repeated text"
    return None


def _letters(text: str) -> tuple[int, int]:
    """(letters, all that can be seen). Marks are parts of letters in most scripts of India, in Arabic and in Hebrew."""
    points = points_of(text)
    low = np.minimum(points, PLANE)
    high = points[points >= PLANE].tolist()
    letters = int(kinds("LM")[low].sum()) + sum(chr(point).isalpha() for point in high)
    return letters, len(points) - int(blanks()[low].sum())


def _repeated(text: str) -> float:
    """Share of the text in pieces that stood before."""
    words = text.split()
    spaced = len(words) * 12 > len(text)  # on average a word of 12 characters or fewer
    units: list[str] | str = words if spaced else "".join(words)
    size = 10 if spaced else 30
    pieces = Counter(
        " ".join(units[i : i + size]) if spaced else str(units[i : i + size])
        for i in range(0, len(units) - size + 1, size)
    )
    whole = sum(len(piece) * n for piece, n in pieces.items())
    return sum(len(piece) * (n - 1) for piece, n in pieces.items()) / whole if whole else 0.0
