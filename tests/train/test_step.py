"""One optimiser step: splitting it changes nothing, broken ones are left out, three in a row stop and say why."""

from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

from ponder.core.errors import UserError
from ponder.core.sample import Sample
from ponder.model.torch.sizes import filler
from ponder.train import parallel
from ponder.train.batch import micro_batches, pack
from ponder.train.loss import LossSettings
from ponder.train.optim import OptimSettings
from ponder.train.step import Diverged, StepSettings, Trainer, load_samples
from ponder.train.weights import normalise


def trainer(folder: Path, **settings: object) -> Trainer:
    return Trainer(tiny.model(), StepSettings(**settings), folder)  # type: ignore[arg-type]


def test_splitting_a_step_changes_nothing(tmp_path: Path) -> None:
    """Into 1, 2 and 4 micro-batches; lengths differ, so that a mean of means would."""
    samples = normalise(tiny.samples([12, 7, 8, 12], top=3), "token")
    results = []
    for max_tokens, parts in ((39, 1), (20, 2), (12, 4)):
        t = trainer(tmp_path, max_tokens=max_tokens, loss=LossSettings(kappa=0.1))
        assert len(micro_batches(samples, max_tokens)) == parts
        results.append((t.step(samples, 1e-2), {n: p.detach().clone() for n, p in t.parameters.items()}))
    first, weights = results[0]
    for report, other in results[1:]:
        assert report.loss == pytest.approx(first.loss, abs=1e-6) and report.norm == pytest.approx(first.norm, rel=1e-5)
        assert report.metrics == pytest.approx(first.metrics, rel=1e-5)
        for name in weights:
            torch.testing.assert_close(other[name], weights[name], atol=1e-5, rtol=0)


def test_rows_that_make_a_batch_one_of_few_sizes_change_nothing(tmp_path: Path) -> None:
    samples = normalise(tiny.samples([12, 24, 17, 12], top=3), "token")
    results = []
    for fills in (False, True):
        t = trainer(tmp_path, loss=LossSettings(kappa=0.1))
        assert not t.fills, "float32 has no sizes to save"
        t.fills = fills
        results.append((t.step(samples, 1e-2), {n: p.detach().clone() for n, p in t.parameters.items()}))
    (plain, weights), (filled, others) = results
    assert len(pack(samples, fill=True).ids) == 62 > len(pack(samples).ids) == plain.tokens == filled.tokens
    assert filled.loss == pytest.approx(plain.loss, abs=1e-6) and filled.metrics == pytest.approx(plain.metrics)
    for name in weights:
        torch.testing.assert_close(others[name], weights[name], atol=1e-5, rtol=0)
    assert {n + filler(n) for n in range(4097, 8193)} == {256 * n for n in range(17, 33)}


def test_training_learns_a_sequence(tmp_path: Path) -> None:
    t, samples = trainer(tmp_path), normalise([Sample.of([1, 2, 3, 4, 5, 6], ce=1.0)], "token")
    losses = [t.step(samples, 1e-2).loss for _ in range(40)]
    assert losses[-1] < 0.1 * losses[0]


def test_distillation_from_itself_is_0_and_from_another_falls(tmp_path: Path) -> None:
    samples = normalise([Sample.of([1, 2, 3, 4, 5, 6], kl=1.0)], "token")
    same = Trainer(tiny.model(), StepSettings(), tmp_path, teacher=tiny.model())
    assert same.step(samples, 0.0).loss == pytest.approx(0, abs=1e-6)
    for beta in (0.0, 0.5, 1.0):
        settings = StepSettings(loss=LossSettings(beta=beta))
        t = Trainer(tiny.model(), settings, tmp_path, teacher=tiny.model(seed=1))
        losses = [t.step(samples, 1e-2).loss for _ in range(40)]
        assert losses[-1] < 0.3 * losses[0]


def test_rate_0_keeps_every_weight(tmp_path: Path) -> None:
    t = trainer(tmp_path, loss=LossSettings(kappa=0.1))
    before = {n: p.detach().clone() for n, p in t.parameters.items()}
    losses = [t.step(tiny.samples([5, 8]), 0.0).loss for _ in range(5)]
    assert len(set(losses)) == 1
    assert all(torch.equal(p, before[n]) for n, p in t.parameters.items())


def test_parameters_never_move(tmp_path: Path) -> None:
    t = trainer(tmp_path, optim=OptimSettings(kind="muon"))
    places = {n: w.data_ptr() for n, w in t.model.weights.items()}
    old = t.model.weights["model.layers.0.mlp.up_proj.weight"].detach().clone()
    t.step(tiny.samples([5]), 1e-2)
    assert {n: w.data_ptr() for n, w in t.model.weights.items()} == places
    assert not torch.equal(t.model.weights["model.layers.0.mlp.up_proj.weight"], old)


def test_a_spike_is_left_out_and_kept(tmp_path: Path) -> None:
    t = trainer(tmp_path, window=8)
    plain = normalise(tiny.samples([6, 6]), "token")
    for _ in range(2):  # a quarter of the window
        assert not t.step(plain, 1e-3).skipped
    before = {n: p.detach().clone() for n, p in t.parameters.items()}
    moments = {n: v.clone() for n, v in t.optimiser.state().items()}
    wild = [Sample.of([1, 2, 3], ce=1e4)]
    report = t.step(wild, 1e-3)
    assert report.skipped == "spike" and t.progress.skipped == 1 and t.progress.step == 3
    assert all(torch.equal(p, before[n]) for n, p in t.parameters.items())
    assert all(torch.equal(v, moments[n]) for n, v in t.optimiser.state().items())
    (kept,) = load_samples(tmp_path / "skipped" / "step-000002.npz")
    assert kept.ids.tolist() == [1, 2, 3] and kept.ce.tolist() == [0, 1e4, 1e4]
    assert not t.step(plain, 1e-3).skipped and t.progress.in_a_row == 0


def test_three_broken_steps_in_a_row_name_the_first_tensor(tmp_path: Path) -> None:
    t = trainer(tmp_path)
    with torch.no_grad():
        t.model.weights["model.layers.1.mlp.up_proj.weight"].fill_(3e38)
    samples = tiny.samples([5, 7])
    assert [t.step(samples, 1e-3).skipped for _ in range(2)] == ["not finite", "not finite"]
    with pytest.raises(Diverged, match=r"result of linear at or after model\.layers\.1\.mlp\.up_proj\.weight"):
        t.step(samples, 1e-3)
    assert len(list((tmp_path / "skipped").iterdir())) == 3


def test_a_broken_weight_is_named(tmp_path: Path) -> None:
    t = trainer(tmp_path)
    with torch.no_grad():
        t.model.weights["model.layers.0.self_attn.q_norm.weight"][0] = np.nan
    with pytest.raises(Diverged, match=r"the weight model\.layers\.0\.self_attn\.q_norm\.weight is not finite"):
        for _ in range(3):
            t.step(tiny.samples([5]), 1e-3)


def test_a_tied_head_is_one_parameter(tmp_path: Path) -> None:
    assert "lm_head.weight" not in trainer(tmp_path).parameters


def test_muon_is_refused_where_matrices_lie_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "processes", lambda: 2)
    settings = StepSettings(optim=OptimSettings(kind="muon"))
    with pytest.raises(UserError, match="take adamw"):
        Trainer(tiny.model(), settings, tmp_path, together=True)
    assert Trainer(tiny.model(), settings, tmp_path).processes == 1
