"""Load a model from where it lies: an HF folder or a .gguf file.

    model = load("Qwen3-0.6B", dtype="int8")
    logits = model.forward(ids, Batch.packed([len(ids)]))

The op set is "native" (C++, the default), "numpy" (the oracle) or "torch" (autograd; needs the [train] extra).
"""

from pathlib import Path

from ponder.core.errors import LoadError, UserError
from ponder.kernels.ops import Ops
from ponder.model.formats.hf import read_hf
from ponder.model.hub.place import opened
from ponder.model.hub.store import Progress, home
from ponder.model.model import Model
from ponder.model.weights.build import build
from ponder.model.weights.checkpoint import Checkpoint
from ponder.text.tokenizer.tokenizer import Tokenizer


def load(
    path: str | Path, *, dtype: str = "auto", ops: str = "native", max_context: int | None = None,
    progress: Progress | None = None, use_cache: bool = False,
) -> Model:  # fmt: skip
    """use_cache: converted weights stay on disk for the next start (native ops only; ponder/model/weights/cache.py).

    Raises LoadError for a file that cannot be loaded, UserError for an option that does not fit."""
    return build(
        open_checkpoint(path), make_ops(ops), dtype, max_context=max_context, progress=progress, use_cache=use_cache
    )


def open_checkpoint(path: str | Path) -> Checkpoint:
    path = opened(Path(path)) or Path(path)
    if path.is_dir():
        return read_hf(path)
    if path.is_file():
        if path.suffix.lower() not in ("", ".gguf"):  # stores call them by digests
            with path.open("rb") as file:
                if file.read(4) != b"GGUF":
                    raise LoadError(f"{path}: neither a model folder nor a GGUF file")
        from ponder.model.formats.gguf_read import read_gguf

        return read_gguf(path)
    raise LoadError(f"{path}: no such file or folder")


def open_tokenizer(checkpoint: Checkpoint, path: Path) -> Tokenizer:
    """The tokenizer that lies with the weights. path: what `checkpoint` was opened from."""
    cache = home() / "tokenizers"
    return Tokenizer.from_gguf(checkpoint.gguf, cache) if checkpoint.gguf else Tokenizer.from_path(path, cache)


def make_ops(name: str) -> Ops:
    """Imports what the op set needs only when it is asked for."""
    if name == "native":
        from ponder.kernels.native import NativeOps

        return NativeOps()
    if name == "numpy":
        from ponder.kernels.reference.ops import ReferenceOps

        return ReferenceOps()
    if name == "torch":
        from ponder.model.torch.ops import TorchOps

        return TorchOps()
    raise UserError(f"ops {name!r} must be native, numpy or torch.", param="ops")
