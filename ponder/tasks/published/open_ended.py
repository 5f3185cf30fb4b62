"""Benchmarks without one right answer: Arena-Hard, AlignBench, Creative Writing, WritingBench. A judge compares.

Nothing is graded here (`no_key`): `ponder eval JUDGE --pairs` takes the answers of two models."""

import random
from dataclasses import dataclass

from ponder.core.message import Message
from ponder.core.sample import Problem, Split
from ponder.tasks.published.released import Item, Released
from ponder.tasks.published.rows import Row


@dataclass(frozen=True, eq=False)
class OpenEnded(Released):
    """Rows: prompt, question, query or writing_prompt; or turns, of which the first is asked."""

    def item(self, row: Row, place: int) -> Item:
        turns = row.get("turns")
        first = turns[0]["content"] if turns and isinstance(turns[0], dict) else turns[0] if turns else None
        asked = first or row.get("prompt") or row.get("question") or row.get("query") or row["writing_prompt"]
        if not isinstance(asked, str) or not asked.strip():
            raise ValueError("nothing is asked")
        id_ = row.get("uid") or row.get("question_id") or row.get("index") or row.get("id")
        language = str(row.get("language") or row.get("lang") or "en")
        return Item(str(place if id_ is None else id_), asked, key="(a judge decides)", language=language)

    def problem(self, id_: str, level: int, split: Split) -> Problem:
        messages: tuple[Message, ...] = self.messages(id_)
        return Problem(id=id_, task=self.name, split=split, level=level, language=self.language(id_), messages=messages)

    def read(self, problem: Problem, text: str) -> str | None:
        return text.strip() or None

    def own_answers(self, problem: Problem, rng: random.Random) -> tuple[list[str], list[str]]:
        """No answer is right without a judge."""
        return [], ["", "Any answer.", problem.messages[-1].text]
