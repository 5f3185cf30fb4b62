"""bfloat16 where the CPU has products of it: masters in float32, and a reason where it has not."""

import io
import re
from pathlib import Path

import numpy as np
import pytest

from ponder.core.errors import UserError
from ponder.kernels import native
from ponder.model.formats.safetensors_file import map_file
from ponder.train.recipe.command import in_numbers_of_this_cpu
from ponder.train.recipe.graph import nodes_of, run
from ponder.train.recipe.read import recipe_of
from ponder.train.record.metrics import read
from recipes import base, recipe, text, tokenizer, tuned

STAGES = (text(), tokenizer(), base(steps=30, rate=3e-3), tuned())


def test_a_recipe_in_bf16_learns_as_one_in_f32_does(tmp_path):
    losses = {}
    for dtype in ("f32", "bf16"):
        nodes = run(recipe_of(recipe(*STAGES, dtype=dtype), "test"), tmp_path / dtype, log=io.StringIO())
        losses[dtype] = [float(line["loss"]) for line in read(nodes[2].folder / "metrics.jsonl")]
        stored = map_file(nodes[3].folder / "model" / "model.safetensors")
        assert {t.type for t in stored.values()} == {{"f32": "F32", "bf16": "BF16"}[dtype]}
    assert losses["bf16"][-1] < 0.8 * losses["bf16"][0]
    assert np.abs(np.subtract(losses["bf16"], losses["f32"])).max() < 0.1


def test_the_type_is_part_of_what_made_a_stage():
    a, b = (nodes_of(recipe_of(recipe(*STAGES, dtype=d), "test"), Path("r")) for d in ("f32", "bf16"))
    assert all(x.folder != y.folder for x, y in zip(a, b, strict=True))
    with pytest.raises(UserError, match="fp8"):
        recipe_of(recipe(*STAGES, dtype="fp8"), "test")


@pytest.mark.parametrize(("isa", "dtype", "said"), [
    ("avx2", "f32", r"this CPU \(avx2\) has no bfloat16 products"),
    ("amx", "bf16", "weights in bfloat16, their masters"),
])  # fmt: skip
def test_a_cpu_without_bf16_products_takes_f32_and_says_why(monkeypatch, isa, dtype, said):
    monkeypatch.setattr(native, "isa", lambda: isa)
    found, why = in_numbers_of_this_cpu(recipe_of(recipe(*STAGES, dtype="bf16"), "test"))
    assert found.dtype == dtype
    assert re.search(said, why)


def test_a_stage_has_numbers_of_its_own(monkeypatch):
    stages = (text(), tokenizer(), base(dtype="bf16"), tuned())
    recipe_ = recipe_of(recipe(*stages), "test")
    assert [node.dtype for node in nodes_of(recipe_, Path("r"))] == ["f32", "f32", "bf16", "f32"]
    monkeypatch.setattr(native, "isa", lambda: "amx")
    found, why = in_numbers_of_this_cpu(recipe_)
    assert found == recipe_
    assert "bfloat16" in why
    assert "in base; the rest in float32" in why
    monkeypatch.setattr(native, "isa", lambda: "avx2")
    plain = recipe_of(recipe(text(), tokenizer(), base(), tuned()), "test")
    found, _ = in_numbers_of_this_cpu(recipe_)
    assert [n.folder for n in nodes_of(found, Path("r"))] == [n.folder for n in nodes_of(plain, Path("r"))]
