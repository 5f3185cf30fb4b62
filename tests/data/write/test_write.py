"""A teacher writes from documents, each form once; what cannot be read, verified, or was there before is left out."""

import json
import random
import threading
from collections import Counter
from pathlib import Path

import msgspec
import pytest

from ponder.core.errors import UserError
from ponder.data.document import Document
from ponder.data.run import MANIFEST, TEXT
from ponder.data.write.forms import FORMS, Form, Wrong, question
from ponder.data.write.make import REPLIES, write, writer
from ponder.engine.llm import LLM

CODE = "```python\ndef double(x: int) -> int:\n    return 2 * x\n```\nand\n```python\nassert double(4) == 8\n```"
GERMAN = (
    "Wasser gefriert bei null Grad. Dabei dehnt es sich aus, weil die Moleküle ein Gitter mit viel Platz bilden. " * 3
)


class Teacher:
    """Writes about the number in the text; stops for good after `paid` replies."""

    def __init__(self, paid: int = 10**6) -> None:
        self.asked: Counter[tuple[str, str]] = Counter()
        self._paid, self._lock = paid, threading.Lock()

    def __call__(self, form: Form, text: str) -> str:
        with self._lock:
            if self.asked.total() >= self._paid:
                raise ConnectionError("the teacher left")
            self.asked[form.name, text] += 1
        number = "".join(c for c in text if c.isdigit())
        if form.name == "textbook":
            return GERMAN if number == "5" else english(f"section {number}", 60)
        pairs = [{"question": english(f"q {number}", 9), "answer": english(f"a {number}", 30)}]
        return f"Here: {json.dumps(pairs)}"


def english(seed: str, count: int) -> str:
    """Words that are drawn by the seed: repetitions are found whatever the digits."""
    words = "the water of a river where people were going before winter because there was nothing left they could"
    return " ".join(random.Random(seed).choices(words.split(), k=count)).capitalize() + "."


def folder(path: Path, count: int) -> Path:
    with (path / TEXT).open("wb") as file:
        for n in range(count):
            text = f"This is the document number {n}, and it is about words that nobody knows."
            file.write(msgspec.json.encode(Document(text=text, source="s", origin=str(n), language="eng_Latn")) + b"\n")
    return path


def test_a_run_that_stops_half_way_goes_on_and_pays_for_nothing_twice(tmp_path: Path) -> None:
    source, out, forms = folder(tmp_path, 8), tmp_path / "out", ["textbook", "questions"]
    first = Teacher(paid=5)
    with pytest.raises(ConnectionError):
        write(source, out, first, teacher="t", forms=forms, count=8, in_flight=2)
    assert not (out / TEXT).exists()
    with (out / REPLIES).open("ab") as file:
        file.write(b'\n{"id": "cut off when the ru')
    second = Teacher()
    done = write(source, out, second, teacher="t", forms=forms, count=8, in_flight=2)
    assert (first.asked + second.asked).total() == 16 and max((first.asked + second.asked).values()) == 1
    assert done.dropped == {"textbook: another language": 1} and done.documents == 15
    text = (out / TEXT).read_bytes()
    again = write(source, out, Teacher(), teacher="t", forms=forms, count=8)
    assert again.asked == 0 and (out / TEXT).read_bytes() == text and again.sha256 == done.sha256
    made = [msgspec.json.decode(line, type=Document) for line in text.splitlines()]
    assert {d.labels["form"] for d in made} == {"textbook", "questions"} and {d.language for d in made} == {"eng_Latn"}
    assert json.loads((out / MANIFEST).read_text())["text"]["sha256"] == done.sha256
    assert write(source, out, Teacher(), teacher="another", forms=forms, count=8).asked == 16


def test_what_was_written_before_is_left_out(tmp_path: Path) -> None:
    same = "A section that is the same whatever the text was about, as lazy teachers write them. " * 4
    done = write(
        folder(tmp_path, 4), tmp_path / "out", lambda form, text: same, teacher="t", forms=["textbook"], count=4
    )
    assert done.documents == 1 and done.dropped == {"textbook: written before": 3}


@pytest.mark.parametrize(
    ("form", "reply", "wrong"),
    [
        ("code", CODE, ""),
        ("code", CODE.replace("2 * x", "3 * x"), "tests fail"),
        ("code", CODE.replace("double(4) == 8", "8 == 8"), "tests prove nothing"),
        ("code", CODE.replace("assert double(4) == 8", "double(4)"), "without assert"),
        ("code", "def double(x): ...", "not two blocks"),
        ("textbook", "Short.", "too short"),
        ("questions", 'Sure! {"question": "a", "answer": "b"}', ""),
        ("questions", '[{"question": "a", "answer": ""}]', "missing"),
        ("instruction", "I cannot.", "no JSON"),
        ("instruction", '{"instruction": "Add.", "response": "3"}', ""),
    ],
)
def test_what_becomes_of_a_reply(form: str, reply: str, wrong: str) -> None:
    if wrong:
        with pytest.raises(Wrong, match=wrong):
            FORMS[form].read(reply)
    else:
        assert FORMS[form].read(reply)


def test_any_model_can_be_the_teacher(tmp_path: Path) -> None:
    script = tmp_path / "s.jsonl"
    script.write_text(json.dumps({"text": CODE}) + "\n")
    with LLM(f"scripted:{script}") as llm:
        done = write(folder(tmp_path, 1), tmp_path / "out", writer(llm), teacher="scripted", forms=["code"], count=1)
    assert done.documents == 1 and "def double" in json.loads((tmp_path / "out" / TEXT).read_text())["text"]


def test_what_cannot_be_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no form is called"):
        write(folder(tmp_path, 1), tmp_path / "o", Teacher(), teacher="t", forms=["poem"], count=1)
    with pytest.raises(UserError, match="no finished text"):
        write(tmp_path / "none", tmp_path / "o", Teacher(), teacher="t", forms=["code"], count=1)
    assert len(question("x" * 9999)) < 6100
