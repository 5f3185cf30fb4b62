"""A document on its way to being learned from: its text, where it is from, and what was found out about it."""

import hashlib

from msgspec import Struct, field


class Document(Struct, kw_only=True, omit_defaults=True):
    text: str
    source: str
    """Name of the source in the recipe."""
    origin: str
    """The file inside the source, and `#n` for the n-th document of it."""
    licence: str = ""
    language: str = ""
    """FLORES-200 code; empty where nobody has told."""
    labels: dict[str, str | float] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """Of what it says, so that the same text from two places has one."""
        return hashlib.sha256(self.text.encode()).hexdigest()[:16]


class Unreadable(Exception):
    """A file that is not what its name says. It is counted and left out, from there on."""


UNREADABLE = "unreadable"


class Left(Struct, frozen=True):
    """A part of a file that a reader left out, and why; the rest of the file is fine."""

    rule: str
    """UNREADABLE for what is not what it should be, which too often stops a run; or a name such as `generated`."""
    what: str
