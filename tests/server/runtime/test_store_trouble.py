"""The store in trouble: another process that writes, a disk that is full, values that an import would refuse."""

import sqlite3
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from live import saying, server

from ponder.server.api.openai.response_store import ResponseStore
from ponder.server.config import ServerConfig
from ponder.server.http.errors import ApiError
from ponder.server.web.conversations import Conversations

CHAT = {"messages": [{"role": "user", "content": "hi"}]}


def test_a_lock_of_another_process_holds_up_nobody(tmp_path: Path) -> None:
    path, done = tmp_path / "chat.sqlite", []
    with server(saying(tmp_path, {"s": "Yes."}), ServerConfig(), store=path) as base:

        def create() -> None:
            done.append(httpx.post(base + "/web/conversations", json={"title": "t"}, timeout=60).status_code)

        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        waiting = [threading.Thread(target=create) for _ in range(12)]  # more than there are threads
        for thread in waiting:
            thread.start()
        for _ in range(5):
            assert httpx.get(base + "/health", timeout=30).status_code == 200
            assert httpx.post(base + "/v1/chat/completions", json=CHAT, timeout=30).status_code == 200
            assert httpx.post(base + "/tokenize", json={"content": "a"}, timeout=30).status_code == 200
        assert not done, "what needs the store waits, and nothing else does"
        other.execute("COMMIT")
        other.close()
        for thread in waiting:
            thread.join()
        assert done == [201] * 12
        assert len(httpx.get(base + "/web/conversations").json()) == 12


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], capture_output=True).returncode:
        pytest.skip("this user cannot mount a small disk")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> None:
    with (folder / "filler").open("ab", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass


def test_on_a_full_disk_deleting_works(small_disk: Path) -> None:
    store = Conversations(small_disk / "chat.sqlite")
    ids = [store.create(f"c{n}")["id"] for n in range(3)]
    with pytest.raises(ApiError) as e:
        while True:
            for id_ in ids:
                store.add(id_, None, "user", {"content": "x" * 100_000})
    assert e.value.status == 507 and "full" in e.value.message
    fill(small_disk)
    store.delete(ids[0])
    assert {c["id"] for c in store.all()} == set(ids[1:])
    (small_disk / "filler").unlink()
    store.add(ids[1], None, "user", {"content": "y" * 50_000})
    store.close()


def test_on_a_full_disk_replies_are_deleted(small_disk: Path) -> None:
    store = ResponseStore(small_disk / "chat.sqlite", 1 << 30)
    with pytest.raises(ApiError) as e:
        for n in range(100):
            reply = {"id": f"resp_{n}", "previous_response_id": None, "output": [], "text": "x" * 100_000}
            store.put(reply, [])
    assert e.value.status == 507
    fill(small_disk)
    store.delete("resp_0")
    with pytest.raises(ApiError) as e:
        store.get("resp_0")
    assert e.value.status == 404
    store.close()


def test_a_full_disk_over_http(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's own limit of pages is its other way to be full."""
    path = tmp_path / "chat.sqlite"
    opened: list[Conversations] = []
    real = Conversations.__init__

    def init(store: Conversations, *given: Any) -> None:
        real(store, *given)
        opened.append(store)

    monkeypatch.setattr(Conversations, "__init__", init)
    running = server(saying(tmp_path, {"s": "Yes."}), ServerConfig(), store=path)
    with running as base, httpx.Client(base_url=base) as http:
        id_ = http.post("/web/conversations", json={"title": "t"}).json()["id"]
        opened[0]._file._db.execute("PRAGMA max_page_count = 20")
        long = http.post(f"/web/conversations/{id_}/messages", json={"content": "x" * 400_000})
        assert long.status_code == 507 and long.json()["error"]["code"] == "disk_full"
        assert http.delete(f"/web/conversations/{id_}").status_code == 200


@pytest.mark.parametrize(
    "change, field",
    [
        ({"leaf": "nowhere"}, "leaf"),
        ({"settings": {"model": 7}}, "settings.model"),
        ({"settings": {"nonsense": 1}}, "settings"),
        ({"settings": {"sampling": {"temperature": "hot"}}}, "settings.sampling"),
    ],
)
def test_what_an_import_would_refuse_is_not_stored(tmp_path: Path, change: dict[str, Any], field: str) -> None:
    with server(saying(tmp_path, {"s": "Yes."}), ServerConfig()) as base, httpx.Client(base_url=base) as http:
        id_ = http.post("/web/conversations", json={"settings": {"model": "s", "budget": None}}).json()["id"]
        message = http.post(f"/web/conversations/{id_}/messages", json={"content": "hi"}).json()["id"]
        refused = http.patch(f"/web/conversations/{id_}", json=change)
        assert refused.status_code == 400 and refused.json()["error"]["param"].startswith(field), refused.text
        good = {"leaf": message, "settings": {"thinking": True, "sampling": {"temperature": 0.5}}}
        assert http.patch(f"/web/conversations/{id_}", json=good).status_code == 200
        assert http.post("/web/import", json=http.get("/web/export").json()).status_code == 201
        if "settings" in change:
            assert http.post("/web/conversations", json={"settings": change["settings"]}).status_code == 400
