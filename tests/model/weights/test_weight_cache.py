"""Packed weights kept on disk: the same numbers at the second start, nothing stale, no harm where there is no place."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from gguf_tiny import CONFIGS, random_checkpoint, tiny_tokenizer

from ponder.core.batch import Batch
from ponder.core.errors import LoadError
from ponder.kernels.native import NativeOps
from ponder.model.formats.gguf_write import write_gguf
from ponder.model.formats.hf_save import save_hf
from ponder.model.load import load, open_checkpoint
from ponder.model.model import Model
from ponder.model.weights import cache, cache_file, cache_list
from ponder.model.weights.build import build
from ponder.model.weights.random import packed_random

IDS = np.arange(40, dtype=np.int32)


@pytest.fixture(autouse=True)
def everything_is_worth_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cache, "WORTH", 0)
    monkeypatch.setattr(cache_file, "RESERVE", 0)
    monkeypatch.setenv("PONDER_HOME", str(tmp_path / "home"))


def _logits(model: Model) -> np.ndarray:
    return np.asarray(model.forward(IDS, Batch.packed([len(IDS)])))


def _source(folder: Path, shape: str, form: str, seed: int = 0) -> Path:
    checkpoint = random_checkpoint(CONFIGS[shape], seed)
    if form == "folder":
        save_hf(folder / "model", checkpoint, "bf16")
        return folder / "model"
    write_gguf(folder / "model.gguf", checkpoint, tiny_tokenizer(folder), form)
    return folder / "model.gguf"


def _kept(source: Path) -> list[Path]:
    place = (source if source.is_dir() else source.parent) / ".ponder"
    return sorted(p for p in place.glob("*") if p.name != ".lock")


@pytest.mark.parametrize("shape", ["tied", "untied", "moe", "qwen2"])
@pytest.mark.parametrize("form", ["folder", "Q8_0", "F16"])
@pytest.mark.parametrize("dtype", ["int8", "int4", "auto"])
def test_the_second_start_computes_the_same(shape: str, form: str, dtype: str, tmp_path: Path) -> None:
    source = _source(tmp_path, shape, form)
    plain = _logits(load(source, dtype=dtype))
    assert _kept(source) == []
    assert np.array_equal(_logits(load(source, dtype=dtype, use_cache=True)), plain)
    (file,) = _kept(source)
    written = file.stat().st_mtime_ns
    second = load(source, dtype=dtype, use_cache=True)
    assert np.array_equal(_logits(second), plain)
    assert second.warnings == ()
    assert [p.stat().st_mtime_ns for p in _kept(source)] == [written]


def test_what_the_file_maps_already_is_not_stored_again(tmp_path: Path) -> None:
    source = _source(tmp_path, "untied", "folder")
    load(source, dtype="int8", use_cache=True)
    pieces = cache_file.CacheFile(_kept(source)[0]).pieces
    assert "model.embed_tokens.weight" not in pieces
    assert pieces["model.layers.0.self_attn.q_proj.weight"].kind == "int8"


def test_small_models_and_memory_have_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build(random_checkpoint(CONFIGS["tied"]), NativeOps(), "int8", use_cache=True)
    monkeypatch.setattr(cache, "WORTH", 1 << 20)
    source = _source(tmp_path, "tied", "folder")
    load(source, dtype="int8", use_cache=True)
    assert _kept(source) == []


def _rewrite(source: Path, seed: int) -> None:
    """Another model of the same shape: the file keeps its size and gets back its time."""
    file = source / "model.safetensors"
    before = file.stat()
    other = source.parent / "other"
    save_hf(other, random_checkpoint(CONFIGS["untied"], seed), "bf16")
    assert (other / file.name).stat().st_size == before.st_size
    file.write_bytes((other / file.name).read_bytes())
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_a_replaced_source_is_noticed_even_with_its_old_time(tmp_path: Path) -> None:
    source = _source(tmp_path, "untied", "folder")
    load(source, dtype="int8", use_cache=True)
    (old,) = _kept(source)
    _rewrite(source, seed=1)
    assert np.array_equal(_logits(load(source, dtype="int8", use_cache=True)), _logits(load(source, dtype="int8")))
    (new,) = _kept(source)
    assert new.name != old.name  # the outdated one is gone


def test_one_changed_byte_in_place_is_noticed(tmp_path: Path) -> None:
    source = _source(tmp_path, "untied", "folder")
    load(source, dtype="int8", use_cache=True)
    file = source / "model.safetensors"
    with file.open("r+b") as f:  # between the samples, which lie at the ends of this small file too
        f.seek(file.stat().st_size // 2 + 77)
        f.write(b"\x12")
    assert np.array_equal(_logits(load(source, dtype="int8", use_cache=True)), _logits(load(source, dtype="int8")))


def test_precisions_live_side_by_side(tmp_path: Path) -> None:
    source = _source(tmp_path, "untied", "folder")
    for dtype in ("int8", "int4", "int8"):
        load(source, dtype=dtype, use_cache=True)
    assert len(_kept(source)) == 2


@pytest.mark.parametrize("damage", ["cut", "header", "empty"])
def test_a_damaged_file_is_made_anew(damage: str, tmp_path: Path) -> None:
    source = _source(tmp_path, "moe", "folder")
    plain = _logits(load(source, dtype="int4", use_cache=True))
    (file,) = _kept(source)
    raw = file.read_bytes()
    file.write_bytes({"cut": raw[:-64], "header": raw[:20] + b"\0" + raw[21:], "empty": b""}[damage])
    model = load(source, dtype="int4", use_cache=True)
    assert np.array_equal(_logits(model), plain)
    assert any("made again" in w for w in model.warnings)
    assert file.read_bytes() == raw
    assert load(source, dtype="int4", use_cache=True).warnings == ()


def test_a_file_for_something_else_is_not_used(tmp_path: Path) -> None:
    """Someone copied a packed file over another name: the identity inside decides."""
    a, b = _source(tmp_path, "untied", "folder"), tmp_path / "b"
    save_hf(b, random_checkpoint(CONFIGS["untied"], 5), "bf16")
    load(a, dtype="int8", use_cache=True)
    load(b, dtype="int8", use_cache=True)
    plain = _logits(load(b, dtype="int8"))
    _kept(b)[0].write_bytes(_kept(a)[0].read_bytes())
    assert np.array_equal(_logits(load(b, dtype="int8", use_cache=True)), plain)


def test_a_folder_that_cannot_be_written_uses_home(tmp_path: Path) -> None:
    source = _source(tmp_path, "untied", "folder")
    (source / ".ponder").write_text("in the way")  # root may write anywhere, so permissions would not stop it
    model = load(source, dtype="int8", use_cache=True)
    assert model.warnings == ()
    (file,) = (tmp_path / "home" / "packed").rglob("*.safetensors")
    written = file.stat().st_mtime_ns
    assert np.array_equal(_logits(load(source, dtype="int8", use_cache=True)), _logits(model))
    assert file.stat().st_mtime_ns == written


def test_no_place_at_all_is_a_warning(tmp_path: Path) -> None:
    source = _source(tmp_path, "untied", "folder")
    (source / ".ponder").write_text("in the way")
    (tmp_path / "home").write_text("in the way")
    model = load(source, dtype="int8", use_cache=True)
    assert "cannot be kept" in model.warnings[0]
    assert np.array_equal(_logits(model), _logits(load(source, dtype="int8")))


def test_a_full_disk_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = _source(tmp_path, "untied", "folder")
    monkeypatch.setattr(cache_file, "RESERVE", 1 << 60)
    model = load(source, dtype="int8", use_cache=True)
    assert "do not fit the disk" in model.warnings[0]
    assert np.array_equal(_logits(model), _logits(load(source, dtype="int8")))
    assert _kept(source) == []


def test_left_overs_of_killed_writers_are_removed(tmp_path: Path) -> None:
    source = _source(tmp_path, "untied", "folder")
    load(source, dtype="int8", use_cache=True)
    (file,) = _kept(source)
    file.rename(file.with_name(f".{file.name}.killed"))
    load(source, dtype="int8", use_cache=True)
    assert _kept(source) == [file]


def test_a_tied_head_that_differs_is_still_refused(tmp_path: Path) -> None:
    config = CONFIGS["tied"]
    checkpoint = random_checkpoint(config)
    tensors = dict(checkpoint.tensors)
    tensors["lm_head.weight"] = tensors["model.layers.0.mlp.gate_proj.weight"]  # of another shape: caught by check
    with pytest.raises(LoadError):
        build(type(checkpoint)(config, tensors, "x"), NativeOps(), "int8", use_cache=True)


LOAD = """
import sys
import numpy as np
from ponder.model.weights import cache, cache_file
cache.WORTH = cache_file.RESERVE = 0
from ponder.core.batch import Batch
from ponder.model.load import load
model = load(sys.argv[1], dtype="int4", use_cache=True)
logits = model.forward(np.arange(40, dtype=np.int32), Batch.packed([40]))
sys.stdout.write(np.asarray(logits).tobytes().hex() + " " + repr(model.warnings))
"""


def test_several_processes_at_once(tmp_path: Path) -> None:
    source = _source(tmp_path, "moe", "folder")
    command = [sys.executable, "-c", LOAD, str(source)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    said = {process.communicate(timeout=120)[0] for process in both}
    assert [process.returncode for process in both] == [0] * 4
    assert said == {_logits(load(source, dtype="int4")).tobytes().hex() + " ()"}
    assert len(_kept(source)) == 1


def test_the_source_folder_still_opens(tmp_path: Path) -> None:
    source = _source(tmp_path, "untied", "folder")
    load(source, dtype="int8", use_cache=True)
    assert len(open_checkpoint(source).files) == 2  # config.json, model.safetensors: ours is not among them


def test_what_is_kept_is_listed_and_removed(tmp_path: Path) -> None:
    a, b = _source(tmp_path, "untied", "folder"), _source(tmp_path, "tied", "Q8_0")
    for source, dtype in ((a, "int8"), (a, "int4"), (b, "int4")):
        load(source, dtype=dtype, use_cache=True)
    assert [k.path for k in cache_list.cached_weights()] == sorted([*_kept(a), *_kept(b)])
    assert [k.path for k in cache_list.cached_weights(b)] == _kept(b)
    size = sum(p.stat().st_size for p in _kept(a))
    assert cache_list.remove_cached_weights(cache_list.cached_weights(a)) == size
    assert _kept(a) == [] and len(cache_list.cached_weights()) == 1
    assert a.is_dir() and (a / "model.safetensors").exists()


@pytest.mark.parametrize("dtype", ["int8", "int4"])
def test_random_weights_are_drawn_once(dtype: str, tmp_path: Path) -> None:
    """Drawn packed, kept, mapped; and the same numbers in a GGUF file."""
    config = CONFIGS["moe"]
    plain = _logits(build(packed_random(config, dtype, seed=3), NativeOps(), dtype))
    assert np.isfinite(plain).all() and plain.std() > 0
    for _ in range(2):
        assert np.array_equal(
            _logits(build(packed_random(config, dtype, seed=3), NativeOps(), dtype, use_cache=True)), plain
        )
    assert len(cache_list.cached_weights()) == 1
    build(packed_random(config, dtype, seed=4), NativeOps(), dtype, use_cache=True)
    assert len(cache_list.cached_weights()) == 2
    write_gguf(
        tmp_path / "x.gguf",
        packed_random(config, dtype, seed=3),
        tiny_tokenizer(tmp_path),
        {"int8": "Q8_0", "int4": "Q4_0"}[dtype],
    )
    same = load(tmp_path / "x.gguf")
    error = np.abs(_logits(same) - plain).max() / np.abs(plain).max()
    assert error < 0.05  # the table is Q8_0 there, bf16 here


# What a packed file of this layout holds of fixed weights. If this fails, the same source now gives other bytes: raise
# packed_file.LAYOUT, so that nobody computes with what an older version kept, and write the new digests here.
PINNED = {"int8": (4, "401a1535302e73e4"), "int4": (4, "78945dea9d19b129")}


@pytest.mark.parametrize("dtype", PINNED)
def test_the_layout_number_stands_for_these_bytes(dtype: str, tmp_path: Path) -> None:
    source = _source(tmp_path, "moe", "folder")
    load(source, dtype=dtype, use_cache=True)
    file = cache_file.CacheFile(_kept(source)[0])
    digest = hashlib.sha256(b"".join(file.buffer(name).tobytes() for name in sorted(file.pieces))).hexdigest()
    assert (cache_file.LAYOUT, digest[:16]) == PINNED[dtype]
