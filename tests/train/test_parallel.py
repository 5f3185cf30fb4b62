"""Two processes under torchrun train as one does, and a checkpoint of either is gone on from by the other."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from test_resume import as_toml

from ponder.model.load import load
from ponder.train.record.metrics import read
from recipes import SHAPE, base, evaluated, recipe, text, tokenizer, tuned

STAGES = (text(), tokenizer(), base(steps=50, checkpoint_every=25), tuned(steps=6, checkpoint_every=3), evaluated())

ENV = os.environ | {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}


def train(toml: Path, out: Path, processes: int, *more: str) -> str:
    launcher = (
        [] if processes == 1 else ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    )
    command = [sys.executable, *launcher, "-m", "ponder.train", str(toml), "--out", str(out), "--threads", "1", *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, env=ENV)
    assert done.returncode == 0, done.stderr[-6000:]
    return done.stderr


def test_a_mistake_has_the_code_that_ponder_train_has(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ponder.train", str(tmp_path / "no.toml")], capture_output=True, text=True, env=ENV
    )
    assert done.returncode == 2 and done.stderr.startswith("ponder: ") and "no.toml" in done.stderr


def curve(out: Path, stage: str) -> list[float]:
    [folder] = out.glob(f"{stage}-*")
    return [float(line["loss"]) for line in read(folder / "metrics.jsonl")]


@pytest.fixture(scope="module")
def toml(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("recipe") / "r.toml"
    path.write_text(as_toml(recipe(*STAGES)))
    return path


@pytest.fixture(scope="module")
def two(toml, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("two")
    train(toml, out, 2)
    return out


@pytest.fixture(scope="module")
def one(toml, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("one")
    train(toml, out, 1)
    return out


def test_two_processes_give_the_curve_of_one(one, two):
    for stage, steps in (("base", 50), ("tuned", 6)):
        a, b = curve(one, stage), curve(two, stage)
        assert len(a) == len(b) == steps
        assert np.abs(np.subtract(a, b)).max() < 1e-5


def test_their_model_is_whole_and_their_numbers_are_those_of_all(one, two):
    a, b = (load(next(out.glob("base-*")) / "model", dtype="f32", ops="numpy").weights for out in (one, two))
    assert a.keys() == b.keys()
    for out in (one, two):
        assert json.loads(next(out.glob("eval-*/result.json")).read_text())["outputs"]
    lines = [read(next(out.glob("base-*")) / "metrics.jsonl") for out in (one, two)]
    assert [line["tokens"] for line in lines[0]] == [line["tokens"] for line in lines[1]]
    assert np.allclose([line["nll"] for line in lines[0]], [line["nll"] for line in lines[1]], atol=1e-5)


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1)])
def test_another_number_of_processes_goes_on(toml, one, two, tmp_path, before, after):
    """The run is cut back to its checkpoint in the middle, and the rest computed by the others."""
    source = {1: one, 2: two}[before]
    for name in ("text", "tokenizer", "base"):
        [folder] = source.glob(f"{name}-*")
        subprocess.run(["cp", "-r", folder, tmp_path], check=True)
    [folder] = tmp_path.glob("base-*")
    for gone in (folder / "finished", folder / "model", folder / "checkpoints" / "step-000050"):
        subprocess.run(["rm", "-r", gone], check=True)
    said = train(toml, tmp_path, after, "--until", "base")
    assert "goes on at step 25 of 50" in said
    assert np.abs(np.subtract(curve(tmp_path, "base"), curve(one, "base"))).max() < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("layout", [{}, {"tensor": 2}], ids=["sharded", "tensor"])
def test_a_killed_worker_ends_the_run_and_the_same_command_goes_on(layout, tmp_path):
    path, out = tmp_path / "r.toml", tmp_path / "out"
    shape = SHAPE | {"kv_heads": 2}
    stages = (text(), tokenizer(), base(steps=200, checkpoint_every=5, model=shape))
    path.write_text(as_toml(recipe(*stages, layout=layout)))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m",
               "ponder.train", str(path), "--out", str(out), "--threads", "1"]  # fmt: skip
    with subprocess.Popen(command, env=ENV, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as running:
        while not any(p for p in out.glob("base-*/checkpoints/step-*") if p.suffix != ".partial"):
            assert running.poll() is None, running.communicate()[1]
            time.sleep(0.05)
        workers = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
        os.kill(int(workers[-1]), signal.SIGKILL)
        assert running.wait(120) != 0
    assert not list(out.glob("base-*/finished"))
    said = train(path, out, 2)
    assert "goes on at step" in said
    alone = tmp_path / "alone"
    train(path, alone, 1)
    assert np.abs(np.subtract(curve(out, "base"), curve(alone, "base"))).max() < 1e-4
