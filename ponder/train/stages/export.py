"""The finished model where people look for it: a Hugging Face folder that Ponder, transformers and others load, and a
GGUF file for llama.cpp and what is built on it.
"""

import shutil

from msgspec import field

from ponder.core.errors import UserError
from ponder.model.formats.gguf_write import FILE_TYPES, write_gguf
from ponder.model.load import open_checkpoint
from ponder.train.stage import MODEL, Context, Stage


class Export(Stage, frozen=True, kw_only=True, tag="export"):
    from_: str = field(name="from")
    """A stage that made a model."""
    gguf: tuple[str, ...] = ()
    """Types of GGUF files to write beside it, such as F16 and Q8_0: model-F16.gguf."""

    def __post_init__(self) -> None:
        for type_ in self.gguf:
            if type_ not in FILE_TYPES:
                raise UserError(f"there is no GGUF type {type_!r}; there are {', '.join(FILE_TYPES)}", param="gguf")

    def parents(self) -> dict[str, str]:
        return {"from": self.from_}

    def run(self, ctx: Context) -> None:
        target, partial = ctx.folder / MODEL, ctx.folder / f"{MODEL}.partial"
        for old in (partial, target):
            shutil.rmtree(old, ignore_errors=True)
        shutil.copytree(ctx.parents["from"] / MODEL, partial)
        partial.rename(target)
        for type_ in self.gguf:
            write_gguf(ctx.folder / f"{MODEL}-{type_}.gguf", open_checkpoint(target), target, type_)
