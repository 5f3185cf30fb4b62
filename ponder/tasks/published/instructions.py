"""IFEval and Multi-IF: prompts with checkable instructions. Right is that all are followed (strict)."""

import json
import random
from dataclasses import dataclass

from ponder.core.sample import Problem, Verdict
from ponder.tasks.following.checks import CHECKS, follows
from ponder.tasks.published.released import Item, Released
from ponder.tasks.published.rows import Row


@dataclass(frozen=True, eq=False)
class Instructions(Released):
    """Rows: prompt, instruction_id_list, kwargs. Of Multi-IF the first turn is asked: turn_1_prompt and so on."""

    def item(self, row: Row, place: int) -> Item:
        head = "" if "prompt" in row else "turn_1_"
        prompt, names, given = row[f"{head}prompt"], row[f"{head}instruction_id_list"], row[f"{head}kwargs"]
        prompt = json.loads(prompt)["content"] if head and prompt.startswith("{") else prompt
        arguments = [json.loads(one) if isinstance(one, str) else one or {} for one in given]
        unknown = [name for name in names if name not in CHECKS]
        if unknown or len(names) != len(arguments) or not names:
            raise ValueError(f"instructions {unknown or names} with {len(arguments)} arguments")
        return Item(
            id=str(row.get("key", place)),
            question=prompt,
            key=json.dumps([[name, a] for name, a in zip(names, arguments)]),
            language=str(row.get("language") or "en"),
        )

    def solve(self, id_: str) -> str:
        """What is to be followed; the benchmark has no answers."""
        return self._found()[id_].key

    def read(self, problem: Problem, text: str) -> str | None:
        return text if text.strip() else None

    def grade(self, problem: Problem, found: str) -> Verdict:
        parts = {
            f"{n} {name}": float(follows(name, a, found))
            for n, (name, a) in enumerate(json.loads(str(problem.answer_key)))
        }
        return Verdict(reward=sum(parts.values()) / len(parts), ok=all(parts.values()), parts=parts)

    def own_answers(self, problem: Problem, rng: random.Random) -> tuple[list[str], list[str]]:
        """What holds of every text; the checks themselves are tried by the task `instructions` and by tests."""
        return [], ["", " \n"]
