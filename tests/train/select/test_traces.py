"""Questions and answers worth learning: each filter finds what it is for, and lets the tasks' own thoughts pass."""

import io
import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec import convert

from ponder.core.errors import UserError
from ponder.core.message import Message
from ponder.core.sample import Problem
from ponder.tasks.base import Task
from ponder.tasks.table import TASKS, tasks_named
from ponder.train.select import conversations, queries
from ponder.train.select.responses import HeldOut, Response, asked, filters
from ponder.train.select.traces import SELECTION, Traces
from ponder.train.stage import Context, Interrupted
from tests.train.thinker import Digit, tuned

COUNT = TASKS["count"]
PROBLEM = COUNT.problem("r in strawberry", 3, "train")
GOOD = Response("s t r a w b e r r y: r at 3, 8 and 9", "3", True)
LONG = " ".join(f"step{n}" for n in range(40))


def why(response: Response, held_out: Sequence[str] = (), task: Task = COUNT, problem: Problem = PROBLEM) -> str | None:
    checks = filters(HeldOut(held_out, 0.9), 2)
    return next((name for name, bad in checks if bad(task, problem, response)), None)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({}, None),
        ({"answer": "2"}, "wrong end"),
        ({"ended": False}, "wrong end"),
        ({"thought": "r at 3\n" * 4 + "so 3"}, "repetition"),
        ({"thought": "look at the word again and again. " * 12}, "repetition"),
        ({"thought": "3"}, "guess"),
        ({"thought": "I will guess that it is three"}, "guess"),
        ({"thought": "one, two, and the last one\n**2**"}, "disagreement"),
        ({"thought": "один, два, три буквы: r at 3, 8 and 9"}, "mixed"),
        ({"thought": "r at 3, 8 and 9 </think> so"}, "mixed"),
        ({"thought": LONG}, "near a held-out item"),
    ],
)
def test_each_filter_by_its_name(change: dict[str, Any], name: str | None) -> None:
    assert why(GOOD._replace(**change), [f"before {LONG} behind", "something else"]) == name


def test_a_question_that_is_held_out_is_not_learned() -> None:
    assert why(GOOD, [PROBLEM.messages[0].text.upper() + "!"]) == "near a held-out item"


def test_the_thoughts_that_tasks_write_pass() -> None:
    """All but a few: single words are no thought, and some tasks ask two things at once."""
    dropped: Counter[tuple[str, str | None]] = Counter()
    rng = random.Random(3)
    for task in TASKS.values():
        if task.name == "write_code":  # runs programs
            continue
        held_out = [text for _ in range(20) for p in [task.make(rng, rng.randrange(task.levels), "test")]
                    for text in (asked(p), task.trace(p))]  # fmt: skip
        for level in range(task.levels):
            problem = task.make(rng, level, "train")
            own = task.reply(problem, task.trace(problem))
            written = Response(own.reasoning or "", task.answer(problem), True)
            unfit = queries.unfit(task, problem)
            dropped[task.name, unfit or why(written, held_out, task, problem)] += 1
    bad = {at: n for at, n in dropped.items() if at[1] is not None}
    allowed = {("retrieval", "guess"), ("modes", "guess"), ("multiply", "guess"), ("answer_language", queries.SEVERAL),
               ("tool_parallel", queries.SEVERAL), ("declining", queries.SEVERAL)}  # fmt: skip
    assert sum(n for at, n in bad.items() if at not in allowed) <= 4, bad


def test_questions_are_balanced_over_tasks_and_what_is_known_is_dropped() -> None:
    tasks = tasks_named(["count", "reverse"])
    found = queries.drawn(tasks, {"count": [3], "reverse": [1]}, 30, 1, lambda fresh: [t.name == "count" and n % 3 > 0
                          for n, (t, _) in enumerate(fresh)])  # fmt: skip
    assert found.fields == {"count": 15, "reverse": 15} and found.dropped[queries.EASY] > 15
    ids = [(task.name, problem.id) for task, problem in found.kept]
    assert len(set(ids)) == len(ids)
    few = queries.drawn(tasks, {"count": [3], "reverse": [1]}, 10, 1, lambda fresh: [True] * len(fresh))
    assert not few.kept


