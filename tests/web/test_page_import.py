"""Conversations as files on the page: several at once, good beside bad, and used like any other afterwards."""

import json
from pathlib import Path
from typing import Any

from pages import Chat, Site, eventually


def exported(chat: Chat, button: str) -> bytes:
    if not chat.page.locator("#settings").is_visible():
        chat.page.click("#open-settings")
    with chat.page.expect_download() as download:
        chat.page.click(button)
    return Path(download.value.path()).read_bytes()


def file(name: str, raw: bytes) -> dict[str, Any]:
    return {"name": name, "mimeType": "application/json", "buffer": raw}


def test_files_come_back_and_bad_ones_say_why(chat: Chat) -> None:
    page = chat.page
    chat.answered("Tell me of Timbuktu", "brief")
    chat.last.get_by_label("Regenerate").click()
    page.wait_for_selector(".message.assistant .version")
    chat.done()
    answer, original, raw = chat.last.locator(".answer").inner_text(), chat.id, exported(chat, "#export-json")
    two = json.loads(raw)
    page.set_input_files("#import-file", [
        file("one.json", raw), file("broken.json", b'{"title":'), file("two.json", json.dumps([two, two]).encode()),
        file("odd <b>.json", json.dumps(two | {"leaf": "nowhere"}).encode()),
    ])  # fmt: skip
    page.wait_for_selector("[role=alert]:has-text('odd <b>.json: leaf')")
    assert "broken.json: the file is not JSON" in " ".join(page.locator("[role=alert]").all_inner_texts())
    assert chat.id != original and "3 conversations imported" in page.text_content("#live")
    assert len(chat.site.get("/web/conversations?q=Timbuktu")) == 4
    assert chat.last.locator(".answer").inner_text() == answer and chat.last.locator(".version").inner_text() == "2/2"
    # search, rename, branches, going on, delete
    page.fill("#search", "Timbuktu")
    eventually(lambda: page.locator("#list li").count() == 4)
    page.locator("#list li.current").get_by_label("Rename").click()
    page.fill("dialog input", "Back again")
    page.click("dialog button.primary")
    page.wait_for_selector("#list a:has-text('Back again')")
    chat.last.get_by_label("Previous version").click()
    eventually(lambda: chat.last.locator(".version").inner_text() == "1/2")
    assert "answer." in chat.answered("And then?")
    assert len(chat.stored()["messages"]) == 5
    page.locator("#list li.current").get_by_label("Delete").click()
    page.click("dialog button.primary")
    page.wait_for_selector(".empty")
    assert len(chat.site.get(f"/web/conversations/{original}")["messages"]) == 3, "the first one is as it was"


def test_all_conversations_are_one_file(chat: Chat, site: Site) -> None:
    chat.answered("Rich, please", "rich")
    raw = exported(chat, "#export-all")
    before = len(site.get("/web/conversations"))
    assert len(json.loads(raw)) == before
    chat.page.set_input_files("#import-file", file("conversations.json", raw))
    eventually(lambda: len(site.get("/web/conversations")) == 2 * before)
    eventually(lambda: "imported" in chat.page.text_content("#live"))
