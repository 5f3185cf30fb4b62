"""A law finds again what made the runs it is fitted to, and says what it cannot tell."""

import numpy as np
import pytest

from ponder.core.errors import UserError
from ponder.train.scale.law import Law, Run, best_of, bottom, fit, read_law


def rate(n: float, d: float) -> float:
    return float(0.5 * n**-0.3 * d**0.05)


def batch(d: float) -> float:
    return float(3 * d**0.5)


def loss(n: float, d: float) -> float:
    return float(1.5 + 20 * n**-0.35 + 60 * d**-0.4)


def run(n: int, d: int, off: float = 1.0, wide: float = 1.0) -> Run:
    """off: of the best rate, wide: of the best batch."""
    more = 0.05 * np.log(off) ** 2 + 0.02 * np.log(wide) ** 2
    return Run(
        parameters=n, tokens=d, rate=rate(n, d) * off, batch=round(batch(d) * wide), loss=float(loss(n, d) + more)
    )


POINTS = [(n, d) for n in (10_000, 30_000, 90_000) for d in (20 * n, 60 * n)]


def test_it_finds_the_law_that_made_the_runs_and_foresees_a_larger_model(tmp_path):
    grid = [(0.5, 1.0), (1.0, 1.0), (2.0, 1.0), (1.0, 0.5), (1.0, 2.0)]
    law = fit([run(n, d, off, wide) for n, d in POINTS for off, wide in grid])
    assert law.rate(300_000, 3_000_000) == pytest.approx(rate(300_000, 3_000_000), rel=1e-3)
    assert law.batch(3_000_000) == pytest.approx(batch(3_000_000), rel=1e-2)
    assert law.loss(300_000, 3_000_000) == pytest.approx(loss(300_000, 3_000_000), rel=3e-3)
    assert law.error < 2e-3
    law.save(tmp_path / "law.json")
    assert read_law(tmp_path / "law.json") == law and isinstance(law, Law)


def test_the_bottom_of_a_parabola_lies_between_what_was_tried():
    assert bottom([(1, 1.0), (2, 0.5), (4, 1.0)]) == pytest.approx(2)
    assert 2 < bottom([(1, 1.2), (2, 0.5), (4, 0.6)]) < 4
    assert bottom([(1, 1.0), (2, 0.5)]) == 2  # the edge: nothing beyond it is known
    assert bottom([(1, 1.0), (2, 1.0), (4, 1.0)]) in (1, 2, 4)


def test_the_best_run_is_looked_for_along_its_own_rate_and_batch():
    n, d = POINTS[0]
    runs = [run(n, d, 0.5), run(n, d, 1.0), run(n, d, 2.0), run(n, d, 1.0, 0.5), run(n, d, 1.0, 2.0)]
    best = best_of(runs)
    assert best.rate == pytest.approx(rate(n, d), rel=1e-6) and best.batch == pytest.approx(batch(d), rel=0.01)
    assert best.loss == min(r.loss for r in runs)


@pytest.mark.parametrize("points", [POINTS[:4], [(n, 100) for n in (1, 2, 3, 4, 5)]], ids=["sizes", "tokens"])
def test_too_few_sizes_or_tokens_tell_nothing(points):
    with pytest.raises(UserError, match="three sizes and three numbers of tokens"):
        fit([run(n, d) for n, d in points])


def test_no_law_is_said(tmp_path):
    with pytest.raises(UserError, match="ponder train ladder"):
        read_law(tmp_path / "law.json")
