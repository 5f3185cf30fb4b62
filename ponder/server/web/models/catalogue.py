"""The models that can be had, and what this machine makes of each: whether it fits, and about how fast it answers.

Computed in a helper process, once: shapes of large models take seconds.
"""

from math import prod
from typing import Any

from ponder.kernels.cpu import read_bandwidth
from ponder.kernels.memory import total_memory
from ponder.model.capacity import Machine, estimate, released
from ponder.model.card import read_card
from ponder.model.hub.registry import BUNDLES, RELEASED, RETRIEVAL, resolve, without_form
from ponder.model.hub.shipped import SHIPPED, shipped
from ponder.model.hub.store import size_of
from ponder.model.load import open_checkpoint
from ponder.model.weights.checkpoint import Checkpoint

BITS = {"f32": 32.0, "bf16": 16.0, "int8": 8.5, "uint4": 4.5}  # of a number in a file; 4 and 8 bits with their scales
Q6_K = 6.5625  # what a file of 4 bits keeps its finer matrices in
CONTEXT = 4096  # tokens of a conversation that is usual here
FREE = 0.9  # share of the memory that a model may take beside the system
HANDY = 4.0  # tokens a second below which one waits


def catalogue() -> dict[str, Any]:
    """{"memory", "models": [...]}: those that run well here first."""
    memory = total_memory()
    machine = Machine("CPU", FREE * memory, read_bandwidth())
    chat = [n for n in RELEASED if n == without_form(n) and not n.endswith("-base")]
    models = [entry for name in (*BUNDLES, *chat, *RETRIEVAL) if (entry := _entry(name, machine))]
    models += [entry for name in SHIPPED if (entry := _shipped(name, machine))]
    models.sort(key=_place)
    return {"memory": memory, "models": models}


def _place(entry: dict[str, Any]) -> tuple[bool, float]:
    """The largest of those that run well, then the smallest of the others."""
    well = entry["fits"] and entry["rate"] >= HANDY
    return not well, -entry["needs"] if well else entry["needs"]


def _entry(name: str, machine: Machine) -> dict[str, Any] | None:
    form = resolve(name).text
    checkpoint = released("qwen3:" + name.partition(":")[2] if name in RETRIEVAL else form)
    if checkpoint is None:
        return None
    found = estimate(checkpoint, machine, "auto", "auto", context=CONTEXT, streams=1)
    fine = Q6_K if form.endswith("-q4_k_m") else BITS["int8"]
    return {
        "name": form, "kind": _kind(name), "bytes": _bytes(checkpoint, fine), "needs": found.needed, "fits": found.fits,
        "rate": round(found.rate_empty, 1),
    }  # fmt: skip


def _shipped(name: str, machine: Machine) -> dict[str, Any] | None:
    """The one that comes with Ponder, with what its card says of it."""
    if (folder := shipped(name)) is None:
        return None
    card = read_card(folder)
    found = estimate(open_checkpoint(folder), machine, "auto", "auto", context=CONTEXT, streams=1)
    return {
        "name": name, "kind": "hybrid", "bytes": size_of(folder), "needs": found.needed, "fits": found.fits,
        "rate": round(found.rate_empty, 1), "shipped": True, "about": card.about if card else "",
    }  # fmt: skip


def _bytes(checkpoint: Checkpoint, fine: float) -> int:
    """Of the file that is downloaded, within some percent."""
    bits = BITS | {"int8": fine}
    return int(sum(prod(source.shape) * bits[source.auto] for source in checkpoint.tensors.values()) / 8)


def _kind(name: str) -> str:
    for kind in ("embedding", "reranker", "coder", "instruct", "thinking"):
        if kind in name:
            return kind
    return "thinking" if name.startswith("qwq") else "hybrid"
