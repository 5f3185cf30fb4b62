"""An int4 model with a large head: what is read of it, what is kept, and that nobody's logits depend on company."""

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from ponder.core.batch import Batch
from ponder.kernels import native
from ponder.kernels.native import NativeOps
from ponder.kernels.reference.ops import ReferenceOps
from ponder.model import decoder
from ponder.model.capacity import Machine, cpu_tensors, estimate
from ponder.model.config import PRESETS
from ponder.model.decoder import COARSE, HEAD
from ponder.model.formats.hf_save import save_hf
from ponder.model.load import load
from ponder.model.model import Model
from ponder.model.weights import build as weights
from ponder.model.weights import cache, cache_file
from ponder.model.weights.build import build, random_checkpoint
from ponder.model.weights.cache_file import CacheFile

CONFIG = replace(PRESETS["tiny"], vocab_size=1003)
IDS = np.arange(30, dtype=np.int32)


@pytest.fixture(autouse=True)
def small_heads_count_as_large(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(weights, "WORTH_COARSE", 1000)
    monkeypatch.setattr(decoder, "RESCORED", 6)
    monkeypatch.setattr(cache, "WORTH", 0)
    monkeypatch.setattr(cache_file, "RESERVE", 0)
    monkeypatch.setenv("PONDER_HOME", str(tmp_path / "home"))


def logits(model: Model, *, every: bool = True) -> np.ndarray:
    return np.asarray(model.forward(IDS, Batch.packed([13, 17], all_logits=every)))


@pytest.mark.parametrize("tied", [True, False])
def test_which_models_have_one(tied: bool) -> None:
    checkpoint = random_checkpoint(replace(CONFIG, tie_word_embeddings=tied))
    assert COARSE not in build(checkpoint, NativeOps(), "int8").weights
    model = build(checkpoint, NativeOps(), "int4")
    assert model.weights[COARSE].matrix.kind == "int4" and model.weights[HEAD].matrix.kind == "int8"
    assert model.nbytes == sum(t.nbytes for t in cpu_tensors(checkpoint, "int4").values())
    small = random_checkpoint(replace(CONFIG, vocab_size=999, tie_word_embeddings=tied))
    assert COARSE not in build(small, NativeOps(), "int4").weights


def test_logits_are_the_coarse_ones_and_the_largest_the_heads_own() -> None:
    model = build(random_checkpoint(CONFIG), NativeOps(), "int4")
    h = model.hidden_states(IDS, Batch.packed([13, 17]))
    exact, coarse = (model.ops.linear(h, model.weights[name]) for name in (HEAD, COARSE))
    got = logits(model)
    assert ((got == exact) | (got == coarse)).all()
    assert ((got == exact).sum(axis=1) >= 5 * 16).all() and (got != exact).any(axis=1).all()
    best = coarse.argmax(axis=1)
    rows = np.arange(len(IDS))
    np.testing.assert_array_equal(got[rows, best], exact[rows, best])


def test_close_to_the_oracle() -> None:
    """The oracle keeps activations exact, so a panel on the edge may differ: then the logits of another precision."""
    checkpoint = random_checkpoint(CONFIG)
    got, want = (logits(build(checkpoint, ops, "int4")) for ops in (NativeOps(), ReferenceOps()))
    assert np.abs(got - want).mean() < 0.02 * want.std()


def test_same_bits_in_any_company_and_as_the_operations() -> None:
    model = build(random_checkpoint(CONFIG), NativeOps(), "int4")
    whole = logits(model)
    np.testing.assert_array_equal(logits(model, every=False), whole[[12, 29]])
    np.testing.assert_array_equal(np.asarray(model.forward(IDS[:13], Batch.packed([13]))), whole[:13])
    batch = Batch.packed([13, 17], all_logits=True)
    for name in native.available_isas():
        before = native.isa()
        native.set_isa(name)
        want = decoder.forward(model.weights, model.config, model.rope, model.ops, IDS, batch)
        np.testing.assert_array_equal(logits(model), want)
        native.set_isa(before)


@pytest.mark.parametrize("form", ["bf16", "int4"])
def test_kept_on_disk_with_the_rest(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file without the copy is of another identity and is replaced; a quantised folder holds none."""
    source = tmp_path / "model"
    save_hf(source, random_checkpoint(CONFIG), form)
    monkeypatch.setattr(weights, "WORTH_COARSE", 1 << 30)
    load(source, dtype="int4", use_cache=True)
    (old,) = (source / ".ponder").glob("*.safetensors")
    assert COARSE not in CacheFile(old).pieces
    monkeypatch.setattr(weights, "WORTH_COARSE", 1000)
    plain = logits(load(source, dtype="int4"))
    for _ in range(2):
        np.testing.assert_array_equal(logits(load(source, dtype="int4", use_cache=True)), plain)
    (new,) = (source / ".ponder").glob("*.safetensors")
    assert CacheFile(new).pieces[COARSE].kind == "int4" and new.name != old.name


def test_a_quantised_folder_computes_alike(tmp_path: Path) -> None:
    checkpoint = random_checkpoint(CONFIG)
    save_hf(tmp_path / "four", checkpoint, "int4")
    folder = load(tmp_path / "four")
    assert COARSE in folder.weights
    np.testing.assert_array_equal(logits(folder), logits(build(checkpoint, NativeOps(), "int4")))


def test_a_plan_counts_what_is_read() -> None:
    checkpoint, machine = random_checkpoint(CONFIG), Machine("here", 24e9, 50e9)
    one, many = (estimate(checkpoint, machine, "int4", "bf16", context=100, streams=n) for n in (1, 1000))
    tensors = cpu_tensors(checkpoint, "int4")
    idle = tensors[HEAD].nbytes * (1 - 16 * 6 / 1003)
    table = tensors["model.embed_tokens.weight"].nbytes
    assert one.weights_by["head int4"] == tensors[COARSE].nbytes
    assert one.step_weights == pytest.approx(one.weights - idle - table * (1 - 1 / 1003))
    assert many.step_weights == pytest.approx(many.weights - table + table * 1000 / 1003)
