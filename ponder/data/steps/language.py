"""The language of a document: what the source says, unless the text says clearly otherwise."""

from msgspec import Struct

from ponder.core.errors import UserError
from ponder.data.identify.identifier import Identifier

CONTRADICTED = "another language"
"""The rule that a document breaks whose language is not the one its source gives."""


CLEAR = 0.5
"""Probability of another language that contradicts; a text that nothing fits contradicts nobody."""


class Languages(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `[languages]` section of a recipe."""

    sure: float = 0.5
    """Probability from which a document without a language gets the one that was found; below it stays without."""
    contradicted: float = 0.001
    """A document is left out if its source's language has less than this; 0: never. Between languages that are written
    almost alike neither is as improbable as that."""

    def __post_init__(self) -> None:
        for name in ("sure", "contradicted"):
            value = self.sure if name == "sure" else self.contradicted
            if not 0 <= value <= 1:
                raise UserError(f"{name} is a probability, 0 to 1, not {value}", param=name)

    def language(self, told: str, text: str, identifier: Identifier) -> str | None:
        """What to write on the document; None where its text and its source (told) contradict each other."""
        found = identifier.probabilities(text)
        if found is None:
            return told
        best = int(found.argmax())
        if not told:
            return identifier.codes[best] if found[best] >= self.sure else ""
        number = identifier.numbers.get(told)
        contradicted = number is not None and found[number] < self.contradicted and found[best] >= CLEAR
        return None if contradicted else told
