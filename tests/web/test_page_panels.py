"""What is around the conversation: settings, files, the list, colours, languages, keys, the telephone."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pages import Chat, Site, eventually

from ponder.server.web import routes

PHONE = {"viewport": {"width": 390, "height": 780}, "has_touch": True, "is_mobile": True}


def test_system_prompt_and_sampling(chat: Chat) -> None:
    chat.answered("One?", "brief")
    before = chat.stored()["messages"][-1]["facts"]
    chat.page.click("#open-settings")
    chat.page.fill("#system", "You are a pirate. " * 20)
    chat.page.fill("#s-temperature", "0.25")
    chat.page.fill("#s-seed", "7")
    chat.page.fill("#s-max_tokens", "2")
    chat.answered("Two?")
    facts = chat.stored()["messages"][-1]["facts"]
    assert facts["effective"]["temperature"] == 0.25 and facts["effective"]["seed"] == 7
    assert facts["usage"]["completion_tokens"] == 2 and "cut at the token limit" in chat.last.inner_text()
    assert facts["usage"]["prompt_tokens"] > before["usage"]["prompt_tokens"] + 60, "the system prompt was read"
    chat.page.fill("#s-temperature", "9")  # out of range: not sent
    assert chat.page.evaluate("document.querySelector('#s-temperature').checkValidity()") is False
    chat.page.fill("#s-temperature", "0.25")
    eventually(lambda: chat.stored()["settings"].get("sampling", {}).get("temperature") == 0.25)
    chat.page.reload()
    chat.page.wait_for_selector(".message")
    chat.page.click("#open-settings")
    assert chat.page.input_value("#s-seed") == "7" and "pirate" in chat.page.input_value("#system")


def test_model_picker(chat: Chat) -> None:
    options = chat.page.locator("#model option").all_inner_texts()
    assert {"rich", "slow", "brief"} <= set(options)
    chat.answered("Hi", "thinker")
    assert chat.stored()["messages"][-1]["model"] == "thinker"
    chat.answered("Hi", "brief")
    assert chat.stored()["messages"][-1]["model"] == "brief"
    chat.page.reload()
    chat.page.wait_for_selector(".message")
    eventually(lambda: chat.page.input_value("#model") == "brief")


def a_pdf(text: str) -> bytes:
    """The smallest file with a page of text."""
    stream = f"BT /F1 24 Tf 72 700 Td ({text}) Tj ET".encode()
    parts = [
        b"<</Type/Catalog/Pages 2 0 R>>", b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 4 0 R/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(stream), stream),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]  # fmt: skip
    out, places = b"%PDF-1.4\n", []
    for n, part in enumerate(parts, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (n, part)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    return out + b"xref\n0 6\n0000000000 65535 f \n%strailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (
        table,
        len(out),
    )


def test_attach_a_text_and_a_pdf(chat: Chat) -> None:
    files: list[Any] = [
        {"name": "notes 笔记.txt", "mimeType": "text/plain", "buffer": "The password is 天空.".encode()},
        {"name": "paper.pdf", "mimeType": "application/pdf", "buffer": a_pdf("Forty two")},
        {"name": "photo.bin", "mimeType": "application/octet-stream", "buffer": bytes(range(256))},
    ]
    chat.page.set_input_files("#file", files)
    chat.page.wait_for_selector("#files li:has-text('paper.pdf')")
    chat.page.wait_for_selector("[role=alert]:has-text('not a text and not a PDF')")
    assert chat.page.locator("#files li").count() == 2
    chat.answered("What do they say?", "brief")
    assert chat.page.locator("#files li").count() == 0
    sent = chat.stored()["messages"][0]
    assert [a["name"] for a in sent["attachments"]] == ["notes 笔记.txt", "paper.pdf"]
    assert "天空" in sent["attachments"][0]["text"] and "Forty two" in sent["attachments"][1]["text"]
    chat.page.locator(".file summary").first.click()
    chat.page.wait_for_selector("text=The password is 天空.")
    assert chat.stored()["messages"][1]["facts"]["usage"]["prompt_tokens"] > 30, "the model read them"


def test_a_message_waits_for_its_files(chat: Chat) -> None:
    """Enter while a file is still read sends both when it is; when it cannot be read, nothing is sent or lost."""
    held: list[Any] = []

    def hold(route: Any) -> None:
        held.append(route)

    chat.page.route("**/web/extract*", hold)
    for name, sent in (("a.txt", True), ("photo.bin", False)):
        held.clear()
        body = b"x" if sent else bytes(range(256))
        chat.page.set_input_files("#file", [{"name": name, "mimeType": "text/plain", "buffer": body}])
        chat.page.wait_for_selector(f"#files li:has-text('{name}')")
        chat.ask(f"What is {name}?", "brief")
        chat.page.wait_for_timeout(200)
        assert len(held) == 1 and chat.page.locator(".message.user").count() == (not sent)
        assert chat.page.input_value("#input") == f"What is {name}?"
        held[0].continue_()
        if sent:
            chat.page.wait_for_selector(".message.assistant .answer .piece")
            chat.done()
            assert [a["name"] for a in chat.stored()["messages"][0]["attachments"]] == [name]
        else:
            chat.page.wait_for_selector("[role=alert]:has-text('not a text and not a PDF')")
            chat.page.wait_for_timeout(200)
            assert chat.page.input_value("#input") == f"What is {name}?" and len(chat.stored()["messages"]) == 2


def test_search_rename_export_delete(chat: Chat, tmp_path: Path) -> None:
    chat.answered("Tell me of Zanzibar", "rich")
    chat.page.fill("#search", "Zanzibar")
    eventually(lambda: chat.page.locator("#list li").count() == 1)
    chat.page.fill("#search", "whose average cost")  # in the answer
    eventually(lambda: "Zanzibar" in " ".join(chat.page.locator("#list li").all_inner_texts()))
    chat.page.fill("#search", "no such words %")
    eventually(lambda: chat.page.locator("#list li").count() == 0)
    chat.page.fill("#search", "Zanzibar")
    chat.page.locator("#list li").get_by_label("Rename: Tell me of Zanzibar").click()
    chat.page.fill("dialog input", "Islands / 岛")
    chat.page.click("dialog button.primary")
    chat.page.wait_for_selector("#list a:has-text('Islands')")
    assert chat.page.title() == "Islands / 岛 · Ponder"
    chat.page.click("#open-settings")
    for form, button in (("json", "#export-json"), ("md", "#export-md")):
        with chat.page.expect_download() as download:
            chat.page.click(button)
        assert download.value.suggested_filename == f"Islands - 岛.{form}"
        text = Path(download.value.path()).read_text()
        assert "Zanzibar" in text and "Let me see what they want." in text and "Quick sort" in text
        if form == "json":
            assert len(json.loads(text)["messages"]) == 2
    chat.page.locator("#list li").get_by_label("Delete: Islands / 岛").click()
    chat.page.click("dialog button:not(.primary)")
    assert chat.page.locator(".message").count() == 2, "cancelled"
    chat.page.locator("#list li").get_by_label("Delete: Islands / 岛").click()
    chat.page.click("dialog button.primary")
    chat.page.wait_for_selector(".empty")
    assert chat.id == "" and not chat.site.get("/web/conversations?q=Zanzibar")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark(browser: Any, site: Site, scheme: str) -> None:
    """The system's choice first, then the visitor's own, which is remembered."""

    def is_dark(chat: Chat) -> bool:
        colour = str(chat.page.evaluate("getComputedStyle(document.body).backgroundColor"))
        return sum(int(n) for n in colour[4:-1].split(",")) < 300

    with Chat.visit(browser, site, color_scheme=scheme) as chat:
        assert is_dark(chat) == (scheme == "dark")
        chat.page.click("#theme")
        assert is_dark(chat) == (scheme != "dark")
        chat.page.reload()
        assert is_dark(chat) == (scheme != "dark")


def test_keyboard(chat: Chat) -> None:
    press = chat.page.keyboard.press
    chat.page.select_option("#model", "slow")
    press("Control+/")
    assert chat.page.locator("#think").get_attribute("aria-pressed") == "false"
    press("Control+/")
    press("Control+,")
    assert chat.page.locator("#settings").is_visible()
    press("Escape")
    assert not chat.page.locator("#settings").is_visible()
    chat.page.focus("#input")
    chat.page.keyboard.type("two")
    press("Shift+Enter")
    chat.page.keyboard.type("lines")
    assert chat.page.input_value("#input") == "two\nlines"
    press("Enter")
    chat.page.wait_for_selector(".reasoning .count:has-text('tokens')")
    press("Control+.")
    chat.page.wait_for_selector("text=All right")
    chat.done()
    chat.ask("More")
    chat.page.wait_for_selector(".message:last-child .reasoning .count:has-text('tokens')")
    press("Escape")
    chat.done()
    chat.page.focus("#input")
    press("ArrowUp")
    assert chat.page.input_value("dialog textarea") == "More"
    press("Escape")
    assert not chat.page.locator("dialog").is_visible()
    press("Control+b")
    assert chat.page.locator("#sidebar").is_hidden()
    assert chat.page.evaluate("document.activeElement.id") == "open-sidebar"
    chat.page.reload()
    chat.page.wait_for_selector("#open-sidebar", state="visible")
    assert chat.page.locator("#sidebar").is_hidden(), "it stays as it was"
    press("Control+Shift+F")
    assert chat.page.evaluate("document.activeElement.id") == "search"
    press("Control+k")
    chat.page.wait_for_selector(".empty")
    assert chat.page.evaluate("document.activeElement.id") == "input"
    chat.page.click("#help")
    assert "answer now" in chat.text("dialog")


def test_enter_that_ends_a_chinese_word_does_not_send(chat: Chat) -> None:
    chat.page.fill("#input", "你好")
    chat.page.evaluate("""() => document.getElementById("input").dispatchEvent(
        new KeyboardEvent("keydown", { key: "Enter", bubbles: true, cancelable: true, isComposing: true }))""")
    chat.page.wait_for_timeout(150)
    assert chat.page.input_value("#input") == "你好" and chat.page.locator(".message").count() == 0


def test_chinese_and_english(browser: Any, site: Site) -> None:
    with Chat.visit(browser, site, locale="zh-CN") as chat:
        assert chat.text("#send") == "发送" and chat.page.evaluate("document.documentElement.lang") == "zh"
        chat.answered("你好", "rich")
        assert "思考了" in chat.text(".reasoning summary") and "词元/秒" in chat.last.locator(".facts").inner_text()
        chat.page.select_option("#language", "en")
        chat.page.wait_for_selector("#send:has-text('Send')")
        assert "tokens/s" in chat.last.locator(".facts").inner_text()
        chat.page.reload()
        assert chat.text("#send") == "Send"
    with Chat.visit(browser, site, locale="de-DE") as chat:
        assert chat.text("#send") == "Send"


def test_every_language_has_every_text(chat: Chat) -> None:
    folder = Path(routes.__file__).parent / "static"
    languages = sorted(file.stem for file in (folder / "texts").glob("*.js"))
    assert languages == sorted(
        option.get_attribute("value") for option in chat.page.query_selector_all("#language option")
    )
    texts = {code: f"/web/static/texts/{code}.js" for code in languages}
    keys = chat.page.evaluate(
        """async (texts) => {
        const inner = (v) => v && typeof v === "object" && !Array.isArray(v);
        const keys = (o) => Object.entries(o).flatMap(([k, v]) => inner(v) ? keys(v).map((x) => `${k}.${x}`) : [k]);
        const all = {};
        for (const [code, path] of Object.entries(texts)) all[code] = keys((await import(path)).default);
        return all;
    }""",
        texts,
    )
    for code in languages:
        assert sorted(keys[code]) == sorted(keys["en"]), code
    page = (folder / "index.html").read_text()
    used = {key for file in folder.glob("*.js") for key in re.findall(r"""\bt\("(\w+)"\)""", file.read_text())}
    used |= set(re.findall(r'data-i18n(?:-label|-placeholder)?="(\w+)"', page))
    known = {key.partition(".")[0] for key in keys["en"]}
    assert used <= known, used - known


def test_telephone(browser: Any, site: Site) -> None:
    with Chat.visit(browser, site, **PHONE) as chat:
        chat.answered("Explain.", "rich")
        wide = "document.documentElement.scrollWidth <= innerWidth"
        assert chat.page.evaluate(wide)
        assert chat.page.locator(".tools").bounding_box()["height"] < 48, "the composer is one row"
        assert not chat.page.locator("#sidebar").is_visible()
        chat.page.tap("#open-sidebar")
        chat.page.locator("#list a").first.wait_for(state="visible")
        chat.page.wait_for_timeout(250)
        chat.page.tap("#close-sidebar")
        chat.page.locator("#sidebar").wait_for(state="hidden")
        chat.page.tap("#open-sidebar")
        chat.page.wait_for_timeout(250)
        chat.page.touchscreen.tap(370, 400)  # beside the list
        chat.page.locator("#sidebar").wait_for(state="hidden")
        chat.page.tap("#open-settings")
        assert chat.page.locator("#system").is_visible() and chat.page.evaluate(wide)
        assert chat.page.evaluate("document.activeElement.id") == "close-settings", "no keyboard comes over the panel"
        chat.page.tap("#close-settings")
        chat.page.type("#input", "two\nlines")
        assert chat.page.input_value("#input") == "two\nlines", "a finger has no Shift+Enter: a button sends"
        chat.ask("More", "slow")
        chat.page.wait_for_selector("#answer-now:visible")
        assert chat.page.locator(".tools").bounding_box()["height"] < 48
        chat.page.tap("#stop")
        chat.done()
