"""A text corrected by a model: broken words, lost blanks, remains of titles. A guard keeps what the model made up away.

Long texts go piece by piece. A corrected piece is taken if it is about as long as before, has no passage that did not
stand there, and no number that did not; else the piece stays as it was.
"""

import re
from collections.abc import Iterator

from ponder.data.extract.endpoint import Asked, Endpoint

PROMPT = (
    "Correct what went wrong when this text was taken out of a document: broken or joined words, lost blanks, letters "
    "that were read wrongly, remains of page titles. Change nothing else: no words, no order, no language. Answer with "
    "the whole corrected text and nothing else.\n\n"
)
PIECE = 4_000  # characters
SHORTEST, LONGEST = 0.6, 1.1  # of the length before
GRAM = 6  # characters: a wrong letter makes that many pieces new
ADDED = 24  # characters in a row that may be new
NEW = 0.15  # share of pieces that may be new
_NUMBER = re.compile(r"\d+")


class Correct(Endpoint, frozen=True, kw_only=True, forbid_unknown_fields=True):
    sources: tuple[str, ...]
    """Names of sources whose documents go to the model."""


class Corrected:
    """What became of a text. taken, refused: the pieces as (before, after)."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, str]] = []
        self.refused: list[tuple[str, str]] = []

    def text(self, text: str, asked: Asked) -> str:
        return "".join(self._piece(piece, asked) for piece in pieces(text))

    def _piece(self, piece: str, asked: Asked) -> str:
        bare = piece.strip()
        answer = asked.ask(PROMPT + bare) if bare else None
        if answer is None or answer == bare:
            return piece
        if added(bare, answer):
            self.refused.append((bare, answer))
            return piece
        self.taken.append((bare, answer))
        return piece.replace(bare, answer)


def pieces(text: str) -> Iterator[str]:
    """The text in pieces of about PIECE characters, cut between paragraphs where there are any."""
    while len(text) > PIECE:
        cut = max(text.rfind("\n\n", PIECE // 2, PIECE) + 2, 0)
        if cut < PIECE // 2:
            cut = max(text.rfind("\n", PIECE // 2, PIECE), text.rfind(" ", PIECE // 2, PIECE)) + 1
        if cut < PIECE // 2:
            cut = PIECE
        yield text[:cut]
        text = text[cut:]
    if text:
        yield text


def added(before: str, after: str) -> bool:
    """Whether the model said more, or much less, than was there."""
    old, new = _letters(before), _letters(after)
    if not SHORTEST * len(old) <= len(new) <= LONGEST * len(old):
        return True
    if set(_NUMBER.findall(after)) - _numbers(before):
        return True
    known = {old[n : n + GRAM] for n in range(len(old) - GRAM + 1)}
    fresh = [new[n : n + GRAM] not in known for n in range(len(new) - GRAM + 1)]
    longest = run = 0
    for is_new in fresh:
        run = run + 1 if is_new else 0
        longest = max(longest, run)
    return longest > ADDED + GRAM - 1 or sum(fresh) > NEW * len(fresh)


def _letters(text: str) -> str:
    """What the guard compares: not case, blanks and signs."""
    return "".join(c for c in text.casefold() if c.isalnum())


def _numbers(text: str) -> set[str]:
    """Numbers, and numbers that blanks had cut in two."""
    return set(_NUMBER.findall(text)) | set(_NUMBER.findall("".join(text.split())))
