"""What `load` and `build` promise: precisions, mapping instead of copying, contexts, several models side by side."""

import json
from pathlib import Path

import hf_oracle as oracle
import numpy as np
import pytest
from msgspec.structs import replace
from transformers import AutoConfig, AutoModelForCausalLM

from ponder.core.batch import Batch
from ponder.core.errors import LoadError, UserError
from ponder.kernels.native import NativeOps
from ponder.kernels.reference.ops import ReferenceOps
from ponder.kernels.tensor import Tensor
from ponder.model.config import PRESETS, Yarn
from ponder.model.decoder import HEAD
from ponder.model.formats.hf_save import save_hf
from ponder.model.load import load
from ponder.model.model import Model
from ponder.model.torch.ops import TorchOps
from ponder.model.weights.build import EMBED, build, random_checkpoint, storage_plan
from ponder.model.weights.checkpoint import Checkpoint, Source

OPS = ["numpy", "native", "torch"]
Q, NORM, GATE = (f"model.layers.0.{n}.weight" for n in ("self_attn.q_proj", "input_layernorm", "mlp.gate"))


def _logits(model: Model, ids: list[int], factor: float = 1.0) -> np.ndarray:
    batch = Batch.packed([len(ids)], rope_factor=factor)
    return oracle.to_numpy(model.forward(np.array(ids, np.int32), batch))


def _kinds(model: Model) -> list[str]:
    """Of the table, the head, a projection."""
    return [model.weights[name].matrix.kind for name in (EMBED, HEAD, Q)]


@pytest.mark.parametrize("tied", [True, False])
def test_which_precision_goes_where(tied: bool, tmp_path: Path) -> None:
    config = replace(PRESETS["tiny-moe"], tie_word_embeddings=tied)
    save_hf(tmp_path / "f32", random_checkpoint(config))
    save_hf(tmp_path / "bf16", random_checkpoint(config), "bf16")
    save_hf(tmp_path / "int4", random_checkpoint(config), "int4")
    want = {
        ("f32", "auto"): ["f32", "f32", "f32"],
        ("bf16", "auto"): ["bf16", "bf16", "bf16"],
        ("int4", "auto"): ["bf16", "int8", "int4"],
        ("bf16", "f32"): ["f32", "f32", "f32"],
        ("f32", "bf16"): ["bf16", "bf16", "bf16"],
        ("bf16", "int8"): ["bf16", "int8", "int8"],
        ("f32", "int4"): ["bf16", "int8", "int4"],
    }
    for (file, dtype), kinds in want.items():
        model = load(tmp_path / file, dtype=dtype)
        assert _kinds(model) == kinds, (file, dtype)
        assert (model.weights[HEAD] is model.weights[EMBED]) == (tied and kinds[0] == kinds[1])
        assert model.weights[GATE].matrix.kind == "f32"
        assert model.weights[NORM].dtype == np.float32


def test_a_table_that_is_packed_in_the_file_stays_packed() -> None:
    """GGUF's Q8_0: bf16 would be less exact and twice as big."""
    source = random_checkpoint(PRESETS["tiny"])
    table = Tensor.quantise(source.tensors[EMBED].read(), "int8")
    packed = Source(table.shape, "int8", table.nbytes, lambda: table, packed=True)
    lossy = Source(table.shape, "int8", table.nbytes, table.dequantise)  # a K-quant: read() is exact, auto is not
    for entry, kinds in ((packed, ["int8", "int8"]), (lossy, ["bf16", "int8"])):
        checkpoint = Checkpoint(source.config, {**source.tensors, EMBED: entry}, "test")
        assert _kinds(build(checkpoint, NativeOps(), "auto"))[:2] == kinds


def test_a_head_that_is_int4_in_the_file_stays_int4() -> None:
    """GGUF's Q4_0: int8 would be twice as big and no better."""
    source = random_checkpoint(replace(PRESETS["tiny"], tie_word_embeddings=False))
    head = Tensor.quantise(source.tensors[HEAD].read(), "int4")
    packed = Source(head.shape, "int4", head.nbytes, lambda: head, packed=True)
    checkpoint = Checkpoint(source.config, {**source.tensors, HEAD: packed}, "test")
    kept = build(checkpoint, NativeOps(), "int4").weights[HEAD].matrix
    assert kept.kind == "int4" and np.array_equal(kept.tensor().data, head.data)


