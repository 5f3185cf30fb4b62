"""What a recipe will take: counted where it can be, measured where it must be."""

import io

from test_resume import as_toml

from ponder.cli.main import main
from ponder.train.memory import PROGRAMS, resident
from ponder.train.recipe.estimate import estimate, table
from ponder.train.recipe.graph import nodes_of, run
from ponder.train.recipe.read import recipe_of
from ponder.train.record.metrics import read
from recipes import base, distilled, evaluated, export, recipe, text, tokenizer, tuned

WHOLE = recipe(text(), tokenizer(), base(), tuned(), distilled(), evaluated(), export())


def test_every_stage_has_a_line_and_those_that_learn_have_numbers(tmp_path):
    lines = estimate(nodes_of(recipe_of(WHOLE, "test"), tmp_path), seconds=0.5)
    assert [line.stage for line in lines] == ["text", "tokenizer", "base", "tuned", "distilled", "eval", "export"]
    for line in lines[2:5]:
        assert line.parameters and line.memory and line.seconds and line.ids and not line.finished
    assert lines[5].seconds and lines[5].ids and not lines[6].ids
    assert not list(tmp_path.iterdir())


def test_memory_is_that_of_the_process_in_the_numbers_of_the_stage(tmp_path):
    whole, begun = recipe(text(), tokenizer(), base()), resident()
    memory = {}
    for dtype in ("f32", "bf16"):
        *_, line = estimate(nodes_of(recipe_of({**whole, "dtype": dtype}, "test"), tmp_path / dtype), seconds=0.0)
        memory[dtype] = line.memory
    assert begun < memory["f32"] < begun + PROGRAMS / 2 < memory["bf16"]


def test_ids_and_parameters_are_those_of_the_run(tmp_path):
    whole = recipe_of(WHOLE, "test")
    run(whole, tmp_path, until="base", log=io.StringIO())
    nodes = nodes_of(whole, tmp_path)
    done = estimate(nodes[:4], seconds=0.0)
    computed = [line["tokens"] for line in read(nodes[2].folder / "metrics.jsonl")]
    samples = 8 * (done[2].ids // 8 - int(computed[0]))  # the last id of a sample is not computed
    assert done[2].finished and 0 < samples < done[2].ids / 10
    assert "finished" in table(done) and done[2].cells()[5] == "finished"


def test_the_command_prints_a_table_and_leaves_nothing(tmp_path, capsys):
    toml = tmp_path / "r.toml"
    toml.write_text(as_toml(WHOLE))
    assert main(["train", str(toml), "--dry-run", "--until", "tokenizer", "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.splitlines()[0].split() == ["stage", "kind", "parameters", "ids", "memory", "time"]
    assert not (tmp_path / "out").exists()


def test_a_small_rest_of_a_batch_takes_its_share_of_the_time(tmp_path, monkeypatch):
    monkeypatch.setattr("ponder.train.recipe.estimate.timed", lambda act, seconds: 1.0)

    def seconds(**more):
        return estimate(nodes_of(recipe_of(recipe(text(), tokenizer(), base(**more)), "test"), tmp_path), 1.0)[-1]

    whole = seconds()
    assert whole.seconds == 8, "a second for each of the steps, which one micro-batch holds"
    cut = seconds(max_tokens=whole.ids // 8 - 1)
    assert cut.ids == whole.ids and 8 < cut.seconds < 12
