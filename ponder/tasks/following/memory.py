"""A fact of an early turn is needed in the last one; it may have been changed on the way."""

import random
from dataclasses import dataclass

from ponder.core.message import Message
from ponder.core.sample import Problem
from ponder.tasks.base import Task
from ponder.tasks.read import read_name

FACTS: dict[str, tuple[str, str, str, tuple[str, ...]]] = {  # told, changed, asked, values
    "dog": ("My dog is called {}.", "We have renamed my dog: now it is called {}.", "What is the name of my dog?",
            ("Rex", "Bella", "Nero", "Luna", "Otto", "Kira")),
    "colour": ("My bicycle is {}.", "I have painted my bicycle {}.", "Which colour has my bicycle?",
               ("red", "green", "yellow", "black", "purple", "orange")),
    "town": ("I live in {}.", "I have moved to {}.", "In which town do I live now?",
             ("Oslo", "Lima", "Kyoto", "Accra", "Quito", "Turin")),
    "tool": ("I left my keys beside the {}.", "I have put my keys beside the {} instead.", "Beside what are my keys?",
             ("lamp", "clock", "piano", "basket", "mirror", "stove")),
}  # fmt: skip
ACKNOWLEDGED = "I see."


@dataclass(frozen=True)
class Memory(Task):
    """Level L has L + 2 turns before the question: facts of other kinds, and changes."""

    name: str = "memory"
    levels: int = 6

    def draw(self, rng: random.Random, level: int) -> str:
        """ "dog=Rex town=Lima dog=Luna ?dog" """
        asked = rng.choice(list(FACTS))
        kinds = [asked, *(rng.choice(list(FACTS)) for _ in range(level + 1))]
        rng.shuffle(kinds)
        return " ".join([*(f"{kind}={rng.choice(FACTS[kind][3])}" for kind in kinds), f"?{asked}"])

    def messages(self, id_: str) -> tuple[Message, ...]:
        *facts, asked = id_.split(" ")
        messages: list[Message] = []
        told: set[str] = set()
        for kind, value in (fact.split("=") for fact in facts):
            first, changed, _, _ = FACTS[kind]
            messages.append(Message.user((changed if kind in told else first).format(value)))
            messages.append(Message.assistant(ACKNOWLEDGED))
            told.add(kind)
        return (*messages, Message.user(FACTS[asked[1:]][2]))

    def question(self, id_: str) -> str:
        return "\n".join(message.text for message in self.messages(id_))

    def think(self, id_: str) -> str:
        *facts, asked = id_.split(" ")
        return "\n".join(fact for fact in facts if fact.startswith(f"{asked[1:]}="))

    def solve(self, id_: str) -> str:
        return self.think(id_).rsplit("=", 1)[1]

    def read(self, problem: Problem, text: str) -> str | None:
        return read_name(text, FACTS[problem.id.rsplit("?", 1)[1]][3])

    def wrong(self, problem: Problem, rng: random.Random) -> str:
        values = FACTS[problem.id.rsplit("?", 1)[1]][3]
        return rng.choice([value for value in values if value != self.answer(problem)])

    def chance(self, level: int) -> float:
        """To say the first value that was told: it stands unless it was changed."""
        stays = (1 - 1 / len(FACTS)) ** (level + 1)
        return stays + (1 - stays) / 6

    def size(self, level: int) -> str:
        return f"{level + 2} turns before"