def test_random_weights_are_normal_and_the_same_each_time() -> None:
    config = replace(PRESETS["tiny"], vocab_size=40_000, initializer_range=0.05)
    one, two, other = (random_checkpoint(config, seed).tensors[EMBED].read() for seed in (1, 1, 2))
    assert np.array_equal(one, two) and np.unique(one[:, :2]).size > 79_000 and not np.array_equal(one, other)
    z = one.astype(np.float64).ravel() / 0.05
    # mean, variance, kurtosis, and the tails of 2.56 million values, five standard errors each
    for got, want, error in (
        (z.mean(), 0, 1), ((z**2).mean(), 1, 2**0.5), ((z**4).mean(), 3, 96**0.5), ((z**3).mean(), 0, 15**0.5),
        ((np.abs(z) > 1).mean(), 0.317311, 0.465), ((z > 3).mean(), 0.00134990, 0.0367),
        ((z < -3).mean(), 0.00134990, 0.0367), ((one[1:] * one[:-1]).mean() / 0.05**2, 0, 1),
    ):  # fmt: skip
        assert abs(got - want) < 5 * error / z.size**0.5
    packed = build(random_checkpoint(config, 1), NativeOps(), "int8").weights[HEAD].matrix
    assert np.array_equal(packed.tensor().data, Tensor.quantise(one, "int8").data)


def test_nbytes_counts_shared_weights_once() -> None:
    counts = PRESETS["tiny"].parameter_counts()
    vectors = 64 * 5 + 32 * 4
    assert build(random_checkpoint(PRESETS["tiny"]), ReferenceOps(), "f32").nbytes == 4 * counts.total
    assert build(random_checkpoint(PRESETS["tiny"]), ReferenceOps(), "bf16").nbytes == 2 * (counts.total + vectors)


def test_bf16_stays_mapped(tmp_path: Path) -> None:
    save_hf(tmp_path, random_checkpoint(PRESETS["tiny"]), "bf16")
    owner = load(tmp_path).weights[Q].matrix.data
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    assert isinstance(owner, np.memmap)


@pytest.mark.parametrize("ops", OPS)
@pytest.mark.parametrize("name", ["tiny", "tiny-moe", "tiny-qwen2"])
def test_bf16_weights(name: str, ops: str, tmp_path: Path) -> None:
    save_hf(tmp_path, random_checkpoint(PRESETS[name], 2, noisy=True), "bf16")
    hf = AutoModelForCausalLM.from_pretrained(tmp_path, dtype="float32")
    ids = oracle.sequences(30)[0]
    got = (
        _logits(load(tmp_path, ops=ops), ids) if ops != "torch" else _logits(load(tmp_path, ops=ops, dtype="f32"), ids)
    )
    assert oracle.relative(got, oracle.hf_logits(hf, ids)) < 1e-4


def test_torch_runs_in_bf16(tmp_path: Path) -> None:
    save_hf(tmp_path, random_checkpoint(PRESETS["tiny-moe"], 2, noisy=True), "bf16")
    hf = AutoModelForCausalLM.from_pretrained(tmp_path, dtype="float32")
    ids = oracle.sequences(30)[0]
    logits = load(tmp_path, ops="torch").forward(np.array(ids), Batch.packed([len(ids)]))
    assert str(logits.dtype) == "torch.bfloat16"
    assert oracle.relative(logits.detach().float().numpy(), oracle.hf_logits(hf, ids)) < 5e-2


def test_torch_refuses_packed_weights() -> None:
    with pytest.raises(UserError, match="bf16"):
        build(random_checkpoint(PRESETS["tiny"]), TorchOps(), "int8")


@pytest.mark.parametrize("ops", OPS)
def test_a_short_request_does_not_notice_long_context(ops: str, tmp_path: Path) -> None:
    """LC-4: bit-identical logits, through the paged cache and without one."""
    oracle.save("dense-tied", tmp_path)  # trained on 256 positions
    plain, long = load(tmp_path, ops=ops), load(tmp_path, ops=ops, max_context=1024)
    short = oracle.sequences(200, 3)
    assert [long.rope_factor(n) for n in (1, 256, 257, 512, 513, 1024)] == [1, 1, 2, 2, 4, 4]
    assert plain.rope_factor(200) == 1
    np.testing.assert_array_equal(_logits(plain, short[0]), _logits(long, short[0], long.rope_factor(200)))
    for a, b in zip(oracle.paged_logits(plain, short), oracle.paged_logits(long, short)):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("ops", OPS)
