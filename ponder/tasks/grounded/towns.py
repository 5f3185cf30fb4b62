"""Invented towns with invented facts, so that nothing can be known but from the text."""

import random

TOWNS = ("Lomar", "Vestby", "Arkona", "Selden", "Mirov", "Tarnel", "Osk", "Delvin", "Pranis", "Quill")
FACTS: dict[str, tuple[str, str, tuple[str, ...]]] = {  # as a sentence, as a question, values
    "people": (
        "{town} has {value} people.",
        "How many people live in {town}?",
        ("4200", "5100", "6300", "8800", "9700"),
    ),
    "river": (
        "The river {value} runs through {town}.",
        "Which river runs through {town}?",
        ("Sae", "Ulm", "Tarn", "Wey", "Brac"),
    ),
    "founded": (
        "{town} was founded in {value}.",
        "In which year was {town} founded?",
        ("1204", "1342", "1518", "1677", "1799"),
    ),
    "bridge": (
        "The bridge of {town} is {value} metres long.",
        "How many metres long is the bridge of {town}?",
        ("110", "145", "230", "315", "480"),
    ),
    "mayor": ("The mayor of {town} is {value}.", "Who is the mayor of {town}?", ("Ann", "Ben", "Cleo", "Dev", "Eli")),
}
Fact = tuple[str, str, str]  # town, kind, value


def draw(rng: random.Random, towns: int) -> list[Fact]:
    """Two facts about each of so many towns."""
    return [
        (town, kind, rng.choice(FACTS[kind][2]))
        for town in rng.sample(TOWNS, towns)
        for kind in rng.sample(list(FACTS), 2)
    ]


def passages(facts: list[Fact]) -> str:
    """Numbered, one a town."""
    lines = []
    for number, town in enumerate(dict.fromkeys(town for town, _, _ in facts), 1):
        told = " ".join(FACTS[kind][0].format(town=t, value=value) for t, kind, value in facts if t == town)
        lines.append(f"[{number}] {told}")
    return "\n".join(lines)


def number_of(facts: list[Fact], town: str) -> int:
    return list(dict.fromkeys(t for t, _, _ in facts)).index(town) + 1
