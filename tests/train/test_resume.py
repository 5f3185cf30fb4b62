"""A run that was killed, or asked to stop, goes on to the same bits as one that nobody disturbed."""

import io
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ponder.core.errors import UserError
from ponder.train.recipe.graph import nodes_of, run
from ponder.train.recipe.read import recipe_of
from ponder.train.record.metrics import Line, read
from recipes import base, recipe, text, tokenizer, tuned

STAGES = (text(), tokenizer(), base(steps=12, checkpoint_every=2), tuned(steps=6, checkpoint_every=2))
TIMES = ("seconds", "ids_per_second")
PROGRAM = """
import json, sys, torch
from pathlib import Path
from ponder.train.recipe.graph import run
from ponder.train.recipe.read import recipe_of
torch.set_num_threads(1)
run(recipe_of(json.loads(sys.argv[1]), "test"), Path(sys.argv[2]), until=sys.argv[3])
"""


def begin(out, until):
    command = [sys.executable, "-c", PROGRAM, json.dumps(recipe(*STAGES)), str(out), until]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})


def left_by(out: Path, stage: str) -> tuple[list[Line], bytes, dict[str, bytes]]:
    """The curve but for its times, the weights, and what the model said."""
    (folder,) = out.glob(f"{stage}-*")
    curve = [{k: v for k, v in line.items() if k not in TIMES} for line in read(folder / "metrics.jsonl")]
    said = {p.name: p.read_bytes() for p in (folder / "generations").glob("*")}
    return curve, (folder / "model/model.safetensors").read_bytes(), said


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Its folder, and how long the stages with steps took."""
    out = tmp_path_factory.mktemp("undisturbed")
    whole = recipe_of(recipe(*STAGES), "test")
    run(whole, out, until="tokenizer", log=io.StringIO())
    began = time.monotonic()
    run(whole, out, log=io.StringIO())
    return out, time.monotonic() - began


def disturb(out: Path, moment: float) -> None:
    """Kill a run so long after pre-training began."""
    process = begin(out, "tuned")
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("base: "):
            break
    time.sleep(moment)
    process.kill()
    process.communicate()


def check_kills(undisturbed, out, moments):
    whole, took = undisturbed
    for share in moments:
        disturb(out, share * took)
    process = begin(out, "tuned")
    _, said = process.communicate(timeout=240)
    assert process.returncode == 0, said
    for stage in ("base", "tuned"):
        assert left_by(out, stage) == left_by(whole, stage)


def test_killed_runs_end_with_the_same_bits(undisturbed, tmp_path):
    seed = random.SystemRandom().randrange(1 << 32)
    print("seed", seed)
    check_kills(undisturbed, tmp_path, [random.Random(seed + n).uniform(0, 0.5) for n in range(3)])


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_twenty_kills(undisturbed, tmp_path):
    seed = random.SystemRandom().randrange(1 << 32)
    print("seed", seed)
    for n in range(4):
        moments = [random.Random(seed + 5 * n + k).uniform(0, 0.4) for k in range(5)]
        check_kills(undisturbed, tmp_path / str(n), moments)


def stop_in_step(monkeypatch, number: int) -> None:
    """Press Ctrl-C while this step is computed."""
    from ponder.train.step import Trainer

    step = Trainer.step

    def pressed(self, samples, rate):
        if self.progress.step == number:
            signal.raise_signal(signal.SIGINT)
        return step(self, samples, rate)

    monkeypatch.setattr(Trainer, "step", pressed)


def test_ctrl_c_saves_says_how_to_go_on_and_exits_130(undisturbed, tmp_path, monkeypatch, capsys):
    from ponder.cli.main import main

    toml = tmp_path / "r.toml"
    toml.write_text(as_toml(recipe(*STAGES)))
    arguments = ["train", str(toml), "--out", str(tmp_path / "out"), "--until", "base"]
    with monkeypatch.context() as patch:
        stop_in_step(patch, 4)  # between two checkpoints
        assert main(arguments) == 130
    said = capsys.readouterr().err
    assert "saving after this step" in said and "the same command goes on from here" in said
    assert main(arguments) == 0
    assert "goes on at step 5 of 12" in capsys.readouterr().err
    assert left_by(tmp_path / "out", "base") == left_by(undisturbed[0], "base")


def test_another_recipe_names_the_field_that_differs_and_accept_goes_on(tmp_path, monkeypatch):
    first = recipe_of(recipe(*STAGES), "test")
    with monkeypatch.context() as patch:
        stop_in_step(patch, 4)
        with pytest.raises(KeyboardInterrupt):
            run(first, tmp_path, log=io.StringIO())
    other = recipe_of(recipe(*STAGES[:2], STAGES[2] | {"rate": 5e-4}), "test")
    with pytest.raises(UserError, match=r"rate was 0\.001 and is 0\.0005 now.*--accept rate"):
        run(other, tmp_path, log=io.StringIO())
    log = io.StringIO()
    with pytest.raises(UserError, match="--accept: no field is called 'rates'; did you mean rate"):
        run(other, tmp_path, accept=["rates"])
    run(other, tmp_path, accept=["rate"], log=log)
    assert "goes on at step 5 of 12" in log.getvalue()
    lines = (nodes_of(other, tmp_path)[2].folder / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["rate"] for line in lines] == [1e-3] * 5 + [5e-4] * 7


def as_toml(whole) -> str:
    """JSON values are TOML values; tables inside a stage are written inline."""

    def value(v):
        if isinstance(v, dict):
            return "{ " + ", ".join(f"{k} = {value(x)}" for k, x in v.items()) + " }"
        return json.dumps(v)

    head = [f"{k} = {value(v)}" for k, v in whole.items() if k != "stage"]
    stages = [["[[stage]]", *(f"{k} = {value(v)}" for k, v in stage.items())] for stage in whole["stage"]]
    return "\n".join([*head, *(line for stage in stages for line in stage)]) + "\n"
