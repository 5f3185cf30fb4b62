"""A teacher is asked once for each document, whatever happens, and nonsense is asked again and then counted."""

import json
import threading
from collections import Counter
from pathlib import Path

import pytest

from ponder.data.document import Document
from ponder.data.label.labels import INSTRUCTIONS, SHOWN, Labels, question, read_labels
from ponder.data.label.teacher import TRIES, label, labeller
from ponder.engine.llm import LLM

GOOD = {"educational": 4, "field": "stem", "domain": "textbook", "safety": "safe", "reasoning": 2}
LABELS = Labels(educational=4, field="stem", domain="textbook", safety="safe", reasoning=2)


def documents(count: int) -> list[Document]:
    return [Document(text=f"document number {n}", source="s", origin=str(n)) for n in range(count)]


class Teacher:
    """Says `nonsense` to the documents that are named, and stops for good after `paid` replies."""

    def __init__(self, nonsense: tuple[str, ...] = (), paid: int = 10**6) -> None:
        self.asked: Counter[str] = Counter()
        self._nonsense, self._paid, self._lock = nonsense, paid, threading.Lock()

    def __call__(self, text: str, attempt: int) -> str:
        with self._lock:
            if self.asked.total() >= self._paid:
                raise ConnectionError("the teacher left")
            self.asked[text] += 1
        return "I would say four." if any(name in text for name in self._nonsense) else f"Well: {json.dumps(GOOD)}"


def test_a_run_that_stops_half_way_goes_on_and_pays_for_nothing_twice(tmp_path: Path) -> None:
    docs, kept = documents(30), tmp_path / "labels.jsonl"
    first = Teacher(paid=11)
    with pytest.raises(ConnectionError):
        label(docs, first, teacher="t", kept=kept, in_flight=4)
    kept.write_bytes(kept.read_bytes() + b'{"id": "cut off when the ru')
    second = Teacher()
    done = label(docs, second, teacher="t", kept=kept, in_flight=4)
    assert set(done.labels.values()) == {LABELS} and len(done.labels) == 30 and not done.unlabelled
    assert (first.asked + second.asked).total() == 30 and max((first.asked + second.asked).values()) == 1
    third = Teacher()
    assert label(docs, third, teacher="t", kept=kept).labels == done.labels and not third.asked
    assert label(docs, third, teacher="another", kept=kept).asked == 30, "each teacher has its own opinion"


def test_nonsense_is_asked_again_and_then_counted(tmp_path: Path) -> None:
    docs, kept, teacher = documents(10), tmp_path / "labels.jsonl", Teacher(nonsense=("number 3", "number 7"))
    done = label(docs, teacher, teacher="t", kept=kept)
    assert sorted(done.unlabelled) == sorted(docs[n].id for n in (3, 7)) and len(done.labels) == 8
    assert teacher.asked[question(docs[3].text)] == TRIES and done.asked == 8 + 2 * TRIES
    assert not label(docs, teacher, teacher="t", kept=kept).asked, "what made no sense was paid for, too"


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        (json.dumps(GOOD), True),
        (f"<think>\n{{}}\n</think>\n```json\n{json.dumps(GOOD, indent=2)}\n```", True),
        (json.dumps({**GOOD, "why": "because"}), True),
        (json.dumps({**GOOD, "educational": 6}), False),
        (json.dumps({**GOOD, "field": "cooking"}), False),
        (json.dumps({k: v for k, v in GOOD.items() if k != "safety"}), False),
        ("{" * 1000, False),
        ("", False),
    ],
)
def test_read_labels(reply: str, right: bool) -> None:
    assert read_labels(reply) == (LABELS if right else None)


def test_a_teacher_sees_a_part_of_a_long_document() -> None:
    text = "a" * SHOWN + "b" * SHOWN
    shown = question(text)
    assert len(shown) < SHOWN + 100 and "aaa" in shown and "bbb" in shown
    assert question("short") == "<document>\nshort\n</document>"


def test_any_model_can_be_the_teacher(tmp_path: Path) -> None:
    script = tmp_path / "s.jsonl"
    script.write_text("".join(json.dumps({"text": text}) + "\n" for text in ("no idea", json.dumps(GOOD))))
    with LLM(f"scripted:{script}") as llm:
        done = label(documents(1), labeller(llm), teacher="scripted", kept=tmp_path / "k.jsonl", in_flight=1)
    assert list(done.labels.values()) == [LABELS] and done.asked == 2
    assert all(f"{name}:" in INSTRUCTIONS for name in GOOD)
