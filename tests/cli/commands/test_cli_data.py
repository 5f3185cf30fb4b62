"""`ponder data label`: a teacher is asked once, the annotator is written, and what cannot be is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ponder.cli.main import main

GOOD = {"educational": 2, "field": "everyday", "domain": "manual", "safety": "safe", "reasoning": 1}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [{"text": f"document {n} says {'word ' * n}", "source": "s", "origin": str(n)} for n in range(40)]
    (tmp_path / "text.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def test_a_teacher_labels_a_sample_once(
    folder: Path, script: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    command = [
        "data",
        "label",
        str(folder),
        "--teacher",
        script(json.dumps(GOOD)),
        "--sample",
        "40",
        "--in-flight",
        "4",
    ]
    assert main(command) == 0
    out, err = capsys.readouterr()
    assert "40 documents labelled" in out and "| field | " in out and "40 questions were asked" in out
    assert (folder / "annotator.npz").exists() and 'annotator = "' in err
    assert main(command) == 0 and "0 questions were asked" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("label", "F"), "give a --teacher"),
        (("label", "F", "--teacher", "m", "--labels", "x"), "give a --teacher"),
        (("label", "F", "--teacher", "m", "--sample", "5MB"), "a number of documents"),
        (("label", "F", "--teacher", "m", "--served-model", "x"), "--served-model is for a server"),
        (("label", "F", "--labels", "text.jsonl"), "line 1"),
        (("a.toml", "b.toml"), "name one RECIPE"),
    ],
)
def test_what_is_refused(
    words: tuple[str, ...], message: str, folder: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(folder)
    assert main(["data", *(str(folder) if word == "F" else word for word in words)]) == 2
    assert message in capsys.readouterr().err
