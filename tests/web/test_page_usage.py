"""What was used, in the page: one's own, everybody's for an administrator; nothing where nobody is counted."""

import json
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from live import server
from pages import Chat, Site
from test_page_accessible import axe, faults

from ponder.engine.llm import LLM
from ponder.server.accounts.book import KeyBook, Role
from ponder.server.config import ServerConfig

__all__ = ["axe"]  # a fixture


@pytest.mark.parametrize("admin", [False, True])
def test_by_name_and_day(browser: Any, axe: str, tmp_path: Path, admin: bool) -> None:
    (tmp_path / "s.jsonl").write_text((json.dumps("<think>\n\n</think>\n\nYes.") + "\n") * 3)
    book = KeyBook(tmp_path / "keys.json")
    role: Role = "admin" if admin else "user"
    keys = {"anna": book.create("anna", role=role, tokens_per_day=5000), "ben": book.create("ben")}
    models = {"s": partial(LLM, f"scripted:{tmp_path}/s.jsonl")}
    config = ServerConfig(key_book=book.path)
    with server(models, config, store=tmp_path / "chat.sqlite") as url:
        ask = {"messages": [{"role": "user", "content": "Hi"}]}
        for name, times in (("anna", 2), ("ben", 1)):
            for _ in range(times):
                headers = {"Authorization": f"Bearer {keys[name]}"}
                reply = httpx.post(f"{url}/v1/chat/completions", json=ask, headers=headers, timeout=60)
                assert reply.status_code == 200
        context = browser.new_context()
        context.add_init_script(f"localStorage.setItem('key', {json.dumps(keys['anna'])})")
        chat = Chat.open(context, Site(url, tmp_path))
        chat.page.click("#open-settings")
        chat.page.click("#usage")
        chat.page.wait_for_selector(".usage tbody tr")
        rows = [row.split("\t")[1:3] for row in chat.page.locator(".usage tbody tr").all_inner_texts()]
        assert rows == ([["anna", "2"], ["ben", "1"]] if admin else [["anna", "2"]])
        said = chat.page.inner_text("dialog")
        assert "At most 5,000 tokens a day." in said and ("everybody" in said) == admin
        assert faults(chat, axe) == [] and not chat.problems
        context.close()


def test_nothing_where_nobody_is_counted(chat: Chat) -> None:
    chat.page.click("#open-settings")
    chat.page.wait_for_load_state("networkidle")
    assert chat.page.locator("#usage").is_hidden()
