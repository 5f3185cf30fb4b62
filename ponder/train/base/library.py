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
PARTS: dict[Part, Callable[[], Iterator[Document]]] = {"code": library.code, "prose": library.prose}
MANIFEST = "manifest.json"


class UseLibrary(TextStage, frozen=True, kw_only=True, tag="library"):
    part: Part
    """code: modules as they are. prose: the manual of the language, and docstrings."""
    documents: int | None = None
    """At most, spread over the library; all."""

    def __post_init__(self) -> None:
        if self.documents is not None and self.documents < 1:
            raise UserError("documents must be 1 or more: there is nothing to learn from nothing", param="documents")

    def run(self, ctx: Context) -> None:
        with replacing(ctx.folder / TEXT) as file:
            for document in self._documents():
                file.write(msgspec.json.encode(document) + b"\n")
        with replacing(ctx.folder / MANIFEST) as file:  # what came out depends on it, and a stage is not made twice
            made = {"source": "Python's standard library", "version": library.version(), "licence": library.LICENCE}
            file.write(json.dumps(made).encode() + b"\n")

    def some(self, seed: int, count: int) -> list[str]:
        return [document.text for document in islice(self._documents(), count)]

    def _documents(self) -> Iterator[Document]:
        if self.documents is None:
            return PARTS[self.part]()
        found = list(PARTS[self.part]())
        step = max(1, len(found) // self.documents)
        return islice(iter(found[::step]), self.documents)
