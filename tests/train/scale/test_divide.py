"""Two processes that share heads, MLP or experts learn what one learns, and go on from each other's checkpoints."""

import json
import multiprocessing
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from msgspec.structs import replace
from torch import distributed

from ponder.core.errors import UserError
from ponder.core.sample import Sample
from ponder.model.config import ModelConfig
from ponder.model.load import make_ops
from ponder.model.weights.build import build, random_checkpoint
from ponder.train import checkpoint
from ponder.train.scale.layout import Layout
from ponder.train.step import StepSettings, Trainer
from ponder.train.weights import normalise

DENSE = replace(tiny.DENSE, num_attention_heads=4, num_key_value_heads=2)
MOE = replace(tiny.MOE, num_attention_heads=4, num_key_value_heads=2)
LAYOUTS = {
    "sharded": (DENSE, Layout()),
    "tensor": (DENSE, Layout(tensor=2)),
    "tensor, experts": (MOE, Layout(tensor=2)),
    "experts sharded": (MOE, Layout()),
    "expert": (MOE, Layout(expert=2)),
    "context": (DENSE, Layout(context=2)),
    "context, experts": (MOE, Layout(context=2)),
}
FOUR = {
    "tensor 2": (DENSE, Layout(tensor=2)),
    "expert 2": (MOE, Layout(expert=2, recompute=True)),
    "expert 4": (MOE, Layout(expert=4)),
    "tensor 2, expert 2": (MOE, Layout(tensor=2, expert=2)),
    "context 2, expert 2": (MOE, Layout(context=2, expert=2, recompute=True)),
    "context 2": (DENSE, Layout(context=2)),
}


def in_processes(count: int, folder: Path, work: Callable[..., Any], *args: Any) -> None:
    """Forked: they need not load torch again."""
    fork = multiprocessing.get_context("fork")
    store = folder / f"store-{len(list(folder.iterdir()))}"

    def run(rank: int) -> None:
        try:
            torch.set_num_threads(1)
            distributed.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=count)
            work(*args)
            distributed.destroy_process_group()
        except BaseException:
            (folder / f"failed-{rank}").write_text(traceback.format_exc())
            raise

    started = [fork.Process(target=run, args=(rank,)) for rank in range(count)]
    for process in started:
        process.start()
    for process in started:
        process.join(240)
        process.kill()
    failed = sorted(folder.glob("failed-*"))
    assert not failed, failed[0].read_text()
    assert all(process.exitcode == 0 for process in started)


def trained(
    folder: Path, name: str, config: ModelConfig, layout: Layout, first: int, last: int, dtype: str = "f32"
) -> None:  # fmt: skip
    """Steps first .. last, from a checkpoint where first is not 0; losses and weights go to disk."""
    many = distributed.is_initialized()
    settings = StepSettings(max_tokens=24, recompute=layout.recompute)
    model = build(random_checkpoint(config, seed=0, noisy=True), make_ops("torch"), dtype)
    trainer = Trainer(model, settings, folder, together=many, layout=layout)
    if first:
        newest = checkpoint.latest(folder / "checkpoints")
        assert newest is not None
        checkpoint.load(newest, trainer, {})
    reports = []
    for step in range(first, last):
        lengths = [12, 7, 8, 12] if step % 3 else [9, 4, 3]  # now and then one process has less to do
        report = trainer.step(normalise(tiny.samples(lengths, seed=step % 5), "token"), 3e-3)
        reports.append([report.loss, report.norm, report.tokens, report.metrics.get("load", 0.0)])
    checkpoint.save(folder / "checkpoints", trainer, {}, cursor=None, offset=0)
    made = {n: _values(t.read()) for n, t in trainer.checkpoint().tensors.items()}
    if not many or distributed.get_rank() == 0:
        (folder / f"{name}.json").write_text(json.dumps(reports))
        np.savez(folder / name, **made)


def _values(stored: Any) -> np.ndarray:
    return stored if isinstance(stored, np.ndarray) else (stored.data.astype(np.uint32) << 16).view(np.float32)


