"""A whole recipe from an empty folder to a model that answers."""

import io
import json
from pathlib import Path

import pytest

from ponder.core.errors import UserError
from ponder.engine.llm import LLM
from ponder.model.load import load
from ponder.train.recipe.graph import context_of, locked, run
from ponder.train.recipe.inspect import show
from ponder.train.recipe.read import read_recipe, recipe_of
from ponder.train.recipe.report import write_report
from ponder.train.record.generations import newest
from ponder.train.record.metrics import read
from recipes import base, distilled, evaluated, export, recipe, text, tokenizer, tuned

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    out = tmp_path_factory.mktemp("smoke")
    whole = recipe_of(recipe(text(), tokenizer(), base(), tuned(), distilled(), evaluated(), export()), "smoke")
    return whole, out, {node.stage.name: node for node in run(whole, out, log=io.StringIO())}


def test_the_model_at_the_end_answers(smoke):
    _, _, nodes = smoke
    with LLM(nodes["export"].folder / "model", kv_dtype="f32") as llm:
        assert llm.profile.capability == "hybrid"
        result = llm.chat("How many r in r a r?", max_tokens=40, thinking=4, temperature=0)
        assert result.choices[0].ids


def test_loss_falls_and_every_step_is_written(smoke):
    _, _, nodes = smoke
    lines = read(nodes["base"].folder / "metrics.jsonl")
    assert [line["step"] for line in lines] == list(range(8))
    assert lines[-1]["loss"] < lines[0]["loss"]


def test_tuning_starts_from_the_weights_of_its_parent(smoke):
    _, _, nodes = smoke
    one, other = (load(nodes[n].folder / "model", dtype="f32", ops="numpy") for n in ("base", "tuned"))
    assert one.config == other.config
    assert json.loads((nodes["tuned"].folder / "stage.json").read_text())["from"] == nodes["base"].folder.name


def test_a_student_learns_from_what_its_teacher_says_of_its_answers(smoke):
    _, _, nodes = smoke
    assert all(line["divergence"] > 0 for line in read(nodes["distilled"].folder / "metrics.jsonl"))


def test_evaluation_has_both_modes_and_the_budgets(smoke):
    _, _, nodes = smoke
    result = json.loads((nodes["eval"].folder / "result.json").read_text())
    assert {(o["cell"]["mode"], o["cell"]["budget"]) for o in result["outputs"]} == {
        ("think", 0), ("think", None), ("no_think", None)
    }  # fmt: skip


def test_a_second_run_does_nothing_and_from_does_the_rest_anew(smoke):
    whole, out, _ = smoke
    log = io.StringIO()
    run(whole, out, log=log)
    assert log.getvalue().count("finished before") == 7
    log = io.StringIO()
    run(whole, out, from_="eval", until="eval", log=log)
    assert log.getvalue().count("finished before") == 5
    with pytest.raises(UserError, match="has no stage 'r2'"):
        run(whole, out, until="r2", log=log)


def test_the_report_shows_curves_and_tables(smoke):
    whole, out, nodes = smoke
    page = write_report(whole, list(nodes.values()), out).read_text()
    assert page.count('aria-label="loss by step"') == 3
    assert page.count("<h2>count</h2>") == 1
    tables = (out / "report.md").read_text()
    assert "| tuned | think |" in tables and "## count, by thinking budget" in tables
    assert "| base | pretrain | 8 |" in tables
    assert page.count("what it says at step-000004") == 1 and "Write " in page


def test_what_the_model_says_is_kept_in_each_mode(smoke):
    _, _, nodes = smoke
    step, told = newest(nodes["tuned"].folder) or ("", [])
    assert step == "step-000004"
    assert [(one["task"], str(one["prompt"]).endswith("</think>\n\n")) for one in told] == [
        ("count", False), ("count", True), ("reverse", False), ("reverse", True)
    ]  # fmt: skip
    assert newest(nodes["distilled"].folder) and not newest(nodes["base"].folder)


def test_inspect_shows_what_is_learned(smoke):
    _, _, nodes = smoke
    node, out = nodes["tuned"], io.StringIO()
    show(node.stage.preview(context_of(node)), context_of(node).tokenizer(), out)
    shown = out.getvalue()
    assert "«<think>\n" in shown  # a thinking sample
    assert "<think>\n\n</think>\n\n«" in shown  # the empty block of the template is not learned


def test_a_folder_in_use_is_refused(smoke):
    whole, out, _ = smoke
    with locked(out), pytest.raises(UserError, match="in use by another"):
        run(whole, out, log=io.StringIO())


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_recipe_smoke_goes_from_an_empty_folder_to_a_model(tmp_path):
    nodes = {node.stage.name: node for node in run(read_recipe(RECIPES / "smoke.toml"), tmp_path, log=io.StringIO())}
    lines = read(nodes["rl"].folder / "metrics.jsonl")
    assert len(lines) == 10 and all(abs(line["mismatch_kl"]) < 1e-5 for line in lines)
    assert any(line["reward"] > 0 for line in lines)
    assert (nodes["export"].folder / "model" / "config.json").exists()
