"""How a model is opened: the keyword arguments of `LLM(...)`, as an editor completes them and as checked values.

    load_options(dtype="int8", max_context=4096)

`LoadFields` and `LoadOptions` are the same list twice: a type checker reads the one, msgspec the other.
"""

from typing import Annotated, Literal, TypedDict, Unpack

from msgspec import Meta, Struct

from ponder.core.errors import UserError
from ponder.engine.options import checked, refuse_unknown

Dtype = Literal["auto", "f32", "bf16", "int8", "int4"]
KvDtype = Literal["auto", "bf16", "int8", "f32"]
Count = Annotated[int, Meta(ge=1)]


class LoadOptions(Struct, frozen=True, kw_only=True):
    """What `LLM(model, ...)` takes after the model."""

    dtype: Dtype = "auto"
    """Precision of the weights; "auto" keeps what the file has."""
    max_context: Count | None = None
    """Most ids of a request; past the model's own length YaRN stretches it (LC-3)."""
    threads: Annotated[int, Meta(ge=1, le=1024)] | None = None
    """Of the whole process; None is all cores."""
    kv_memory: Count | None = None
    """Bytes of the key/value cache; or kv_blocks, not both."""
    kv_blocks: Count | None = None
    kv_dtype: KvDtype = "auto"
    """Precision of keys and values; "auto" is int8 with int4 weights, bf16 otherwise."""
    max_batch: Count = 32
    """Requests computed together."""
    keep_packed: bool = True
    """Weights that had to be converted stay on disk for the next start (`.ponder/` beside them)."""
    adapter: str | None = None
    """A LoRA adapter, merged into the weights: a PEFT folder or a GGUF file."""
    speculation: str = "auto"
    """Ids are guessed ahead and computed together, which changes the speed and never the output. "auto": guesses from
    the text itself, where that pays; a model: it drafts as well; "off"."""

    def __post_init__(self) -> None:
        if self.kv_memory is not None and self.kv_blocks is not None:
            raise UserError("kv_memory and kv_blocks say the same thing; give one of them", param="kv_blocks")


class LoadFields(TypedDict, total=False):
    """The fields of LoadOptions."""

    dtype: Dtype
    max_context: int | None
    threads: int | None
    kv_memory: int | None
    kv_blocks: int | None
    kv_dtype: KvDtype
    max_batch: int
    keep_packed: bool
    adapter: str | None
    speculation: str


def load_options(**fields: Unpack[LoadFields]) -> LoadOptions:
    """Raises UserError for a name or a value that cannot be."""
    refuse_unknown(fields, LoadOptions.__struct_fields__)
    return checked({**fields}, LoadOptions)
