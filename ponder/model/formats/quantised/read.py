"""Which tensors of a folder make up quantised matrices, and what they are: from the config's form and the names."""

from collections.abc import Callable, Iterator, Mapping

from ponder.core.errors import LoadError
from ponder.model.formats.quantised import bitsandbytes, compressed_tensors
from ponder.model.formats.quantised.fp8 import fp8
from ponder.model.formats.quantised.gptq import awq, gptq
from ponder.model.formats.quantised.mlx import mlx
from ponder.model.formats.quantised.parts import Parts
from ponder.model.formats.safetensors_file import StoredTensor
from ponder.model.quantisation_config import Awq, CompressedTensors, Form, Fp8, Gptq, Mlx
from ponder.model.weights.checkpoint import Source

Make = Callable[[Parts], Source]
_CACHE_SCALES = (".k_scale", ".v_scale", ".q_scale", ".kv_scale")  # of a quantised cache; Ponder's has its own


def read_quantised(
    stored: Mapping[str, StoredTensor], form: Form, where: str
) -> tuple[dict[str, Source], dict[str, StoredTensor]]:
    """-> the quantised matrices, and the tensors that are not part of one. Raises LoadError that names the tensor."""
    sources: dict[str, Source] = {}
    used: set[str] = set()
    for base, make in _matrices(stored, form):
        parts = Parts(stored, base, where)
        name = base if base.endswith(".weight") else base + ".weight"
        sources[name] = make(parts)
        used |= parts.used
        bias = base + ".bias"
        if bias in stored and isinstance(form, Gptq | Awq) and not stored[bias].data.any():
            used.add(bias)  # older writers gave every layer one, of zeros
    if not sources:
        raise LoadError(f"{where}: config.json says {_name(form)}, but no tensor is stored so")
    rest = {name: tensor for name, tensor in stored.items() if name not in used and not name.endswith(_CACHE_SCALES)}
    return sources, rest


def _matrices(stored: Mapping[str, StoredTensor], form: Form) -> Iterator[tuple[str, Make]]:
    """The common name of each matrix's tensors, and how to read it."""
    for name, tensor in stored.items():
        base, _, part = name.rpartition(".")
        make = _maker(form, part, tensor.type)
        if make is not None:
            yield base.removesuffix(".quant_state"), make


def _maker(form: Form, part: str, type_: str) -> Make | None:
    """How to read the matrix that has this part, None where another part announces it."""
    if isinstance(form, Gptq):
        return (lambda parts: gptq(parts, form)) if part == "qweight" else None
    if isinstance(form, Awq):
        return (lambda parts: awq(parts, form)) if part == "qweight" else None
    if isinstance(form, Mlx):
        return (lambda parts: mlx(parts, form)) if part == "scales" else None
    if isinstance(form, Fp8 | CompressedTensors) and part == "weight" and type_ == "F8_E4M3":
        block = form.weight_block_size if isinstance(form, Fp8) else form.block
        return lambda parts: fp8(parts, block)
    if isinstance(form, CompressedTensors):
        return compressed_tensors.packed if part == "weight_packed" else (
            compressed_tensors.int8 if part == "weight" and type_ == "I8" else None
        )  # fmt: skip
    if isinstance(form, Fp8):
        return None
    if part.startswith("bitsandbytes__"):
        return bitsandbytes.four_bits
    return bitsandbytes.int8 if part == "SCB" else None


def _name(form: Form) -> str:
    return type(form).__name__
