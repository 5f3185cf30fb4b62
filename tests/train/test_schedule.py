"""Learning rates at the steps where they turn."""

import pytest

from ponder.core.errors import UserError
from ponder.train.schedule import Schedule, Shape

HALF = {"linear": 0.5, "cosine": 0.5, "1-sqrt": 1 - 0.5**0.5}
QUARTER = {"linear": 0.75, "cosine": 0.8535533905932737, "1-sqrt": 0.5}


@pytest.mark.parametrize("shape", ["linear", "cosine", "1-sqrt"])
def test_warm_up_stable_decay(shape: Shape) -> None:
    s = Schedule(steps=100, peak=1.0, warmup=4, decay=40, shape=shape, floor=0.0)
    assert [s.rate(i) for i in range(5)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert s.rate(30) == s.rate(60) == 1.0
    assert s.rate(70) == pytest.approx(QUARTER[shape]) and s.rate(80) == pytest.approx(HALF[shape])
    assert 0 < s.rate(99) < 0.1 and s.rate(100) == pytest.approx(0)
    assert [s.rate(i) for i in range(60, 100)] == sorted((s.rate(i) for i in range(60, 100)), reverse=True)


def test_floor_and_no_decay() -> None:
    s = Schedule(steps=10, peak=1.0, decay=10, shape="linear", floor=0.5)
    assert s.rate(0) == 1.0 and s.rate(5) == 0.75 and s.rate(10) == 0.5
    assert {Schedule(steps=10, peak=3.0).rate(i) for i in range(10)} == {3.0}


def test_a_stage_goes_on_from_the_rate_before_and_may_decay_faster() -> None:
    first = Schedule(steps=100, peak=1.0, decay=80, floor=0.6)
    second = Schedule(steps=100, peak=0.6, decay=100, shape="linear", start=first.rate(100))
    assert second.rate(0) == pytest.approx(first.rate(100))
    assert second.rate(0) - second.rate(1) > first.rate(98) - first.rate(99)
    up = Schedule(steps=10, peak=1.0, warmup=1, start=0.6)
    assert up.rate(0) == pytest.approx(0.8) and up.rate(1) == 1.0


@pytest.mark.parametrize(
    "bad", [{"steps": 0}, {"warmup": 6, "decay": 5}, {"floor": 2.0}, {"shape": "square"}, {"start": -1.0}]
)
def test_what_does_not_fit_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(UserError):
        Schedule(**{"steps": 10, "peak": 1.0, **bad})  # type: ignore[arg-type]
