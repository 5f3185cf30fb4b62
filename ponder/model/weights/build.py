"""From a Checkpoint to a Model: which tensor gets which precision, and the proof that nothing is missing or unused.

    build(read_hf("folder"), NativeOps(), "int8")

dtype is "f32", "bf16", "int8", "int4", or "auto" (what the file has). Whatever it says, norms, biases and router gates
stay float32, and the embedding table is never made worse than bf16 (QU-2): a tied head that is to be packed gets its
own copy. With "int4" the head is int8: it is where coarse weights cost most (docs/weights.md). A large one gets an int4
copy beside it, which is what is read; the head itself then computes the largest logits (`running_plan`).
"""

import math
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ponder.core.errors import LoadError, UserError
from ponder.kernels.native import NativeOps, normal, read_ahead_experts
from ponder.kernels.ops import Ops, Weight
from ponder.kernels.packing.pack import from_rows
from ponder.kernels.packing.panels import Panels
from ponder.kernels.tensor import FOUR_BITS, GROUP, Floats, Kind, Tensor
from ponder.model.config import ModelConfig
from ponder.model.decoder import COARSE, EMBED, HEAD
from ponder.model.hub.store import Progress
from ponder.model.model import Model
from ponder.model.rope import Rope
from ponder.model.weights import cache
from ponder.model.weights.checkpoint import Checkpoint, Source, read
from ponder.model.weights.finite import check_finite

Dtype = Literal["auto", "f32", "bf16", "int8", "int4"]

WORTH_COARSE = 32_768  # outputs of a head
_CHUNK = 1 << 20  # values drawn at a time
_LARGE = 4 << 30  # bytes of mapped weights that may not all stay in memory


def build(
    checkpoint: Checkpoint, ops: Ops, dtype: str = "auto", *, group: int = GROUP,
    max_context: int | None = None, progress: Progress | None = None, use_cache: bool = False,
) -> Model:  # fmt: skip
    """Read every tensor into `ops`. group: values that share a scale, when packing to int8 or int4.
    use_cache: take converted weights from the cache on disk, and write those that are made there (weights/cache.py).

    Raises LoadError if tensors and config do not fit or weights are not numbers, UserError for a dtype or max_context
    that cannot be.
    """
    plan = running_plan(storage_plan(checkpoint, dtype, prove_tie=False))
    context = context_limit(checkpoint.config, max_context)
    warnings: list[str] = []
    native = isinstance(ops, NativeOps)  # nobody else computes with panels
    entry = cache.cache_entry(checkpoint, plan, dtype, group) if use_cache and native else None
    cached = entry.find(warnings.append) if entry else None
    if cached is None:
        _check_tie(checkpoint)
        _check_mapped(checkpoint.origin, plan)  # for a cache that is found it was done when that was made
        cached = entry.make(warnings.append, progress) if entry else None
    if cached is not None and cached.nbytes > _LARGE:
        read_ahead_experts()
    weights: dict[str, Weight] = {}
    total, done, nbytes = sum(source.nbytes for source, _ in plan.values()), 0, 0
    for name, (source, kind) in plan.items():
        value = cached.value(name) if cached and name in cached.pieces else read(source, kind, group)
        if source.mapped != kind and not isinstance(value, Panels):
            check_finite(checkpoint.origin, name, value)
        weights[name] = ops.weight(value)
        nbytes += value.nbytes
        done += source.nbytes
        if progress and cached is None:
            progress(done, total)
    weights.setdefault(HEAD, weights[EMBED])
    return Model(
        checkpoint.config, ops, ops.joined(weights), Rope(checkpoint.config), nbytes, context, max_context is not None,
        checkpoint.generation_config, tuple(warnings),
    )  # fmt: skip


