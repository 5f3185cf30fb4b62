"""Plain sentences about a thing, as many as are wanted: what answers to tasks about form are made of."""

import random

TOPICS = (
    "rivers",
    "bicycles",
    "gardens",
    "clocks",
    "bridges",
    "maps",
    "owls",
    "islands",
    "kites",
    "trains",
    "bees",
    "lamps",
)
_BEGIN = ("Many people like {t}", "Some {t} are old", "Children draw {t}", "We saw {t} today", "Good {t} last long",
          "Books tell of {t}", "You can find {t} here", "Few {t} look the same", "They wrote about {t}")  # fmt: skip
_END = ("in every season", "because they are useful", "near the old town", "when the day is long", "for a good reason",
        "and talk about them", "without any hurry", "as their parents did", "more than ever before")  # fmt: skip
_ONE = ("again", "too", "often", "now", "here", "there", "today", "always")


def sentence(topic: str, rng: random.Random) -> str:
    """Five to ten words, no comma."""
    return f"{rng.choice(_BEGIN).format(t=topic)} {rng.choice(_END)}."


def of_words(topic: str, count: int, rng: random.Random) -> str:
    """Exactly so many words, in sentences."""
    parts: list[str] = []
    left = count
    while left:
        made = sentence(topic, rng)
        size = made.count(" ") + 1
        if left - size in (0, *range(5, count)):
            parts.append(made)
            left -= size
        elif left < 16:
            words = [topic.capitalize(), *(rng.choice(_ONE) for _ in range(left - 1))]
            parts.append(f"{' '.join(words)}.")
            left = 0
    return " ".join(parts)
