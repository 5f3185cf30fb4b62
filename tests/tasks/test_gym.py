"""reasoning-gym's generators as tasks; the package itself, where it is installed, and one of its form otherwise."""

import random
import sys
import types

import pytest

from ponder.core.errors import UserError
from ponder.tasks import gym
from ponder.tasks.labelled import judge, labelled
from ponder.tasks.table import tasks_named


@pytest.fixture
def package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums, in the package's form; a fifth of a point for an answer that holds the right one."""
    fake = types.ModuleType("reasoning_gym")

    def create_dataset(name: str, size: int, seed: int) -> list[dict[str, object]]:
        if name != "sums":
            raise ValueError(f"Dataset '{name}' not registered")
        return [
            {"question": f"{seed % 1000}+1?", "answer": str(seed % 1000 + 1), "metadata": {"source_dataset": "sums"}}
        ]

    def score(answer: str, entry: dict[str, object]) -> float:
        return 1.0 if answer == entry["answer"] else 0.2 if str(entry["answer"]) in answer else 0.0

    fake.create_dataset = create_dataset  # type: ignore[attr-defined]
    fake.get_score_answer_fn = lambda name: score  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "reasoning_gym", fake)
    monkeypatch.setattr(gym, "find_spec", lambda name: fake)
    gym._entry.cache_clear()


def test_a_generator_by_name(package: None) -> None:
    (task,) = tasks_named(["rg:sums"])
    rng = random.Random(0)
    tests = {p.messages[0].text for p in task.distinct(rng, 0, "test", 30)}
    trains = {task.make(rng, 0, "train").messages[0].text for _ in range(200)}
    assert len(tests) == 30 and not tests & trains
    problem = task.problem("41", 0, "test")
    assert task.verify(problem, "So it is \\boxed{42}.").ok
    half = task.verify(problem, "42 or so")
    assert half.reward == 0.2 and not half.ok
    checked = judge(task, labelled(task, 120))
    assert checked.right == 480 and not checked.taken and not checked.missed
    with pytest.raises(UserError, match="makes no 'nothing'"):
        tasks_named(["rg:nothing"])


def test_without_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gym, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pip install reasoning-gym"):
        tasks_named(["rg:sums"])
