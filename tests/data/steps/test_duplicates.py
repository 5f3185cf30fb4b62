"""Planted repetitions are found, and nothing else is."""

import random

import pytest

from ponder.data.steps.duplicates import Duplicates, evened, jaccard, shingles

ALPHABETS = {
    "latin": "abcdefghijklmnopqrstuvwxyz",
    "thai": "กขคงจฉชซญดตถทนบปผพฟมยรลวสหอฮ",
    "han": "天地玄黃宇宙洪荒日月盈昃辰宿列張寒來暑往",
}


def text(rng: random.Random, alphabet: str, words: int = 120) -> str:
    return " ".join("".join(rng.choices(alphabet, k=rng.randint(2, 9))) for _ in range(words))


def changed(rng: random.Random, original: str, alphabet: str, words: int) -> str:
    parts = original.split(" ")
    for at in rng.sample(range(len(parts)), words):
        parts[at] = text(rng, alphabet, 1)
    return " ".join(parts)


@pytest.mark.parametrize("script", ALPHABETS)
def test_recall_and_precision_of_near_repetitions(script: str) -> None:
    """All pairs on either side of 0.8, decided by their true similarity."""
    rng, alphabet = random.Random(script), ALPHABETS[script]
    originals = [text(rng, alphabet) for _ in range(150)]
    copies = [(n, changed(rng, t, alphabet, rng.randint(1, 24))) for n, t in enumerate(originals)]
    seen = Duplicates(0.8)
    assert all(seen.earlier(f"o{n}", t) is None for n, t in enumerate(originals))
    right = {True: 0, False: 0}
    for n, copy in copies:
        alike = jaccard(shingles(evened(copy)), shingles(evened(originals[n]))) >= 0.8
        found = seen.earlier(f"c{n}", copy)
        assert found == (f"o{n}" if alike else None)
        right[alike] += 1
    assert min(right.values()) > 20, "the pairs must lie on both sides"


def test_ids_of_a_tokenizer_in_place_of_characters() -> None:
    """Two texts that are alike in characters, but not in ids of words."""
    rng = random.Random(7)
    original = text(rng, ALPHABETS["latin"])
    words = original.split(" ")
    other = " ".join(word + "x" if n % 5 == 0 else word for n, word in enumerate(words))
    numbers: dict[str, int] = {}

    def encode(text: str) -> list[int]:
        return [numbers.setdefault(word, len(numbers)) for word in text.split()]

    for seen, alike in ((Duplicates(0.5), True), (Duplicates(0.5, encode), False)):
        assert seen.earlier("a", original) is None
        assert (seen.earlier("b", other) == "a") is alike
    by_ids = Duplicates(0.8, encode)
    assert by_ids.earlier("a", original) is None
    assert by_ids.earlier("b", " ".join([*words[:-1], "other"])) == "a"


def test_case_blanks_and_digits_make_no_difference() -> None:
    seen = Duplicates(1)
    assert seen.earlier("a", "Call 0800 123\n  now") is None
    assert seen.earlier("b", "call 0900 456 NOW ") == "a"
    assert seen.earlier("c", "call me later") is None


@pytest.mark.parametrize("short", ["", "a", "日本"])
def test_short_texts(short: str) -> None:
    seen = Duplicates(0.8)
    assert seen.earlier("a", short) is None and seen.earlier("b", short) == "a"
    assert seen.earlier("c", short + " and much more") is None
