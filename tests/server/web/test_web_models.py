"""Models as the page has them: the catalogue, a download that is stopped, tried again and offered, load and unload."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from live import saying, serving

from ponder.core.errors import LoadError
from ponder.engine.llm import LLM
from ponder.server.runtime.pool import Pool
from ponder.server.web.models import catalogue, downloads


def eventually(check: Callable[[], Any]) -> Any:
    for _ in range(1500):
        if value := check():
            return value
        time.sleep(0.02)
    raise AssertionError("not within 30 s")


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[httpx.Client, dict[str, Any]]]:
    """A server whose catalogue is short, and whose downloads do as they are told."""
    told: dict[str, Any] = {"until": 10, "error": ""}

    def locate(name: str, progress: Callable[[int, int], None]) -> None:
        done = 0
        while done < told["until"]:
            done = min(done + 1, 9)
            progress(done, 10)
            time.sleep(0.01)
        if told["error"]:
            raise LoadError(told["error"])

    monkeypatch.setattr(downloads, "locate", locate)
    script = saying(tmp_path, {"one": "Hi."})
    opens = partial(lambda name: LLM(f"scripted:{tmp_path / 'one.jsonl'}"))
    with serving(Pool(script, keep=2, opens=opens)) as url, httpx.Client(base_url=url, timeout=60) as http:
        app_catalogue = {"memory": 16e9, "models": [{"name": "qwen3:0.6b-q8_0", "kind": "hybrid", "fits": True}]}

        async def found(self: object) -> dict[str, Any]:
            return app_catalogue

        monkeypatch.setattr("ponder.server.web.page_helpers.PageHelpers.catalogue", found)
        yield http, told


def entry(http: httpx.Client, name: str) -> dict[str, Any]:
    return next(m for m in http.get("/web/catalogue").json()["models"] if m["name"] == name)


def test_a_download_is_stopped_fails_and_is_offered(page: tuple[httpx.Client, dict[str, Any]]) -> None:
    http, told = page
    name, ask = "qwen3:0.6b-q8_0", {"model": "qwen3:0.6b"}
    told["until"] = 1000
    assert http.post("/web/models/pull", json=ask).json() == {"begun": name}
    running = eventually(lambda: entry(http, name).get("download", {}).get("done") and entry(http, name))
    assert running["download"]["total"] == 10 and running["offered"] is False
    http.post("/web/models/stop", json={"model": name})
    eventually(lambda: "download" not in entry(http, name))
    told |= {"until": 1, "error": "the disk is full"}
    http.post("/web/models/pull", json=ask)
    eventually(lambda: entry(http, name).get("download", {}).get("error") == "the disk is full")
    told["error"] = ""
    http.post("/web/models/pull", json=ask)
    eventually(lambda: entry(http, name)["offered"])
    assert [m["name"] for m in http.get("/web/models").json()["models"]] == ["one", name]
    assert http.post("/web/models/load", json={"model": name}).json() == {"loaded": True}
    assert entry(http, name)["loaded"] is True
    assert http.post("/web/models/unload", json={"model": name}).json() == {"unloaded": True}
    assert entry(http, name)["loaded"] is False and entry(http, "one")["kind"] == "own"


def test_what_cannot_be_pulled(page: tuple[httpx.Client, dict[str, Any]], tmp_path: Path) -> None:
    http, _ = page
    for name in (str(tmp_path), "no such model", "scripted:x"):
        assert http.post("/web/models/pull", json={"model": name}).status_code == 400, name


def test_what_runs_well_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    few = {name: catalogue.RELEASED[name] for name in ("qwen3:0.6b", "qwen3:4b", "qwen3:32b")}
    few |= {f"{name}-{form}": "x" for name in few for form in ("q4_k_m", "q8_0")}
    monkeypatch.setattr(catalogue, "RELEASED", few)
    monkeypatch.setattr(catalogue, "RETRIEVAL", {"qwen3-embedding:0.6b": "x"})
    monkeypatch.setattr(catalogue, "BUNDLES", {})
    monkeypatch.setattr(catalogue, "read_bandwidth", lambda: 20e9)
    monkeypatch.setattr(catalogue, "total_memory", lambda: 16 * 2**30)
    found = catalogue.catalogue()
    named = {m["name"]: m for m in found["models"]}
    assert found["memory"] == 16 * 2**30
    order = ["qwen3:4b-q4_k_m", "qwen3-embedding:0.6b", "qwen3:0.6b-q8_0", "ponder-mini", "qwen3:32b-q4_k_m"]
    assert list(named) == order
    assert not named["qwen3:32b-q4_k_m"]["fits"] and named["qwen3:4b-q4_k_m"]["fits"]
    assert 2.3e9 < named["qwen3:4b-q4_k_m"]["bytes"] < 2.8e9, "2.5 GB as published"
    assert 5 < named["qwen3:4b-q4_k_m"]["rate"] < 9
