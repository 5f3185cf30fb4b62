"""The loss by hand: small numbers that anyone can check, and the estimator's mean over a million draws."""

import math

import pytest
import torch
from streams import streams

from ponder.core.errors import UserError
from ponder.train.loss import LossSettings, k3, policy_loss, sequence_means, total

ONE = torch.ones(1)


def policy(logp: float, behaviour: float, advantage: float, settings: LossSettings) -> tuple[float, float, float]:
    """Loss, gradient and clip share of one id with weight 1."""
    x = torch.tensor([logp], requires_grad=True)
    given = streams(1, rl=ONE, advantage=ONE * advantage, behaviour=ONE * behaviour)
    loss, sums = policy_loss(x, given, settings)
    loss.backward()
    assert x.grad is not None
    return loss.item(), x.grad.item(), (sums["clip_share"][0] / sums["clip_share"][1]).item()


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "grad", "clipped"),
    [
        (1.0, 2.0, -2.0, -2.0, 0.0),
        (1.5, 1.0, -1.28, 0.0, 1.0),  # too far up already: no more push
        (1.5, -1.0, 1.5, 1.5, 0.0),
        (0.5, 1.0, -0.5, -0.5, 0.0),
        (0.5, -1.0, 0.8, 0.0, 1.0),
    ],
)
def test_ppo_clip(ratio: float, advantage: float, loss: float, grad: float, clipped: float) -> None:
    got = policy(-1.0, -1.0 - math.log(ratio), advantage, LossSettings())
    assert got == pytest.approx((loss, grad, clipped), abs=1e-6)


def test_cispo_caps_the_ratio_and_keeps_the_gradient() -> None:
    settings = LossSettings(surrogate="cispo", cap=2.0)
    assert policy(-1.0, -1.0 - math.log(3), 1.0, settings) == pytest.approx((2.0, -2.0, 1.0), abs=1e-6)
    assert policy(-1.0, -1.0 - math.log(1.5), 1.0, settings) == pytest.approx((1.5, -1.5, 0.0), abs=1e-6)


def test_sequence_ratio_of_one_id_is_the_token_ratio() -> None:
    a = policy(-0.7, -0.9, 1.0, LossSettings(ratio="token"))
    assert policy(-0.7, -0.9, 1.0, LossSettings(ratio="sequence")) == pytest.approx(a, abs=1e-7)


def test_sequence_means_stay_inside_their_sequence() -> None:
    means = sequence_means(torch.tensor([1.0, 3.0, 10.0]), torch.tensor([0, 0, 2]))
    assert means.tolist() == [2.0, 2.0, 10.0]


def test_equal_policies_mean_no_mismatch_and_advantage_0_no_gradient() -> None:
    x = torch.tensor([-0.5, -2.0], requires_grad=True)
    loss, sums = policy_loss(x, streams(2, rl=torch.ones(2), behaviour=x.detach()), LossSettings())
    loss.backward()
    assert x.grad is not None and not x.grad.any() and sums["mismatch_kl"][0] == 0


def test_ids_that_the_policy_did_not_write_are_out_of_the_policy_loss() -> None:
    """A far-off log-prob at an id of weight 0 would overflow if it were merely multiplied by 0."""
    x = torch.tensor([-1.0, -200.0], requires_grad=True)
    given = streams(2, ce=torch.tensor([0.0, 0.5]), rl=torch.tensor([1.0, 0.0]), advantage=torch.ones(2),
                    behaviour=torch.tensor([-1.0, 0.0]), reference=torch.tensor([-1.0, 0.0]))  # fmt: skip
    loss, sums = total(x, torch.ones(2), None, given, LossSettings(kappa=0.1))
    loss.backward()
    assert loss.item() == pytest.approx(-1.0 + 100.0)
    assert x.grad is not None and x.grad.tolist() == [-1.0, -0.5]
    assert sums["nll"][0] == 200 and sums["nll"][1] == 1 and sums["clip_share"][1] == 1


def test_kappa_needs_a_reference() -> None:
    with pytest.raises(UserError, match="no reference"):
        policy_loss(-ONE, streams(1, rl=ONE), LossSettings(kappa=0.1))


def test_k3_is_unbiased_and_never_negative() -> None:
    """A million draws of 6 words: the mean is KL(p || r) within 4 standard errors."""
    torch.manual_seed(0)
    p, r = torch.randn(6, dtype=torch.float64).softmax(-1), torch.randn(6, dtype=torch.float64).softmax(-1)
    drawn = torch.multinomial(p, 1_000_000, replacement=True)
    estimates = k3(p[drawn].log(), r[drawn].log())
    exact = (p * (p / r).log()).sum()
    assert exact > 0.1
    assert abs(estimates.mean() - exact) < 4 * estimates.std() / 1000
    assert estimates.min() >= 0


@pytest.mark.parametrize(
    "bad",
    [{"clip_low": 1.0}, {"clip_high": -0.1}, {"cap": 0.0}, {"kappa": -1.0}, {"beta": 1.1}, {"clip_low": float("nan")}],
)
def test_settings_out_of_range_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(UserError, match=f"{next(iter(bad))} (is|must be) .*got {next(iter(bad.values()))}"):
        LossSettings(**bad)  # type: ignore[arg-type]
