"""The memory plan: what is really loaded, to the byte; the released counts recomputed; what people measured."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from gguf_tiny import CONFIGS, tiny_tokenizer
from msgspec.structs import replace
from released_counts import COUNTS

from ponder.core.batch import Batch
from ponder.core.errors import UserError
from ponder.model.capacity import (
    CPU_RESERVE,
    GPUS,
    SIZES,
    Capacity,
    Machine,
    activations,
    cache_per_token,
    distinct_experts,
    estimate,
    gpus,
    released,
)
from ponder.model.config import PRESETS, ModelConfig
from ponder.model.formats.gguf_write import write_gguf
from ponder.model.formats.hf_save import save_hf
from ponder.model.hub.registry import BUNDLES, RELEASED
from ponder.model.load import load, make_ops, open_checkpoint
from ponder.model.weights.build import build, random_checkpoint

HERE = Machine("CPU", memory=24e9, bandwidth=50e9)


def of(
    name: str, machine: Machine = HERE, dtype: str = "bf16", kv: str = "bf16", context: int = 32768, streams: int = 1
) -> Capacity:
    checkpoint = released(name)
    assert checkpoint is not None
    return estimate(checkpoint, machine, dtype, kv, context=context, streams=streams)


def in_f32(config: ModelConfig) -> int:
    """Parameters that stay float32: norms, the norms of q and k heads, routers."""
    norms = 2 * config.hidden_size + 2 * config.head_dim
    return config.num_hidden_layers * (norms + config.num_experts * config.hidden_size) + config.hidden_size


@pytest.mark.parametrize("name", COUNTS)
def test_weights_of_the_released_sizes(name: str) -> None:
    """By the released counts and the hidden sizes alone, not by the list of tensors."""
    config, (total, body, _, _) = PRESETS[name], COUNTS[name]
    small, table = in_f32(config), 151_936 * config.hidden_size
    assert of(name).weights == 2 * total + 2 * small
    # packed: 1 or 0.5 bytes and a float16 scale for 32 values; a bf16 table and an int8 head, a tied one too;
    # an int4 model has an int4 copy of it
    head = table + table // 16
    assert of(name, dtype="int8").weights == 2 * table + head + (body - small) * 17 // 16 + 4 * small
    assert of(name, dtype="int4").weights == 2 * table + head + table * 9 // 16 + (body - small) * 9 // 16 + 4 * small


def test_every_released_name_and_no_other() -> None:
    assert tuple(COUNTS) == SIZES
    for name in (*RELEASED, *BUNDLES):
        assert of(name, dtype="auto").weights > 0
    assert released("qwen3:9b") is None and released("tiny") is None and released("qwen3:235b-a22b-q8_0") is None


@pytest.mark.parametrize("dtype", ["auto", "f32", "bf16", "int8", "int4"])
@pytest.mark.parametrize("preset", ["tiny", "tiny-moe", "tiny-qwen2", "untied"])
def test_weights_are_those_of_the_loaded_model(preset: str, dtype: str) -> None:
    config = replace(PRESETS["tiny"], tie_word_embeddings=False) if preset == "untied" else PRESETS[preset]
    checkpoint = random_checkpoint(config)
    planned = estimate(checkpoint, HERE, dtype, "bf16", context=64, streams=1)
    assert planned.weights == build(checkpoint, make_ops("numpy"), dtype).nbytes == sum(planned.weights_by.values())


@pytest.mark.parametrize("dtype", ["auto", "bf16", "int8", "int4"])
@pytest.mark.parametrize("form", ["Q8_0", "Q4_0", "F16", "int4 in groups of 16"])
def test_weights_of_files(form: str, dtype: str, tmp_path: Path) -> None:
    path = tmp_path / ("folder" if " " in form else "m.gguf")
    if path.suffix:
        write_gguf(path, random_checkpoint(CONFIGS["moe"]), tiny_tokenizer(tmp_path), form)
    else:
        save_hf(path, random_checkpoint(CONFIGS["moe"]), "int4", group=16)
    planned = estimate(open_checkpoint(path), HERE, dtype, "bf16", context=64, streams=1)
    assert planned.weights == load(path, dtype=dtype, ops="numpy").nbytes


@pytest.mark.parametrize("name", COUNTS)
def test_cache(name: str) -> None:
    config, bytes_per_token = PRESETS[name], COUNTS[name][3]
    planned = of(name, context=1000, streams=3)
    assert planned.cache == 3000 * bytes_per_token and planned.cache_per_token == bytes_per_token
    assert of(name, kv="f32").cache_per_token == 2 * bytes_per_token
    heads = 2 * config.num_hidden_layers * config.num_key_value_heads
    assert of(name, kv="int8").cache_per_token == bytes_per_token // 2 + 4 * heads
    assert (
        planned.room == max(0, 24_000_000_000 - CPU_RESERVE - planned.weights - planned.activations) // bytes_per_token
    )


def test_cache_is_what_the_engine_allocates() -> None:
    model = build(random_checkpoint(PRESETS["tiny"]), make_ops("native"))
    for kv in ("f32", "bf16", "int8"):
        cache = model.new_cache(blocks=6, block_size=32, dtype=kv)
        assert cache.nbytes == 6 * 32 * cache_per_token(model.config, kv)


def test_fits_is_the_sum_of_the_parts() -> None:
    p = of("qwen3:8b", dtype="int8")
    assert p.needed == p.weights + p.cache + p.activations and p.memory == 24_000_000_000 - 300_000_000
    exact = Machine("CPU", p.needed + CPU_RESERVE, 1e9)
    assert of("qwen3:8b", exact, "int8").fits and of("qwen3:8b", exact, "int8").room == 32768
    assert not of("qwen3:8b", replace(exact, memory=exact.memory - 1), "int8").fits


@pytest.mark.parametrize("preset", ["tiny", "tiny-moe"])
def test_activations_hold_what_a_step_was_seen_to_take(preset: str) -> None:
    """numpy's allocations and the program's buffers in a step of 128 ids, at a realistic ratio of the widths."""
    config = replace(PRESETS[preset], hidden_size=512, intermediate_size=1536, num_attention_heads=8, head_dim=64)
    config = replace(config, moe_intermediate_size=384 if config.num_experts else 0)
    model = build(random_checkpoint(config), make_ops("native"), "bf16")
    cache = model.new_cache(blocks=4, block_size=32)
    batch = Batch(
        positions=np.arange(128, dtype=np.int32),
        starts=np.array([0, 128], np.int32),
        logit_rows=np.array([127], np.int32),
        rope_factor=np.ones(1, np.float32),
        block_tables=np.arange(4, dtype=np.int32)[None],
    )
    ids = np.arange(128, dtype=np.int32)
    model.forward(ids, batch, cache)
    tracemalloc.start()
    model.forward(ids, batch, cache)
    assert model.program
    peak = tracemalloc.get_traced_memory()[1] + model.program.buffer_bytes
    tracemalloc.stop()
    limit = activations(config, 1)
    assert 0.4 * limit < peak <= limit  # the buffers inside one instruction are the kernels' own


def test_rate_of_a_dense_model() -> None:
    """Every byte of the weights but the table, of which one row a stream is read, and the whole cache, once a step."""
    p = of("qwen3:8b", context=10_000, streams=4)
    config, table = PRESETS["qwen3:8b"], 151_936 * 4096
    weights = 2 * (8_190_735_360 - table + 4 * 4096) + 2 * in_f32(config)
    assert p.step_weights == weights and p.step_cache == 40_000 * 147_456
    assert p.rate == pytest.approx(4 * 50e9 / (weights + 40_000 * 147_456), rel=1e-12)
    assert p.rate_empty == pytest.approx(4 * 50e9 / weights, rel=1e-12)
    tied = of("qwen3:0.6b")  # the table is the head
    assert tied.step_weights == tied.weights


@pytest.mark.parametrize("name", ["qwen3:30b-a3b", "qwen3:235b-a22b"])
def test_one_stream_reads_the_active_experts(name: str) -> None:
    config, (total, _, active, _) = PRESETS[name], COUNTS[name]
    p = of(name)
    table = 151_936 * config.hidden_size
    assert p.experts_read == pytest.approx(8)
    assert p.step_weights == pytest.approx(2 * (active - table + config.hidden_size) + 2 * in_f32(config), rel=1e-12)
    everything = of(name, streams=10_000)
    assert everything.experts_read == pytest.approx(128) and everything.step_weights > 2 * (total - table)


def test_expected_experts_by_drawing_them() -> None:
    rng = np.random.default_rng(0)
    for tokens in (1, 4, 16, 64):
        drawn = [len({int(e) for _ in range(tokens) for e in rng.permutation(128)[:8]}) for _ in range(200)]
        assert distinct_experts(128, 8, tokens) == pytest.approx(np.mean(drawn), rel=0.02)
    assert distinct_experts(0, 0, 5) == 0


def test_four_h20_serve_the_235b_in_fp8_only() -> None:
    """vLLM issue 17327: bf16 runs out of memory on 4 x H20 96 GB and runs on 8; FP8 runs on 4, as Qwen says."""
    name = "qwen3:235b-a22b"
    assert not of(name, gpus("H20", 4), context=1).fits
    assert of(name, gpus("H20", 8)).fits
    four = of(name, gpus("H20", 4), "fp8")
    # 94 layers: q, o and k, v; experts; table and head; norms and routers bf16. One float32 for 128 x 128 values.
    matrices = 94 * (2 * 8192 * 4096 + 2 * 512 * 4096 + 128 * 3 * 4096 * 1536)
    replicated = in_f32(PRESETS[name])
    assert four.weights == (matrices + matrices // 128**2 * 4 + 2 * 2 * 151_936 * 4096) // 4 + 2 * replicated
    assert four.cache_per_token == 192_512 // 4 and four.memory == 86_400_000_000
    assert of(name, gpus("H20", 4), "fp8", context=131_072, streams=4).fits
    assert not of(name, gpus("H20", 4), "fp8", context=131_072, streams=5).fits
    assert of(name, gpus("H20", 4), "fp8", "fp8", context=131_072, streams=8).fits


def test_the_limit_is_above_what_was_measured() -> None:
    """Qwen's speed page, one stream on H20: no measurement may beat the bandwidth limit."""
    measured = [("0.6b", "bf16", 1, 414.17), ("8b", "bf16", 1, 81.73), ("8b", "fp8", 1, 150.25),
                ("32b", "bf16", 1, 20.72), ("32b", "fp8", 1, 46.17),
                ("30b-a3b", "bf16", 1, 137.18), ("30b-a3b", "fp8", 1, 155.55),
                ("235b-a22b", "bf16", 8, 74.50), ("235b-a22b", "fp8", 4, 71.65)]  # fmt: skip
    for size, dtype, count, rate in measured:
        assert of(f"qwen3:{size}", gpus("H20", count), dtype, context=1024).rate > rate, size
    for size in ("8b", "32b"):  # dense and large: the limit is what counts, within a factor of four
        assert of(f"qwen3:{size}", gpus("H20", 1), "bf16", context=1024).rate < 4 * {"8b": 81.73, "32b": 20.72}[size]