def storage_plan(checkpoint: Checkpoint, dtype: str, *, prove_tie: bool = True) -> dict[str, tuple[Source, Kind]]:
    """Every tensor of the model and the kind it is kept in; without a head if that is the embedding's very weight.
    prove_tie: read a tied head that the file holds a second time, to see that it is the embedding."""
    if dtype not in get_args(Dtype):
        raise UserError(f"dtype {dtype!r} must be one of {', '.join(get_args(Dtype))}.", param="dtype")
    if not checkpoint.fits:
        check(checkpoint)
    tensors = dict(checkpoint.tensors)
    if checkpoint.config.tie_word_embeddings and HEAD in tensors and not tensors[HEAD].packed:
        if prove_tie:
            _check_tie(checkpoint)
        del tensors[HEAD]
    plan = {name: (source, _kind(name, source, dtype)) for name, source in tensors.items()}
    if HEAD not in plan:
        source, table = plan[EMBED]
        head = _kind(HEAD, source, dtype)
        if head != table:
            plan[HEAD] = source, head
    return plan


def running_plan(plan: dict[str, tuple[Source, Kind]]) -> dict[str, tuple[Source, Kind]]:
    """The plan and what a running model has besides: an int4 copy of a large int8 head, where layers have four bits. It
    is made of the head's int8 values, so that a model and its quantised folder compute alike."""
    source, kind = plan.get(HEAD, plan[EMBED])
    if not in_four_bits(plan) or kind != "int8" or source.shape[0] < WORTH_COARSE:
        return plan

    def convert(kind: Kind, group: int) -> Tensor:
        exact = read(source, "int8", group)
        assert isinstance(exact, Tensor)
        coarse = read(in_memory(exact), kind, group)
        assert isinstance(coarse, Tensor)
        return coarse

    unread = source.read  # `convert` is what reads it
    return plan | {COARSE: (Source(source.shape, "int4", source.nbytes, unread, convert=convert), "int4")}


def in_four_bits(plan: dict[str, tuple[Source, Kind]]) -> bool:
    """Whether most weights of the layers are: a few such matrices in a file of more bits are no reason to save bits
    elsewhere."""
    sizes = [(math.prod(source.shape), kind) for name, (source, kind) in plan.items() if name not in (EMBED, HEAD)]
    return 2 * sum(size for size, kind in sizes if kind in FOUR_BITS) > sum(size for size, _ in sizes)


def cache_dtype(wanted: str, checkpoint: Checkpoint, dtype: str) -> str:
    """The precision of keys and values: as wanted; "auto" is int8 where layers have four bits, whose own error is many
    times larger (docs/performance.md), and bf16 elsewhere."""
    if wanted != "auto":
        return wanted
    plan = storage_plan(checkpoint, dtype, prove_tie=False)
    return "int8" if in_four_bits(plan) else "bf16"


def _check_tie(checkpoint: Checkpoint) -> None:
    """A file may hold a tied head a second time, but then it must be the embedding."""
    if not checkpoint.config.tie_word_embeddings or HEAD not in checkpoint.tensors:
        return
    if checkpoint.tensors[HEAD].packed:
        return
    head, table = (checkpoint.tensors[name].read() for name in (HEAD, EMBED))
    a, b = (value.data if isinstance(value, Tensor) else value for value in (head, table))
    if a.dtype != b.dtype or not np.array_equal(a, b):
        raise LoadError(
            f"{checkpoint.origin}: {HEAD} differs from {EMBED}, but tie_word_embeddings is true; set it to false in "
            "config.json to use the head"
        )


def _check_mapped(origin: str, plan: Mapping[str, tuple[Source, Kind]]) -> None:
    """What is used where it is mapped, and so is looked at by no conversion. Not matrices that may not all fit the
    memory: there the first answer tells (core.errors.DamagedModel)."""
    mapped = {name: source for name, (source, kind) in plan.items() if source.mapped == kind}
    large = sum(source.nbytes for source in mapped.values()) > _LARGE
    for name, source in mapped.items():
        if not large or len(source.shape) == 1:
            check_finite(origin, name, source.read())


def _kind(name: str, source: Source, dtype: str) -> Kind:
    if len(source.shape) == 1 or name.endswith(".mlp.gate.weight"):
        return "f32"
    wanted: Kind = source.auto if dtype == "auto" else dtype  # type: ignore[assignment]
    if name == HEAD and dtype == "int4" and not (source.packed and source.auto == "int4"):
        return "int8"
    if name != EMBED or wanted not in ("int8", *FOUR_BITS):
        return wanted
    return source.auto if source.packed else "bf16"


