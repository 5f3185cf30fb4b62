"""Folders as other programs save them: no `model.` in front, prefixes, shards without index, other files."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from safetensors.numpy import load_file, save_file

from ponder.core.batch import Batch
from ponder.core.errors import LoadError
from ponder.model.config import PRESETS
from ponder.model.formats.hf import read_hf
from ponder.model.formats.hf_save import save_hf
from ponder.model.load import load
from ponder.model.weights.build import random_checkpoint

TENSORS = "model.safetensors"
IDS = np.arange(9, dtype=np.int32)


def _logits(folder: Path) -> np.ndarray:
    return np.asarray(load(folder, dtype="f32").forward(IDS, Batch.packed([len(IDS)])))


def _model(folder: Path, *, tied: bool = False) -> Path:
    config = replace(PRESETS["tiny"], tie_word_embeddings=tied)
    save_hf(folder, random_checkpoint(config, 2, noisy=True), "f32", max_shard_bytes=1 << 40)
    return folder


def _renamed(folder: Path, rename: dict[str, str]) -> None:
    def new(name: str) -> str:
        for old, by in rename.items():
            name = name.replace(old, by)
        return name

    tensors = {new(name): array for name, array in load_file(folder / TENSORS).items()}
    save_file(tensors, folder / TENSORS)


RENAMES = {
    "flat, as Qwen3-Embedding": {"model.": ""},
    "merged, with the adapter's prefix": {"model.": "base_model.model.model.", "lm_head": "base_model.model.lm_head"},
    "inside a larger model": {"model.": "model.language_model."},
    "the same the other way round": {"model.": "language_model.model."},
    "layers that had an adapter": {"q_proj.": "q_proj.base_layer."},
}


@pytest.mark.parametrize("rename", RENAMES.values(), ids=RENAMES)
def test_names_of_other_savers(rename: dict[str, str], tmp_path: Path) -> None:
    want = _logits(_model(tmp_path / "m"))
    _renamed(tmp_path / "m", rename)
    np.testing.assert_array_equal(_logits(tmp_path / "m"), want)
    assert read_hf(tmp_path / "m").warnings == ()


@pytest.mark.parametrize("says_tied", [True, False])
def test_an_embedding_model_has_no_head(says_tied: bool, tmp_path: Path) -> None:
    """Qwen3-Embedding-8B's config says that the head is not tied, and the files have none."""
    want = _logits(_model(tmp_path / "m", tied=True))
    _renamed(tmp_path / "m", {"model.": ""})
    config = json.loads((tmp_path / "m" / "config.json").read_text()) | {"tie_word_embeddings": says_tied}
    (tmp_path / "m" / "config.json").write_text(json.dumps(config))
    checkpoint = read_hf(tmp_path / "m")
    assert ("without its head" in "".join(checkpoint.warnings)) == (not says_tied)
    np.testing.assert_array_equal(_logits(tmp_path / "m"), want)


def test_a_chat_model_that_lost_its_head_does_not_load(tmp_path: Path) -> None:
    folder = _model(tmp_path / "m")
    tensors = load_file(folder / TENSORS)
    del tensors["lm_head.weight"]
    save_file(tensors, folder / TENSORS)
    with pytest.raises(LoadError, match=r"missing lm_head\.weight"):
        load(folder)


def test_one_name_twice(tmp_path: Path) -> None:
    folder = _model(tmp_path / "m")
    tensors = load_file(folder / TENSORS)
    save_file(tensors | {"norm.weight": tensors["model.norm.weight"]}, folder / TENSORS)
    with pytest.raises(LoadError, match=r"model\.norm\.weight' is there twice"):
        read_hf(folder)


def test_shards_without_an_index(tmp_path: Path) -> None:
    folder = _model(tmp_path / "m")
    want, tensors = _logits(folder), load_file(folder / TENSORS)
    (folder / TENSORS).unlink()
    names = sorted(tensors)
    for part in (1, 2):
        save_file(
            {name: tensors[name] for name in names[part - 1 :: 2]}, folder / f"model-{part:05}-of-00002.safetensors"
        )
    save_file({"lora": np.zeros(3, np.float32)}, folder / "adapter_model.safetensors")
    np.testing.assert_array_equal(_logits(folder), want)
    os.unlink(folder / "model-00001-of-00002.safetensors")
    with pytest.raises(LoadError, match="has neither"):
        read_hf(folder)


def test_one_file_of_another_name(tmp_path: Path) -> None:
    folder = _model(tmp_path / "m")
    want = _logits(folder)
    (folder / TENSORS).rename(folder / "my-merge.safetensors")
    np.testing.assert_array_equal(_logits(folder), want)
    (folder / "second.safetensors").write_bytes((folder / "my-merge.safetensors").read_bytes())
    with pytest.raises(LoadError, match="has neither"):
        read_hf(folder)
