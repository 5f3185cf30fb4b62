"""How much memory a model takes on a machine, and the token rate that the memory's bandwidth allows. Nothing is loaded.

    estimate(released("qwen3:8b"), Machine("CPU", 24e9, 50e9), "int4", "bf16", context=32768, streams=1)
    estimate(released("qwen3:235b-a22b"), gpus("H20", 4), "fp8", "bf16", context=32768, streams=8)

On a CPU the bytes are those of `weights.running_plan`, to the byte. On GPUs they are what vLLM keeps on each one under
tensor parallelism: the arithmetic of docs/plan.md. All sizes are bytes, GB is 10^9 bytes as on the data sheets.
"""

import math
from collections.abc import Iterable, Mapping
from typing import NoReturn, Protocol

from msgspec import Struct

from ponder.core.errors import UserError
from ponder.kernels.cache import CACHE_DTYPES
from ponder.kernels.tensor import FOUR_BITS, GROUP, Kind, check_group
from ponder.model.config import PRESETS, ModelConfig
from ponder.model.decoder import COARSE, EMBED, HEAD, rescored_share
from ponder.model.gpu_split import TensorSize, gpu_tensors
from ponder.model.hub.registry import BUNDLES, RELEASED, without_form
from ponder.model.weights.build import cache_dtype, running_plan, storage_plan
from ponder.model.weights.checkpoint import Checkpoint, Source

GPUS: dict[
    str, tuple[float, float]
] = {  # GB and TB/s of one card, from the vendors' data sheets (SXM where there are two)
    "H20": (96, 4.0),
    "H100": (80, 3.35),
    "H200": (141, 4.8),
    "A100": (80, 2.04),
    "L40S": (48, 0.864),
    "RTX 4090": (24, 1.008),
    "RTX 5090": (32, 1.79),
    "MI300X": (192, 5.3),
}
_OTHERS = ("-base", "-2507")
# the eight hybrid models; the others have their shapes, but for QwQ and the large Coder
SIZES = tuple(n for n in RELEASED if n.startswith("qwen3:") and n == without_form(n) and not n.endswith(_OTHERS))
GPU_RESERVE = 0.1  # share of a card's memory that stays free: vLLM's gpu_memory_utilization 0.9
CPU_RESERVE = 300_000_000  # bytes of the program itself: interpreter, tokenizer, buffers of the kernels
CPU_DTYPES, CPU_KV = ("auto", "f32", "bf16", "int8", "int4"), tuple(CACHE_DTYPES)
GPU_DTYPES, GPU_KV = ("bf16", "fp8"), {"bf16": 2, "fp8": 1}
CPU_STEP, GPU_STEP = 128, 8192  # ids computed in one step at most: LLM(chunk=128), vLLM's max_num_batched_tokens


class Machine(Struct, frozen=True):
    """memory, bandwidth: bytes and bytes a second of one device. gpus: how many share the model; 0 is a CPU."""

    name: str
    memory: float
    bandwidth: float
    gpus: int = 0

    def __post_init__(self) -> None:
        for flag, value in (("memory", self.memory), ("bandwidth", self.bandwidth)):
            if not 0 < value < math.inf:
                raise UserError(f"--{flag} must be more than 0", param=flag)


class Capacity(Struct, frozen=True, kw_only=True):
    """Bytes are those of one device (GPUs are all alike). weights_by: what they are made of, "experts int4" -> bytes.

    memory: what may be used, reserve taken off. room: tokens of cache that fit beside the weights, over all streams.
    step_weights, step_cache: bytes read for one decode step of all streams at full context. experts_read: of each
    layer in that step (expected), 0 for a dense model. rate: tokens a second, all streams together, that bandwidth
    allows at full context; rate_empty: with an empty cache.
    """

    model: str
    machine: Machine
    dtype: str
    kv: str
    context: int
    streams: int
    weights: int
    weights_by: dict[str, int]
    cache: int
    cache_per_token: int
    activations: int
    needed: int
    memory: int
    fits: bool
    room: int
    experts_read: float
    step_weights: float
    step_cache: int
    rate: float
    rate_empty: float


def gpus(name: str, count: int) -> Machine:
    """Raises UserError for a card that is not in the table."""
    card = {known.lower().replace(" ", ""): known for known in GPUS}.get(name.lower().replace(" ", ""))
    if card is None:
        raise UserError(f"--gpu {name}: choose one of {', '.join(GPUS)}", param="gpu")
    if count < 1:
        raise UserError(f"--gpus {count} must be at least 1", param="gpus")
    memory, bandwidth = GPUS[card]
    return Machine(card, memory * 1e9, bandwidth * 1e12, count)


