"""What a reply looks like: formulas, thoughts as Markdown, code that is wrapped, saved and previewed."""

import json
from pathlib import Path
from typing import Any

from pages import Chat, Site, eventually
from sample_steps import seeded

FORMULAS = Path(__file__).with_name("formulas.txt").read_text("utf-8").splitlines()
ESCAPES = """<h1>Hi</h1><script>
const tries = {
  parent: () => parent.document.title, storage: () => localStorage.length, cookie: () => document.cookie,
  top: () => { top.location = "https://evil.example/top"; }, popup: () => open("https://evil.example/popup").name,
};
const got = [];
for (const [name, attempt] of Object.entries(tries)) { try { attempt(); got.push(name); } catch {} }
fetch("https://evil.example/fetch").then(() => got.push("fetch"), () => {}).finally(() => {
  document.title = JSON.stringify(got);
});
</script><img src="https://evil.example/picture"><iframe src="https://evil.example/frame"></iframe>"""


def text(content: str) -> dict[str, str]:
    return {"kind": "text", "text": content}


def shown(chat: Chat, site: Site, *steps: dict[str, Any]) -> None:
    chat.page.goto(f"{site.url}/#{seeded(site, list(steps))}")
    chat.page.wait_for_selector(".message.assistant")


def test_the_usual_formulas_are_drawn(chat: Chat, site: Site) -> None:
    shown(
        chat,
        site,
        *(text(f"$$\n{tex}\n$$\n\nand ${tex}$" if "tag" not in tex else f"$$\n{tex}\n$$") for tex in FORMULAS),
    )
    inline = sum("tag" not in tex and "equation" not in tex for tex in FORMULAS)
    eventually(lambda: chat.page.locator(".math.drawn").count() >= len(FORMULAS) + inline)
    raw = chat.page.evaluate("[...document.querySelectorAll('.math.raw')].map((m) => `${m.textContent}: ${m.title}`)")
    assert len(FORMULAS) == 33 and [one for one in raw if "equation" not in one] == []
    assert chat.page.locator(".katex-error").count() == 0
    tall = chat.page.evaluate("""async () => {
        await document.fonts.ready;
        const boxes = [...document.querySelectorAll(".display .delimsizing svg, .display .sqrt svg")];
        return [document.fonts.check("16px KaTeX_Main"), ...boxes.map((b) => b.getBoundingClientRect().height)];
    }""")
    assert tall[0] and len(tall) > 5 and max(tall[1:]) > 2.5 * min(tall[1:]), (
        "brackets and roots grow with what they hold, in the page's own font"
    )


def test_a_formula_that_is_none_stays_text(chat: Chat, site: Site) -> None:
    shown(chat, site, text("A $\\frac{1$ and $\\href{javascript:alert(1)}{x}$ and $\\undefined$, $y$."))
    chat.page.wait_for_selector(".math.drawn")
    assert chat.page.locator(".math.raw").count() >= 2 and "\\frac{1" in chat.last.inner_text()
    assert chat.page.locator(".math a").count() == 0


def test_thoughts_are_markdown_when_they_are_over(chat: Chat, site: Site) -> None:
    thought = {
        "kind": "thought",
        "text": "So **bold** $x^2$\n\n- one\n\n```python\nx = 1\n```",
        "seconds": 1,
        "tokens": 9,
        "budget": None,
    }
    shown(chat, site, thought, text("Done."))
    chat.page.click(".reasoning summary")
    for part in ("strong", ".math.drawn", "li", ".code .copy"):
        chat.page.wait_for_selector(f".thoughts {part}")


def test_code_is_wrapped_and_saved(chat: Chat, site: Site) -> None:
    shown(chat, site, text(f"```python\nx = '{'long ' * 200}'\n```\n\n```\nplain\n```"))
    chat.page.wait_for_selector(".code .wrap")
    wide = "document.querySelector('.code pre').scrollWidth > document.querySelector('.code pre').clientWidth"
    assert chat.page.evaluate(wide)
    chat.page.locator(".code .wrap").first.click()
    assert not chat.page.evaluate(wide)
    chat.page.reload()
    chat.page.wait_for_selector(".code .wrap")
    assert not chat.page.evaluate(wide), "a choice that stays"
    for n, name in enumerate(("code.py", "code.txt")):
        with chat.page.expect_download() as download:
            chat.page.locator(".code .download").nth(n).click()
        assert download.value.suggested_filename == name
    assert Path(download.value.path()).read_text() == "plain\n"


def test_a_preview_runs_and_reaches_nothing(chat: Chat, site: Site) -> None:
    outside: list[str] = []
    chat.page.context.route(
        lambda url: not url.startswith((site.url, "blob:", "data:")),
        lambda route: (outside.append(route.request.url), route.abort()),
    )
    chat.page.context.on("page", lambda page: outside.append(f"popup {page.url}"))
    shown(chat, site, text(f"```html\n{ESCAPES}\n```\n\n```python\nprint()\n```"))
    chat.page.wait_for_selector(".code .preview")
    assert chat.page.locator("iframe").count() == 0 and chat.page.locator(".code .preview").count() == 1
    chat.page.click(".code .preview")
    frame = chat.page.wait_for_selector("iframe").content_frame()
    frame.wait_for_selector("h1")
    assert eventually(lambda: frame.title() if frame.title().startswith("[") else "") == json.dumps([])
    assert frame.evaluate("origin") == "null" and outside == [] and chat.page.url.startswith(site.url)
    chat.page.click(".code .preview")
    assert chat.page.locator("iframe").count() == 0
    chat.problems.clear()  # the policy says in the console what it refused


def test_a_picture_in_svg_is_previewed(chat: Chat, site: Site) -> None:
    shown(
        chat,
        site,
        text('```svg\n<svg width="90" height="40"><rect width="90" height="40"/></svg>\n```'),
    )
    chat.page.click(".code .preview")
    frame = chat.page.wait_for_selector("iframe").content_frame()
    assert frame.wait_for_selector("rect").bounding_box()["width"] == 90