def test_weights_on_each_card_are_what_vllm_reports() -> None:
    """vLLM issue 17327: Qwen3-30B-A3B, bf16, four A10: "Model loading took 14.2474 GiB" on each. It keeps tables of
    cosines and sines, too: 40,960 positions of 128 bf16 values, 10 MB."""
    predicted = of("qwen3:30b-a3b", gpus("L40S", 4)).weights + 40_960 * 128 * 2
    assert predicted / 2**30 == pytest.approx(14.2474, rel=0.0005)


def test_key_value_heads_are_repeated() -> None:
    """30B has 4: on 8 GPUs each keeps one, and k_proj and v_proj with it."""
    two, four, eight = (of("qwen3:30b-a3b", gpus("H100", n)) for n in (2, 4, 8))
    assert two.cache_per_token == 2 * four.cache_per_token and four.cache_per_token == eight.cache_per_token
    kv = 48 * 2 * 512 * 2048 * 2  # bytes of all k and v matrices
    q = 48 * 2 * 4096 * 2048 * 2
    assert four.weights_by["attention bf16"] == (q + kv) // 4
    assert eight.weights_by["attention bf16"] == q // 8 + kv // 4


@pytest.mark.parametrize(
    ("name", "dtype", "count", "hint"),
    [
        ("qwen3:235b-a22b", "fp8", 8, "pieces of 192"),  # vLLM issue 17569
        ("qwen3:30b-a3b", "fp8", 4, "pieces of 192"),  # vLLM issue 25292
        ("qwen3:8b", "bf16", 3, "1, 2, 4, 8"),
        ("qwen3:14b", "bf16", 16, "do not divide"),
        ("qwen3:8b", "int4", 1, "bf16, fp8"),
    ],
)
def test_what_vllm_cannot_split_is_refused(name: str, dtype: str, count: int, hint: str) -> None:
    with pytest.raises(UserError, match=hint):
        of(name, gpus("H20", count), dtype)


def test_bad_wishes_are_refused_by_name() -> None:
    for wish, param in (({"dtype": "fp8"}, "dtype"), ({"kv": "fp8"}, "kv"), ({"context": 0}, "context"),
                        ({"context": 131_073}, "context"), ({"streams": 0}, "streams")):  # fmt: skip
        with pytest.raises(UserError) as e:
            of("qwen3:8b", **wish)
        assert e.value.param == param
    with pytest.raises(UserError, match="H20, H100"):
        gpus("H21", 1)
    with pytest.raises(UserError, match="at least 1"):
        gpus("H20", 0)
    with pytest.raises(UserError, match="memory"):
        Machine("CPU", 0, 1)
    assert gpus("rtx4090", 2) == Machine("RTX 4090", 24e9, 1.008e12, 2) and len(GPUS) == 8
