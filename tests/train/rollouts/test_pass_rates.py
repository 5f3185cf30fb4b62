"""Levels come and go as the model learns them; what is too easy or too hard is seldom asked, and still measured."""

import json
from pathlib import Path

import numpy as np
import pytest

from ponder.core.message import Message
from ponder.core.sample import Continuation, Problem, Rollout, Verdict
from ponder.train.rollouts.pass_rates import SELDOM, PassRates
from ponder.train.rollouts.samples import overlong, samples_of

BAND = (0.1, 0.8)


def group(level: int, rights: list[bool], length: int = 1) -> list[Rollout]:
    problem = Problem(id="1", task="count", split="train", level=level, messages=(Message.user("?"),))
    said = Continuation(ids=(7,) * length, writers=("model",) * length, logprobs=(-0.5,) * length, finish="stop")
    return [
        Rollout(problem=problem, prompt_ids=(1,), continuation=said, verdict=Verdict(reward=float(ok), ok=ok))
        for ok in rights
    ]


def test_a_level_is_drawn_while_its_rate_is_in_the_band(tmp_path: Path) -> None:
    rates = PassRates(BAND, tmp_path / "metrics.jsonl")
    assert rates.worth("count", 3) == 1.0, "what was never asked is worth it"
    told = rates.note([group(1, [True] * 8), group(2, [True, False] * 4), group(3, [False] * 8)])
    assert told == {"rate count 1": 1.0, "rate count 2": 0.5, "rate count 3": 0.0}
    assert [rates.worth("count", n) for n in (1, 2, 3, 4)] == [SELDOM, 1.0, SELDOM, 1.0]
    for _ in range(3):
        told = rates.note([group(3, [True, False] * 4)])
    assert 0.1 < told["rate count 3"] < 0.5 and rates.worth("count", 3) == 1.0, "it has become learnable"


def test_a_run_that_goes_on_knows_the_rates(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    whole = PassRates(BAND, path)
    first = whole.note([group(1, [True, False, False]), group(2, [True] * 4)])
    path.write_text("".join(json.dumps(line) + "\n" for line in ({"step": 0, **first}, {"step": 1, "loss": 2.0})))
    again = PassRates(BAND, path)
    assert again.note([group(1, [True] * 5)]) == whole.note([group(1, [True] * 5)])


def test_overlong_answers_cost_reward() -> None:
    some = [group(1, [True], length)[0] for length in (5, 8, 9, 10)]
    assert [overlong(r, most=10, room=4) for r in some] == pytest.approx([1.0, 0.5, 0.25, 0.0])
    shaped = samples_of([some], kind="dr_grpo", reward=lambda r: overlong(r, 10, 4))
    np.testing.assert_allclose([s.advantage[1] for s in shaped], [0.5625, 0.0625, -0.1875, -0.4375])
