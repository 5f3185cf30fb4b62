"""The web chat behind the page: conversations survive, replies are kept however they end, Markdown is inert."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import httpx
import pytest
from listening import free_port, until_up
from live import server

from ponder.engine.llm import LLM
from ponder.server.config import ServerConfig
from ponder.server.http.errors import ApiError
from ponder.server.web.conversations import Conversations
from ponder.server.web.documents.reading import read
from ponder.server.web.export import as_markdown
from ponder.server.web.markdown.html import to_html

ENDLESS = "<think>\n" + " ".join(f"thought {i * i}" for i in range(200))

XSS = [json.loads(line) for line in (Path(__file__).parents[1]).joinpath("xss.jsonl").read_text().splitlines()]
DEAD = {"script", "img", "svg", "iframe", "style", "form", "base", "meta", "object", "details"}


@pytest.mark.parametrize("text", XSS)
def test_markdown_is_inert(text: str) -> None:
    from html.parser import HTMLParser

    class Look(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            assert tag not in {
                "script",
                "img",
                "svg",
                "iframe",
                "style",
                "form",
                "base",
                "meta",
                "object",
                "details",
            }, text
            for name, value in attrs:
                assert not name.startswith("on"), (text, name)
                if name in ("href", "src", "action", "xlink:href"):
                    assert (value or "").lower().startswith(("http:", "https:", "mailto:", "#")), (text, value)

    Look().feed(to_html(text))


@pytest.mark.flaky(reruns=2)  # judges time
def test_markdown_shows_what_it_should() -> None:
    html = to_html(
        "# T\n\n**b** `c` $x^2$ \\(y\\)\n\n```python\nprint(1)\n```\n\n|a|\n|-|\n|1|\n\n- [x] d\n\nhttps://e.com"
    )
    parts = [
        "<h1>T</h1>",
        "<strong>b</strong>",
        "<code>c</code>",
        '"math">x^2<',
        '"math">y<',
        'class="nb"',
        "<td>1</td>",
    ]
    for part in parts:
        assert part in html, part
    start = time.process_time()
    for text in ("[" * 20000, "*" * 50000, "`" * 30000, "> " * 5000 + "x", "$" * 20000, "\\(" * 20000, "x" * 1_000_000):
        to_html(text)
    assert time.process_time() - start < 5


def test_conversations_branch_search_and_export(tmp_path: Path) -> None:
    store = Conversations(tmp_path / "c.sqlite")
    one = store.create("First 100%", {"system": "x"})["id"]
    a = store.add(one, None, "user", {"content": "What is Zürich?"})["id"]
    b = store.add(one, a, "assistant", {"content": "A city.", "reasoning_content": "Hm."})["id"]
    c = store.add(one, a, "assistant", {"content": "A town."})["id"]
    assert [m["id"] for m in store.path_to(one, b)] == [a, b]
    assert store.get(one)["leaf"] == c
    two = store.create("Second")["id"]
    assert [x["id"] for x in store.all("zürich")] == [one] or [x["id"] for x in store.all("Zürich")] == [one]
    assert (
        [x["id"] for x in store.all("100%")] == [one] and len(store.all()) == 2 and store.all("%") == store.all("100%")
    )
    assert "A town." in as_markdown(store.get(one)) and "A city." not in as_markdown(store.get(one))
    store.change(one, leaf=b, title="Renamed")
    assert "A city." in as_markdown(store.get(one)) and store.get(one)["title"] == "Renamed"
    store.delete(two)
    for call in (
        lambda: store.get(two),
        lambda: store.add(one, "nope", "user", {}),
        lambda: store.path_to(one, "nope"),
    ):
        with pytest.raises(ApiError):
            call()
    store.close()
    again = Conversations(tmp_path / "c.sqlite")
    assert len(again.get(one)["messages"]) == 3


def test_files() -> None:
    assert read("a.txt", "Grüße\n".encode())[0] == "Grüße\n"
    assert read("a.txt", "Grüße".encode("utf-16"))[0] == "Grüße"
    for name, raw in (("a.bin", bytes(range(256))), ("a.pdf", b"%PDF-1.4 nothing"), ("b.pdf", b"")):
        with pytest.raises(ApiError):
            read(name, raw)


def test_a_reply_is_kept_however_it_ends(tmp_path: Path) -> None:
    script = tmp_path / "s.jsonl"
    endless = json.dumps({"text": ENDLESS, "eos": False, "delay_ms": 3})
    script.write_text(endless + '\n"<think>\\n\\n</think>\\n\\nHi."\n')
    config = ServerConfig(linger=0.5)
    with (
        server({"s": partial(LLM, f"scripted:{script}")}, config) as base,
        httpx.Client(base_url=base, timeout=30) as http,
    ):
        id_ = http.post("/web/conversations", json={"title": "t"}).json()["id"]
        said = http.post(f"/web/conversations/{id_}/messages", json={"content": "hi"}).json()
        with http.stream("POST", f"/web/conversations/{id_}/reply", json={"parent": said["id"]}) as reply:
            lines = (x for x in reply.iter_lines() if x)
            for _ in range(30):
                next(lines)
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline and http.get("/health").json()["in_flight"]:
            time.sleep(0.02)
        stopped = http.get(f"/web/conversations/{id_}").json()["messages"][-1]
        assert stopped["role"] == "assistant" and stopped["stopped"] and "thought 4" in stopped["steps"][0]["text"]
        with http.stream("POST", f"/web/conversations/{id_}/reply", json={"parent": said["id"]}) as reply:
            events = [json.loads(x[6:]) for x in reply.iter_lines() if x.startswith("data: ")]
        assert events[0]["type"] == "start" and events[-1]["type"] == "finish"
        messages = http.get(f"/web/conversations/{id_}").json()["messages"]
        assert messages[-1]["content"] == "Hi." and messages[-1]["parent"] == said["id"] and len(messages) == 3
        for form in ("json", "md"):
            assert "Hi." in http.get(f"/web/conversations/{id_}/export?format={form}").text
        bad = http.post(f"/web/conversations/{id_}/reply", json={"parent": "nope"})
        assert bad.status_code == 404 and bad.json()["error"]["param"] == "parent"


def test_kill_9_loses_no_stored_conversation(tmp_path: Path) -> None:
    script = tmp_path / "s.jsonl"
    script.write_text(json.dumps({"text": ENDLESS, "eos": False, "delay_ms": 3}) + "\n")
    env = os.environ | {"PONDER_HOME": str(tmp_path)}
    base = f"http://127.0.0.1:{(port := free_port())}"
    main = "import sys; from ponder.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", main, "serve", f"scripted:{script}", "--port", str(port)]

    def start() -> subprocess.Popen[bytes]:
        process = subprocess.Popen(command, env=env)
        until_up(base + "/health", process)
        return process

    process = start()
    try:
        id_ = httpx.post(base + "/web/conversations", json={"title": "t"}).json()["id"]
        said = httpx.post(f"{base}/web/conversations/{id_}/messages", json={"content": "hi"}).json()
        began = time.monotonic()
        with httpx.stream(
            "POST", f"{base}/web/conversations/{id_}/reply", json={"parent": said["id"]}, timeout=30
        ) as reply:
            for _ in reply.iter_lines():
                if time.monotonic() - began > 3:
                    process.send_signal(signal.SIGKILL)
                    break
        process.wait()
        process = start()
        messages = httpx.get(f"{base}/web/conversations/{id_}").json()["messages"]
        assert [m["role"] for m in messages] == ["user", "assistant"]
        assert len(messages[1]["steps"][0]["text"]) > 20, "what was written before the kill"
    finally:
        process.terminate()
        assert process.wait(40) in (0, -signal.SIGTERM)


def test_the_file_is_closed_to_others_and_an_open_one_is_closed(tmp_path: Path) -> None:
    for name in ("new", "old"):
        file = tmp_path / f"{name}.sqlite"
        if name == "old":
            file.touch(mode=0o644)
        store = Conversations(file)
        store.create("t")
        assert {p.stat().st_mode & 0o777 for p in tmp_path.glob(f"{name}.sqlite*")} == {0o600}
        store.close()
