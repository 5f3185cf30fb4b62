"""Every file of examples/ runs, with a script in the place of a model, and prints what it is there to show."""

import io
import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"


def thought(text: str) -> str:
    return f"<think>\n{text}\n</think>\n\n"


def called(name: str, **arguments: Any) -> str:
    return f'<tool_call>\n{{"name": "{name}", "arguments": {json.dumps(arguments)}}}\n</tool_call>'


def script(folder: Path, *replies: str) -> str:
    file = folder / "script.jsonl"
    lines: list[dict[str, Any]] = [{"model": {}}, *({"text": text} for text in replies)]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return f"scripted:{file}"


RECIPE = {"title": "Soup", "minutes": 20, "ingredients": [{"name": "tomatoes", "grams": 500}]}
LONG = thought("Nine stay. " * 100) + "9"
RUNS = {
    "chat.py": (["Jupiter", "Mercury"], ["Jupiter\nMercury\n", "read from the cache"]),
    "stream.py": (
        ["one two three", thought("Light.") + "It scatters."],
        ["one two three\n[stop]", "It scatters.\n[stop, "],
    ),
    "budget.py": (
        ["9", LONG, LONG, LONG],
        ["thinking=False     0 tokens", "thinking=32       30 tokens", "thinking=256     254 tokens"],
    ),
    "typed_output.py": ([json.dumps(RECIPE)], ["Soup, 20 minutes\n  500 g tomatoes\n"]),
    "tools.py": (
        [called("in_stock", fruit="apples"), called("in_stock", fruit="apples"), "We have 17."],
        ['The model wants in_stock({"fruit": "apples"})\nWe have 17.\n'],
    ),
    "documents.py": (
        [called("doc_search", query="thinking budget"), "budget.py shows it."],
        ["budget.py", "...\nbudget.py shows it.\n"],
    ),
    "agent_mcp.py": (
        [called("time-get_current_time", timezone="UTC"), "It is late."],
        ["CallStarted", '"timezone": "UTC"', "It is late.\n"],
    ),
}


@pytest.mark.parametrize("name", RUNS)
def test_example(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    replies, shown = RUNS[name]
    monkeypatch.setattr(sys, "argv", [name, script(tmp_path, *replies)])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")
    out = capsys.readouterr().out.replace("\\n", "").replace('\\"', '"')
    for text in shown:
        assert text in out


def test_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["batch.py", script(tmp_path, *["Fine."] * 3)])
    monkeypatch.setattr(sys, "stdin", io.StringIO("One?\n\nTwo?\nThree?\n"))
    runpy.run_path(str(EXAMPLES / "batch.py"), run_name="__main__")
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sorted((a["number"], a["answer"]) for a in answers) == [(0, "Fine."), (1, "Fine."), (2, "Fine.")]


def test_web_app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from fastapi.testclient import TestClient

    monkeypatch.setenv("MODEL", script(tmp_path, "Fine, thanks."))
    app = runpy.run_path(str(EXAMPLES / "web_app.py"))["app"]
    with TestClient(app) as client:
        assert client.get("/ask", params={"question": "How are you?"}).text == "Fine, thanks."
        assert client.get("/count", params={"text": "one two"}).json() == {"tokens": 2}


def test_notebook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MODEL", script(tmp_path, thought("I add.") + "42", "Yes"))
    notebook = json.loads((EXAMPLES / "notebook.ipynb").read_text())
    names: dict[str, Any] = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert not cell["outputs"], "outputs are left out"
            exec("".join(cell["source"]), names)
    out = capsys.readouterr().out
    assert out.startswith("42\n") and "'Yes'" in out


def test_the_list_is_whole() -> None:
    files = {f.name for f in EXAMPLES.iterdir() if f.suffix in (".py", ".ipynb")}
    assert files == {*RUNS, "batch.py", "web_app.py", "notebook.ipynb"}
    readme = (EXAMPLES / "README.md").read_text()
    assert all(f"({name})" in readme for name in files)
