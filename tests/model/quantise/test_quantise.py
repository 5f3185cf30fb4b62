"""Quantised folders: what is packed, what it costs, and that a bad one is refused."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from gguf_tiny import CONFIGS, random_checkpoint, tiny_tokenizer
from safetensors.torch import load_file

from ponder.core.batch import Batch
from ponder.core.errors import UserError
from ponder.kernels.reference.ops import ReferenceOps
from ponder.kernels.tensor import NORMAL
from ponder.model.formats.hf_save import save_hf
from ponder.model.load import load
from ponder.model.quantise import quality, quantise
from ponder.model.quantise.calibration_text import calibration_ids
from ponder.model.quantise.quality import Quality, measure, read_text
from ponder.model.weights.build import build
from ponder.text.tokenizer.tokenizer import Tokenizer


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text("hello there, hell is the other tea. " * 20)
    return path


def source(tmp_path: Path, name: str) -> Path:
    save_hf(tmp_path / "src", random_checkpoint(CONFIGS[name]), "bf16", copy_from=tiny_tokenizer(tmp_path))
    return tmp_path / "src"


@pytest.mark.parametrize("name", ["tied", "moe", "qwen2"])
@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_folder_holds_packed_matrices_and_its_report(name: str, kind: str, tmp_path: Path, text: Path) -> None:
    seen: list[tuple[int, int]] = []
    path = source(tmp_path, name)
    result = quantise.quantise(path, tmp_path / "q", kind, text=text, ops="numpy", progress=lambda *a: seen.append(a))
    assert json.loads((tmp_path / "q" / "fidelity.json").read_text()) == msgspec.to_builtins(result)
    assert seen[-1] == (result.tokens, result.tokens)
    assert 0 < result.mean_kl < {"int8": 0.01, "int4": 0.3}[kind] and result.max_kl >= result.mean_kl
    stored = load_file(tmp_path / "q" / "model.safetensors")
    for tensor, array in stored.items():
        packed = "_proj.weight" in tensor or tensor == "lm_head.weight"  # not the router, not the embedding
        small = kind == "int4" and tensor != "lm_head.weight"
        wanted = (torch.uint8 if small else torch.int8) if packed and not tensor.endswith(("_scale", "_grid")) else None
        if tensor.endswith("_grid"):
            assert array.tolist() == NORMAL.tolist()
            continue
        assert wanted is None or array.dtype == wanted, tensor
        assert wanted is not None or array.dtype not in (torch.int8, torch.uint8), tensor
    assert json.loads((tmp_path / "q" / "config.json").read_text())["quantization_config"] == {
        "bits": 8 if kind == "int8" else 4, "group_size": 32, "quant_method": "ponder",
    }  # fmt: skip
    assert Tokenizer.from_path(tmp_path / "q").encode("hello") == [262]


def test_calibrated_on_other_text_loses_less(tmp_path: Path, text: Path) -> None:
    path, other = source(tmp_path, "tied"), tmp_path / "other.txt"
    other.write_text("the tea is there, hello! hell is other tea, and the hello. " * 60)
    ids = calibration_ids(Tokenizer.from_path(path), other)
    assert ids.shape[1] == 512 and 1 <= len(ids) <= 64
    seen: list[tuple[int, int]] = []
    plain = quantise.quantise(path, tmp_path / "q", "int4", text=text)
    tuned = quantise.quantise(
        path, tmp_path / "t", "int4", text=text, calibration=ids, rounding=lambda *a: seen.append(a)
    )
    assert tuned.mean_kl < 0.8 * plain.mean_kl and seen[-1] == (14, 14)
    assert json.loads((tmp_path / "t" / "config.json").read_text())["quantization_config"]["bits"] == 4
    with pytest.raises(UserError, match="calibration is for int4"):
        quantise.quantise(path, tmp_path / "x", "int8", text=text, calibration=ids)


def test_calibration_text(tmp_path: Path) -> None:
    tokenizer = Tokenizer.packaged()
    ids = calibration_ids(tokenizer, None, 4)
    assert ids.shape == (4, 512) and len(np.unique(ids)) > 200
    np.testing.assert_array_equal(ids, calibration_ids(tokenizer, None, 4))
    (tmp_path / "short").write_text("too short to calibrate on " * 20)
    with pytest.raises(UserError, match="too few to calibrate"):
        calibration_ids(tokenizer, tmp_path / "short")


def test_from_gguf_keeps_the_tokenizer(tmp_path: Path, text: Path) -> None:
    from ponder.model.formats.gguf_write import write_gguf

    write_gguf(tmp_path / "m.gguf", random_checkpoint(CONFIGS["untied"]), tiny_tokenizer(tmp_path), "Q8_0")
    result = quantise.quantise(tmp_path / "m.gguf", tmp_path / "q", "int8", text=text, ops="numpy")
    assert result.mean_kl < 1e-4  # Q8_0 is int8 already: only the bf16 reference differs
    assert Tokenizer.from_path(tmp_path / "q").encode("hello") == [262]


def test_too_lossy_is_refused_unless_forced(tmp_path: Path, text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, target = source(tmp_path, "tied"), tmp_path / "out" / "q"
    monkeypatch.setattr(quantise, "LIMITS", {"int8": 1e-6, "int4": 1e-6})
    with pytest.raises(UserError, match=r"costs this model too much: mean KL 0.*Take int8"):
        quantise.quantise(path, target, "int4", text=text, ops="numpy")
    assert list(target.parent.iterdir()) == []  # nothing is left behind
    quantise.quantise(path, target, "int4", text=text, ops="numpy", force=True)
    assert load(target, ops="numpy").config.quantization_config is not None
    with pytest.raises(UserError, match="exists already"):
        quantise.quantise(path, target, "int4", ops="numpy")
    with pytest.raises(UserError, match="int8 or int4"):
        quantise.quantise(path, tmp_path / "x", "fp8", ops="numpy")


def test_numbers_against_torch(text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The report of two different models, recomputed with torch's own functions over plain logits."""
    monkeypatch.setattr(quality, "WINDOW", 100)
    a, b = (build(random_checkpoint(CONFIGS["tied"], seed), ReferenceOps(), "f32") for seed in (0, 1))
    ids = np.random.default_rng(0).integers(0, 320, 250).astype(np.int32)
    report = measure(a, b, ids, "sha")
    kl, agree, losses = [], [], ([], [])
    for start in range(0, 250, 100):
        window = ids[start : start + 100]
        logits = [torch.tensor(m.forward(window, Batch.packed([len(window)]))).double() for m in (a, b)]
        p, q = (x.log_softmax(1) for x in logits)
        kl.append(torch.nn.functional.kl_div(q, p, reduction="none", log_target=True).sum(1))
        agree.append(p.argmax(1) == q.argmax(1))
        for x, out in zip(logits, losses):
            out.append(torch.nn.functional.cross_entropy(x[:-1], torch.tensor(window[1:]).long(), reduction="none"))
    expected = Quality(
        250, "sha", torch.cat(kl).mean().item(), torch.cat(kl).max().item(), torch.cat(agree).double().mean().item(),
        torch.cat(losses[1]).mean().exp().item(), torch.cat(losses[0]).mean().exp().item(),
    )  # fmt: skip
    numbers = ([v for v in msgspec.structs.astuple(f) if v != "sha"] for f in (report, expected))
    assert next(numbers) == pytest.approx(next(numbers), rel=1e-4)
    same = measure(a, a, ids, "sha")
    assert same.mean_kl == same.max_kl == 0 and same.top1 == 1


def test_packaged_text() -> None:
    ids, sha256 = read_text(Tokenizer.packaged())
    assert 1400 < len(ids) < 1900 and len(sha256) == 64


def test_text_must_be_text(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\xff\xfe")
    (tmp_path / "b").write_text("too short")
    for name, message in (("a", "UTF-8"), ("b", "too few"), ("c", "not a readable")):
        with pytest.raises(UserError, match=message):
            read_text(Tokenizer.packaged(), tmp_path / name)
