"""Messages of the web chat one by one: gone on with, changed by a person, removed; pins, tags, one HTML file."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from live import server

from ponder.engine.llm import LLM


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    script = tmp_path_factory.mktemp("s") / "s.jsonl"
    lines = [
        "<think>\nHm, **Rome**.\n</think>\n\nThe capital $x^2$ is",
        " Paris.",
        " The Seine.\n</think>\n\nFrom better thoughts.",
    ]
    script.write_text("\n".join(map(json.dumps, lines)))
    with server({"s": partial(LLM, f"scripted:{script}")}) as url, httpx.Client(base_url=url, timeout=60) as http:
        yield http


class Talk:
    def __init__(self, http: httpx.Client) -> None:
        self.http = http
        self.path = f"/web/conversations/{http.post('/web/conversations', json={'title': 'T <b>'}).json()['id']}"
        self.asked = http.post(self.path + "/messages", json={"content": "Capital? <i>"}).json()["id"]

    def reply(self, **more: Any) -> dict[str, Any]:
        reply = self.http.post(self.path + "/reply", json={"parent": self.asked, "model": "s"} | more)
        assert reply.status_code == 200, reply.text
        return self.messages()[-1]

    def messages(self) -> list[dict[str, Any]]:
        return list(self.http.get(self.path).json()["messages"])


def test_a_reply_is_gone_on_with_changed_and_removed(http: httpx.Client) -> None:
    talk = Talk(http)
    first = talk.reply()
    assert first["content"] == "The capital $x^2$ is"
    whole = talk.reply(message=first["id"], go_on=True)
    assert whole["id"] == first["id"] and whole["content"] == "The capital $x^2$ is Paris."
    assert [step["kind"] for step in whole["steps"]] == ["thought", "text"], "in the middle of its text"

    page = http.get(talk.path + "/export?format=html").text
    assert "<strong>Rome</strong>" in page and "Capital? &lt;i&gt;" in page and "T &lt;b&gt;" in page
    assert '<span class="math">x^2</span>' in page and "data:font/woff2;base64," in page and "url(fonts" not in page
    assert "default-src 'none'" in page and "script-src 'sha256-" in page and "http" not in page.split("<main")[1][:400]

    body = {"texts": {"0": "France, so Paris."}, "until": 1}
    made = http.post(f"{talk.path}/messages/{first['id']}/version", json=body)
    assert made.status_code == 201 and made.json()["steps"][0]["text"] == "France, so Paris."
    changed = talk.reply(message=made.json()["id"], go_on=True)
    assert [step["text"] for step in changed["steps"]] == ["France, so Paris. The Seine.", "From better thoughts."]
    assert [m["id"] for m in talk.messages()] == [talk.asked, first["id"], changed["id"]], "the first version stays"

    assert http.delete(f"{talk.path}/messages/nowhere").status_code == 404
    assert http.delete(f"{talk.path}/messages/{changed['id']}").json() == {"deleted": True}
    found = http.get(talk.path).json()
    assert found["leaf"] == first["id"], "the version beside it is shown"
    assert http.delete(f"{talk.path}/messages/{talk.asked}").json() == {"deleted": True}
    found = http.get(talk.path).json()
    assert found["messages"] == [] and found["leaf"] is None


def test_a_question_has_no_versions_of_steps(http: httpx.Client) -> None:
    talk = Talk(http)
    refused = http.post(f"{talk.path}/messages/{talk.asked}/version", json={"texts": {}, "until": 1})
    assert refused.status_code == 400 and "only a reply has steps" in refused.text


def test_pins_and_tags(http: httpx.Client) -> None:
    talk = Talk(http)
    assert http.patch(talk.path, json={"pinned": True, "tags": ["工作", "x_y"]}).json() == {"changed": True}
    (found,) = http.get("/web/conversations?q=x_y").json()
    assert found["pinned"] is True and found["tags"] == ["工作", "x_y"] and talk.path.endswith(found["id"])
    assert http.get("/web/conversations?q=xzy").json() == []
    again = http.post("/web/import", content=http.get(talk.path + "/export").content).json()["imported"][0]["id"]
    found = http.get(f"/web/conversations/{again}").json()
    assert found["pinned"] is True and found["tags"] == ["工作", "x_y"]
    assert http.patch(talk.path, json={"tags": ["x" * 41]}).status_code == 400


def test_a_file_of_an_earlier_version_gets_labels(tmp_path: Path) -> None:
    import sqlite3

    from ponder.server.web.conversations import Conversations

    store = Conversations(tmp_path / "chat.sqlite")
    id_ = store.create("old")["id"]
    store.close()
    file = sqlite3.connect(tmp_path / "chat.sqlite")
    for column in ("pinned", "tags"):
        file.execute(f"ALTER TABLE conversations DROP COLUMN {column}")
    file.commit()
    file.close()
    store = Conversations(tmp_path / "chat.sqlite")
    assert (store.get(id_)["pinned"], store.get(id_)["tags"]) == (False, [])
    store.close()
