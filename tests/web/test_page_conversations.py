"""What one does with a conversation: go on, change an answer, remove, pin, tag, share, compare; settings that stay."""

from pathlib import Path
from typing import Any

from pages import Chat, Site, eventually
from sample_steps import seeded

THOUGHT = {"kind": "thought", "text": "Hm.", "seconds": 1, "tokens": 2, "budget": None}


def test_an_answer_is_gone_on_with(chat: Chat) -> None:
    chat.answered("One?", "brief")
    chat.last.get_by_label("Go on with this reply").click()
    eventually(lambda: chat.last.locator(".answer").inner_text() == "First answer.Second answer.")
    chat.done()
    assert len(chat.stored()["messages"]) == 2


def test_an_answer_and_its_thoughts_are_changed(chat: Chat, site: Site) -> None:
    chat.page.goto(f"{site.url}/#{seeded(site, [THOUGHT, {'kind': 'text', 'text': 'Wrong.'}])}")
    chat.page.wait_for_selector(".answer .piece")
    chat.last.get_by_label("Change this reply").click()
    chat.page.fill("dialog textarea >> nth=1", "Right.")
    chat.page.get_by_role("button", name="Save", exact=True).click()
    eventually(lambda: chat.last.locator(".answer").inner_text() == "Right.")
    assert chat.last.locator(".version").inner_text() == "2/2"
    chat.page.select_option("#model", "brief")
    chat.last.get_by_label("Change this reply").click()
    chat.page.fill("dialog textarea >> nth=0", "Better thoughts.")
    chat.page.get_by_role("button", name="Save and go on").click()
    chat.page.wait_for_selector(".version:has-text('3/3')")
    chat.done()
    steps = chat.stored()["messages"][-1]["steps"]
    assert steps[0]["text"] == "Better thoughts." and steps[1]["text"].endswith("answer.") and len(steps) == 2


def test_a_message_is_removed_with_what_came_of_it(chat: Chat) -> None:
    chat.answered("One?", "rich")
    chat.answered("Two?", "rich")
    chat.page.locator(".message.user").nth(1).get_by_label("Delete this message").click()
    chat.page.click("dialog button.primary")
    eventually(lambda: chat.page.locator(".message").count() == 2)
    assert [m["role"] for m in chat.stored()["messages"]] == ["user", "assistant"]


def test_pinned_and_tagged_in_the_list(chat: Chat) -> None:
    chat.answered("Of islands", "rich")
    item = chat.page.locator("#list li.current")
    assert chat.page.locator("#list .group").first.inner_text() == "Today"
    item.get_by_label("Pin: Of islands").click()
    eventually(lambda: chat.page.locator("#list .group").first.inner_text() == "Pinned")
    item.get_by_label("Rename").click()
    chat.page.fill("dialog input >> nth=1", "travel, 岛")
    chat.page.click("dialog button.primary")
    chat.page.click("#list .tag:has-text('岛')")
    eventually(lambda: chat.page.locator("#list a").all_inner_texts() == ["Of islands"])
    assert chat.page.input_value("#search") == "岛"
    item.get_by_label("Unpin").click()
    eventually(lambda: chat.page.locator("#list .group").all_inner_texts() == ["Today"])


def test_one_html_file_is_whole(chat: Chat, browser: Any, tmp_path: Path) -> None:
    chat.answered("Explain.", "rich")
    chat.page.click("#open-settings")
    with chat.page.expect_download() as download:
        chat.page.click("#export-html")
    path = tmp_path / "shared.html"
    download.value.save_as(path)
    context = browser.new_context()
    outside: list[str] = []
    page = context.new_page()
    page.on("request", lambda r: None if r.url.startswith(("file:", "data:")) else outside.append(r.url))
    page.on("console", lambda m: outside.append(m.text) if m.type == "error" else None)
    page.goto(path.as_uri())
    page.wait_for_selector(".math.drawn .katex")
    assert page.locator("h1").first.inner_text() == "Explain." and page.locator(".answer table").count() == 2
    assert page.evaluate("document.fonts.check('16px KaTeX_Main')") and outside == []
    context.close()


def test_two_models_answer_one_question(chat: Chat) -> None:
    chat.page.select_option("#model", "brief")
    chat.page.click("#open-settings")
    chat.page.select_option("#second", "thinker")
    chat.page.click("#close-settings")
    chat.ask("Which?")
    chat.page.wait_for_selector(".pair .message >> nth=1")
    chat.done()
    facts = chat.page.locator(".pair .facts").all_inner_texts()
    assert [text.split(" · ")[0] for text in facts] == ["brief", "thinker"], "each names its model"
    chat.page.click(".choose")
    eventually(lambda: chat.stored()["leaf"] == chat.stored()["messages"][1]["id"])


def test_drafts_belong_to_their_conversation(chat: Chat) -> None:
    chat.answered("One?", "rich")
    chat.page.fill("#input", "half a thou")
    chat.page.click("#new")
    assert chat.page.input_value("#input") == ""
    chat.page.fill("#input", "another")
    chat.page.locator("#list a").first.click()
    eventually(lambda: chat.page.input_value("#input") == "half a thou")
    chat.page.reload()
    eventually(lambda: chat.page.input_value("#input") == "half a thou")
    chat.page.click("#new")
    assert chat.page.input_value("#input") == "another"


def test_settings_stay_and_presets_have_names(chat: Chat) -> None:
    page = chat.page
    page.select_option("#model", "thinker")
    page.click("#open-settings")
    page.fill("#system", "Be brief.")
    page.fill("#s-temperature", "0.3")
    page.check("#unfold")
    page.click("#preset-save")
    page.fill("dialog input", "Brief")
    page.click("dialog button.primary")
    page.reload()
    page.wait_for_selector("#model option", state="attached")
    assert page.input_value("#model") == "thinker" and page.input_value("#system") == "Be brief."
    chat.answered("Hm?")
    assert page.locator(".reasoning[open]").count() == 1
    own = page.get_attribute("#s-top_k", "placeholder")
    assert own == "20", "the model's own value is shown"
    page.click("#open-settings")
    page.fill("#system", "Other words.")
    page.click("#new")
    assert page.input_value("#system") == "Be brief.", "what is kept for new chats"
    page.fill("#system", "")
    page.select_option("#preset", "Brief")
    assert page.input_value("#system") == "Be brief." and page.input_value("#s-temperature") == "0.3"
    sides = page.evaluate("""[...document.querySelectorAll("#settings *")].map((n) => n.getBoundingClientRect())
        .filter((r) => r.width && (r.right > innerWidth + 1)).length""")
    assert sides == 0, "nothing is cut"


def test_four_things_to_try(chat: Chat) -> None:
    assert chat.page.locator(".tries button").count() == 4
    chat.page.locator(".tries button").first.click()
    assert "transformer" in chat.page.input_value("#input")
    assert chat.page.evaluate("fetch('/web/static/manifest.webmanifest').then((r) => r.json())")["name"] == "Ponder"


def test_to_the_end(chat: Chat, site: Site) -> None:
    long = {"kind": "text", "text": "Line.  \n" * 200}
    chat.page.goto(f"{site.url}/#{seeded(site, [long])}")
    chat.page.wait_for_selector(".answer .piece")
    assert chat.page.locator("#to-end").is_hidden()
    chat.page.mouse.move(700, 400)
    chat.page.mouse.wheel(0, -3000)
    chat.page.locator("#to-end").click()
    chat.page.wait_for_selector("#to-end", state="hidden")
