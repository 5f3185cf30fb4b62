"""/api/pull and /api/delete take names of models, not paths of the server's machine, and no name is a failure."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from live import saying, server


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with server(saying(tmp_path_factory.mktemp("s"), {"s": "Yes."})) as base:
        yield base


@pytest.mark.parametrize("stream", [True, False])
def test_a_folder_is_nothing_to_pull(base: str, tmp_path: Path, stream: bool) -> None:
    answers = set()
    for name in (str(tmp_path), str(tmp_path / "nowhere"), "/etc", "~", "../..", ".", "scripted:/etc/passwd"):
        reply = httpx.post(base + "/api/pull", json={"model": name, "stream": stream})
        assert reply.status_code == 400 and "is a path" in reply.json()["error"], (name, reply.text)
        answers.add(reply.json()["error"].replace(repr(name), ""))
    assert len(answers) == 1, "nor does it tell whether there is one"


@pytest.mark.parametrize("name", ["a" * 5000, "a/" + "b" * 5000, "hf:a/" + "b" * 5000, "a" * 300 + "/b"])
def test_a_name_that_is_too_long_is_refused_in_few_words(base: str, name: str) -> None:
    pulled = httpx.post(base + "/api/pull", json={"model": name})
    deleted = httpx.request("DELETE", base + "/api/delete", json={"model": name})
    assert pulled.status_code == 400 and deleted.status_code == 404
    assert len(pulled.text) < 1000 and len(deleted.text) < 1000
