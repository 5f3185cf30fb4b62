"""What a teacher is asked to write about a document, and how its reply becomes a document, or none.

| form | asks for | kept when |
|---|---|---|
| textbook | a section that teaches what the text is about | it is longer than a remark |
| questions | questions with answers that the text supports | they can be read, each with both |
| instruction | a task that the text suggests, and its solution | it can be read, with both |
| code | a Python function on the subject, and its tests | the tests pass, and fail without the function |
"""

import json
import re
from collections.abc import Callable
from typing import NamedTuple

from ponder.tasks.run_code import FENCED, printed

SHOWN = 6000  # characters of a document that a teacher sees
SHORTEST = 200  # characters of a section
SECONDS = 10.0  # that tests may take
ASSERTS = re.compile(r"^\s*assert\b", re.M)
PASSED = "tests passed"


class Wrong(Exception):
    """A reply that is no document; says why in a word or two, for the report."""


class Form(NamedTuple):
    name: str
    field: str
    """The label of what comes out."""
    instructions: str
    read: Callable[[str], str]
    """Reply -> document. Raises Wrong."""


def question(text: str) -> str:
    shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}\n[...]"
    return f"The text:\n\n{shown}"


def _section(reply: str) -> str:
    text = reply.strip()
    if len(text) < SHORTEST:
        raise Wrong("too short")
    return text


def _pairs(reply: str) -> str:
    return "\n\n".join(f"Question: {q}\nAnswer: {a}" for q, a in _read(reply, ("question", "answer")))


def _task(reply: str) -> str:
    ((task, solution), *_) = _read(reply, ("instruction", "response"))
    return f"{task}\n\n{solution}"


def _code(reply: str) -> str:
    blocks = [block.strip() for block in FENCED.findall(reply)]
    if len(blocks) != 2:
        raise Wrong("not two blocks of code")
    code, tests = blocks
    if not ASSERTS.search(tests):
        raise Wrong("tests without assert")
    end = f"\nprint({PASSED!r})\n"
    if PASSED not in (printed(f"{code}\n\n{tests}{end}", SECONDS) or ""):
        raise Wrong("tests fail")
    if PASSED in (printed(f"{tests}{end}", SECONDS) or ""):
        raise Wrong("tests prove nothing")
    return f"{code}\n\n\n{tests}\n"


def _read(reply: str, keys: tuple[str, str]) -> list[tuple[str, str]]:
    """The first list of JSON objects with these texts in a reply; one object counts as a list."""
    for begin in (n for n, c in enumerate(reply) if c in "[{"):
        try:
            found, _ = json.JSONDecoder().raw_decode(reply[begin:])
        except ValueError:
            continue
        items = found if isinstance(found, list) else [found]
        if items and all(isinstance(item, dict) for item in items):
            pairs = [(item.get(keys[0]), item.get(keys[1])) for item in items]
            if all(isinstance(part, str) and part.strip() for pair in pairs for part in pair):
                return [(str(a).strip(), str(b).strip()) for a, b in pairs]
            raise Wrong("something is missing")
    raise Wrong("no JSON")


_SAME = "Write in the language of the text. Do not speak of the text itself: the reader has not seen it."
FORMS = {
    form.name: form
    for form in (
        Form("textbook", "textbook",
             "Write a section of a textbook that teaches the most instructive subject of the text: what it is, why it "
             f"holds, one worked example. {_SAME} Only the section.", _section),
        Form("questions", "questions",
             "Write three questions that the text answers, from easy to hard, each with a full answer that explains "
             f'itself. {_SAME} Only JSON: [{{"question": "...", "answer": "..."}}, ...]', _pairs),
        Form("instruction", "instruction",
             "Write one task that a person could give an assistant on the subject of the text, with all that is "
             f'needed to solve it, and the best solution. {_SAME} Only JSON: '
             '{"instruction": "...", "response": "..."}', _task),
        Form("code", "code",
             "Write a Python function on the subject of the text, with type hints and a docstring, and tests for it. "
             "Only the standard library. Two blocks of code: the function; then plain asserts that call it.", _code),
    )
}  # fmt: skip
