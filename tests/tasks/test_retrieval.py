"""The key is in the text once, and a text is as long as it may be."""

import random

from ponder.tasks.retrieval import ASKED, RETRIEVAL


def test_the_key_is_said_once_and_asked_for_at_the_end() -> None:
    id_ = RETRIEVAL.of_lines(random.Random(3), 40)
    lines = RETRIEVAL.question(id_).splitlines()
    assert len(lines) == 41 and lines[-1] == ASKED
    assert [line for line in lines if line.startswith("The key is ")] == [f"The key is {RETRIEVAL.solve(id_)}."]


def test_keys_lie_everywhere() -> None:
    rng, places = random.Random(0), set()
    for _ in range(200):
        lines = RETRIEVAL.question(RETRIEVAL.of_lines(rng, 10)).splitlines()
        places.add(next(n for n, line in enumerate(lines) if line.startswith("The key is ")))
    assert places == set(range(10))


def test_a_text_has_as_many_units_as_fit() -> None:
    for most in (200, 1000, 7000):
        size = len(RETRIEVAL.prompt(RETRIEVAL.at_most(most, len, random.Random(1))))
        assert most - 60 <= size <= most
