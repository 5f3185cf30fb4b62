"""The annotator learns what can be learned, says how well on texts it never saw, and labels whole runs."""

import json
import random
from pathlib import Path

import pytest

from ponder.core.errors import UserError
from ponder.data.document import Document
from ponder.data.label.annotator import Annotator, chosen
from ponder.data.label.labels import Labels
from ponder.data.label.learn import kappa, learn
from ponder.data.label.make import by_files, by_teacher, sample
from ponder.data.recipe import read_recipe
from ponder.data.run import TEXT, make

TOPICS = {
    "code": ["def", "return", "import", "class", "self", "print", "lambda", "yield"],
    "stem": ["energy", "proton", "theorem", "integral", "matrix", "velocity", "carbon", "orbit"],
    "arts": ["sonata", "painter", "violin", "canvas", "chorus", "theatre", "melody", "sculpture"],
}


def text(rng: random.Random, topic: str, words: int = 40) -> str:
    return " ".join(rng.choice(TOPICS[topic]) for _ in range(words))


def labelled(count: int, seed: int = 0) -> list[tuple[str, Labels]]:
    rng = random.Random(seed)
    out = []
    for n in range(count):
        topic = list(TOPICS)[n % 3]
        level = {"code": 1, "stem": 4, "arts": 5}[topic]
        labels = Labels(educational=level, field=topic, domain="manual", safety="safe", reasoning=level // 2)  # type: ignore[arg-type]
        out.append((text(rng, topic), labels))
    return out


def test_agreement_is_of_texts_that_were_not_learned_from(tmp_path: Path) -> None:
    annotator, agreements = learn(labelled(150))
    found = {a.label: a for a in agreements}
    assert found["field"].right > 0.95 > 0.5 > found["field"].usual and found["educational"].kappa > 0.9
    assert found["safety"].kappa == 1 and 15 < found["field"].documents < 45
    annotator.save(tmp_path / "a.npz")
    rng, again = random.Random(9), Annotator.load(tmp_path / "a.npz")
    assert again.labels(text(rng, "stem")) == {
        "educational": 4.0, "field": "stem", "domain": "manual", "safety": "safe", "reasoning": 2.0,
    }  # fmt: skip
    assert again.labels("") == annotator.labels("")


def test_labels_without_a_pattern_are_not_agreed_with() -> None:
    """So that the figures can be believed."""
    rng = random.Random(4)
    noise = [(t, Labels(educational=rng.randrange(6), field=rng.choice(["code", "arts"]), domain="law", safety="safe",
                        reasoning=0)) for t, _ in labelled(150)]  # fmt: skip
    found = {a.label: a for a in learn(noise)[1]}
    assert found["field"].kappa < 0.5 and found["educational"].kappa < 0.5


def test_kappa() -> None:
    assert kappa(["a", "b"], ["a", "b"], ["a", "b"]) == 1 and kappa(["a", "b"], ["b", "a"], ["a", "b"]) == -1
    assert kappa([0.0, 5.0], [0.0, 4.0], [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]) > 0.9
    assert kappa(["a", "a"], ["a", "a"], ["a", "b"]) == 1


def test_a_number_is_the_one_next_to_the_mean() -> None:
    import numpy as np

    assert chosen((0.0, 1.0, 2.0), np.array([0.45, 0.1, 0.45], np.float32)) == 1.0
    assert chosen(("a", "b", "c"), np.array([0.45, 0.1, 0.4], np.float32)) == "a"


def test_a_sample_has_of_every_language_and_is_the_same_again() -> None:
    docs = [Document(text=f"{n}", source="s", origin=str(n), language="big" if n % 10 else "small") for n in range(200)]
    found = sample(docs, 20)
    assert sum(d.language == "small" for d in found) == 10 and len(found) == 20
    assert sample(docs, 20) == found and len(sample(docs, 500)) == 200


def test_a_run_with_an_annotator_labels_every_document(tmp_path: Path) -> None:
    rng = random.Random(5)
    (tmp_path / "given.jsonl").write_text(
        "".join(json.dumps({"text": t, "labels": labels.of_document()}) + "\n" for t, labels in labelled(120))
    )
    page = by_files([tmp_path / "given.jsonl"], tmp_path / "a.npz")
    assert "120 labelled documents" in page and "| field |" in page
    for topic in TOPICS:
        (tmp_path / f"{topic}.txt").write_text(f"The {topic} of it: {text(rng, topic, 60)}")
    recipe = tmp_path / "recipe.toml"
    source = '[[source]]\nname = "s"\nfiles = ["*.txt"]\nlanguage = "eng_Latn"\nlicence = "MIT"\n'
    recipe.write_text(f'annotator = "a.npz"\n[rules]\nrepeated_text = 1.0\n[languages]\ncontradicted = 0.0\n{source}')
    report = make(read_recipe(recipe), tmp_path / "out", sample=None, workers=1, say=lambda said: None)
    documents = [json.loads(line) for line in (tmp_path / "out" / TEXT).read_text().splitlines()]
    assert {d["origin"]: d["labels"]["field"] for d in documents} == {f"{t}.txt#0": t for t in TOPICS}
    assert report.by_label["field"] == {"code": 1, "stem": 1, "arts": 1}
    with pytest.raises(UserError, match="too few"):
        by_teacher(tmp_path / "out", tmp_path / "b.npz", lambda text, n: "", teacher="t", count=5, in_flight=1,
                   tick=lambda done, total: None)  # fmt: skip


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no", b"\x93NUMPY"])
def test_what_is_no_annotator(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(UserError, match="no annotator"):
        Annotator.load(tmp_path / "a.npz")
    (tmp_path / "given.jsonl").write_text('{"text": "x", "labels": {"field": "stem"}}\n')
    with pytest.raises(UserError, match="line 1"):
        by_files([tmp_path / "given.jsonl"], tmp_path / "b.npz")