def same(folder: Path, one: str, other: str) -> None:
    a, b = (json.loads((folder / f"{name}.json").read_text()) for name in (one, other))
    np.testing.assert_allclose(a, b[-len(a) :] if len(b) > len(a) else b, rtol=1e-4, atol=1e-4)
    x, y = (np.load(folder / f"{name}.npz") for name in (one, other))
    assert set(x) == set(y)
    for name in x:
        np.testing.assert_allclose(x[name], y[name], atol=2e-4, err_msg=name)


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in ("tensor", "expert", "context") else pytest.mark.slow) for n in LAYOUTS]
)
def test_two_processes_learn_what_one_learns(name: str, tmp_path: Path) -> None:
    """Losses, gradients, loads and weights; then one process goes on where the two stopped, and they where it did."""
    config, layout = LAYOUTS[name]
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    trained(one, "one", config, layout, 0, 6)
    in_processes(2, two, trained, two, "two", config, layout, 0, 6)
    (one / "two.json").write_bytes((two / "two.json").read_bytes())
    (one / "two.npz").write_bytes((two / "two.npz").read_bytes())
    same(one, "two", "one")
    in_processes(2, one, trained, one, "on-two", config, layout, 6, 8)
    trained(two, "on-one", config, layout, 6, 8)
    (one / "on-one.json").write_bytes((two / "on-one.json").read_bytes())
    (one / "on-one.npz").write_bytes((two / "on-one.npz").read_bytes())
    same(one, "on-two", "on-one")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["experts sharded", "tensor", "expert"])
def test_models_in_bfloat16(name: str, tmp_path: Path) -> None:
    """Whose norms and routers are float32."""
    config, layout = LAYOUTS[name]
    trained(tmp_path, "one", config, layout, 0, 4, "bf16")
    in_processes(2, tmp_path, trained, tmp_path, "two", config, layout, 0, 4, "bf16")
    a, b = (np.array(json.loads((tmp_path / f"{n}.json").read_text())) for n in ("one", "two"))
    np.testing.assert_allclose(a[:, :2], b[:, :2], rtol=0.03)
    x, y = (np.load(tmp_path / f"{n}.npz")["model.norm.weight"] for n in ("one", "two"))
    assert np.abs(x - y).mean() < 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sharded", "tensor", "expert"])
def test_fifty_steps(name: str, tmp_path: Path) -> None:
    config, layout = LAYOUTS[name]
    trained(tmp_path, "one", config, layout, 0, 50)
    in_processes(2, tmp_path, trained, tmp_path, "two", config, layout, 0, 50)
    a, b = (np.array(json.loads((tmp_path / f"{n}.json").read_text()))[:, 0] for n in ("one", "two"))
    assert len(a) == 50 and np.abs(a - b).max() < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("name", FOUR)
def test_four_processes(name: str, tmp_path: Path) -> None:
    config, layout = FOUR[name]
    trained(tmp_path, "one", config, layout, 0, 6)
    in_processes(4, tmp_path, trained, tmp_path, "four", config, layout, 0, 6)
    same(tmp_path, "four", "one")


def _odd_steps(folder: Path, name: str, layout: Layout) -> None:
    """Fewer tokens than processes, answers that share their prompt's rows, one process without anything to learn."""
    trainer = Trainer(tiny.model(MOE), StepSettings(), folder, together=distributed.is_initialized(), layout=layout)
    answers = [[4, 5, 6, 7, 8, 9, *rest] for rest in ([1, 2], [3], [1, 2], [2, 1, 3])]
    prompts = [Sample.of(ids, ce=[0] * 6 + [1] * (len(ids) - 6)) for ids in answers]
    late = Sample.of(np.arange(12), ce=[0] * 11 + [1])
    reports = [trainer.step(normalise(samples, "token"), 3e-3) for samples in (tiny.samples([2]), prompts, [late])]
    if not distributed.is_initialized() or distributed.get_rank() == 0:
        (folder / f"{name}.json").write_text(
            json.dumps([[r.loss, r.norm, r.tokens, r.metrics["load"]] for r in reports])
        )


def test_small_and_shared_batches_among_processes_that_share_tokens(tmp_path: Path) -> None:
    _odd_steps(tmp_path, "one", Layout())
    in_processes(2, tmp_path, _odd_steps, tmp_path, "two", Layout(context=2))
    one, two = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("one", "two"))
    np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-5)


def _refused(layout: Layout, said: str, folder: Path) -> None:
    with pytest.raises(UserError, match=said):
        Trainer(tiny.model(MOE), StepSettings(), folder, together=True, layout=layout)


def test_a_layout_that_two_processes_cannot_have(tmp_path: Path) -> None:
    in_processes(2, tmp_path, _refused, Layout(expert=4), "does not divide the 2 processes", tmp_path)
