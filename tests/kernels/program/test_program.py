"""Programs on every instruction set, with sizes that fit nothing; what the fuser makes of a pass, what it refuses."""

import dataclasses
import threading
import time
from collections import Counter
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from ponder.core.batch import Batch
from ponder.kernels import native
from ponder.kernels.cancel import CancelFlag, Cancelled
from ponder.kernels.native import NativeOps
from ponder.kernels.program.fuse import Attend, Buffer, Embed, Experts, HeadPart, Heads, Linear, Part, Prepare, Route
from ponder.kernels.program.run import Program
from ponder.model import decoder
from ponder.model.config import PRESETS, ModelConfig
from ponder.model.model import Model
from ponder.model.weights.build import build, random_checkpoint

ODD = replace(
    PRESETS["tiny"], hidden_size=52, intermediate_size=76, num_attention_heads=3, num_key_value_heads=1, head_dim=20,
    vocab_size=131,
)  # fmt: skip
ODD_MOE = replace(
    PRESETS["tiny-moe"], hidden_size=52, moe_intermediate_size=28, num_experts=5, num_experts_per_tok=2, vocab_size=131,
)  # fmt: skip
PLACES = [(ODD, "f32", 4), (ODD, "bf16", 4), (ODD, "int8", 4), (ODD_MOE, "int4", 4), (PRESETS["tiny"], "int8", 32)]


def make(config: ModelConfig, dtype: str, group: int = 4) -> Model:
    return build(random_checkpoint(config, noisy=True), NativeOps(), dtype, group=group)


@pytest.mark.parametrize("config, dtype, group", PLACES)
def test_same_bits_as_the_operations(isa: str, config: ModelConfig, dtype: str, group: int) -> None:
    """Prefill of two, then decode of one beside prefill of the other, through the cache."""
    m = make(config, dtype, group)
    rng, tables = np.random.default_rng(0), np.array([[3, 1, 0, 7, 8, 9], [5, 2, 4, 6, 10, 11]], np.int32)
    kv = "int8" if dtype == "int8" else "bf16"
    caches, done = (m.new_cache(12, 4, kv), m.new_cache(12, 4, kv)), [0, 0]
    for takes in ([9, 2], [1, 7], [1, 1]):
        starts = np.array([0, takes[0], sum(takes)], np.int32)
        positions = np.concatenate([np.arange(d, d + n) for d, n in zip(done, takes)]).astype(np.int32)
        batch = Batch(positions, starts, starts[1:] - 1, np.ones(2, np.float32), tables)
        ids = rng.integers(0, config.vocab_size, sum(takes)).astype(np.int32)
        got = m.forward(ids, batch, caches[0])
        want = decoder.forward(m.weights, m.config, m.rope, m.ops, ids, batch, caches[1])
        np.testing.assert_array_equal(got, want)
        assert np.isfinite(got).all() and got.std() > 0
        np.testing.assert_array_equal(caches[0].data, caches[1].data)
        done = [d + n for d, n in zip(done, takes)]


def test_a_long_batch_after_a_short_one() -> None:
    """The buffers grow; more tokens than the kernels take at once."""
    m = make(PRESETS["tiny"], "int8", 32)
    for n in (1, 300, 7):
        ids = np.arange(n, dtype=np.int32) % 200
        want = decoder.forward(m.weights, m.config, m.rope, m.ops, ids, Batch.packed([n]))
        np.testing.assert_array_equal(m.forward(ids, Batch.packed([n])), want)


def test_what_is_fused() -> None:
    m = make(PRESETS["tiny"], "int8", 32)
    assert m.program is not None
    code, layers = m.program.code, m.config.num_hidden_layers
    linears = [len(i.parts) + i.swiglu for i in code if isinstance(i, Linear)]
    assert Counter(linears) == {3: 2 * layers, 1: 2 * layers + 1}  # qkv; gate with up; o, down and the head
    assert sum(isinstance(i, Heads) for i in code) == sum(isinstance(i, Attend) for i in code) == layers
    assert sum(isinstance(i, Prepare) for i in code) == 4 * layers + 1
    last = max(at for at, i in enumerate(code) if isinstance(i, Attend))
    assert all(i.wanted for i in code[last + 1 :] if isinstance(i, Prepare))  # only the logit rows go on


def test_inputs_packed_in_two_ways() -> None:
    """q, k and v of different kinds, as mixed files have them, read one norm packed twice."""
    m = make(PRESETS["tiny"], "int8", 32)
    other = make(PRESETS["tiny"], "bf16")
    for name in m.weights:
        if "v_proj" in name or "up_proj" in name:
            m.weights[name] = other.weights[name]
    ids, batch = np.arange(9, dtype=np.int32), Batch.packed([9])
    want = decoder.forward(m.weights, m.config, m.rope, m.ops, ids, batch)
    np.testing.assert_array_equal(m.forward(ids, batch), want)
    assert m.program is not None and any(len(i.packed) == 2 for i in m.program.code if isinstance(i, Prepare))


def test_a_pass_that_cannot_be_fused_is_refused() -> None:
    m = make(PRESETS["tiny"], "f32")

    def no_rows(ops: Any, batch: Any) -> Any:
        step = ops.prepare(batch, *batch.rows(batch))
        return decoder.hidden_states(m.weights, m.config, ops, None, step)

    def bare_swiglu(ops: Any, batch: Any) -> Any:
        h = ops.embed(m.weights["model.embed_tokens.weight"], None)
        return ops.swiglu(h, ops.attention(h, h, h, batch, None, 0))

    for wrong in no_rows, bare_swiglu:
        with pytest.raises(AssertionError):
            Program(wrong, m.rope.table)


