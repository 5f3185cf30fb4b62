"""Conversations that come back from a file: as they were, beside what is there, or not at all and told why."""

import copy
import json
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from live import server

from ponder.engine.llm import LLM
from ponder.server.config import ServerConfig

CALL = {"kind": "call", "id": "c1", "name": "add", "arguments": "{}", "state": "done", "note": "", "output": "4",
        "images": [{"media_type": "image/png", "data": "", "name": "p"}], "diff": "", "told": "4!"}  # fmt: skip
STEPS = [
    {"kind": "thought", "text": "Hm 🤔.", "seconds": 1.5, "tokens": 3, "budget": None},
    {"kind": "text", "text": "Zürich is 'nice'."},
    CALL,
    {"kind": "note", "text": "The limit was reached."},
]
ONE: dict[str, Any] = {
    "id": "aa", "title": "Städte 城市", "settings": {"system": "Be kind.", "budget": 512, "sampling": {"top_p": 0.5}},
    "leaf": "m3", "created": 1.5, "changed": 2.5,
    "messages": [
        {"id": "m1", "parent": None, "role": "user", "created": 1.6, "content": "Where?",
         "attachments": [{"name": "a.txt", "text": "x"}]},
        {"id": "m2", "parent": "m1", "role": "assistant", "created": 1.7, "content": "Zürich is 'nice'.",
         "steps": STEPS, "model": "other", "stopped": True},
        {"id": "m3", "parent": "m1", "role": "assistant", "created": 1.8, "content": "Bern."},
    ],
}  # fmt: skip
Change = Callable[[dict[str, Any]], Any]


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    script: Path = tmp_path_factory.mktemp("s") / "s.jsonl"
    script.write_text('"<think>\\n\\n</think>\\n\\nHi."\n' * 40)
    config = ServerConfig(max_body=1 << 20)
    with (
        server({"s": partial(LLM, f"scripted:{script}")}, config) as base,
        httpx.Client(base_url=base, timeout=30) as http,
    ):
        yield http


def bring(http: httpx.Client, what: Any) -> list[str]:
    reply = http.post("/web/import", content=what if isinstance(what, bytes) else json.dumps(what))
    assert reply.status_code == 201, reply.text
    return [c["id"] for c in reply.json()["imported"]]


def without_ids(conversation: dict[str, Any]) -> dict[str, Any]:
    """With places instead of ids."""
    places = {m["id"]: n for n, m in enumerate(conversation["messages"])} | {None: None}
    out = {k: v for k, v in conversation.items() if k not in ("id", "running")} | {"leaf": places[conversation["leaf"]]}
    told = [m | {"id": places[m["id"]], "parent": places[m["parent"]]} for m in conversation["messages"]]
    return out | {"messages": told}


def test_what_is_exported_comes_back_as_it_was(http: httpx.Client) -> None:
    id_ = http.post("/web/conversations", json={"title": "t", "settings": {"thinking": False}}).json()["id"]
    said = http.post(f"/web/conversations/{id_}/messages", json={"content": "hi"}).json()
    for _ in range(2):  # two branches
        http.post(f"/web/conversations/{id_}/reply", json={"parent": said["id"]})
    exported = http.get(f"/web/conversations/{id_}/export").content
    (again,) = bring(http, exported)
    assert again != id_
    first, second = (http.get(f"/web/conversations/{i}").json() for i in (id_, again))
    assert without_ids(first) == without_ids(second) and len(second["messages"]) == 3
    assert not {m["id"] for m in first["messages"]} & {m["id"] for m in second["messages"]}
    (third,) = bring(http, exported)  # the same file again: another one, and both are there
    assert len({id_, again, third} & {c["id"] for c in http.get("/web/conversations").json()}) == 3


def test_an_imported_one_is_like_any_other(http: httpx.Client) -> None:
    (id_,) = bring(http, ONE)
    here = f"/web/conversations/{id_}"
    found = http.get(here).json()
    assert found["messages"][1]["steps"] == STEPS and found["settings"] == ONE["settings"]
    assert found["messages"][2]["steps"] == [{"kind": "text", "text": "Bern."}], "a file may have the text only"
    assert found["leaf"] == found["messages"][2]["id"] and found["created"] == 1.5
    assert id_ in [c["id"] for c in http.get("/web/conversations", params={"q": "'nice'"}).json()]
    other = found["messages"][1]["id"]
    assert http.patch(here, json={"title": "Neu", "leaf": other}).status_code == 200
    assert (
        "Zürich" in http.get(here + "/export?format=md").text
        and "Bern" not in http.get(here + "/export?format=md").text
    )
    asked = http.post(here + "/messages", json={"content": "And?", "parent": other}).json()
    assert '"finish"' in http.post(here + "/reply", json={"parent": asked["id"]}).text
    assert http.get(here).json()["messages"][-1]["content"] == "Hi."
    assert http.delete(here).status_code == 200 and http.get(here).status_code == 404


