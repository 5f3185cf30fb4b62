"""Text without any download: Python's standard library."""

import json
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Literal

import msgspec

from ponder.core.atomic import replacing
from ponder.core.errors import UserError
from ponder.data import library
from ponder.data.document import Document
from ponder.train.stage import TEXT, Context, TextStage

Part = Literal["code", "prose"]
PARTS: dict[Part, Callable[[int], Iterator[Document]]] = {"code": library.code, "prose": library.prose}
MANIFEST = "manifest.json"


class UseLibrary(TextStage, frozen=True, kw_only=True, tag="library"):
    part: Part
    """code: modules as they are. prose: the manual of the language, and docstrings."""
    every: int = 1
    """Only one in so many modules."""

    def __post_init__(self) -> None:
        if self.every < 1:
            raise UserError(f"every is 1 (all modules) or more, not {self.every}", param="every")

    def run(self, ctx: Context) -> None:
        with replacing(ctx.folder / TEXT) as file:
            for document in PARTS[self.part](self.every):
                file.write(msgspec.json.encode(document) + b"\n")
        with replacing(ctx.folder / MANIFEST) as file:  # what came out depends on it, and a stage is not made twice
            made = {"source": "Python's standard library", "version": library.version(), "licence": library.LICENCE}
            file.write(json.dumps(made).encode() + b"\n")

    def some(self, seed: int, count: int) -> list[str]:
        return [document.text for document in islice(PARTS[self.part](self.every), count)]
