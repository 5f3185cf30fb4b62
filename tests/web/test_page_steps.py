"""What an agent did, as the page shows it: calls, their arguments, progress, results, pictures and changes."""

from pages import Chat, Site
from sample_steps import STEPS, seeded


def test_stored_steps_are_shown_in_order(chat: Chat, site: Site) -> None:
    chat.page.goto(f"{site.url}/#{seeded(site, STEPS)}")
    chat.page.wait_for_selector(".answer strong")
    kinds = chat.page.evaluate("[...document.querySelectorAll('.message.assistant .body > *')].map((n) => n.className)")
    assert kinds == ["reasoning", "answer", "step done", "step done", "step failed", "step denied", "remark", "answer"]
    python, write, fetch, rm = chat.page.locator(".step").all()
    assert "plot([1, 2])" in python.locator(".given pre").inner_text(), "code is shown as code"
    assert chat.page.evaluate("document.querySelector('.step img').naturalWidth") == 8
    assert (
        write.locator(".diff .new").all_inner_texts()[0].strip() == "+new" and write.get_attribute("open") is not None
    )
    assert "failed" in fetch.inner_text() and "not allowed" in rm.inner_text()
    fetch.locator("summary").click()
    assert "Error: not allowed" in fetch.locator(".output").inner_text()
    chat.last.get_by_label("Copy", exact=True).last.click()
    assert chat.page.evaluate("navigator.clipboard.readText()") == "Let me draw the chart.\n\nHere is the **chart**."
