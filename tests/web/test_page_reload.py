"""A reply lives in the server: reloads, a second tab, a killed server, a page that goes away."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from pages import Chat, Site, eventually


def test_reload_shows_the_running_reply_going_on(chat: Chat, site: Site) -> None:
    chat.ask("Think long.", "slow")
    chat.page.wait_for_selector(".reasoning .count:has-text('tokens')")
    before = chat.stored()["running"]
    chat.page.reload()
    chat.page.wait_for_selector(".message.assistant[aria-busy] .reasoning .count:has-text('tokens')")
    assert chat.stored()["running"] == before and site.in_flight() == 1
    chat.page.locator(".reasoning summary").click()
    chat.page.wait_for_selector("text=thought 0 thought 1 thought 4")
    length = "document.querySelector('.thoughts').textContent.length"
    shown = chat.page.evaluate(length)
    eventually(lambda: chat.page.evaluate(length) > shown + 100)
    chat.page.click("#answer-now")
    chat.page.wait_for_selector("text=All right, here it is.")
    chat.done()
    whole = chat.stored()["messages"][-1]["steps"][0]["text"]
    text = "document.querySelector('.thoughts').textContent"
    eventually(lambda: chat.page.evaluate(text).split() == whole.split())  # as Markdown, which sets its own line ends


def test_a_page_that_goes_away_frees_the_slot_unless_told_not_to(browser: Any, site: Site) -> None:
    for background in (False, True):
        with Chat.visit(browser, site) as chat:
            if background:
                chat.page.click("#open-settings")
                chat.page.check("#background")
            chat.ask("Think long.", "slow")
            chat.page.wait_for_selector(".reasoning .count:has-text('tokens')")
            id_ = chat.id
        if not background:
            eventually(lambda: site.in_flight() == 0, 4)
            assert "thought 1" in site.get(f"/web/conversations/{id_}")["messages"][-1]["steps"][0]["text"]
        else:
            time.sleep(2.5)
            (running,) = site.get(f"/web/conversations/{id_}")["running"]
            httpx.post(f"{site.url}/web/turns/{running}/stop")
            eventually(lambda: site.in_flight() == 0)


def test_two_tabs_on_one_conversation(browser: Any, site: Site) -> None:
    with Chat.visit(browser, site) as one:
        one.answered("Hello", "brief")
        two = Chat.open(one.page.context, site, f"/#{one.id}")
        two.page.wait_for_selector(".message.assistant")
        one.ask("Think long.", "slow")
        for chat in (one, two):
            chat.page.wait_for_selector(".message.assistant[aria-busy] .reasoning .count:has-text('tokens')")
        assert two.page.locator("#stop").is_visible() and site.in_flight() == 1
        two.page.click("#answer-now")
        for chat in (one, two):
            chat.page.wait_for_selector("text=All right, here it is.")
            chat.done()
        two.ask("Again", "slow")
        one.page.wait_for_selector(".message:nth-child(6)[aria-busy] .count:has-text('tokens')")
        one.page.click("#stop")
        two.done()
        assert two.page.locator(".message").count() == one.page.locator(".message").count() == 6
        two.page.locator("#list li.current").get_by_label("Delete").click()
        two.page.click("dialog button.primary")
        one.page.wait_for_selector(".empty")
        assert one.problems == two.problems == []


def test_another_conversation_does_not_end_a_reply(chat: Chat, site: Site) -> None:
    chat.ask("Think long.", "slow")
    chat.page.wait_for_selector(".reasoning .count:has-text('tokens')")
    first = chat.id
    chat.page.click("#new")
    assert "answer." in chat.answered("Hello", "brief") and site.in_flight() == 1
    chat.page.locator(f"#list a[href='#{first}']").click()
    chat.page.wait_for_selector(".message.assistant[aria-busy] .reasoning .count:has-text('tokens')")
    chat.page.click("#stop")
    chat.done()
    eventually(lambda: site.in_flight() == 0)


def start(script: Path, port: int, home: Path) -> "subprocess.Popen[bytes]":
    main = "import sys; from ponder.cli.main import main; sys.exit(main())"
    command = [sys.executable, "-c", main, "serve", f"scripted:{script}", "--port", str(port)]
    process = subprocess.Popen(command, env=os.environ | {"PONDER_HOME": str(home)}, stderr=subprocess.DEVNULL)

    def answers() -> bool:
        assert process.poll() is None, "the server ended"
        try:
            return httpx.get(f"http://127.0.0.1:{port}/health").is_success
        except httpx.TransportError:
            return False

    eventually(answers, 60)
    return process


@pytest.mark.timeout(120)
def test_kill_9_in_a_reply_and_the_page_finds_its_way_back(browser: Any, tmp_path: Path) -> None:
    """A real server process, killed while it answers and started again: the page shows what was said, and goes on."""
    script = tmp_path / "s.jsonl"
    reply = {"text": "<think>\n" + " ".join(f"thought {i * i}" for i in range(3000)), "eos": False, "delay_ms": 3}
    script.write_text(json.dumps(reply))
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    process = start(script, port, tmp_path)
    site = Site(f"http://127.0.0.1:{port}", tmp_path / "chat.sqlite")
    try:
        with Chat.visit(browser, site) as chat:
            chat.ask("Think long.")
            chat.page.wait_for_selector(".reasoning .count:has-text('tokens')")
            chat.page.wait_for_timeout(2500)
            process.send_signal(signal.SIGKILL)
            process.wait()
            chat.page.wait_for_selector("text=The connection was lost")
            process = start(script, port, tmp_path)
            chat.page.wait_for_selector(".message.assistant:has-text('Stopped.')", timeout=20_000)
            kept = chat.stored()["messages"]
            assert [m["role"] for m in kept] == ["user", "assistant"]
            assert len(kept[1]["steps"][0]["text"]) > 200, "all but the last second"
            chat.ask("And now?")
            chat.page.wait_for_selector(".message:nth-child(4)[aria-busy] .count:has-text('tokens')")
            chat.problems.clear()
    finally:
        process.kill()
        process.wait()