def check(checkpoint: Checkpoint) -> None:
    """Every tensor used and every parameter filled, in the right shape; otherwise a LoadError that names them."""
    config, found = checkpoint.config, checkpoint.tensors
    if config.num_hidden_layers > len(found):
        raise LoadError(f"{checkpoint.origin}: {len(found)} tensors for {config.num_hidden_layers} layers")
    wanted = config.shapes()
    if config.tie_word_embeddings and HEAD in found:
        wanted[HEAD] = wanted[EMBED]
    problems = [f"missing {name}" for name in wanted if name not in found]
    problems += [f"unexpected {name} {list(found[name].shape)}" for name in found if name not in wanted]
    problems += [
        f"{name} has shape {list(found[name].shape)}, the config wants {list(shape)}"
        for name, shape in wanted.items()
        if name in found and found[name].shape != shape
    ]
    if problems:
        more = f"; and {len(problems) - 10} more" if len(problems) > 10 else ""
        raise LoadError(f"{checkpoint.origin}: tensors do not fit the config: {'; '.join(problems[:10])}{more}")


def context_limit(config: ModelConfig, max_context: int | None) -> int:
    """Tokens a request may hold. A yarn factor in the config is a promise that is not stretched (LC-3)."""
    shipped = config.max_position_embeddings
    if config.rope_scaling:
        yarn = config.rope_scaling
        shipped = max(shipped, int(yarn.factor * yarn.original_max_position_embeddings))
    if max_context is None:
        return shipped
    if max_context < 1:
        raise UserError(f"--max-context {max_context} must be at least 1.", param="max_context")
    if config.rope_scaling and max_context > shipped:
        raise UserError(
            f"--max-context {max_context} is more than the {shipped} that rope_scaling in the model's config.json "
            "gives; raise its factor, or remove it to have the factor chosen for each request.",
            param="max_context",
        )
    return max_context


def random_checkpoint(config: ModelConfig, seed: int = 0, *, noisy: bool = False) -> Checkpoint:
    """Untrained weights: matrices normal with config.initializer_range, norms 1, biases 0.

    noisy: norms and biases get noise too, so that a test notices when one is left out. Each tensor is drawn when it is
    read, from the seed and its name: reading twice gives the same values.
    """
    sources = {
        name: _random(config, (seed << 32 | zlib.crc32(name.encode())) % (1 << 64), noisy, name, shape)
        for name, shape in config.shapes().items()
    }
    return Checkpoint(config, sources, f"random weights, seed {seed}")


def _random(config: ModelConfig, seed: int, noisy: bool, name: str, shape: tuple[int, ...]) -> Source:
    nbytes = 4 * int(np.prod(shape))
    if len(shape) == 1:
        centre, spread = (0 if name.endswith(".bias") else 1), (0.1 if noisy else 0.0)
        return Source(
            shape, "f32", nbytes, lambda: next(_normal_rows(seed, 1, shape[0], spread))[0] + np.float32(centre)
        )
    n, k = shape

    def convert(kind: Kind, group: int) -> Tensor:
        return from_rows(_normal_rows(seed, n, k, config.initializer_range), (n, k), kind, group)

    return Source(shape, "f32", nbytes, lambda: convert("f32", 0).data, convert=convert)


def _normal_rows(seed: int, n: int, k: int, spread: float) -> Iterator[Floats]:
    """float32 [n, k] in chunks of rows; a chunk is gone when the next one comes."""
    chunk = np.empty((max(1, min(n, _CHUNK // k)), k), np.float32)
    for row in range(0, n, len(chunk)):
        part = chunk[: n - row]
        normal(seed, row, spread, part)
        yield part


def memory_checkpoint(
    config: ModelConfig,
    weights: Mapping[str, NDArray[np.float32] | Tensor],
    generation_config: dict[str, Any] | None = None,
) -> Checkpoint:
    """Weights that are already in memory, by HF name: to save or to rebuild what was trained."""
    tensors = {name: in_memory(value) for name, value in weights.items()}
    return Checkpoint(config, tensors, "weights in memory", generation_config or {})


def in_memory(value: Floats | Tensor) -> Source:
    kind: Kind = value.kind if isinstance(value, Tensor) else "f32"
    return Source(value.shape, kind, value.nbytes, lambda: value, packed=kind in ("int8", *FOUR_BITS))
