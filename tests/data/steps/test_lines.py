"""Lines that documents share are left out where they stand again, and nothing else is touched."""

import random

from hypothesis import given
from hypothesis import strategies as st

from ponder.data.steps.lines import SHORTEST, SharedLines

MENU = "Home, Products, Support, Contact, About us, Sign in"
ADDRESS = "Acme Works\n12 Some Street\nSpringfield, Oregon\nopen every day"


def without(texts: list[str], documents: int) -> list[str]:
    lines = SharedLines(documents)
    for text in texts:
        lines.count(text)
    return [lines.without(text) for text in texts]


def body(rng: random.Random) -> str:
    return "\n".join(" ".join(str(rng.randrange(10**6)).translate(LETTERS) for _ in range(9)) for _ in range(3))


LETTERS = str.maketrans("0123456789", "abcdefghij")


def test_a_shared_line_and_a_shared_paragraph_stay_once() -> None:
    rng = random.Random(0)
    bodies = [body(rng) for _ in range(6)]
    texts = [f"{MENU}\n{text}\n\n{ADDRESS}" for text in bodies]
    assert without(texts, 5) == [texts[0], *bodies[1:]]
    assert without(texts, 6) == [texts[0], *bodies[1:]]
    assert without(texts, 7) == texts
    assert without(texts, 0) == texts


def test_case_and_digits_make_no_difference() -> None:
    texts = [f"Page {n} of 12, printed on a tuesday AFTERNOON in May" for n in range(3)]
    assert without(texts, 3) == [texts[0], "", ""]


def test_short_lines_stay() -> None:
    texts = ["}\n\nreturn None\n\n" + body(random.Random(n)) for n in range(5)]
    assert without(texts, 2) == texts


def test_a_line_often_in_one_document_is_not_shared() -> None:
    text = "\n\n".join(["The same long line of a song, again and again and again."] * 9)
    assert without([text, "other"], 2) == [text, "other"]


@given(st.lists(st.text(alphabet="ab \n", max_size=200), max_size=8), st.integers(0, 4))
def test_only_shared_pieces_go(texts: list[str], documents: int) -> None:
    kept = without(texts, documents)
    for before, after in zip(texts, kept):
        remaining = iter(before.split("\n"))
        assert not after or all(line in remaining for line in after.split("\n")), "lines in order, none made up"
        short = [line for line in before.split("\n") if line and len(line) < SHORTEST]
        if len(before) < SHORTEST:
            assert after == before and all(line in after.split("\n") for line in short)
