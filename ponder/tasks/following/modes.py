"""Thinking or not as the newest flag says, over many turns: `/think` and `/no_think` in user and system text.

The report's ThinkFollow. A turn is judged as a whole: whether there are thoughts. Without a flag a model thinks. The
answer itself is easy and counts in the parts alone: what is measured here is obedience."""

import random
from dataclasses import dataclass

from ponder.core.message import Message, split_thinking
from ponder.core.sample import Problem, Verdict
from ponder.tasks.base import Task
from ponder.tasks.read import read_number

FLAGS = ("think", "no_think", "-")


@dataclass(frozen=True)
class Modes(Task):
    """Level L has L + 1 questions; all but the last are answered, each in the mode that held."""

    name: str = "modes"
    levels: int = 5
    modes: tuple[str, ...] = ("think",)

    def draw(self, rng: random.Random, level: int) -> str:
        """ "no_think 3+4/- 2+9/think": the system's flag, then each question with its own."""
        turns = [f"{rng.randrange(1, 50)}+{rng.randrange(1, 50)}/{rng.choice(FLAGS)}" for _ in range(level + 1)]
        return " ".join([rng.choice((*FLAGS, "-")), *turns])

    def question(self, id_: str) -> str:
        return "\n".join(message.text for message in self.messages(id_))

    def messages(self, id_: str) -> tuple[Message, ...]:
        first, *turns = id_.split(" ")
        messages = [] if first == "-" else [Message.system(f"You are a helper. /{first}")]
        for n, (sum_, flag) in enumerate(turn.split("/") for turn in turns):
            messages.append(Message.user(f"What is {sum_}?" + ("" if flag == "-" else f" /{flag}")))
            if n < len(turns) - 1:
                messages.append(Message.assistant(_added(sum_)))
        return tuple(messages)

    def think(self, id_: str) -> str:
        sum_ = id_.split(" ")[-1].split("/")[0]
        return f"{sum_}={_added(sum_)}"

    def solve(self, id_: str) -> str:
        return _added(id_.split(" ")[-1].split("/")[0])

    def reply(self, problem: Problem, thought: str | None) -> Message:
        """As the flag says, whatever the caller would like."""
        return Message.assistant(self.answer(problem), reasoning=self.think(problem.id) if thinks(problem.id) else "")

    def read(self, problem: Problem, text: str) -> str | None:
        """What is after the thoughts."""
        thoughts, answer = split_thinking(text) if "</think>" in text else ("", text)
        return f"{'think' if thoughts.strip() else 'no_think'}: {answer.strip()}" if answer.strip() else None

    def grade(self, problem: Problem, found: str) -> Verdict:
        mode, _, answer = found.partition(": ")
        ok = (mode == "think") == thinks(problem.id)
        right = read_number(answer) == problem.answer_key
        return Verdict(reward=float(ok), ok=ok, parts={"right": float(right)})

    def verify_turn(self, problem: Problem, thoughts: str, text: str) -> Verdict:
        return self.verify(problem, f"<think>\n{thoughts}\n</think>\n\n{text}")

    def wrong(self, problem: Problem, rng: random.Random) -> str:
        return self.answer(problem) if thinks(problem.id) else f"<think>\nHm.\n</think>\n\n{self.answer(problem)}"

    def own_answers(self, problem: Problem, rng: random.Random) -> tuple[list[str], list[str]]:
        sum_, ends = self.think(problem.id), ("\n\n", "\n", "")
        answers = [form.format(self.answer(problem)) for form in ("{}", "It is {}.", "**{}**", "The answer is {}")]
        thinking = [f"<think>\n{t}\n</think>{end}{a}" for t in (sum_, "Let me add.") for end in ends for a in answers]
        plain = [f"{block}{a}" for block in ("", "<think>\n\n</think>\n\n", "<think>\n</think>\n") for a in answers]
        right, wrong = (thinking, plain) if thinks(problem.id) else (plain, thinking)
        return right, [*wrong, "", f"<think>\n{sum_}\n</think>\n\n"]

    def chance(self, level: int) -> float:
        """To think always: the share of questions without a newer /no_think."""
        unflagged = 0.5 + 0.5 / 2  # of system texts
        silent = (1 / 3) ** (level + 1)
        return max(0.5, (1 - silent) / 2 + silent * unflagged)

    def size(self, level: int) -> str:
        return f"{level + 1} question{'s' if level else ''}"


def thinks(id_: str) -> bool:
    """What the newest flag says."""
    first, *turns = id_.split(" ")
    flags = [first, *(turn.split("/")[1] for turn in turns)]
    newest: str = next((flag for flag in reversed(flags) if flag != "-"), "think")
    return newest == "think"


def _added(sum_: str) -> str:
    a, b = sum_.split("+")
    return str(int(a) + int(b))
