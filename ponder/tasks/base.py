"""What a task is: questions of growing size, the thought that solves each, and a verifier.

    task = TASKS["count"]
    problem = task.make(random.Random(0), level=2, split="train")
    task.trace(problem)                         # what to think
    task.answer(problem)                        # what to say
    task.verify(problem, "There are **3**.")    # Verdict

A task writes and reads the canonical name of a question, its `id` ("r in strawberry"); everything else follows from
it. Which split a question belongs to is decided by a hash of that name, so that no test question is ever drawn for
training, whatever the seeds are.
"""

import hashlib
import random
import statistics
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any

from ponder.core.errors import UserError
from ponder.core.message import Message
from ponder.core.sample import Problem, Split, Verdict

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
TENTH = 1 << 64  # of the hashes below go to the split; the largest value is 10 of these
TRIES = 20_000  # draws after which a level counts as having no question in a split
MISSES = 2_000  # questions in a row that were there before, after which a level counts as having no other


class Task(ABC):
    """levels: how many there are, counted from 0."""

    name: str
    levels: int
    symbols: tuple[str, ...] = ()
    """Texts that should be one id each in the tokenizer of a tiny model: letters (after a blank) and digits of
    question, thought and answer. None for a task that such a model is not asked."""
    modes: tuple[str, ...] = ("think", "no_think")
    """In which the task says something; one about the modes themselves is asked with thoughts allowed."""
    forms: tuple[str, ...] = ()
    """Right answers that only this task knows, beside those of `labelled`: "{a} km"."""
    trials: int = 12
    """Problems whose labelled answers are tried before an evaluation: few where a verifier runs programs."""

    @abstractmethod
    def draw(self, rng: random.Random, level: int) -> str:
        """The id of a random question of this level."""

    @abstractmethod
    def question(self, id_: str) -> str: ...

    @abstractmethod
    def think(self, id_: str) -> str:
        """The thought that solves it, in steps that are easy one by one."""

    @abstractmethod
    def solve(self, id_: str) -> str: ...

    @abstractmethod
    def read(self, problem: Problem, text: str) -> str | None:
        """The answer that a text gives, in the form of `answer`; None when it gives none, or more than one."""

    @abstractmethod
    def wrong(self, problem: Problem, rng: random.Random) -> str:
        """Another answer of the same form."""

    @abstractmethod
    def chance(self, level: int) -> float:
        """The accuracy of the best answer that takes none of the steps."""

    @abstractmethod
    def size(self, level: int) -> str:
        """What a level is, in words: "4 letters"."""

    def canonical(self, id_: str) -> str:
        """The same for questions that one must not learn from the other, such as 2+3 and 3+2."""
        return id_

    def messages(self, id_: str) -> tuple[Message, ...]:
        """The conversation that asks; of one message for most tasks."""
        return (Message.user(self.question(id_)),)

    def tools(self, id_: str) -> tuple[dict[str, Any], ...]:
        """OpenAI tool objects that may be called."""
        return ()

    def language(self, id_: str) -> str:
        return "en"

    def reply(self, problem: Problem, thought: str | None) -> Message:
        """The assistant's turn that answers: what is learned. thought: None for none, "" for an empty block."""
        return Message.assistant(self.answer(problem), reasoning=thought)

    def grade(self, problem: Problem, found: str) -> Verdict:
        """found: what `read` gave. Tasks with many right answers check it instead of comparing it."""
        ok = found == problem.answer_key
        return Verdict(reward=float(ok), ok=ok, parts={"parsed": 1.0})

    def verify_turn(self, problem: Problem, thoughts: str, text: str) -> Verdict:
        """For tasks about the thoughts themselves: whether there are any. All others look at the answer alone."""
        return self.verify(problem, text)

    def own_answers(self, problem: Problem, rng: random.Random) -> tuple[Sequence[str], Sequence[str]] | None:
        """(right, wrong) answers for a verifier that the forms of `labelled` do not suit."""
        return None

    def trial(self, rng: random.Random, level: int) -> Problem:
        """A problem to try the verifier on."""
        return self.make(rng, level, "train")

    # -- the same for all -------------------------------------------------------------------------------------------

    def make(self, rng: random.Random, level: int, split: Split) -> Problem:
        """A random question of this level and split. Raises UserError for a level without any."""
        self.check_level(level)
        for _ in range(TRIES):
            id_ = self.draw(rng, level)
            if self.split_of(id_) == split:
                return self.problem(id_, level, split)
        raise UserError(f"level {level} of {self.name} has no question in the split {split}", param="levels")

    def distinct(self, rng: random.Random, level: int, split: Split, n: int) -> Iterator[Problem]:
        """n different questions. Raises UserError when the level does not have as many."""
        seen: set[str] = set()
        misses = 0
        while len(seen) < n:
            problem = self.make(rng, level, split)
            misses = misses + 1 if problem.id in seen else 0
            if misses > MISSES:
                where = f"level {level} of {self.name} ({self.size(level)})"
                few = f"has only {len(seen)} different {split} questions"
                raise UserError(f"{where} {few}, {n} were asked for: take fewer, or higher levels", param="n")
            if not misses:
                seen.add(problem.id)
                yield problem

    def problem(self, id_: str, level: int, split: Split) -> Problem:
        return Problem(
            id=id_,
            task=self.name,
            split=split,
            level=level,
            language=self.language(id_),
            messages=self.messages(id_),
            tools=self.tools(id_),
            answer_key=self.solve(id_),
        )

    def split_of(self, id_: str) -> Split:
        """One tenth of the questions is for the test, one for validation."""
        digest = hashlib.blake2b(f"{self.name}\0{self.canonical(id_)}".encode(), digest_size=8).digest()
        tenth = int.from_bytes(digest, "big") * 10 // TENTH
        return "test" if tenth == 0 else "validation" if tenth == 1 else "train"

    def trace(self, problem: Problem) -> str:
        return self.think(problem.id)

    def answer(self, problem: Problem) -> str:
        return self.solve(problem.id)

    def verify(self, problem: Problem, text: str) -> Verdict:
        """text: the answer phase alone, never the thoughts."""
        if problem.answer_key is None:
            return Verdict(reward=0.0, ok=False, status="no_key")
        if not isinstance(problem.answer_key, str) or not problem.answer_key:
            raise TypeError(f"problem {problem.id} of {self.name} has the key {problem.answer_key!r}, no text")
        found = self.read(problem, text)
        if found is None:
            return Verdict(reward=0.0, ok=False, status="unparsed", parts={"parsed": 0.0})
        return self.grade(problem, found)

    def check_level(self, level: int) -> None:
        if not 0 <= level < self.levels:
            raise UserError(f"{self.name} has the levels 0 to {self.levels - 1}, not {level}", param="levels")

    def levels_of(self, table: Mapping[str, Sequence[int]]) -> Sequence[int]:
        """The levels that a table by the names of tasks gives; all of them where this task is not in it."""
        return table.get(self.name) or range(self.levels)

    def fingerprint(self) -> str:
        """The same as long as the task asks the same questions, with the same thoughts and answers."""
        digest = hashlib.sha256()
        for level in range(self.levels):
            rng = random.Random(level)
            for _ in range(20):
                id_ = self.draw(rng, level)
                asked = "\0".join(m.text for m in self.messages(id_))
                parts = (id_, self.split_of(id_), asked, self.think(id_), self.solve(id_))
                digest.update("\0".join(parts).encode())
        return digest.hexdigest()


@cache
def constant_chance(task: Task, level: int) -> float:
    """The share of the most frequent answer among a thousand questions: for `chance`, where nobody has a formula."""
    rng = random.Random(level)
    answers = [task.solve(task.draw(rng, level)) for _ in range(1000)]
    return answers.count(statistics.mode(answers)) / len(answers)
