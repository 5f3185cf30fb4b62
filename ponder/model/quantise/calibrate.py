"""int4 weights rounded for a text: GPTQ (Frantar et al. 2022), with the scales of kernels/reference/scale_search.py.

    checkpoint = calibrated(read_hf("Qwen3-0.6B"), ids, group=32)     # ids [windows, length]; then save_hf(..., "int4")

Why: what counts is not the error of a weight but that of the output x W^T on the inputs x that occur. Its square is
(w - q) H (w - q)^T with the Gram matrix H = mean of x x^T. With H = L L^T it is the sum over columns i of
(L_ii (w_i - q_i + sum over j > i of (w_j - q_j) L_ji / L_ii))^2: so from the last column to the first, each is rounded
after the errors of those after it were added. That is GPTQ without an inverse. Columns with large inputs come first.

The layers are done a few at a time, as many as their Gram matrices fit into memory; the text runs through the model
with the layers before already rounded.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ponder.core.batch import Batch
from ponder.kernels.native import NativeOps
from ponder.kernels.packing.pack import from_rows
from ponder.kernels.reference.ops import ReferenceOps
from ponder.kernels.reference.scale_search import nearest, slots
from ponder.kernels.tensor import GROUP, Floats, Tensor, pack_int4
from ponder.model.weights.build import build, in_memory, storage_plan
from ponder.model.weights.checkpoint import Checkpoint, read

DAMPING = 0.01  # of the mean of H's diagonal, added to it
GRAM_BYTES = 2_000_000_000  # of Gram matrices at a time; at least one layer's
_SHARED = ("k_proj.weight", "v_proj.weight", "up_proj.weight")  # read what q_proj or gate_proj reads
_BLOCK = 64  # columns that pass their errors on together


class Observing(NativeOps):
    """The native ops, which also sum the Gram matrices of the inputs of the weights in `watch`."""

    def __init__(self) -> None:
        self.watch: dict[int, str] = {}  # id of a weight -> its name
        self.grams: dict[str, Floats] = {}  # several names may share one
        self.rows: dict[str, int] = {}
        self._last: tuple[Any, str] | None = None  # the input just seen

    def linear(self, x: Floats, weight: Any, bias: Floats | None = None) -> Floats:
        if (name := self.watch.get(id(weight))) is not None:
            self._see(x, name)
        out: Floats = super().linear(x, weight, bias)
        return out

    experts = ReferenceOps.experts  # type: ignore[assignment]  # by `linear`, expert for expert

    def _see(self, x: Floats, name: str) -> None:
        if self._last is not None and self._last[0] is x:  # q, k and v read the same; gate and up too
            self.grams[name] = self.grams[self._last[1]]
            return
        self._last = x, name
        if name not in self.grams:
            self.grams[name] = np.zeros((x.shape[1], x.shape[1]), np.float32)
        self.grams[name] += x.T @ x


def calibrated(
    checkpoint: Checkpoint, ids: NDArray[np.int32], group: int = GROUP,
    progress: Callable[[int, int], None] | None = None,
) -> Checkpoint:  # fmt: skip
    """The checkpoint with every matrix that "int4" packs rounded for the text ids [windows, length]; the rest stays.
    progress(matrices done, matrices)."""
    ops = Observing()
    model = build(checkpoint, ops, "bf16")
    wanted = {name: source for name, (source, kind) in storage_plan(checkpoint, "int4").items() if kind == "int4"}
    wanted = {name: source for name, source in wanted.items() if not (source.packed and source.auto == "int4")}
    tensors = dict(checkpoint.tensors)
    done = 0
    for names in _batches(list(wanted), {name: s.shape[1] for name, s in wanted.items()}):
        ops.watch = {id(model.weights[name]): name for name in names}
        for window in ids:
            model.hidden_states(window, Batch.packed([len(window)]))
        for name in names:
            weights = read(wanted[name], "f32")
            assert isinstance(weights, np.ndarray)
            tensor = rounded(weights, ops.grams.pop(name, None), group)
            tensors[name] = in_memory(tensor)
            model.weights[name] = ops.weight(tensor)
            done += 1
            if progress:
                progress(done, len(wanted))
    return replace(checkpoint, tensors=tensors)


def _batches(names: list[str], widths: dict[str, int]) -> Iterator[list[str]]:
    """Names of whole layers, as many as GRAM_BYTES allow."""
    layers: dict[str, list[str]] = {}
    for name in names:
        layers.setdefault(name.split(".")[2], []).append(name)
    batch, size = list[str](), 0
    for layer in layers.values():
        here = sum(4 * widths[name] ** 2 for name in layer if not name.endswith(_SHARED))
        if batch and size + here > GRAM_BYTES:
            yield batch
            batch, size = [], 0
        batch, size = batch + layer, size + here
    if batch:
        yield batch


def rounded(weights: Floats, gram: Floats | None, group: int = GROUP) -> Tensor:
    """weights [N, K], gram [K, K] (of any scale; None for inputs that never occurred) -> int4 Tensor."""
    n, k = weights.shape
    if gram is None or not gram.any():
        return from_rows([weights], (n, k), "int4", group)
    importance = gram.diagonal() / gram.diagonal().mean() + np.float32(DAMPING)
    tensor = from_rows([weights], (n, k), "int4", group, importance.astype(np.float32))
    assert tensor.scale is not None and tensor.grid is not None
    code_of = nearest(tensor.grid)
    order = np.argsort(importance, kind="stable")  # the last one is rounded first
    factor = _factor(gram, order)  # [K, K], lower, ones on the diagonal
    w = np.ascontiguousarray(weights.T[order])  # [K, N]
    step = tensor.scale.astype(np.float32).T[order // group]  # [K, N]
    inverse = np.divide(np.float32(1), step, out=np.zeros_like(step), where=step != 0)
    error, codes = np.empty_like(w), np.empty((n, k), np.uint8)
    for start in reversed(range(0, k, _BLOCK)):
        end = min(k, start + _BLOCK)
        target = w[start:end] + factor[end:, start:end].T @ error[end:]
        for i in reversed(range(start, end)):
            t = target[i - start] + factor[i + 1 : end, i] @ error[i + 1 : end]
            code = code_of[slots(t * inverse[i])]
            codes[:, order[i]] = code
            error[i] = w[i] - tensor.grid[code] * step[i]
    return Tensor("int4", (n, k), pack_int4(codes, group), tensor.scale, group, tensor.grid)


def _factor(gram: Floats, order: NDArray[np.int64]) -> Floats:
    """L_ji / L_ii of the Gram matrix in that order, damped."""
    h = gram[np.ix_(order, order)].astype(np.float64)
    h[np.diag_indices_from(h)] += DAMPING * h.diagonal().mean()
    lower = np.linalg.cholesky(h)
    return (lower / lower.diagonal()).astype(np.float32)