def released(name: str) -> Checkpoint | None:
    """A name of the tables as a checkpoint whose tensors cannot be read, only measured; None for any other name."""
    preset = without_form(name)
    known = name in RELEASED or name in BUNDLES or (preset in RELEASED and name == f"{preset}-bf16")
    if preset not in PRESETS or not known:
        return None
    exact = name.endswith("-q8_0") or name in BUNDLES  # the bundle's table and head are Q8_0, too
    auto: Kind = "int8" if name.endswith(("-q8_0", "-q4_k_m")) or name in BUNDLES else "bf16"
    fine = _fine_of_q4_k_m(PRESETS[preset]) if name.endswith("-q4_k_m") else None

    def unread() -> NoReturn:
        raise AssertionError(f"{name} is a shape, not a file")

    sources = {
        tensor: Source(
            shape,
            "f32" if len(shape) == 1 else auto if fine is None or tensor in fine else "uint4",
            0,
            unread,
            packed=exact and len(shape) == 2,
        )
        for tensor, shape in PRESETS[preset].shapes().items()
    }
    return Checkpoint(PRESETS[preset], sources, name)


def _fine_of_q4_k_m(config: ModelConfig) -> set[str]:
    """The matrices that llama.cpp's Q4_K_M keeps in Q6_K: table, head, and of the first eighth of the layers, the last
    and every third between them the values and the way down."""
    layers = config.num_hidden_layers
    eighth = layers // 8
    fine = {i for i in range(layers) if i < eighth or i >= 7 * layers // 8 or (i - eighth) % 3 == 2}
    ends = (".v_proj.weight", ".down_proj.weight")
    return {EMBED, HEAD} | {n for n in config.shapes() if n.endswith(ends) and int(n.split(".")[2]) in fine}


def estimate(
    checkpoint: Checkpoint, machine: Machine, dtype: str, kv: str, *, context: int, streams: int, name: str = ""
) -> Capacity:
    """Raises UserError for a precision the machine's engine lacks, a split that cannot be, sizes out of range."""
    config, on_gpu = checkpoint.config, machine.gpus > 0
    _check(config, on_gpu, dtype, kv, context, streams)
    if kv == "auto":
        kv = "bf16" if on_gpu else cache_dtype(kv, checkpoint, dtype)
    tensors = gpu_tensors(config, dtype, machine.gpus) if on_gpu else cpu_tensors(checkpoint, dtype)
    weights = sum(t.nbytes for t in tensors.values())
    per_token = cache_per_token(config, kv, max(1, machine.gpus))
    cache = per_token * context * streams
    work = activations(config, streams, machine.gpus)
    memory = int(machine.memory * (1 - GPU_RESERVE)) if on_gpu else max(0, int(machine.memory) - CPU_RESERVE)
    read, needed = step_weights(config, tensors, streams), weights + cache + work
    return Capacity(
        model=name or checkpoint.origin,
        machine=machine,
        dtype=dtype,
        kv=kv,
        context=context,
        streams=streams,
        weights=weights,
        weights_by=_by_part(tensors),
        cache=cache,
        cache_per_token=per_token,
        activations=work,
        needed=needed,
        memory=memory,
        fits=needed <= memory,
        room=max(0, memory - weights - work) // per_token,
        experts_read=distinct_experts(config.num_experts, config.num_experts_per_tok, streams),
        step_weights=read,
        step_cache=cache,
        rate=streams * machine.bandwidth / (read + cache),
        rate_empty=streams * machine.bandwidth / read,
    )


def _check(config: ModelConfig, on_gpu: bool, dtype: str, kv: str, context: int, streams: int) -> None:
    dtypes, caches = (GPU_DTYPES, GPU_KV) if on_gpu else (CPU_DTYPES, CPU_KV)
    place = "GPUs (vLLM, SGLang)" if on_gpu else "a CPU"
    for flag, value, known in (("dtype", dtype, dtypes), ("kv", kv, ("auto", *caches))):
        if value not in known:
            raise UserError(f"--{flag} {value} is not for {place}; there it is one of {', '.join(known)}", param=flag)
    longest = max(
        config.max_position_embeddings, 4 * config.native_context
    )  # the YaRN factor that the model cards tested
    if not 1 <= context <= longest:
        raise UserError(f"--context {context} must be 1 to {longest}, the model's longest with YaRN", param="context")
    if streams < 1:
        raise UserError(f"--streams {streams} must be at least 1", param="streams")


def cpu_tensors(checkpoint: Checkpoint, dtype: str) -> dict[str, TensorSize]:
    """What `weights.build` would keep: a sum equal to `Model.nbytes`."""
    out = {}
    for name, (source, kind) in running_plan(storage_plan(checkpoint, dtype, prove_tie=False)).items():
        values = math.prod(source.shape)
        if kind in ("f32", "bf16"):
            out[name] = TensorSize(kind, values * (4 if kind == "f32" else 2))
            continue
        group = (source.packed and source.auto == kind and source.group) or GROUP
        check_group(kind, source.shape[-1], group)
        codes, scales = values // (2 if kind in FOUR_BITS else 1), values // group * (2 if kind == "uint4" else 1)
        out[name] = TensorSize(kind, codes + 2 * scales)  # float16 scales, and offsets
    return out


def weight_bytes(checkpoint: Checkpoint, dtypes: Iterable[str] = CPU_DTYPES) -> dict[str, int]:
    """Memory of the running model's weights by dtype; without those whose groups its widths cannot hold."""
    sizes = {}
    for dtype in dtypes:
        try:
            sizes[dtype] = sum(tensor.nbytes for tensor in cpu_tensors(checkpoint, dtype).values())
        except UserError:
            continue
    return sizes


def cache_per_token(config: ModelConfig, kv: str, count: int = 1) -> int:
    """Bytes on each of `count` devices: keys and values, layers x heads x head size; int8 has float32 scales."""
    if kv in CPU_KV and count == 1:
        return config.kv_bytes_per_token(kv)
    heads = max(1, config.num_key_value_heads // count)
    return 2 * config.num_hidden_layers * heads * config.head_dim * GPU_KV[kv]


def activations(config: ModelConfig, streams: int, count: int = 0) -> int:
    """The most that lives at once in a step of T ids, an upper estimate:
    b T (3 D + C + max(2 q + 3 kv, 3 I)) + 8 K V; with k experts a token, k (3 I + D) for 3 I.

    b: 4 bytes on a CPU, 2 on GPUs. D: hidden; C: cosines and sines of the positions; q, kv: widths of queries and of
    keys, I: of the MLP, all three divided by the GPUs. K V logits in float32 and a copy. count: GPUs, 0 on a CPU.
    """
    step, size = (GPU_STEP, 2) if count else (CPU_STEP, 4)
    share, d = max(1, count), config.hidden_size
    q = config.num_attention_heads * config.head_dim // share
    kv = max(1, config.num_key_value_heads // share) * config.head_dim
    mlp = 3 * config.intermediate_size // share
    if config.num_experts:
        moe = config.num_experts_per_tok * (3 * config.moe_intermediate_size // share + d)
        mlp = max(moe, mlp) if config.mlp_only_layers or config.decoder_sparse_step > 1 else moe
    hidden = size * max(step, streams) * (3 * d + config.head_dim + max(2 * q + 3 * kv, mlp))
    return hidden + 8 * streams * config.vocab_size


def distinct_experts(experts: int, per_token: int, tokens: int) -> float:
    """Expected number of experts of a layer that `tokens` tokens use, when the router spreads them evenly:
    E(1-(1-k/E)^K). Real texts share experts, so it is on the high side."""
    return experts * (1 - (1 - per_token / experts) ** tokens) if experts else 0.0


class Measured(Protocol):
    @property
    def nbytes(self) -> int: ...


def step_weights(config: ModelConfig, tensors: Mapping[str, Measured], streams: int) -> float:
    """Bytes of weights that one decode step of `streams` tokens reads: all but idle experts, and of the table only the
    rows of the tokens, unless it is the head too; of a head with a coarse copy what is rescored."""
    share = distinct_experts(config.num_experts, config.num_experts_per_tok, streams) / max(1, config.num_experts)
    rescored = None if COARSE not in tensors else HEAD if HEAD in tensors else EMBED
    total = 0.0
    for name, tensor in tensors.items():
        if ".experts." in name:
            total += tensor.nbytes * share
        elif name == EMBED and HEAD in tensors:
            total += tensor.nbytes / config.vocab_size * streams
        elif name == rescored:
            total += tensor.nbytes * rescored_share(config.vocab_size, streams)
        else:
            total += tensor.nbytes
    return total


def _by_part(tensors: dict[str, TensorSize]) -> dict[str, int]:
    """ "attention bf16" -> bytes, in the order of the model."""
    out: dict[str, int] = {}
    for name, tensor in tensors.items():
        part = f"{_part(name)} {tensor.kind}"
        out[part] = out.get(part, 0) + tensor.nbytes
    return out


def _part(name: str) -> str:
    if name == EMBED:
        return "embedding"
    if name in (HEAD, COARSE):
        return "head"
    if ".experts." in name:
        return "experts"
    if name.endswith(("norm.weight", ".bias", ".mlp.gate.weight")):
        return "norms and the like"
    return "attention" if ".self_attn." in name else "mlp"