def test_several_at_once_and_all_of_them(http: httpx.Client) -> None:
    ids = bring(http, [ONE | {"title": f"n{n}"} for n in range(30)])
    assert len(set(ids)) == 30, "the same id thirty times is thirty conversations"
    everything = http.get("/web/export").json()
    assert {c["id"] for c in everything} == {c["id"] for c in http.get("/web/conversations").json()} >= set(ids)
    back = [http.get(f"/web/conversations/{i}").json() for i in bring(http, everything)]
    assert [without_ids(c) for c in back] == [without_ids(c) for c in everything]


def test_a_call_that_was_still_to_run_does_not(http: httpx.Client) -> None:
    one = copy.deepcopy(ONE)
    one["messages"][1]["steps"][2] |= {"state": "waiting", "note": "It writes files."}
    (id_,) = bring(http, one)
    step = http.get(f"/web/conversations/{id_}").json()["messages"][1]["steps"][2]
    assert (step["state"], step["note"]) == ("failed", "stopped")


BAD: dict[str, tuple[Change, str]] = {
    "a parent that is nowhere": (lambda c: c["messages"][1].update(parent="zz"), "messages[1].parent"),
    "its own parent": (lambda c: c["messages"][1].update(parent="m2"), "messages[1].parent"),
    "a parent that comes later": (lambda c: c["messages"].reverse(), "messages[0].parent"),
    "two of one id": (lambda c: c["messages"][2].update(id="m2"), "messages[2].id"),
    "an end that is nowhere": (lambda c: c.update(leaf="zz"), "leaf"),
    "a role": (lambda c: c["messages"][0].update(role="system"), "messages[0].role"),
    "no role": (lambda c: c["messages"][0].pop("role"), "messages[0]"),
    "a step": (lambda c: c["messages"][1]["steps"][0].update(kind="html"), "messages[1].steps[0].kind"),
    "a text that is none": (lambda c: c["messages"][1]["steps"][1].update(text=5), "messages[1].steps[1].text"),
    "a state": (lambda c: c["messages"][1]["steps"][2].update(state="odd"), "messages[1].steps[2].state"),
    "facts": (lambda c: c["messages"][1].update(facts={"usage": 1}), "messages[1].facts"),
    "a setting": (lambda c: c["settings"].update(budget="much"), "settings.budget"),
    "an unknown field": (lambda c: c.update(owner="me"), "file"),
    "no messages": (lambda c: c.pop("messages"), "file"),
    "a long title": (lambda c: c.update(title="x" * 201), "title"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("listed", [False, True])
def test_what_does_not_fit_is_named_and_nothing_is_stored(http: httpx.Client, name: str, listed: bool) -> None:
    change, param = BAD[name]
    one = copy.deepcopy(ONE)
    change(one)
    before = http.get("/web/conversations").json()
    reply = http.post("/web/import", json=[ONE, one] if listed else one)
    error = reply.json()["error"]
    wanted = param if not listed else "[1]" if param == "file" else f"[1].{param}"
    assert reply.status_code == 400 and error["param"].startswith(wanted), error
    assert error["param"] in error["message"]
    assert http.get("/web/conversations").json() == before


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"", 400), (b"# Notes\n", 400), (b"[]", 400), (b"3", 400), (b'{"title": "x"', 400), (b"\xff\xfe{}", 400),
        (b'{"title": "\\ud800", "messages": []}', 400), (b"[" * 200_000, 400), (b'[{"a":' * 100_000, 400),
        (b'{"title": "x", "messages": [], "created": 1e999}', 400), (b'"' + b"x" * (2 << 20) + b'"', 413),
    ],
)  # fmt: skip
def test_what_is_no_export_at_all(http: httpx.Client, raw: bytes, status: int) -> None:
    reply = http.post("/web/import", content=raw)
    assert reply.status_code == status and reply.json()["error"]["message"], reply.text
