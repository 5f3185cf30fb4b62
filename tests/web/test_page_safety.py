"""Whatever a model, a tool, a file or a person writes, it does nothing on the page (SEC-7).

The corpus is shown everywhere a text can stand. A detector counts every dialog, script, navigation, blocked attempt and
request to elsewhere; that it works is shown on the same page with the sanitiser off and no policy.
"""

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from pages import Chat, Site, eventually

from ponder.server.web.conversations import Conversations

CORPUS = [json.loads(line) for line in (Path(__file__).parents[1] / "server" / "xss.jsonl").read_text().splitlines()]
SVG = base64.b64encode(b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"><script>alert(1)</script></svg>')
HOOK = """
window.__hits = [];
const hit = (what) => window.__hits.push(String(what));
for (const name of ["alert", "confirm", "prompt", "print", "open"]) window[name] = (x) => hit(`${name} ${x}`);
addEventListener("securitypolicyviolation", (e) => hit(`blocked ${e.violatedDirective} ${e.blockedURI}`), true);
"""
ODD = """() => {
    const tags = "SCRIPT IFRAME OBJECT EMBED STYLE LINK META BASE FORM VIDEO AUDIO".split(" ");
    const odd = (n) => (tags.includes(n.tagName) && n.method !== "dialog")
        || n.getAttributeNames().some((a) => a.startsWith("on"))
        || (n.tagName === "IMG" && !n.src.startsWith("data:image/png"))
        || (n.tagName === "A" && !/^(https?:|mailto:|#)/.test(n.getAttribute("href")));
    const all = [...document.querySelectorAll("#messages *, #list *, dialog *")];
    return all.filter(odd).map((n) => n.outerHTML.slice(0, 200));
}"""


class Detector:
    """Everything that the page tried, from the moment it was made."""

    def __init__(self, context: Any, site: Site) -> None:
        self.outside: list[str] = []
        context.add_init_script(HOOK)
        context.route(
            lambda url: not url.startswith((site.url, "data:", "blob:")),
            lambda route: (self.outside.append(route.request.url), route.abort()),
        )
        context.on("page", self._watch)

    def _watch(self, page: Any) -> None:
        page.on("dialog", lambda d: (self.outside.append(f"dialog {d.message}"), d.dismiss()))
        page.on("popup", lambda p: self.outside.append(f"popup {p.url}"))

    def hits(self, page: Any) -> list[str]:
        return [*self.outside, *page.evaluate("window.__hits")]


def call(text: str) -> dict[str, Any]:
    image = {"media_type": "image/svg+xml", "data": SVG.decode(), "name": text}
    return {
        "kind": "call", "id": text, "name": text, "arguments": json.dumps({text: text}), "state": "done", "note": text,
        "output": text, "diff": f"+{text}", "images": [image],
    }  # fmt: skip


@pytest.fixture
def written(site: Site) -> str:
    """A conversation with every text of the corpus in every place, each on its own."""
    store = Conversations(site.store)
    id_ = str(store.create(CORPUS[0])["id"])
    files = [{"name": text, "text": text} for text in CORPUS]
    asked = store.add(id_, None, "user", {"content": "\n".join(CORPUS), "attachments": files})["id"]
    steps = [step for text in CORPUS for step in (
        {"kind": "thought", "text": text, "seconds": 1, "tokens": 1, "budget": 1}, {"kind": "text", "text": text},
        call(text), {"kind": "note", "text": text})]  # fmt: skip
    store.add(id_, asked, "assistant", {"content": "x", "steps": steps, "error": "<img src=x onerror=alert(1)>"})
    for text in CORPUS:
        store.create(text)
    store.close()
    return id_


def look_at_everything(page: Any) -> None:
    """Open all folds, hover, focus, and wait until the last answer is drawn."""
    page.wait_for_selector(".message.assistant", state="attached")  # with no sanitiser a text can hide it
    page.evaluate("document.querySelectorAll('#messages details').forEach((d) => { d.open = true; })")
    eventually(lambda: page.evaluate("[...document.querySelectorAll('.answer')].every((a) => a.children.length)"), 20)
    page.evaluate("""() => { for (const n of document.querySelectorAll("#messages *")) {
        n.dispatchEvent(new MouseEvent("mouseover", { bubbles: true })); n.focus?.(); } }""")
    page.wait_for_timeout(300)


def test_the_corpus_is_inert_everywhere(browser: Any, site: Site, written: str) -> None:
    assert len(CORPUS) >= 60
    context = browser.new_context()
    detector = Detector(context, site)
    chat = Chat.open(context, site, f"/#{written}")
    look_at_everything(chat.page)
    assert chat.page.locator("#list li").count() > len(CORPUS)
    assert chat.page.locator(".answer").count() == chat.page.locator(".step").count() == len(CORPUS)
    assert detector.hits(chat.page) == [] and chat.page.evaluate(ODD) == [] and chat.problems == []
    context.close()


def test_streamed_text_is_inert_at_every_moment(browser: Any, site: Site, chat: Chat) -> None:
    """Half of a text is another text: what is drawn while it grows must be as safe."""
    detector = Detector(chat.page.context, site)
    chat.page.goto(site.url)
    chat.page.wait_for_selector("#model option", state="attached")
    chat.ask("<img src=x onerror=alert(1)>", "hostile")
    chat.page.locator(".reasoning summary").click()
    chat.page.wait_for_selector(".message.assistant .facts:has-text('tokens')", timeout=30_000)
    look_at_everything(chat.page)
    assert detector.hits(chat.page) == [] and chat.page.evaluate(ODD) == []


def test_the_detector_works(browser: Any, site: Site, written: str) -> None:
    """The sanitiser replaced by nothing, the policy taken away: the same look finds scripts, requests and odd tags."""
    context = browser.new_context(bypass_csp=True)
    detector = Detector(context, site)
    context.route("**/web/render", lambda route: route.fulfill(json={"html": route.request.post_data_json["texts"]}))
    chat = Chat.open(context, site, f"/#{written}")
    look_at_everything(chat.page)
    hits = detector.hits(chat.page)
    assert sum(h.startswith("alert") for h in hits) >= 15, hits
    assert sum("evil.example" in h for h in hits) >= 3, hits
    assert len(chat.page.evaluate(ODD)) >= 20
    context.close()


def test_the_policy_stands_behind_the_sanitiser(browser: Any, site: Site, written: str) -> None:
    """With the sanitiser off and the policy on nothing runs and nothing leaves; the attempts are seen as blocked."""
    context = browser.new_context()
    detector = Detector(context, site)
    context.route("**/web/render", lambda route: route.fulfill(json={"html": route.request.post_data_json["texts"]}))
    chat = Chat.open(context, site, f"/#{written}")
    look_at_everything(chat.page)
    hits = detector.hits(chat.page)
    assert hits and all(h.startswith("blocked") for h in hits), [h for h in hits if not h.startswith("blocked")]
    context.close()


def test_own_title_and_file_name(chat: Chat) -> None:
    text = "<img src=x onerror=alert(1)>"
    chat.page.set_input_files("#file", [{"name": f"{text}.txt", "mimeType": "text/plain", "buffer": b"x"}])
    chat.page.wait_for_selector("#files li:has-text('onerror')")
    chat.answered(text, "brief")
    chat.page.locator("#list li").first.get_by_label("Delete").click()
    assert text in chat.text("dialog .content") and chat.page.evaluate(ODD) == []
    assert text in chat.page.title()
