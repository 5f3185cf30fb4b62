"""Reinforcement learning on a task of one digit: the reward rises, and what would go wrong later is refused now."""

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec import convert

from ponder.core.errors import UserError
from ponder.core.sample import Problem
from ponder.tasks.table import PLAYED, TASKS
from ponder.tasks.tools.goals import Words
from ponder.tasks.tools.world import PlayedTask
from ponder.train.recipe.read import recipe_of
from ponder.train.record.metrics import read
from ponder.train.stage import MODEL, Context, Interrupted
from ponder.train.stages.distill import Distill
from ponder.train.stages.rl import Rl
from tests.train.recipes import base, recipe, text, tokenizer
from tests.train.recipes import tuned as tuned_stage
from tests.train.thinker import THINKER, Digit, tuned

FIELDS = {"name": "rl", "kind": "rl", "from": "sft", "tasks": ["digit"], "steps": 12, "rate": 0.01, "problems": 4,
          "group": 8, "max_new_tokens": 32, "weight_decay": 0.0}  # fmt: skip


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("sft")
    tuned(folder, digits="3567")
    return folder


@pytest.fixture(autouse=True)
def _digit(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.set_num_threads(1)
    monkeypatch.setitem(TASKS, "digit", Digit())


def stage(**fields: Any) -> Rl:
    return convert({**FIELDS, **fields}, Rl)


def context(folder: Path, parent: Path, stop: Callable[[], bool] = lambda: False) -> Context:
    folder.mkdir(exist_ok=True)
    return Context(folder=folder, parents={"from": parent}, identity={}, seed=1, stop=stop, out=io.StringIO())


@pytest.mark.parametrize(
    "variant",
    [
        {},
        {"advantage": "dr_grpo", "normalisation": "dr_grpo", "minibatches": 2, "kappa": 0.01, "steps": 24},
        {"ratio": "sequence", "advantage": "leave_one_out", "normalisation": "sequence", "no_signal": "refill"},
        {"surrogate": "cispo", "advantage": "batch", "modes": ["no_think"], "truncated": "leave_out"},
    ],
    ids=["dapo", "dr_grpo", "gspo", "cispo"],
)
def test_the_reward_rises(variant: dict[str, Any], parent: Path, tmp_path: Path) -> None:
    stage(**variant).run(context(tmp_path / "rl", parent))
    lines = read(tmp_path / "rl" / "metrics.jsonl")
    rewards = [float(line["reward"]) for line in lines if "reward" in line]
    assert sum(rewards[:2]) / 2 < 0.5 and sum(rewards[-2:]) / 2 > 0.75
    for line in lines:
        assert {"entropy", "clip_share", "mismatch_kl"} <= line.keys()
    assert abs(float(lines[0]["mismatch_kl"])) < 1e-9 and lines[0]["clip_share"] == 0
    assert [line["weights_version"] for line in lines if "reward" in line] == [n + 1 for n in range(len(rewards))]
    assert (tmp_path / "rl" / MODEL / "config.json").exists()


def test_a_run_that_was_killed_goes_on_with_the_same_bits(parent: Path, tmp_path: Path) -> None:
    few = stage(steps=7, minibatches=3, checkpoint_every=2)
    few.run(context(tmp_path / "whole", parent))
    asked = iter([False] * 4 + [True] * 9)  # once a step: the fifth, in the middle of the second draw
    with pytest.raises(Interrupted):
        few.run(context(tmp_path / "cut", parent, lambda: next(asked)))
    few.run(context(tmp_path / "cut", parent))
    a, b = (read(tmp_path / name / "metrics.jsonl") for name in ("whole", "cut"))
    keys = ("step", "loss", "norm", "mismatch_kl", "reward")
    assert [[line.get(k) for k in keys] for line in a] == [[line.get(k) for k in keys] for line in b]
    left = sorted(p.name for p in (tmp_path / "cut" / "drawn").iterdir())
    assert "000000.npz" not in left, "a draw is forgotten when a checkpoint has come after it"


def test_random_budgets_cut_thoughts(parent: Path, tmp_path: Path) -> None:
    cut = stage(steps=1, modes=["think"], budgets=[0, 1], budget_share=1.0, max_new_tokens=300, no_signal="refill")
    asks = [a for step in range(20) for a in cut.asks(1, step)]
    assert {a.budget for a in asks} == {0, 1} and all(a.thinking for a in asks)
    assert asks[:4] == cut.asks(1, 0) and asks[:4] != cut.asks(1, 0, turn=1)
    some = stage(budgets=[5], budget_share=0.5)
    mixed = [a for step in range(40) for a in some.asks(1, step)]
    assert {(a.thinking, a.budget) for a in mixed} == {(True, 5), (True, None), (False, None)}
    cut.run(context(tmp_path / "rl", parent))
    [line] = read(tmp_path / "rl" / "metrics.jsonl")
    assert line["handovers"] == 1.0 and abs(float(line["mismatch_kl"])) < 1e-9


def test_levels_that_teach_nothing_stop_the_run(parent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TASKS, "digit", replace(Digit(), right="x"))
    with pytest.raises(UserError, match="take lower levels than digit 1"):
        stage(levels={"digit": [1]}).run(context(tmp_path / "rl", parent))


def test_engine_and_trainer_that_disagree_stop_the_run(
    parent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ponder.train.stages import rl

    class Off:
        def __init__(self, engine: Any) -> None:
            self.engine, self.weights_changed = engine, engine.weights_changed

        def sample(self, requests: Any) -> Any:
            return [
                tuple(replace(c, logprobs=tuple(p * 1.5 for p in c.logprobs)) for c in said)
                for said in self.engine.sample(requests)
            ]

    real = rl.engine_of
    monkeypatch.setattr(rl, "engine_of", lambda *args: Off(real(*args)))
    with pytest.raises(UserError, match="engine and trainer disagree") as error:
        stage().run(context(tmp_path / "rl", parent))
    assert error.value.code == "mismatch"


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"group": 1}, "take 4 or more"),
        ({"group": 2, "problems": 1, "minibatches": 3}, "minibatches is between"),
        ({"tasks": ["digitt"]}, "did you mean digit"),
        ({"levels": {"digit": [2]}}, "has the levels 0 to 1"),
        ({"levels": {"count": [2]}}, "levels are given for count"),
        ({"modes": ["no_think"], "budgets": [1]}, "the modes have none"),
        ({"budget_share": 2.0}, "between 0 and 1"),
        ({"normalisation": "mean"}, "no normalisation is called 'mean'"),
        ({"kappa": -1.0}, "kappa is 0 or more"),
        ({"mismatch_limit": 0.0}, "above 0"),
        ({"problems": 0}, "one problem or more, room"),
        ({"pass_rate": [0.8, 0.1]}, "a band of two shares"),
        ({"overlong": 32}, "a part of max_new_tokens"),
        ({"measure_every": 3, "minibatches": 2}, "a multiple of minibatches"),
        ({"entropy_target": -1.0}, "0 nats or more"),
        ({"judge": "qwen3:8b"}, "judge and judged belong together"),
        ({"judge": "qwen3:8b", "judged": ["count"]}, "of those that are asked"),
        ({"temperature": 0.7}, "unknown field `temperature`"),
    ],
)
def test_bad_input_is_refused_where_it_is_read(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        stage(**fields)


def test_entropy_is_held_levels_are_chosen_and_what_it_brings_is_measured(parent: Path, tmp_path: Path) -> None:
    held = stage(entropy_target=5.0, pass_rate=[0.1, 0.8], measure_every=4, measure_problems=2, measure_samples=16,
                 overlong=8, steps=8)  # fmt: skip
    held.run(context(tmp_path / "held", parent))
    lines = read(tmp_path / "held" / "metrics.jsonl")
    weights = [float(line["entropy_weight"]) for line in lines]
    assert weights[0] == 0 and weights == sorted(weights) and 0.1 < weights[-1] <= 0.5, "it is far below, so it grows"
    assert [("validation pass@16" in line) for line in lines] == [n % 4 == 0 for n in range(8)]
    assert all(0 <= float(line["rate digit 0"]) <= 1 for line in lines[1:])
    active = THINKER.parameter_counts().active
    first, later = (float(lines[n]["flops"]) / active - 6 * float(lines[n]["tokens"]) for n in (0, 1))
    assert first > later + 2 * 2 * 16 and later > 2 * 4 * 8, "answers are counted, and those of measuring"
    stage(steps=8).run(context(tmp_path / "free", parent))
    free = read(tmp_path / "free" / "metrics.jsonl")
    assert "entropy_weight" not in free[0]
    assert float(lines[-1]["entropy"]) > float(free[-1]["entropy"])


def test_a_recipe_goes_from_tuning_through_rewards_to_a_smaller_model() -> None:
    small = tuned_stage(name="small", **{"from": "base"})
    rewards = {**FIELDS, "from": "tuned", "tasks": ["count"], "levels": {"count": [0]}, "budgets": [0, 4]}
    taught = {"name": "taught", "kind": "distill", "from": "small", "teacher": "rl", "tasks": ["count"], "steps": 1}
    stages = recipe_of(recipe(text(), tokenizer(), base(), tuned_stage(), small, rewards, taught), "test").stages
    assert [s.parents() for s in stages[-2:]] == [{"from": "tuned"}, {"from": "small", "teacher": "rl"}]
    with pytest.raises(UserError, match="did you mean"):
        recipe_of(recipe(text(), tokenizer(), base(), tuned_stage(), {**rewards, "grup": 4}), "test")
    with pytest.raises(UserError, match="take 4 or more"):
        recipe_of(recipe(text(), tokenizer(), base(), tuned_stage(), {**rewards, "group": 1}), "test")


class PlayedDigit(PlayedTask, Digit):
    """The same, through the agent loop: nothing to call, and who falls silent is asked again."""

    def open(self, problem: Problem) -> Words:
        return Words()


def test_a_task_that_is_played_is_learned_and_goes_on_with_the_same_bits(
    parent: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PLAYED, "digit", PlayedDigit())
    few = stage(steps=4, checkpoint_every=2, turns=2)
    few.run(context(tmp_path / "whole", parent))
    asked = iter([False, True, *[False] * 9])
    with pytest.raises(Interrupted):
        few.run(context(tmp_path / "cut", parent, lambda: next(asked)))
    few.run(context(tmp_path / "cut", parent))
    a, b = (read(tmp_path / name / "metrics.jsonl") for name in ("whole", "cut"))
    keys = ("step", "loss", "norm", "mismatch_kl", "reward", "episode turns")
    assert [[line[k] for k in keys] for line in a] == [[line[k] for k in keys] for line in b]
    assert all(abs(float(line["mismatch_kl"])) < 1e-9 and float(line["episode turns"]) >= 1 for line in a)
    assert 0 < float(a[0]["reward"]) < 1 and float(a[0]["episode lost"]) == 0


@pytest.mark.parametrize(
    ("fields", "told"),
    [({"overlong": 4}, "without overlong"), ({"judge": "x", "judged": ["digit"]}, "without overlong, judge"),
     ({"turns": 0}, "one turn or more")],
)  # fmt: skip
def test_what_a_played_task_cannot_have(fields: dict[str, Any], told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PLAYED, "digit", PlayedDigit())
    with pytest.raises(ValueError, match=told):
        stage(**fields)
    with pytest.raises(ValueError, match="which kind rl can"):
        taught = {"name": "d", "kind": "distill", "from": "sft", "teacher": "t", "tasks": ["digit"], "steps": 1}
        convert(taught, Distill)
