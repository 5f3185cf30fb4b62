"""A model that is there already becomes the first stage: floats as they are, packed ones when that is said."""

import io
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from ponder.core.errors import UserError
from ponder.model.formats.hf_save import save_hf
from ponder.model.load import open_checkpoint
from ponder.model.weights.build import random_checkpoint
from ponder.model.weights.checkpoint import read
from ponder.text import tokenizer_files
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.train.stage import MODEL, Context
from ponder.train.stages.model import TakeModel, with_tags
from tests.train.thinker import THINKER, TOKENIZER

WIDE = replace(THINKER, hidden_size=32, intermediate_size=64, vocab_size=151_936)


def context(folder: Path, **parents: Path) -> Context:
    folder.mkdir(exist_ok=True)
    return Context(folder=folder, parents=parents, identity={}, seed=1, out=io.StringIO())


def taken(source: Path, folder: Path, **fields: bool) -> Path:
    TakeModel(name="base", model=str(source), **fields).run(context(folder))
    return folder / MODEL


def test_floats_are_copied_and_packed_weights_refused_unless_unpacked(tmp_path: Path) -> None:
    checkpoint = random_checkpoint(replace(THINKER, hidden_size=32, intermediate_size=64), 1)
    for form in ("f32", "int8"):
        save_hf(tmp_path / form, checkpoint, form, group=16)
        tokenizer_files.save(TOKENIZER, tmp_path / form)
    whole = open_checkpoint(taken(tmp_path / "f32", tmp_path / "a"))
    name = "model.layers.0.mlp.up_proj.weight"
    np.testing.assert_array_equal(read(whole.tensors[name], "f32"), read(checkpoint.tensors[name], "f32"))
    with pytest.raises(UserError, match=r"are packed \(int8\).*unpack = true"):
        taken(tmp_path / "int8", tmp_path / "b")
    coarse = open_checkpoint(taken(tmp_path / "int8", tmp_path / "c", unpack=True))
    assert coarse.tensors[name].auto == "f32"
    np.testing.assert_array_equal(
        read(coarse.tensors[name], "f32"), read(open_checkpoint(tmp_path / "int8").tensors[name], "f32")
    )


def test_a_model_without_tags_gets_them() -> None:
    checkpoint, old = random_checkpoint(WIDE, 1), Tokenizer.packaged("qwen2.5")
    made, tokenizer = with_tags(checkpoint, old)
    assert tokenizer.think is not None and tokenizer.end_think is not None
    before, after = (np.asarray(read(c.tensors["model.embed_tokens.weight"], "f32")) for c in (checkpoint, made))
    changed = np.flatnonzero((before != after).any(1))
    assert changed.tolist() == list(range(tokenizer.control["<tool_response>"], tokenizer.end_think + 1))
    wanted = before[tokenizer.encode("think")].mean(0)
    assert 0 < np.linalg.norm(after[tokenizer.think] - wanted) < 0.02 * np.linalg.norm(wanted)
    assert with_tags(made, tokenizer) == (made, tokenizer)
    with pytest.raises(UserError, match="needs the vocabulary of Qwen2"):
        with_tags(random_checkpoint(THINKER, 1), old)
