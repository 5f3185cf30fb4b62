"""The model that comes with Ponder, wherever a model's name may stand: a stand-in for its files, in its place."""

import json
import os
import shutil
from pathlib import Path

import pytest

from ponder import LLM
from ponder.agent.loop.models import chat_model
from ponder.cli.loading import ModelSlot
from ponder.cli.main import build_parser, dispatch
from ponder.core.errors import LoadError, UserError
from ponder.model.card import CARD
from ponder.model.hub import fetch, shipped
from ponder.server.web.models import catalogue

ABOUT = "Tiny has no parameters to speak of. It says what comes."


@pytest.fixture
def own(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where its files are taken to lie."""
    monkeypatch.setenv("PONDER_HOME", str(tmp_path / "home"))
    folder = tmp_path / "package" / "mini"
    shutil.copytree(tiny, folder)
    (folder / CARD).write_text(json.dumps({"about": ABOUT, "examples": ["How many r in r a r?"]}))
    monkeypatch.setitem(shipped.SHIPPED, "ponder-mini", folder)
    return folder


def test_it_answers_by_its_name(own: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with open(os.devnull) as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        dispatch(["run", "Ponder-Mini", "Hi", "--max-tokens", "4", "--json"])
    said = capsys.readouterr()
    assert json.loads(said.out)["model"] == "ponder-mini"
    assert ABOUT not in said.err
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    for introduce, text in ((False, "`ponder show ponder-mini` says what"), (True, f'{ABOUT} Try: "How many r in')):
        ModelSlot("Ponder-Mini", build_parser("run")[1].parse_args([]), introduce=introduce).model.close()
        said = capsys.readouterr()
        assert text in said.err and (ABOUT in said.err) == introduce
    with LLM("ponder-mini") as llm:
        assert llm.profile.capability == "hybrid" and llm.chat("Hi", max_tokens=2).choices[0].ids
    agent = chat_model("ponder-mini")
    assert isinstance(agent, LLM) and agent.name == "ponder-mini"
    agent.close()
    assert not (own.parents[1] / "home" / "models").exists(), "opened where it lies"


def test_commands_about_models_know_it(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dispatch(["list"])
    assert "comes with Ponder:\n  ponder-mini" in capsys.readouterr().out
    dispatch(["list", "--json"])
    assert json.loads(capsys.readouterr().out)["shipped"][0]["path"] == str(own)
    dispatch(["show", "ponder-mini"])
    shown = capsys.readouterr().out
    assert ABOUT in shown and "ponder-mini" in shown and str(own) in shown
    dispatch(["pull", "ponder-mini"])
    assert capsys.readouterr().out.strip() == str(own)
    dispatch(["plan", "ponder-mini", "--dtype", "bf16", "--memory", "4", "--bandwidth", "20"])
    assert "ponder-mini" in capsys.readouterr().out
    with pytest.raises(UserError, match="comes with Ponder"):
        dispatch(["rm", "ponder-mini", "--yes"])
    assert own.exists()


def test_the_page_offers_it(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for table in ("RELEASED", "RETRIEVAL", "BUNDLES"):
        monkeypatch.setattr(catalogue, table, {})
    monkeypatch.setattr(catalogue, "read_bandwidth", lambda: 20e9)
    (row,) = catalogue.catalogue()["models"]
    assert row["name"] == "ponder-mini" and row["shipped"] and row["fits"] and row["about"] == ABOUT


def test_it_is_taken_where_nothing_else_can_be_had(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = fetch.fetch

    def no_network(name, *args, **more):  # type: ignore[no-untyped-def]
        if name.kind == "shipped":
            return real(name)
        raise LoadError("no network")

    monkeypatch.setattr(fetch, "fetch", no_network)
    best = fetch.locate(None)
    assert best.path == own and best.note.startswith("ponder-mini: the one that comes with Ponder, because qwen3:")


def test_an_installation_without_it_says_so(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(own)
    with pytest.raises(LoadError, match="ponder-mini was left out of this installation"):
        LLM("ponder-mini")
    dispatch(["list"])
    assert "comes with" not in capsys.readouterr().out
