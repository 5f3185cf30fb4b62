"""Which answers of a teacher are worth learning: the six filters of Qwen3's report, by name, in this order.

    wrong end · repetition · guess · disagreement · mixed · near a held-out item

A response is dropped by the first one that finds it, and counted there.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

from ponder.core.sample import Problem
from ponder.tasks.base import Task

GRAM = 6  # words
LOOPED = 0.6  # share of repeated grams that is too much
_JAPANESE = ("HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA")  # stand among CJK
LONG = 24  # words from which grams are counted
_GUESS = re.compile(r"\b(?:just|let me|i(?:'ll| will)?|take a|wild) guess\b|\bguess(?:ing)? randomly\b|我猜|随便", re.I)
_CONCLUDES = re.compile(r"\b(?:answer|so|thus|therefore|result|total)\b|\*\*|\\boxed|答案|所以", re.I)
_TURN = re.compile(r"<\|?/?(?:im_start|im_end|think|endoftext)\|?>|^(?:Human|User|Assistant|System):", re.M)


class Response(NamedTuple):
    thought: str
    answer: str
    ended: bool
    """Whether the model ended both by itself."""


class HeldOut:
    """Texts that nobody may learn: questions of the same words, and longer texts of nearly the same 8-grams."""

    def __init__(self, texts: Iterable[str], near: float) -> None:
        words = [_words(text) for text in texts]
        self._exact = {" ".join(w) for w in words}
        self._grams = [g for w in words if len(w) >= LONG for g in [_grams(w)]]
        self._near = near

    def has(self, question: str) -> bool:
        return " ".join(_words(question)) in self._exact or self.near(question)

    def near(self, text: str) -> bool:
        words = _words(text)
        if len(words) < LONG:
            return False
        own = _grams(words)
        return any(len(own & other) >= self._near * min(len(own), len(other)) for other in self._grams)


def filters(held_out: HeldOut, least: int) -> tuple[tuple[str, Callable[[Task, Problem, Response], bool]], ...]:
    """least: words of a thought below which an answer is a guess."""
    return (
        ("wrong end", lambda task, problem, r: not r.ended or not task.verify_turn(problem, r.thought, r.answer).ok),
        ("repetition", lambda task, problem, r: repeats(r.thought) or repeats(r.answer)),
        ("guess", lambda task, problem, r: len(_words(r.thought)) < least or bool(_GUESS.search(r.thought))),
        ("disagreement", disagrees),
        ("mixed", lambda task, problem, r: mixed(asked(problem), f"{r.thought}\n{r.answer}")),
        ("near a held-out item", lambda task, problem, r: held_out.has(asked(problem))
            or held_out.near(r.thought)),
    )  # fmt: skip


def asked(problem: Problem) -> str:
    """All that was said to the model."""
    return "\n".join(message.text for message in problem.messages)


def repeats(text: str) -> bool:
    """The same line four times in a row, or the same six words again and again."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if any(len(set(lines[n : n + 4])) == 1 for n in range(len(lines) - 3)):
        return True
    words = text.split()
    if len(words) < LONG:
        return False
    grams = [tuple(words[n : n + GRAM]) for n in range(len(words) - GRAM + 1)]
    return 1 - len(set(grams)) / len(grams) > LOOPED


def disagrees(task: Task, problem: Problem, response: Response) -> bool:
    """Whether the last line of the thought concludes, and the answer is another. A last step says nothing by itself."""
    lines = [line for line in response.thought.splitlines() if line.strip()]
    if not lines or not _CONCLUDES.search(lines[-1]):
        return False
    thought, said = task.read(problem, lines[-1]), task.read(problem, response.answer)
    return thought is not None and said == problem.answer_key and thought != said


def mixed(question: str, response: str) -> bool:
    """Letters of a script that the question does not have, more than one in ten; or tags and names of turns."""
    if _TURN.search(response):
        return True
    own, told = _scripts(question), _scripts(response)
    strange = sum(n for script, n in told.items() if script not in own)
    return bool(own) and strange > 0.1 * max(1, told.total())


def _scripts(text: str) -> Counter[str]:
    found = Counter(unicodedata.name(c, "?").split(" ")[0] for c in text if c.isalpha())
    for script in _JAPANESE:
        found["CJK"] += found.pop(script, 0)
    return +found


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


def _grams(words: list[str]) -> set[tuple[str, ...]]:
    return {tuple(words[n : n + 8]) for n in range(len(words) - 7)}
