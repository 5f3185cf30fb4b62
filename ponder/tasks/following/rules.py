"""Instructions that are drawn: how each is asked for, done, and broken. What checks them is in `checks`.

A text is made by doing the rules one after the other in the order of this table, the frame of the text last."""

import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ponder.tasks.following.filler import of_words, sentence

Arguments = dict[str, Any]


@dataclass(frozen=True)
class Rule:
    """group: of two rules of a group one can be asked for at a time."""

    group: str
    ask: str
    draw: Callable[[random.Random], Arguments]
    do: Callable[[str, Arguments, str, random.Random], str]
    """(text so far, arguments, topic) -> text."""
    spoil: Callable[[str, Arguments], str]
    """A text that does it -> one that does not."""


def _many(topic: str, rng: random.Random, count: int, join: str = " ") -> str:
    return join.join(sentence(topic, rng) for _ in range(count))


def _nothing(rng: random.Random) -> Arguments:
    return {}


KEYWORDS = ("copper", "window", "harbour", "winter", "lantern", "marble")
AVOIDED = ("people", "old", "good", "children", "books", "they")
ENDS = ("That is all.", "Ask me for more.", "This is the end.")
RULES: dict[str, Rule] = {
    "length_constraints:number_sentences": Rule(
        "shape", "Write at least {num_sentences} sentences.",
        lambda rng: {"num_sentences": rng.randrange(3, 9), "relation": "at least"},
        lambda text, a, topic, rng: _many(topic, rng, a["num_sentences"]),
        lambda text, a: re.sub(r"[.!?](?=\s)", "", text),
    ),
    "length_constraints:number_words": Rule(
        "shape", "Write fewer than {num_words} words.",
        lambda rng: {"num_words": rng.randrange(20, 70), "relation": "less than"},
        lambda text, a, topic, rng: of_words(topic, rng.randrange(8, a["num_words"] - 9), rng),
        lambda text, a: f"{text}{' and so on' * a['num_words']}",
    ),
    "detectable_format:number_bullet_lists": Rule(
        "shape", "Answer with exactly {num_bullets} bullet points, each on a line that begins with *.",
        lambda rng: {"num_bullets": rng.randrange(2, 7)},
        lambda text, a, topic, rng: "* " + _many(topic, rng, a["num_bullets"], "\n* "),
        lambda text, a: f"{text}\n* one more\n",
    ),
    "length_constraints:number_paragraphs": Rule(
        "shape", "Write {num_paragraphs} paragraphs, separated by ***.",
        lambda rng: {"num_paragraphs": rng.randrange(2, 5)},
        lambda text, a, topic, rng: _many(topic, rng, a["num_paragraphs"], "\n***\n"),
        lambda text, a: text.replace("***", ""),
    ),
    "keywords:existence": Rule(
        "word", "Use the word {keywords[0]}.",
        lambda rng: {"keywords": [rng.choice(KEYWORDS)]},
        lambda text, a, topic, rng: text.replace(".", f" by the {a['keywords'][0]}.", 1),
        lambda text, a: re.sub(a["keywords"][0], "thing", text, flags=re.I),
    ),
    "keywords:forbidden_words": Rule(
        "without", "Do not use the word {forbidden_words[0]}.",
        lambda rng: {"forbidden_words": [rng.choice(AVOIDED)]},
        lambda text, a, topic, rng: re.sub(rf"\b{a['forbidden_words'][0]}\b", "some", text, flags=re.I),
        lambda text, a: f"{text} {a['forbidden_words'][0]}",
    ),
    "detectable_content:number_placeholders": Rule(
        "hole", "Leave at least {num_placeholders} holes to fill in, in square brackets, such as [name].",
        lambda rng: {"num_placeholders": rng.randrange(1, 4)},
        lambda text, a, topic, rng: text.replace(".", f" for{' [name]' * a['num_placeholders']}.", 1),
        lambda text, a: text.replace("[", "("),
    ),
    "punctuation:no_comma": Rule(
        "comma", "Use no comma.", _nothing,
        lambda text, a, topic, rng: text.replace(",", ""), lambda text, a: text.replace(" ", ", ", 1),
    ),
    "detectable_format:title": Rule(
        "title", "Give it a title in double angular brackets, such as <<a title>>.", _nothing,
        lambda text, a, topic, rng: f"<<{topic}>>\n{text}", lambda text, a: text.replace("<<", "").replace(">>", ""),
    ),
    "startend:end_checker": Rule(
        "end", "End with exactly these words: {end_phrase}",
        lambda rng: {"end_phrase": rng.choice(ENDS)},
        lambda text, a, topic, rng: f"{text}\n{a['end_phrase']}",
        lambda text, a: re.sub(re.escape(a["end_phrase"]), "Bye.", text, flags=re.I),
    ),
    "change_case:english_lowercase": Rule(
        "case", "Write in small letters only.", _nothing,
        lambda text, a, topic, rng: text.lower(), lambda text, a: text.replace("e", "E", 1),
    ),
    "change_case:english_capital": Rule(
        "case", "Write in capital letters only.", _nothing,
        lambda text, a, topic, rng: text.upper(), lambda text, a: text.replace("E", "e", 1),
    ),
    "startend:quotation": Rule(
        "quotes", "Put the whole answer in double quotation marks.", _nothing,
        lambda text, a, topic, rng: f'"{text}"', lambda text, a: text.strip().strip('"'),
    ),
}  # fmt: skip
APART = {  # what would break the count or the wording of the other
    frozenset({"length_constraints:number_words", "startend:end_checker"}),
    frozenset({"length_constraints:number_words", "detectable_content:number_placeholders"}),
    frozenset({"length_constraints:number_words", "keywords:existence"}),
    frozenset({"detectable_format:number_bullet_lists", "startend:quotation"}),
    frozenset({"length_constraints:number_sentences", "change_case:english_lowercase"}),
}