def test_a_long_request_gets_transformers_yarn(ops: str, tmp_path: Path) -> None:
    """Requests of three factors in one batch, each equal to transformers with that factor in its config."""
    oracle.save("dense-tied", tmp_path / "plain")
    model = load(tmp_path / "plain", ops=ops, max_context=1024)
    seqs = oracle.sequences(100, 300, 600)
    got = oracle.paged_logits(model, seqs, block_size=16)
    for one, seq, factor in zip(got, seqs, (1.0, 2.0, 4.0)):
        scaling = Yarn(factor=factor, original_max_position_embeddings=256) if factor > 1 else None
        config = replace(model.config, rope_scaling=scaling, max_position_embeddings=1024)
        (tmp_path / "config.json").write_text(json.dumps(config.to_hf("f32")))
        hf = AutoModelForCausalLM.from_pretrained(tmp_path / "plain", config=AutoConfig.from_pretrained(tmp_path))
        assert oracle.relative(one, oracle.hf_logits(hf, seq)) < 1e-4


def test_context_limits() -> None:
    def model(name: str, max_context: int | None, yarn: Yarn | None = None) -> Model:
        config = replace(
            PRESETS["tiny"], max_position_embeddings=PRESETS[name].max_position_embeddings, rope_scaling=yarn
        )
        return build(random_checkpoint(config), ReferenceOps(), max_context=max_context)

    assert (model("qwen3:0.6b", None).max_context, model("qwen3:0.6b", None).rope_factor(40960)) == (40960, 1.0)
    assert (model("qwen3:0.6b", 1000).max_context, model("qwen3:0.6b", 1000).rope_factor(1000)) == (1000, 1.0)
    assert model("qwen3:0.6b", 131072).rope_factor(100_000) == 4.0
    with pytest.raises(UserError, match="--max-context"):
        model("qwen3:0.6b", 131072).rope_factor(131073)
    yarn = Yarn(factor=2.0, original_max_position_embeddings=32768)
    assert (model("qwen3:0.6b", None, yarn).max_context, model("qwen3:0.6b", None, yarn).rope_factor(5)) == (65536, 2.0)
    assert model("qwen3:0.6b", 50_000, yarn).rope_factor(5) == 2.0
    for bad, options in ((0, None), (131072, yarn)):
        with pytest.raises(UserError, match="--max-context"):
            model("qwen3:0.6b", bad, options)


def test_two_models_side_by_side() -> None:
    ids = oracle.sequences(20)[0]
    a, b = (build(random_checkpoint(PRESETS[n], 1), NativeOps()) for n in ("tiny", "tiny-moe"))
    first = _logits(a, ids)
    _logits(b, ids)
    np.testing.assert_array_equal(_logits(a, ids), first)


def test_random_weights_depend_on_the_seed_and_the_name_alone() -> None:
    a, again, b = (random_checkpoint(PRESETS["tiny"], seed).tensors for seed in (1, 1, 2))
    np.testing.assert_array_equal(a[Q].read(), again[Q].read())
    assert not np.array_equal(a[Q].read(), b[Q].read())
    assert not np.array_equal(a[Q].read(), a[Q.replace("layers.0", "layers.1")].read())
    assert a[Q].read().std() == pytest.approx(0.02, rel=0.02)
    assert (a[NORM].read() == 1).all()
    assert random_checkpoint(PRESETS["tiny"], noisy=True).tensors[NORM].read().std() > 0.05


def test_progress_reaches_the_end() -> None:
    seen: list[tuple[int, int]] = []
    build(random_checkpoint(PRESETS["tiny"]), ReferenceOps(), progress=lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen) and seen[-1][0] == seen[-1][1] == 4 * PRESETS["tiny"].parameter_counts().total


def test_options_that_do_not_exist(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="dtype 'int2'"):
        storage_plan(random_checkpoint(PRESETS["tiny"]), "int2")
    save_hf(tmp_path, random_checkpoint(PRESETS["tiny"]))
    with pytest.raises(UserError, match="ops 'cuda'"):
        load(tmp_path, ops="cuda")
    (tmp_path / "x.onnx").touch()
    with pytest.raises(LoadError, match="neither"):
        load(tmp_path / "x.onnx")
