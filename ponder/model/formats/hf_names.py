"""Tensor names in folders of others, as the hub's: some savers add a prefix, some leave `model.` out."""

from collections.abc import Mapping

from ponder.core.errors import LoadError
from ponder.model.formats.safetensors_file import StoredTensor

_PREFIXES = ("base_model.model.", "model.language_model.", "language_model.model.")
_BODY = ("embed_tokens.", "layers.", "norm.")  # what has `model.` in front on the hub


def hub_names(stored: Mapping[str, StoredTensor], where: str) -> dict[str, StoredTensor]:
    """Raises LoadError where two tensors would get one name."""
    out: dict[str, StoredTensor] = {}
    for name, tensor in stored.items():
        hub = hub_name(name)
        if hub in out:
            raise LoadError(f"{where}: tensor {hub!r} is there twice, the second time as {name!r}")
        out[hub] = tensor
    return out


def is_flat(stored: Mapping[str, StoredTensor]) -> bool:
    """The body of a model without its head, as Qwen3-Embedding is published: names begin with `layers.`."""
    return any(name.startswith("layers.") for name in stored)


def hub_name(name: str) -> str:
    for prefix in _PREFIXES:
        if name.startswith(prefix):
            rest = name.removeprefix(prefix)
            return hub_name(rest if prefix == _PREFIXES[0] else "model." + rest)
    name = name.replace(".base_layer.", ".")  # merged adapters, saved as they were trained
    return "model." + name if name.startswith(_BODY) else name
