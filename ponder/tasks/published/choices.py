"""Benchmarks with choices: MMLU-Redux, GPQA, C-Eval, INCLUDE, MMMLU, MLogiQA, Belebele. The answer is a letter."""

import json
import re
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ponder.core.sample import Problem
from ponder.tasks.published.released import Item, Released
from ponder.tasks.published.rows import Row
from ponder.tasks.read import read_choice

ASK = 'Please show your choice in the answer field with only the choice letter, e.g., "answer": "C".'
FIELD = re.compile(r'["\']?answer["\']?\s*:\s*["\']?\(?([A-Z])\b', re.I)


@dataclass(frozen=True, eq=False)
class Choices(Released):
    """Rows: question; choices or options as a list, or columns A, B, C ...; answer as letter or number. Belebele's and
    GPQA's columns are known, too."""

    def item(self, row: Row, place: int) -> Item:
        question, options, right = _parts(row, place)
        if not 0 <= right < len(options) or len(options) > 26:
            raise ValueError(f"choice {right} of {len(options)}")
        lines = [f"{letter}. {option}" for letter, option in zip(string.ascii_uppercase, options)]
        return Item(
            id=str(row.get("id") or row.get("Record ID") or place),
            question="\n".join([question, *lines]),
            key=string.ascii_uppercase[right],
            language=str(row.get("language") or row.get("lang") or row.get("dialect") or "en"),
            extra={
                "choices": list(options),
                "bare": question,
                "subject": row.get("subject") or row.get("Subject") or "",
            },
        )

    def prompt(self, item: Item) -> str:
        return f"{item.question}\n\n{ASK}"

    def read(self, problem: Problem, text: str) -> str | None:
        letters = string.ascii_uppercase[: len(self.items[problem.id].extra["choices"])]
        fields = {found.upper() for found in FIELD.findall(text)}
        if not fields:
            return read_choice(text, letters)
        found = min(fields)
        sure = len(fields) == 1 and found in letters and not re.search(r"\b(?:or|not)\b", text)
        return str(found) if sure else None

    def own_answers(self, problem: Problem, rng: object) -> tuple[list[str], list[str]]:
        a = self.answer(problem)
        b = "B" if a == "A" else "A"
        forms = (
            '"answer": "{}"',
            '{{"answer": "{}"}}',
            '```json\n{{"answer": "{}"}}\n```',
            "{}",
            "**{}**",
            "Answer: {}",
            "The answer is {}.",
            "\\boxed{{{}}}",
            "({})",
            "answer: {}",
            'So it follows.\n\n"answer": "{}"',
            "The correct answer is {}.",
        )
        wrong = (
            f'"answer": "{a}" or "answer": "{b}"',
            f"{a} or {b}",
            f'"answer": "{a}", "answer": "{b}"',
            "",
            "I do not know.",
            f"Not {a}.",
            '"answer": ""',
            f"{a} {b}",
        )
        return [form.format(a) for form in forms], [*(form.format(b) for form in forms), *wrong]

    def chance(self, level: int) -> float:
        return sum(1 / len(item.extra["choices"]) for item in self.items.values()) / len(self.items)


def _parts(row: Row, place: int) -> tuple[str, Sequence[str], int]:
    """(question, options, place of the right one)"""
    if "mc_answer1" in row:  # Belebele
        four = [row[f"mc_answer{n}"] for n in range(1, 5)]
        return f"{row['flores_passage']}\n\n{row['question']}", four, int(row["correct_answer_num"]) - 1
    if "Correct Answer" in row:  # GPQA: the right one stands first; its place is turned by the row's own number
        four = [row["Correct Answer"], *(row[f"Incorrect Answer {n}"] for n in range(1, 4))]
        turn = place % 4
        return row["Question"], [*four[-turn:], *four[:-turn]] if turn else four, turn
    question = row.get("question") or row.get("Question") or row["input"]
    options: Any = row.get("choices") or row.get("options") or row.get("option_list")
    if isinstance(options, str):
        options = json.loads(options)
    if isinstance(options, dict):
        options = list(options.values())
    if options is None:
        options = [row[letter] for letter in string.ascii_uppercase if row.get(letter) not in (None, "")]
    answer = row.get("answer", row.get("Answer", row.get("target")))
    text = str(answer).strip()
    return str(question), options, int(text) if text.isdigit() else string.ascii_uppercase.index(text.upper())
