"""A run that goes on from a checkpoint is the run that was never interrupted, to the bit."""

from pathlib import Path

import pytest
import tiny
import torch

from ponder.core.errors import UserError
from ponder.model.config import ModelConfig
from ponder.train import checkpoint
from ponder.train.loss import LossSettings
from ponder.train.optim import OptimSettings
from ponder.train.step import StepSettings, Trainer

RECIPE = {"rate": 1e-2, "model.layers": 2}


def trainer(folder: Path, config: ModelConfig = tiny.DENSE, kind: str = "adamw", seed: int = 0) -> Trainer:
    optim = OptimSettings(kind=kind)  # type: ignore[arg-type]
    return Trainer(tiny.model(config, seed), StepSettings(optim=optim, loss=LossSettings(kappa=0.1)), folder)


def run(t: Trainer, until: int) -> list[float]:
    """A batch depends on the step and on torch's random numbers, which a checkpoint holds too."""
    losses = []
    while t.progress.step < until:
        seed = t.progress.step + int(torch.randint(1000, ()))
        losses.append(t.step(tiny.samples([5, 9], seed), 1e-2).loss)
    return losses


@pytest.mark.parametrize(("config", "kind"), [(tiny.DENSE, "adamw"), (tiny.DENSE, "muon"), (tiny.MOE, "adamw")])
def test_goes_on_to_the_same_bits(config: ModelConfig, kind: str, tmp_path: Path) -> None:
    torch.manual_seed(3)
    whole = trainer(tmp_path, config, kind)
    losses = run(whole, 3)
    path = checkpoint.save(tmp_path, whole, RECIPE, cursor={"row": 7}, offset=123)
    losses += run(whole, 6)
    other = trainer(tmp_path, config, kind, seed=9)  # every weight must come from the file
    resumed = checkpoint.load(path, other, RECIPE)
    assert resumed == (123, {"row": 7}) and other.progress.step == 3 and len(other.progress.norms) == 3
    assert run(other, 6) == losses[3:]
    assert all(torch.equal(p, other.parameters[n]) for n, p in whole.parameters.items())


def test_only_whole_ones_count_and_old_ones_go(tmp_path: Path) -> None:
    t = trainer(tmp_path)
    assert checkpoint.latest(tmp_path) is None
    for step in (1, 2, 3):
        run(t, step)
        checkpoint.save(tmp_path, t, RECIPE, cursor=None, offset=0)
    (tmp_path / f"step-000004{checkpoint.PARTIAL}").mkdir()  # killed while writing
    assert checkpoint.latest(tmp_path) == tmp_path / "step-000003"
    run(t, 4)
    checkpoint.save(tmp_path, t, RECIPE, cursor=None, offset=0)
    assert sorted(p.name for p in tmp_path.glob("step-*")) == ["step-000003", "step-000004"]
    for step in (999_999, 1_000_000):
        t.progress.step = step
        checkpoint.save(tmp_path, t, RECIPE, cursor=None, offset=0)
    assert checkpoint.latest(tmp_path) == tmp_path / "step-1000000"
    assert sorted(p.name for p in tmp_path.glob("step-*")) == ["step-1000000", "step-999999"]


def test_another_recipe_is_refused_unless_accepted(tmp_path: Path) -> None:
    t = trainer(tmp_path)
    path = checkpoint.save(tmp_path, t, RECIPE, cursor=None, offset=0)
    changed = {**RECIPE, "rate": 2e-2}
    with pytest.raises(UserError, match=r"rate was 0\.01 and is 0\.02 now.*--accept rate"):
        checkpoint.load(path, t, changed)
    with pytest.raises(UserError, match="seed was None and is 1"):
        checkpoint.load(path, t, {**RECIPE, "seed": 1})
    checkpoint.load(path, t, changed, accept=["rate"])


@pytest.mark.parametrize("name", ["state.json", ".metadata", "__0_0.distcp"])
@pytest.mark.parametrize("left", [None, 0, 40], ids=["gone", "empty", "cut"])
def test_a_damaged_checkpoint_says_what_to_delete(name: str, left: int | None, tmp_path: Path) -> None:
    t = trainer(tmp_path)
    run(t, 1)
    path = checkpoint.save(tmp_path, t, RECIPE, cursor=None, offset=0)
    file = path / name
    if left is None:
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:left])
    with pytest.raises(UserError, match=r"step-000001 cannot be read .*: delete that folder"):
        checkpoint.load(path, trainer(tmp_path), RECIPE)