def test_native_table_checks_its_numbers() -> None:
    w, ones = NativeOps().weight(np.ones((8, 16), np.float32)), np.ones(16, np.float32)
    wide, narrow, wanted, packed = Buffer(16, False), Buffer(8, False), Buffer(8, True), Buffer(0, False, w)
    nothing: Any = 9

    def linear(x: Buffer, out: Buffer, bias: Any = None, swiglu: bool = False) -> Linear:
        return Linear(0, [Part(w, x, out, bias)], swiglu)

    program = native._native.Program()
    for instruction in (
        Embed(w, wide),
        Prepare(wide, norm=ones, eps=1e-6, out=wide, packed=[packed]),
        linear(packed, narrow),
    ):
        program.add(instruction)
    for wrong in (
        Embed(w, Buffer(0, False)),
        Embed(w, narrow),
        Embed(w, nothing),
        Prepare(wide, norm=ones[:8], eps=1e-6, out=wide),
        Prepare(wide, gather=True, norm=ones, eps=1e-6, out=wide),
        Prepare(narrow, packed=[packed]),
        Prepare(wide, add=narrow, sum=wide, packed=[packed]),
        Prepare(wide),
        Linear(0, []),
        linear(wide, narrow),
        linear(packed, wide),
        linear(packed, wanted),
        linear(packed, narrow, ones),
        linear(packed, narrow, swiglu=True),
        Heads([HeadPart(wide, 2, ones)], 8, 1e-6),
        Heads([HeadPart(wide, 3, None)], 8, 1e-6),
        Attend(wide, narrow, wide, wide, 0, 2, 1, 8),
        Route(narrow, wide, wide, True),
        Buffer(8, False),
    ):
        with pytest.raises((ValueError, TypeError)):
            program.add(wrong)
    for call in (
        lambda: program.output(narrow),
        lambda: program.set_rope(1.0, 0, np.ones((1024, 3), np.float32), np.ones((1024, 3), np.float32)),
        lambda: program.place(wide, np.ones((2, 8), np.float32)),
        lambda: program.place(wide, np.ones((2, 16))),
        lambda: program.run_alone(),
    ):
        with pytest.raises((ValueError, TypeError)):
            call()


def test_a_call_alone_needs_arrays_of_the_same_length() -> None:
    program, wide, out = native._native.Program(), Buffer(16, False), Buffer(16, False)
    program.add(Prepare(wide, norm=np.ones(16, np.float32), out=out))
    program.place(wide, np.ones((3, 16), np.float32))
    program.place(out, np.ones((2, 16), np.float32))
    with pytest.raises(ValueError, match="rows"):
        program.run_alone()


def test_what_needs_a_batch_does_not_run_alone() -> None:
    w, wide, ids, mix = NativeOps().weight(np.ones((16, 16), np.float32)), *(Buffer(n, False) for n in (16, 2, 2))
    packed = Buffer(0, False, w)
    for needs_batch in (
        Embed(w, wide),
        Prepare(wide, gather=True, out=Buffer(16, True)),
        Experts(packed, ids, mix, [w] * 2, [w] * 2, [w] * 2, wide),
    ):
        program = native._native.Program()
        program.add(needs_batch)
        program.place(wide, np.ones((2, 16), np.float32))
        with pytest.raises(ValueError, match="needs a batch"):
            program.run_alone()
        for wrong in (None, packed):
            with pytest.raises((ValueError, TypeError)):
                program.place(wrong, np.ones((2, 0), np.float32))


@pytest.mark.flaky(reruns=2)  # judges time
def test_a_run_is_left_between_two_instructions() -> None:
    """By another thread, in a small part of the time of a run. The same ids give the same bits afterwards."""
    config = replace(PRESETS["tiny"], num_hidden_layers=24, hidden_size=256, intermediate_size=1024)
    m = build(random_checkpoint(config), NativeOps(), "int8")
    ids, packed = np.arange(512, dtype=np.int32) % 256, Batch.packed([512], all_logits=False)
    batch = dataclasses.replace(packed, block_tables=np.arange(16, dtype=np.int32)[None])
    caches = m.new_cache(16, 32, "int8"), m.new_cache(16, 32, "int8")
    times = []
    for _ in range(2):
        start = time.perf_counter()
        want = m.forward(ids, batch, caches[0])
        times.append(time.perf_counter() - start)
    waits = []
    for part in (0.0, 0.2, 0.4, 0.6):
        cancelled, asked = CancelFlag(), []

        def ask(cancelled: CancelFlag = cancelled, asked: list[float] = asked) -> None:
            asked.append(time.perf_counter())
            cancelled.set()

        timer = threading.Timer(part * min(times), ask)
        timer.start()
        with pytest.raises(Cancelled):
            m.forward(ids, batch, caches[1], cancelled)
        waits.append(time.perf_counter() - asked[0])
    assert sorted(waits)[1] < min(times) / 5, (waits, times)
    np.testing.assert_array_equal(m.forward(ids, batch, caches[1], CancelFlag()), want)
    np.testing.assert_array_equal(caches[0].data, caches[1].data)
    assert m.forward(ids, Batch.packed([512]), None, None).std() > 0, "who has no flag is never left"
