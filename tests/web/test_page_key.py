"""A server with keys: the page asks for one, once, and uses it for everything."""

import json
from functools import partial
from pathlib import Path
from typing import Any

from live import server
from pages import Chat, Site, eventually

from ponder.engine.llm import LLM
from ponder.server.config import ServerConfig


def test_the_page_asks_for_the_key(browser: Any, tmp_path: Path) -> None:
    (tmp_path / "s.jsonl").write_text(json.dumps("<think>\nHm.\n</think>\n\nYes."))
    models = {"s": partial(LLM, f"scripted:{tmp_path}/s.jsonl")}
    with server(models, ServerConfig(api_keys=("right key",))) as url:
        context = browser.new_context()
        page = context.new_page()
        page.goto(url)
        for key in ("wrong", "right key"):
            page.wait_for_selector("dialog[open] input[type=password]")
            eventually(lambda: page.input_value("dialog input") == "", 30)  # the next dialog, not the last one
            page.fill("dialog input", key)
            page.click("dialog button.primary")
        page.wait_for_selector("#model option", state="attached")
        chat = Chat(page, Site(url, tmp_path))
        page.set_input_files("#file", [{"name": "a.txt", "mimeType": "text/plain", "buffer": b"x"}])
        assert chat.answered("May I?") == "Yes."
        page.wait_for_selector(".message.user:has-text('a.txt')")
        page.click("#open-settings")
        with page.expect_download() as download:
            page.click("#export-md")
        assert "May I?" in Path(download.value.path()).read_text()
        page.reload()
        page.wait_for_selector(".message.assistant .answer:has-text('Yes.')")
        assert not page.locator("dialog").is_visible(), "the key is kept"
        context.close()
