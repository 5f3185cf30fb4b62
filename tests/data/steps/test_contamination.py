"""Planted items of tests are found, in every script, whatever was done to their form; and nothing else is."""

import random

import pytest

from ponder.data.steps.contamination import HeldOut, Item

SYLLABLES = ["ka", "lo", "mi", "ter", "an", "du", "re", "so", "vin", "pe", "gar", "ul"]
HAN = "天地玄黃宇宙洪荒日月盈昃辰宿列張寒來暑往秋收冬藏閏餘成歲律呂調陽雲騰致雨露結為霜金生麗水玉出崑岡"
THAI = "กขคงจฉชซญดตถทนบปผพฟมยรลวสหอฮ"


def prose(rng: random.Random, words: int) -> str:
    return " ".join("".join(rng.choices(SYLLABLES, k=rng.randint(1, 4))) for _ in range(words))


def script(rng: random.Random, alphabet: str, characters: int) -> str:
    return "".join(rng.choices(alphabet, k=characters))


def disguised(rng: random.Random, text: str) -> str:
    words = [
        rng.choice([str.upper, str.lower, str.title])(word) + rng.choice(["", ",", "!", "\n"]) for word in text.split()
    ]
    return "  ".join(words)


def test_every_planted_question_and_answer_is_found_and_nothing_else() -> None:
    rng = random.Random(0)
    items = [Item(prose(rng, rng.randint(14, 60)), prose(rng, rng.randint(1, 30))) for _ in range(150)]
    held_out = HeldOut({"odd": items[::2], "even": items[1::2]})
    for n, item in enumerate(items):
        name = "even" if n % 2 else "odd"
        hit = held_out.found(f"{prose(rng, 80)} {disguised(rng, item.question)} {prose(rng, 80)}")
        assert hit is not None and hit.set == name
        assert hit.words in " ".join(item.question.lower().split())
        if len(item.answer.split()) >= 13:
            assert held_out.found(f"{prose(rng, 20)}; {item.answer}.") is not None
    assert not any(held_out.found(prose(rng, 300)) for _ in range(1000))
    assert not held_out.missed and held_out.items == {"odd": 75, "even": 75}


@pytest.mark.parametrize("alphabet", [HAN, THAI])
def test_scripts_without_blanks(alphabet: str) -> None:
    rng = random.Random(1)
    items = [Item(script(rng, alphabet, rng.randint(31, 120))) for _ in range(50)]
    held_out = HeldOut({"set": items})
    for item in items:
        assert held_out.found(f"{script(rng, alphabet, 99)}。{item.question}？ {script(rng, alphabet, 99)}") is not None
    assert not any(held_out.found(script(rng, alphabet, 500)) for _ in range(300))


def test_a_short_question_counts_with_its_answer_only() -> None:
    held_out = HeldOut({"short": [Item("Which letter follows after q?", "the letter r"), Item("Why?", "Because")]})
    assert held_out.found("which letter follows after Q? Think about it. It is the letter R.") is not None
    assert held_out.found("which letter follows after Q? Nobody told me.") is None
    assert held_out.found("the letter r") is None
    assert held_out.found("which letter follows after q" + " word" * 60 + " the letter r") is None
    assert held_out.found("Why? Because") is None and held_out.missed == {"short": 1}


def test_what_many_items_have_in_common_is_no_sign() -> None:
    rng = random.Random(2)
    frame = prose(rng, 20)
    items = [Item(f"{frame} {prose(rng, 15)}") for _ in range(40)]
    held_out = HeldOut({"set": items, "frame": [Item(frame)] * 30})
    assert held_out.found(f"{prose(rng, 30)} {frame} {prose(rng, 30)}") is None
    assert all(held_out.found(item.question) is not None for item in items)
    assert held_out.missed == {"frame": 30}, "and what cannot be told is counted"


def test_twelve_words_in_a_row_are_no_copy() -> None:
    rng = random.Random(3)
    question = prose(rng, 40).split()
    held_out = HeldOut({"set": [Item(" ".join(question))]})
    assert held_out.found(" ".join([*question[10:22], prose(rng, 5), *question[22:34]])) is None
    assert held_out.found(" ".join(question[10:23])) is not None


@pytest.mark.parametrize("text", ["", "word", "。", "a b"])
def test_texts_without_much_in_them(text: str) -> None:
    assert HeldOut({}).found(text) is None
    assert HeldOut({"set": [Item(text, text)]}).found(text) is None
