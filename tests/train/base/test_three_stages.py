"""The recipe of three stages, whole but small."""

import io
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from ponder.core.errors import UserError
from ponder.model.load import load
from ponder.train.base.evaluate import load as measured
from ponder.train.recipe.graph import context_of, run
from ponder.train.recipe.read import Recipe, read_recipe, recipe_of
from ponder.train.recipe.report import write_report
from ponder.train.record.metrics import read
from ponder.train.stage import Interrupted

PATH = Path(__file__).parents[3] / "recipes" / "pretrain-smoke.toml"
SMALL = {
    "library": {"every": 120}, "text": {"documents": 60, "each": 1},
    "eval-base": {"ids": 300, "problems": 2, "retrieval": [256, 300]},
    "pretrain": {"tokens": 6000, "warmup": 0, "decay": 1},
}  # fmt: skip


def small(**more) -> Recipe:
    raw = tomllib.loads(PATH.read_text())
    for stage in raw["stage"]:
        stage |= SMALL.get(stage["kind"], {}) | more.get(stage["kind"].replace("-", "_"), {})
        if stage["kind"] == "shards":
            stage["held_out_sources"] = ["manual"]
    return recipe_of(raw, "small")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out, recipe = tmp_path_factory.mktemp("three"), small()
    nodes = run(recipe, out, log=io.StringIO())
    return recipe, out, {node.stage.name: node for node in nodes}


def test_each_stage_goes_on_from_the_one_before(made):
    _, _, nodes = made
    steps = [read(nodes[name].folder / "metrics.jsonl") for name in ("general", "reasons", "long")]
    assert [len(own) for own in steps] == [2, 2, 2]
    assert steps[1][0]["loss"] < steps[0][0]["loss"]
    config = load(nodes["export"].folder / "model", dtype="f32", ops="numpy").config
    assert (config.rope_theta, config.max_position_embeddings) == (1e6, 1024)


def test_long_documents_alone_are_read_last(made):
    _, _, nodes = made
    lengths = [len(s) for s in nodes["long"].stage.preview(context_of(nodes["long"]))]
    assert lengths and min(lengths) >= 128 and max(lengths) > 512


def test_tables_have_a_column_for_each_evaluation_and_the_curve_goes_through_all(made):
    recipe, out, nodes = made
    page = write_report(recipe, list(nodes.values()), out).read_text()
    assert "loss of general, reasons, long" in page and "<td>general</td>" in page and "## Bits" not in page
    tables = (out / "report.md").read_text()
    assert "| text | after-general | after-reasons | after-long |" in tables
    assert "| unseen source: general |" in tables and "| 300 | dca |" in tables
    result = measured(nodes["after-long"].folder)
    assert result.trained == 1024 and {b.group.label("field") for b in result.bits} >= {"stem", "code", "general"}


def test_ctrl_c_ends_a_measurement_behind_the_text_it_is_at(made, tmp_path):
    node = made[2]["after-long"]
    asked = iter([False, False, True])
    with pytest.raises(Interrupted):
        node.stage.run(replace(context_of(node, stop=lambda: next(asked)), folder=tmp_path))
    assert next(asked, None) is None and not list(tmp_path.iterdir())


def test_nothing_held_out_and_too_long_a_piece_are_said(made):
    with pytest.raises(UserError, match="has 256 positions"):
        run(small(eval_base={"sequence": 257}), made[1], until="after-general", log=io.StringIO())
    with pytest.raises(UserError, match="must be 1 or more"):
        small(eval_base={"problems": 0})


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_whole_recipe(tmp_path):
    """Losses fall from stage to stage where they should."""
    nodes = {node.stage.name: node for node in run(read_recipe(PATH), tmp_path, log=io.StringIO())}
    bits = {}
    for name in ("after-general", "after-reasons"):
        for b in measured(nodes[name].folder).bits:
            old = bits.setdefault((name, b.group.label("field")), [0.0, 0])
            bits[name, b.group.label("field")] = [old[0] + b.nats, old[1] + b.bytes]
    after = {key: nats / size for key, (nats, size) in bits.items()}
    for field in ("stem", "code", "reasoning"):
        assert after["after-reasons", field] < 0.95 * after["after-general", field]
    assert after["after-reasons", "general"] < 1.03 * after["after-general", "general"]
