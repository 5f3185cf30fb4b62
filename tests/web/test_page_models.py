"""The models in the page: what one can have, a download that goes on, load; a load that takes long says so."""

import json
from typing import Any

from pages import Chat, eventually
from test_page_accessible import axe, faults

__all__ = ["axe"]  # a fixture


def had(name: str, gigabytes: float, rate: float, **more: Any) -> dict[str, Any]:
    """Of the catalogue."""
    shape = {"name": name, "kind": "hybrid", "bytes": gigabytes * 1e9, "needs": gigabytes * 1.25e9, "rate": rate}
    return shape | {"fits": gigabytes < 12, "offered": False, "here": False} | more


LOOKED = ".models p:has-text('This machine has')"
MODELS: list[dict[str, Any]] = [
    {"name": "brief", "kind": "own", "offered": True, "here": False, "loaded": True},
    had("qwen3:4b-q4_k_m", 2.5, 9.1, offered=True, here=True, loaded=False),
    had("qwen3:8b-q4_k_m", 5, 5.2),
    had("qwen3:32b-q4_k_m", 20, 1),
]


def test_models_are_downloaded_and_loaded(chat: Chat, axe: str) -> None:
    asked: list[tuple[str, Any]] = []
    models = json.loads(json.dumps(MODELS))

    def take(route: Any) -> None:
        asked.append((route.request.url.rpartition("/")[2], route.request.post_data_json))
        if asked[-1][0] == "pull":
            models[2]["download"] = {"done": 1e9, "total": 5e9, "error": ""}
        if asked[-1][0] == "stop":
            del models[2]["download"]
        route.fulfill(json={})

    told = {"memory": 16e9, "models": models, "extends": True}
    held: list[Any] = []
    chat.page.route("**/web/catalogue", lambda route: held.append(route) if not held else route.fulfill(json=told))
    chat.page.route("**/web/models/*", take)
    chat.page.click("#models")
    rows = chat.page.locator(".models li")
    assert "brief" in " ".join(rows.all_inner_texts()), "what is offered is listed at once"
    eventually(lambda: held)
    held[0].fulfill(json=told)
    chat.page.wait_for_selector(LOOKED)
    assert "2.5 GB · fits your 16 GB · about 9.1 tokens/s here" in rows.nth(1).inner_text()
    assert "needs 25 GB: too large for this machine" in rows.nth(3).inner_text()
    assert faults(chat, axe) == []
    chat.page.get_by_label("Download: qwen3:8b-q4_k_m").click()
    chat.page.wait_for_selector(".models progress")
    assert "1 GB / 5 GB" in rows.nth(2).inner_text()
    chat.page.get_by_label("Cancel: qwen3:8b-q4_k_m").click()
    chat.page.wait_for_selector(".models progress", state="detached")
    chat.page.get_by_label("Load: qwen3:4b-q4_k_m").click()
    eventually(lambda: len(asked) == 3)
    chat.page.route(
        "**/api/delete", lambda route: (asked.append(("delete", route.request.post_data_json)), route.fulfill(body=""))
    )
    chat.page.get_by_label("Delete: qwen3:4b-q4_k_m").click()
    chat.page.click("dialog button.primary:has-text('Delete')")
    chat.page.wait_for_selector(LOOKED)
    assert asked == [
        ("pull", {"model": "qwen3:8b-q4_k_m"}),
        ("stop", {"model": "qwen3:8b-q4_k_m"}),
        ("load", {"model": "qwen3:4b-q4_k_m"}),
        ("delete", {"model": "qwen3:4b-q4_k_m"}),
    ]


def test_a_model_that_is_loaded_first_says_so(chat: Chat) -> None:
    """Never a blank page: the reply is held back as a load would hold it."""
    held: list[Any] = []
    listed = {
        "models": [{"name": "brief", "loaded": False, "loading": False}],
        "default": "brief",
        "tools": [],
        "warnings": [],
    }
    chat.page.route("**/web/models", lambda route: route.fulfill(json=listed))
    chat.page.route("**/reply", lambda route: held.append(route))
    chat.page.reload()
    chat.page.wait_for_selector("#model option", state="attached")
    chat.ask("Hi")
    chat.page.wait_for_selector("#waiting:has-text('Loading brief')")
    eventually(lambda: held)
    held[0].continue_()
    chat.page.wait_for_selector("#waiting", state="detached")
    chat.done()


def test_what_a_model_s_card_says_is_told(chat: Chat) -> None:
    """On the empty page, with its own questions to try, and in the list of models, where it cannot be deleted."""
    about, question = "It counts letters. It knows no facts of the world.", "How many r in s t r a w?"
    own = {"name": "brief", "loaded": True, "about": about, "examples": [question], "context": 2048}
    listed = {"models": [own], "default": "brief", "tools": [], "warnings": []}
    chat.page.route("**/web/models", lambda route: route.fulfill(json=listed))
    row = had("ponder-mini", 0.0063, 5000, here=True, shipped=True, about=about)
    told = {"memory": 16e9, "models": [row], "extends": True}
    chat.page.route("**/web/catalogue", lambda route: route.fulfill(json=told))
    chat.page.reload()
    chat.page.wait_for_selector(f".empty p:has-text('{about}')")
    chat.page.click(f".tries button:has-text('{question}')")
    assert chat.page.input_value("#input") == question
    chat.page.locator("#budget").fill("1")
    assert chat.text("#budget-value") == "16"
    assert chat.page.get_attribute("#budget", "max") == "8", "up to 1024, or no limit"
    chat.page.click("#models")
    chat.page.wait_for_selector(LOOKED)
    shown = chat.page.locator(".models li").first
    assert "6.3 MB" in shown.inner_text() and about in shown.inner_text()
    assert shown.locator("button").all_inner_texts() == ["Use"]
