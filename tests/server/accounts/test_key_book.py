"""Named keys: made, limited and revoked while the server runs; each with its own counts."""

import json
import threading
from functools import partial
from pathlib import Path

import httpx
import pytest
from live import server

from ponder.cli.main import main
from ponder.core.errors import UserError
from ponder.engine.llm import LLM
from ponder.server.accounts.book import KeyBook
from ponder.server.accounts.keyring import Keyring
from ponder.server.accounts.usage import Usage
from ponder.server.config import ServerConfig

CHAT = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 20}


def ask(base: str, key: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.post(f"{base}/v1/chat/completions", json=CHAT, headers=headers, timeout=60)


def model(folder: Path) -> partial[LLM]:
    (folder / "s.jsonl").write_text('"<think>\\n\\n</think>\\n\\nHello there."\n')
    return partial(LLM, f"scripted:{folder / 's.jsonl'}")


def test_keys_come_and_go_while_the_server_runs(tmp_path: Path) -> None:
    book = KeyBook(tmp_path / "keys.json")
    with server({"s": model(tmp_path)}, ServerConfig(key_book=book.path)) as base:
        assert ask(base, "").status_code == 200, "no keys, no need of one"
        alice = book.create("alice")
        assert ask(base, "").status_code == 401, "closed at once"
        assert ask(base, alice).status_code == 200
        bob = book.create("bob")
        book.revoke("alice")
        assert (ask(base, alice).status_code, ask(base, bob).status_code) == (401, 200)
        book.revoke("bob")
        assert ask(base, "").status_code == 401, "an empty book lets nobody in"
        carol = book.create("carol")
        assert ask(base, carol).status_code == 200
        book.path.unlink()
        assert (ask(base, "").status_code, ask(base, carol).status_code) == (401, 200), "a lost file opens nothing"
        book.path.write_text("{")
        assert ask(base, carol).status_code == 200, "what was known holds while the file is damaged"


def test_limits_of_a_day(tmp_path: Path) -> None:
    book = KeyBook(tmp_path / "keys.json")
    busy, wordy, free = book.create("busy"), book.create("wordy"), book.create("free")
    book.limit("busy", 2, None)
    book.limit("wordy", None, 10)
    with server({"s": model(tmp_path)}, ServerConfig(key_book=book.path), store=tmp_path / "chat.sqlite") as base:
        assert [ask(base, busy).status_code for _ in range(3)] == [200, 200, 429]
        assert [ask(base, wordy).status_code for _ in range(2)] == [200, 429]
        refused = ask(base, wordy)
        assert refused.json()["error"]["code"] == "daily_limit" and "tomorrow" in refused.json()["error"]["message"]
        assert 0 < int(refused.headers["retry-after"]) <= 86400
        assert ask(base, free).status_code == 200
        book.limit("busy", None, None)
        assert ask(base, busy).status_code == 200, "a new limit holds at once"


def test_usage_is_counted_by_name_and_kept(tmp_path: Path) -> None:
    book = KeyBook(tmp_path / "keys.json")
    alice, chief = book.create("alice", tokens_per_day=1000), book.create("chief", role="admin")
    config = ServerConfig(key_book=book.path)
    with server({"s": model(tmp_path)}, config, store=tmp_path / "chat.sqlite") as base:
        usage = ask(base, alice).json()["usage"]
        ask(base, chief)
        own = httpx.get(f"{base}/v1/usage", headers={"x-api-key": alice}).json()
        assert (own["name"], own["admin"], own["tokens_per_day"]) == ("alice", False, 1000)
        assert [(d["name"], d["requests"], d["prompt_tokens"], d["completion_tokens"]) for d in own["days"]] == [
            ("alice", 1, usage["prompt_tokens"], usage["completion_tokens"])
        ]
        everybody = httpx.get(f"{base}/v1/usage", headers={"x-api-key": chief}).json()
        assert [d["name"] for d in everybody["days"]] == ["alice", "chief"]
        metrics = [httpx.get(f"{base}/metrics", headers={"x-api-key": key}).text for key in (alice, chief)]
        assert 'ponder_key_requests_total{key="alice"} 1.0' in metrics[1]
        assert "alice" not in metrics[0], "who else uses it is not everybody's business"
        assert (
            httpx.request("DELETE", f"{base}/api/delete", json={"model": "x"}, headers={"x-api-key": alice}).status_code
            == 403
        )
        assert (
            httpx.request("DELETE", f"{base}/api/delete", json={"model": "x"}, headers={"x-api-key": chief}).status_code
            != 403
        )
    again = Usage(tmp_path / "usage.sqlite", Keyring(config, book))
    assert again.today("alice").requests == 1, "after a restart, too"
    again.close()


def test_counts_that_cannot_be_written_are_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from ponder.server.database import Database
    from ponder.server.http.errors import ApiError

    usage = Usage(tmp_path / "usage.sqlite", Keyring(ServerConfig()))
    usage.add("alice", requests=1, prompt_tokens=5)
    usage.write()
    usage.add("alice", requests=2)

    def full(self: Database) -> None:
        raise ApiError(507, "full")

    with monkeypatch.context() as patched:
        patched.setattr(Database, "writing", full)
        with pytest.raises(ApiError):
            usage.write()
    usage.add("alice", completion_tokens=7)
    usage.write()
    (day,) = usage.days("alice")
    assert (day.requests, day.tokens) == (3, 12)
    usage.close()


def test_two_who_write_the_book_lose_nothing(tmp_path: Path) -> None:
    threads = [threading.Thread(target=KeyBook(tmp_path / "keys.json").create, args=(f"n{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(KeyBook(tmp_path / "keys.json").accounts() or ()) == [f"n{n}" for n in range(8)]


def test_only_hashes_are_kept(tmp_path: Path) -> None:
    book = KeyBook(tmp_path / "keys.json")
    key = book.create("alice")
    assert key not in book.path.read_text() and book.path.stat().st_mode & 0o077 == 0
    assert set(json.loads(book.path.read_text())["keys"][0]) >= {"name", "sha256"}


def test_what_is_no_account_is_refused(tmp_path: Path) -> None:
    book = KeyBook(tmp_path / "keys.json")
    book.create("alice")
    for name, words in (
        ("alice", "alice has a key"),
        ("a b", "no name for a key"),
        ("", "no name"),
        ("x" * 65, "no name"),
    ):
        with pytest.raises(UserError, match=words):
            book.create(name)
    with pytest.raises(UserError, match="tokens a day must be at least 1"):
        book.create("bob", tokens_per_day=0)
    with pytest.raises(UserError, match="no key of bob; known: alice"):
        book.revoke("bob")
    book.path.write_text('{"keys": [{"name": 3}]}')
    with pytest.raises(UserError, match="is no book of keys"):
        KeyBook(book.path).accounts()


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("PONDER_HOME", str(tmp_path))

    def said(*words: str, code: int = 0) -> str:
        assert main(["key", *words]) == code
        return capsys.readouterr().out

    assert said("list").startswith("There are no keys")
    key = said("create", "alice", "--tokens-per-day", "5000").strip()
    assert Keyring(ServerConfig(), KeyBook(tmp_path / "keys.json")).name_of(key) == "alice"
    said("create", "ops", "--admin")
    usage = Usage(tmp_path / "usage.sqlite", Keyring(ServerConfig()))
    usage.add("alice", requests=2, prompt_tokens=1200, completion_tokens=34)
    usage.close()
    lines = said("list").splitlines()
    assert lines[1].split()[:2] == ["alice", "user"] and lines[1].endswith(" 2 requests, 1,234 tokens")
    assert lines[2].split()[:2] == ["ops", "admin"] and lines[2].endswith("nothing")
    assert "alice  2         1,200          34" in said("usage")
    assert said("limit", "alice", "--requests-per-day", "9").strip() == "alice: 9 requests"
    assert "opens nothing any more" in said("revoke", "alice")
    for words in (("revoke", "alice"), ("revoke",), ("list", "alice")):
        assert said(*words, code=2) == ""
