"""The eight recipes, two layers deep and 1/32 wide, through all their stages in two processes."""

import io
from pathlib import Path

import pytest
from test_divide import in_processes
from torch import distributed

from ponder.model.load import load
from ponder.train.recipe.graph import nodes_of, run
from ponder.train.recipe.read import Recipe, read_recipe
from ponder.train.recipe.shrink import shrunk
from ponder.train.record.metrics import read

RECIPES = Path(__file__).parents[3] / "recipes"
EIGHT = ["0.6b", "1.7b", "4b", "8b", "14b", "32b", "30b-a3b", "235b-a22b"]
SOME = ("30b-a3b",)


def work(recipe: Recipe, out: Path) -> None:
    run(recipe, out, log=io.StringIO(), aside=None if distributed.get_rank() == 0 else out / "aside")


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in SOME else pytest.mark.slow) for n in EIGHT])
def test_two_processes_go_through_the_recipe(name: str, tmp_path: Path) -> None:
    whole = read_recipe(RECIPES / f"qwen3-{name}.toml")
    small = shrunk(whole)
    out = tmp_path / "run"
    out.mkdir()
    (out / "aside").mkdir()
    in_processes(2, tmp_path, work, small, out)
    nodes = {node.stage.name: node for node in nodes_of(small, out)}
    assert [len(read(nodes[n].folder / "metrics.jsonl")) for n in ("general", "reasoning", "long")] == [2, 2, 2]
    made = load(nodes["long"].folder / "model", dtype="f32", ops="numpy").config
    released = whole.stages[[s.name for s in whole.stages].index("general")].fields()["model"]
    assert made.num_hidden_layers == 2 and made.hidden_size == released["hidden_size"] // 32
    assert made.num_attention_heads == released["heads"] and made.num_experts == released["experts"]
    assert (made.rope_theta, made.max_position_embeddings) == (1e6, 512)
    assert small.layout.expert == min(2, whole.layout.expert) and small.layout.tensor == min(2, whole.layout.tensor)
