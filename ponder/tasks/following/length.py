"""So many words, or sentences: the nearer, the better (the report's LengthCtrl scores the gap)."""

import random
from dataclasses import dataclass

from ponder.core.sample import Problem, Verdict
from ponder.tasks.base import Task
from ponder.tasks.following.checks import sentences, words
from ponder.tasks.following.filler import TOPICS, of_words, sentence

CLOSE = 0.1  # of the length that is asked for
COUNT = {"words": words, "sentences": sentences}


@dataclass(frozen=True)
class Length(Task):
    """Level L asks for up to 2^L times 12 words, or 2^L times 3 sentences. Right: within 10 %. The reward falls with
    the gap, to 0 where nothing is said or twice as much."""

    name: str = "length"
    levels: int = 5

    def draw(self, rng: random.Random, level: int) -> str:
        unit = rng.choice(list(COUNT))
        most = (12 if unit == "words" else 3) << level
        return f"{rng.randrange(most // 2 + 1, most + 1)} {unit} {rng.choice(TOPICS)}"

    def question(self, id_: str) -> str:
        number, unit, topic = id_.split(" ")
        return f"Write about {topic} in {number} {unit}."

    def think(self, id_: str) -> str:
        number, unit, _ = id_.split(" ")
        return f"{number} {unit}"

    def solve(self, id_: str) -> str:
        number, unit, topic = id_.split(" ")
        return _text(int(number), unit, topic, random.Random(id_))

    def read(self, problem: Problem, text: str) -> str | None:
        return text if text.strip() else None

    def grade(self, problem: Problem, found: str) -> Verdict:
        number, unit, _ = problem.id.split(" ")
        gap = abs(len(COUNT[unit](found)) - int(number)) / int(number)
        return Verdict(reward=max(0.0, 1 - gap), ok=gap <= CLOSE, parts={"gap": gap})

    def wrong(self, problem: Problem, rng: random.Random) -> str:
        number, unit, topic = problem.id.split(" ")
        return _text(int(number) * 2, unit, topic, rng)

    def own_answers(self, problem: Problem, rng: random.Random) -> tuple[list[str], list[str]]:
        number, unit, topic = problem.id.split(" ")
        n = int(number)
        close, far = int(n * CLOSE), int(n * CLOSE) + 1
        right = [_text(n + rng.randint(-close, close), unit, topic, rng) for _ in range(14)]
        wrong = [_text(n + far + rng.randrange(n), unit, topic, rng) for _ in range(8)]
        if n - far > 0:
            wrong += [_text(n - far - rng.randrange(n - far), unit, topic, rng) for _ in range(6)]
        return [*right, f"\n{right[0]}\n"], [*wrong, ""]

    def chance(self, level: int) -> float:
        return 0.1

    def size(self, level: int) -> str:
        return f"up to {12 << level} words or {3 << level} sentences"


def _text(count: int, unit: str, topic: str, rng: random.Random) -> str:
    if unit == "words":
        return of_words(topic, count, rng)
    return " ".join(sentence(topic, rng) for _ in range(count))
