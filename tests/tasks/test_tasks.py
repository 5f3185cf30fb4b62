"""Questions, thoughts, answers and splits of every task."""

import random

import pytest

from ponder.core.errors import UserError
from ponder.tasks.base import SPLITS, Task
from ponder.tasks.letters import Letters
from ponder.tasks.swaps import Swaps
from ponder.tasks.table import TASKS, tasks_named

EVERY = pytest.mark.parametrize("task", TASKS.values(), ids=lambda t: t.name)

GOLDEN = {
    "count": ("r in strawberry", "How many r in s t r a w b e r r y?", "r: s0 t0 r1 a1 w1 b1 e1 r2 r3 y3", "3"),
    "strawberry": ("r in strawberry", "How many r in strawberry?", "r: s0 t0 r1 a1 w1 b1 e1 r2 r3 y3", "3"),
    "swap": (
        "KLMN 1-2,2-4 4",
        "Swap 1-2,2-4 in K L M N. What is at 4?",
        "0: K L M N\n1-2: L K M N\n2-4: L N M K\n4= K",
        "K",
    ),
    "swap5": ("PKLMN 1-5 1", "Swap 1-5 in P K L M N. What is at 1?", "0: P K L M N\n1-5: N K L M P\n1= N", "N"),
    "add": ("987+65", "What is 987+65?", None, "1052"),
    "chain": ("3+4-9+5", "What is 3+4-9+5 modulo 10?", "3 +4=7 -9=8 +5=3", "3"),
    "reverse": ("wet", "Write w e t backwards.", "w e t", "t e w"),
    "retrieval": (
        "4 2 3907 7",
        "The road goes on.\nThe grass is green.\nThe key is 3907.\nThe sun is warm.\nWhat is the key?",
        "3907",
        "3907",
    ),
}


@pytest.mark.parametrize("name", TASKS)
def test_by_hand(name: str) -> None:
    task = TASKS[name]
    id_, question, thought, answer = GOLDEN[name]
    problem = task.problem(id_, 0, "test")
    assert problem.messages[0].text == question
    assert task.answer(problem) == answer == problem.answer_key
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
            assert task.verify(problem, task.answer(problem)).reward == 1
            assert not task.verify(problem, task.wrong(problem, rng)).ok
        assert task.size(level)
    for level in (-1, task.levels):
        with pytest.raises(UserError, match=f"levels 0 to {task.levels - 1}"):
            task.make(rng, level, "train")


@EVERY
def test_the_same_seed_makes_the_same_questions(task: Task) -> None:
    first, second = ([task.make(random.Random(7), level, "train") for level in range(3)] for _ in range(2))
    assert first == second
    assert task.fingerprint() == task.fingerprint() != TASKS["add" if task.name != "add" else "chain"].fingerprint()


def overlap(task: Task, draws: int) -> tuple[int, int]:
    """(different test questions, how many of `draws` training draws are one of them), over all levels."""
    rng = random.Random(1)
    tests = {task.make(rng, n % task.levels, "test").messages[0].text for n in range(3000)}
    found = kept = 0
    while kept < draws:
        id_ = task.draw(rng, kept % task.levels)
        if task.split_of(id_) == "train":
            kept += 1
            found += task.question(id_) in tests
    return len(tests), found


@EVERY
def test_no_test_question_among_training_draws(task: Task) -> None:
    tests, found = overlap(task, 100_000)
    assert tests > 1000 and found == 0


@pytest.mark.slow
@EVERY
def test_no_test_question_among_a_million_training_draws(task: Task) -> None:
    tests, found = overlap(task, 1_000_000)
    assert tests > 1000 and found == 0


def test_a_sum_and_the_sum_turned_round_are_in_one_split() -> None:
    add, rng = TASKS["add"], random.Random(3)
    for _ in range(500):
        a, b = add.draw(rng, 1).split("+")
        assert add.split_of(f"{a}+{b}") == add.split_of(f"{b}+{a}")


@EVERY
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


@EVERY
def test_symbols_are_all_that_thoughts_and_answers_need_beside_punctuation(task: Task) -> None:
    single = set(task.symbols) | {s.strip() for s in task.symbols}
    rng = random.Random(4)
    for level in range(task.levels):
        id_ = task.draw(rng, level)
        assert set(task.think(id_) + task.solve(id_)) - set(" \n:-") <= single
