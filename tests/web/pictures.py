"""Pictures of the page to be looked at: replies in four languages and the page's own parts, in both colours, two widths
and all languages.

python tests/web/pictures.py [FOLDER]      # default: runs/pictures; page.png is the README's
"""

import json
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).parents[1] / "server"))

from conftest import CHROMIUM
from live import server
from pages import Chat, Site
from playwright.sync_api import sync_playwright
from sample_steps import STEPS, seeded

from ponder.engine.llm import LLM
from ponder.server.config import ServerConfig

TESTS = Path(__file__).parents[1]
WIDTHS = {"desktop": (1280, 850), "telephone": (390, 800)}
REPLIES = TESTS / "server" / "web" / "replies"
SHOWN = """A merge takes the smaller head of two sorted lists, so one pass costs $O(n)$:

```python
def merge(a: list[int], b: list[int]) -> list[int]:
    out = []
    while a and b:
        out.append((a if a[0] <= b[0] else b).pop(0))
    return out + a + b
```

$$T(n) = 2\\,T\\!\\left(\\frac{n}{2}\\right) + O(n) = O(n \\log n)$$

| sort | best | worst | stable |
|---|---|---|---|
| merge | $n \\log n$ | $n \\log n$ | yes |
| quick | $n \\log n$ | $n^2$ | no |
"""
FACTS = {
    "reason": "stop", "handover": None, "effective": None, "used": 902, "warnings": [], "first_s": 0.41, "per_s": 21.3,
    "seconds": 31.0, "context": 40960,
    "usage": {"prompt_tokens": 24, "completion_tokens": 878, "reasoning_tokens": 512, "cached_tokens": 0},
}  # fmt: skip


def take(chat: Chat, path: Path, *, whole: bool = False) -> None:
    chat.page.wait_for_timeout(900)  # fonts, formulas
    if whole:
        height = chat.page.evaluate("document.querySelector('#messages').scrollHeight")
        chat.page.set_viewport_size({"width": chat.page.viewport_size["width"], "height": height + 300})
        chat.page.wait_for_timeout(300)
    chat.page.screenshot(path=str(path))
    print(path)


def parts(browser: Any, site: Site, out: Path, language: str, scheme: str, size: str) -> None:
    width, height = WIDTHS[size]
    context = {"viewport": {"width": width, "height": height}, "color_scheme": scheme, "locale": language}
    name = f"{language}-{scheme}-{size}"
    with Chat.visit(browser, site, **context) as chat:
        take(chat, out / f"{name}-empty.png")
        chat.page.click("#open-settings")
        take(chat, out / f"{name}-settings.png")
        chat.page.click("#close-settings")
        chat.page.goto(f"{site.url}/#{seeded(site, STEPS)}")
        chat.page.wait_for_selector(".step.done")
        take(chat, out / f"{name}-steps.png")


def replies(browser: Any, site: Site, out: Path, language: str, scheme: str, size: str) -> None:
    texts = [{"kind": "text", "text": file.read_text("utf-8")} for file in sorted(REPLIES.glob(f"{language}-*.md"))]
    width, height = WIDTHS[size]
    with Chat.visit(
        browser,
        site,
        f"/#{seeded(site, texts)}",
        viewport={"width": width, "height": height},
        color_scheme=scheme,
    ) as chat:
        chat.page.wait_for_selector(".answer .piece")
        take(chat, out / f"replies-{language}-{scheme}-{size}.png", whole=True)


def readme(browser: Any, site: Site, out: Path) -> None:
    from ponder.server.web.conversations import Conversations

    store = Conversations(site.store)
    for title in ("A haiku about autumn", "把这段话译成英文", "Plan a week in Kyoto"):
        store.create(title)
    id_ = store.create("Why is merge sort fast?", {"model": "qwen3:4b", "budget": 1024})["id"]
    store.change(id_, tags=["study"])
    asked = store.add(id_, None, "user", {"content": "Why is merge sort fast? Show the code and the proof."})["id"]
    thought = {"kind": "thought", "text": "Hm.", "seconds": 18.2, "tokens": 512, "budget": 1024}
    reply = {"content": SHOWN, "steps": [thought, {"kind": "text", "text": SHOWN}], "model": "qwen3:4b", "facts": FACTS}
    store.add(id_, asked, "assistant", reply | {"stopped": False})
    store.close()
    with Chat.visit(browser, site, f"/#{id_}", viewport={"width": 1200, "height": 820}) as chat:
        chat.page.wait_for_selector(".math.display.drawn")
        take(chat, out / "page.png")


def main() -> None:
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "runs/pictures")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        models = {}
        for name in ("qwen3:4b", "qwen3:0.6b"):
            script = Path(folder) / f"{name.replace(':', '-')}.jsonl"
            script.write_text(json.dumps("Yes.") + "\n")
            models[name] = partial(LLM, f"scripted:{script}")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        store = Path(folder) / "chat.sqlite"
        with server(models, ServerConfig(), store=store) as url:
            site = Site(url, store)
            readme(browser, site, out)
            for scheme in ("light", "dark"):
                for size in WIDTHS:
                    for language in ("en", "zh", "es"):
                        parts(browser, site, out, language, scheme, size)
                    for language in ("en", "zh", "ja", "ar"):
                        replies(browser, site, out, language, scheme, size)
        browser.close()


if __name__ == "__main__":
    main()
