"""The chat page as a person uses it: ask, wait, look. Thin words over Playwright's page."""

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

ALLOWED = ("clipboard-read", "clipboard-write")
IGNORED = re.compile(r"ERR_CONNECTION|status of (404|415|400)|ERR_INCOMPLETE|Failed to fetch")


@dataclass
class Site:
    url: str
    store: Path

    def get(self, path: str) -> Any:
        return httpx.get(self.url + path).json()

    def text(self, path: str) -> str:
        return httpx.get(self.url + path).text

    def in_flight(self) -> int:
        return int(self.get("/health")["in_flight"])

    def engine(self, model: str, gauge: str) -> float:
        """A number of /metrics."""
        text = httpx.get(self.url + "/metrics").text
        found = re.search(rf'^ponder_engine_{gauge}\{{model="{model}"\}} (\S+)$', text, re.M)
        return float(found[1]) if found else 0.0


@dataclass
class Chat:
    page: Any
    site: Site
    problems: list[str] = field(default_factory=list)

    @classmethod
    @contextmanager
    def visit(cls, browser: Any, site: Site, path: str = "/", **context: Any) -> Iterator["Chat"]:
        made = browser.new_context(
            permissions=list(ALLOWED), **({"viewport": {"width": 1200, "height": 850}} | context)
        )
        made.set_default_timeout(30_000)
        try:
            chat = cls.open(made, site, path)
            yield chat
            assert not chat.problems, chat.problems
        finally:
            made.close()

    @classmethod
    def open(cls, context: Any, site: Site, path: str = "/") -> "Chat":
        """Another tab of the same visitor."""
        chat = cls(context.new_page(), site)
        chat.page.on("pageerror", lambda e: chat.problems.append(str(e)))
        chat.page.on("console", chat._console)
        chat.page.goto(site.url + path)
        chat.page.wait_for_selector("#model option", state="attached")
        return chat

    def _console(self, message: Any) -> None:
        if message.type == "error" and not IGNORED.search(message.text):
            self.problems.append(message.text)

    @property
    def id(self) -> str:
        return str(self.page.url).partition("#")[2]

    def stored(self) -> Any:
        return self.site.get(f"/web/conversations/{self.id}")

    def ask(self, text: str, model: str | None = None) -> None:
        if model is not None:
            self.page.select_option("#model", model)
        self.page.fill("#input", text)
        if self.page.evaluate("matchMedia('(pointer: coarse)').matches"):
            self.page.click("#send")
        else:
            self.page.keyboard.press("Enter")

    def done(self, timeout: float = 60_000) -> None:
        """The reply that runs has ended, and is on the page."""
        self.page.wait_for_selector("#send:visible", timeout=timeout)
        self.page.wait_for_selector(".message[aria-busy], .answer[aria-busy]", state="detached")

    def answered(self, text: str, model: str | None = None) -> str:
        """Ask, wait, and the answer as it is shown."""
        before = self.page.locator(".message.assistant").count()
        self.ask(text, model)
        self.page.locator(".message.assistant").nth(before).wait_for()
        self.done()
        self.page.wait_for_selector(".message.assistant:last-child .answer .piece")
        return str(self.last.locator(".answer").inner_text())

    @property
    def last(self) -> Any:
        return self.page.locator(".message.assistant").last

    def text(self, selector: str) -> str:
        return str(self.page.locator(selector).first.inner_text())


def eventually(check: Callable[[], Any], seconds: float = 15.0) -> Any:
    """The first true value that check gives."""
    deadline = time.monotonic() + seconds
    while not (value := check()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.02)
    return value
