"""Questions, thoughts, answers and splits of every task."""

import random

import pytest
from golden import GOLDEN

from ponder.core.errors import UserError
from ponder.tasks.base import SPLITS, Task
from ponder.tasks.letters import Letters
from ponder.tasks.swaps import Swaps
from ponder.tasks.table import TASKS, tasks_named

RUNS = pytest.mark.slow  # a program for every answer
EVERY = pytest.mark.parametrize(
    "task", [pytest.param(t, marks=RUNS if t.trials < 12 else ()) for t in TASKS.values()], ids=lambda t: t.name
)
TINY = pytest.mark.parametrize("task", [t for t in TASKS.values() if t.symbols], ids=lambda t: t.name)
OTHER = pytest.mark.parametrize("task", [t for t in TASKS.values() if not t.symbols], ids=lambda t: t.name)


@pytest.mark.parametrize("name", TASKS)
def test_by_hand(name: str) -> None:
    task = TASKS[name]
    id_, question, thought, answer = GOLDEN[name]
    problem = task.problem(id_, 0, "test")
    assert question in "\n".join(message.text for message in problem.messages)
    assert not task.symbols or problem.messages[0].text == question
    assert task.answer(problem) == problem.answer_key and answer in (None, problem.answer_key)
    assert thought is None or task.trace(problem) == thought


def test_thought_of_an_addition_by_hand() -> None:
    assert TASKS["add"].think("987+465") == "7+5+0=12\n8+6+1=15\n9+4+1=14"


@EVERY
def test_every_level_of_every_split_has_questions_that_say_what_they_are(task: Task) -> None:
    rng = random.Random(0)
    for level in range(task.levels):
        for split in SPLITS:
            problem = task.make(rng, level, split)
            assert (problem.task, problem.level, problem.split) == (task.name, level, split)
            thoughts = task.reply(problem, task.trace(problem)).reasoning or ""
            assert task.verify_turn(problem, thoughts, task.answer(problem)).reward == 1
            assert not task.verify(problem, task.wrong(problem, rng)).ok
        assert task.size(level) and 0 <= task.chance(level) <= 1
    for level in (-1, task.levels):
        with pytest.raises(UserError, match=f"levels 0 to {task.levels - 1}"):
            task.make(rng, level, "train")


@EVERY
def test_the_same_seed_makes_the_same_questions(task: Task) -> None:
    first, second = (
        [task.make(random.Random(7), level, "train") for level in range(min(3, task.levels))] for _ in range(2)
    )
    assert first == second
    assert task.fingerprint() == task.fingerprint() != TASKS["add" if task.name != "add" else "chain"].fingerprint()


def overlap(task: Task, draws: int) -> tuple[int, int]:
    """(different test questions, how many of `draws` training draws are one of them), over all levels."""
    rng = random.Random(1)
    tests = {task.question(task.make(rng, n % task.levels, "test").id) for n in range(min(3000, draws))}
    found = kept = 0
    while kept < draws:
        id_ = task.draw(rng, kept % task.levels)
        if task.split_of(id_) == "train":
            kept += 1
            found += task.question(id_) in tests
    return len(tests), found


@OTHER
def test_no_test_question_among_some_training_draws(task: Task) -> None:
    tests, found = overlap(task, 100)
    assert tests > 20 and found == 0


@pytest.mark.slow
@OTHER
def test_no_test_question_among_many_training_draws(task: Task) -> None:
    tests, found = overlap(task, 10_000)
    assert tests > 20 and found == 0


@TINY
def test_no_test_question_among_training_draws(task: Task) -> None:
    tests, found = overlap(task, 100_000)
    assert tests > 1000 and found == 0


@pytest.mark.slow
@TINY
def test_no_test_question_among_a_million_training_draws(task: Task) -> None:
    tests, found = overlap(task, 1_000_000)
    assert tests > 1000 and found == 0


def test_a_sum_and_the_sum_turned_round_are_in_one_split() -> None:
    add, rng = TASKS["add"], random.Random(3)
    for _ in range(500):
        a, b = add.draw(rng, 1).split("+")
        assert add.split_of(f"{a}+{b}") == add.split_of(f"{b}+{a}")


@TINY
def test_shares_of_the_splits(task: Task) -> None:
    rng = random.Random(5)
    ids = {task.draw(rng, task.levels - 1) for _ in range(6000)}
    shares = {split: sum(task.split_of(i) == split for i in ids) / len(ids) for split in SPLITS}
    assert shares["test"] == pytest.approx(0.1, abs=0.02) and shares["validation"] == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("name", ["count", "swap", "swap5", "chain"])
def test_chance_is_what_the_best_answer_without_steps_gets(name: str) -> None:
    """Counting and chains: a constant. Swaps: what stood there at the beginning."""
    task, rng, level = TASKS[name], random.Random(2), 2
    ids = [task.draw(rng, level) for _ in range(20_000)]
    if isinstance(task, Swaps):
        hits = sum(task.solve(i) == i.split(" ")[0][int(i[-1]) - 1] for i in ids)
    else:
        answers = [task.solve(i) for i in ids]
        hits = max(answers.count(a) for a in set(answers))
    assert hits / len(ids) == pytest.approx(task.chance(level), abs=0.015)


def test_distinct_questions_or_an_error_that_says_how_many_there_are() -> None:
    task, rng = Letters(), random.Random(0)
    problems = list(task.distinct(rng, 3, "test", 100))
    assert len({p.id for p in problems}) == 100
    with pytest.raises(UserError, match=r"level 0 of swap \(1 swap of 4\) has only \d\d different test questions, 500"):
        list(TASKS["swap"].distinct(rng, 0, "test", 500))


def test_names() -> None:
    assert [t.name for t in tasks_named(["add", "count"])] == ["add", "count"]
    with pytest.raises(UserError, match="did you mean count"):
        tasks_named(["coutn"])
    with pytest.raises(UserError, match="there are count, strawberry, swap"):
        tasks_named(["zzz"])


@TINY
def test_symbols_are_all_that_thoughts_and_answers_need_beside_punctuation(task: Task) -> None:
    single = set(task.symbols) | {s.strip() for s in task.symbols}
    rng = random.Random(4)
    for level in range(task.levels):
        id_ = task.draw(rng, level)
        assert set(task.think(id_) + task.solve(id_)) - set(" \n:-") <= single