def test_unfit_questions() -> None:
    def of(text: str, key: object = "3") -> Problem:
        return Problem(
            id="r in strawberry", task="count", split="train", messages=(Message.user(text),), answer_key=key
        )

    assert queries.unfit(COUNT, of("How many r in strawberry?")) == ""
    assert queries.unfit(COUNT, of("How many r? How many s?")) == queries.SEVERAL
    assert queries.unfit(COUNT, of("Count:\n1. the r\n2. the s")) == queries.SEVERAL
    assert queries.unfit(COUNT, of("How many r?", None)) == queries.NOT_VERIFIABLE
    assert queries.unfit(COUNT, of("How many r?", "7")) == queries.NOT_VERIFIABLE


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("teacher")
    tuned(folder, digits="3567", steps=70)
    return folder


def made(
    folder: Path, parents: dict[str, Path], stop: Callable[[], bool] = lambda: False, **fields: Any
) -> dict[str, Any]:
    folder.mkdir()
    own = {"kind": "traces", "name": "traces", "tasks": ["digit"], "count": 30, "least": 1, "max_new_tokens": 40}
    stage = convert(own | fields, Traces)
    stage.run(Context(folder=folder, parents=parents, identity={}, seed=1, stop=stop, out=io.StringIO()))
    found: dict[str, Any] = json.loads((folder / SELECTION).read_text())
    return found


def test_a_teacher_answers_and_what_is_wrong_is_dropped(
    teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TASKS, "digit", Digit())
    facts = made(tmp_path / "a", {"teacher": teacher}, teacher="rl", candidates=4)
    assert facts["responses"]["candidates"] == 120 and facts["responses"]["rejected"]["wrong end"] > 60
    learned = conversations.read(tmp_path / "a" / conversations.CONVERSATIONS)
    assert len(learned) == facts["questions with one left"] == facts["responses"]["kept"] > 10
    assert all(c.messages[-1].text == "7" and c.messages[-1].reasoning == "hm" for c in learned)
    plain = made(tmp_path / "b", {"teacher": teacher}, teacher="rl", mode="no_think")
    assert plain["responses"]["kept"] > 10
    [said] = {c.messages[-1].reasoning for c in conversations.read(tmp_path / "b" / conversations.CONVERSATIONS)}
    assert said is None


def test_written_thoughts_and_a_weak_model_that_knows_some(
    teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TASKS, "digit", Digit())
    facts = made(tmp_path / "a", {"weak": teacher}, weak="plain", count=12, weak_tries=1)
    assert facts["queries"]["dropped"][queries.EASY] > 0 and facts["queries"]["fields"] == {"digit": 12}
    assert facts["responses"] == {"candidates": 12, "rejected": {}, "kept": 12}
    with pytest.raises(UserError, match=r"no response was left: \d wrong end"):
        monkeypatch.setitem(TASKS, "digit", Digit(right="0"))
        made(tmp_path / "b", {"teacher": teacher}, teacher="rl", count=2)


def test_what_cannot_be_is_refused() -> None:
    for fields, told in [({"teacher": "a", "model": "b"}, "name the one"), ({"count": 0}, "1 or more")]:
        with pytest.raises(ValueError, match=told):
            convert({"kind": "traces", "name": "x", "tasks": ["count"], "count": 3} | fields, Traces)


def test_ctrl_c_ends_a_teacher_that_is_answering(
    teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TASKS, "digit", Digit())
    asked = iter([False, False, True])
    with pytest.raises(Interrupted):
        made(tmp_path / "cut", {"teacher": teacher}, stop=lambda: next(asked), teacher="rl", candidates=4)
    assert next(asked, None) is None and not list((tmp_path / "cut").iterdir())
