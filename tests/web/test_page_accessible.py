"""axe-core finds no serious fault: light and dark, wide and narrow, empty and full, with panels and dialogs open."""

from importlib.resources import files
from typing import Any

import pytest
from pages import Chat, Site
from sample_steps import STEPS, seeded

PHONE = {"viewport": {"width": 390, "height": 780}, "has_touch": True, "is_mobile": True}


@pytest.fixture(scope="session")
def axe() -> str:
    """The script of axe-core, as its Python package ships it."""
    pytest.importorskip("axe_playwright_python", reason="needs axe-playwright-python: make test-web")
    return (files("axe_playwright_python") / "axe.min.js").read_text()


def faults(chat: Chat, axe: str) -> list[str]:
    chat.page.evaluate(axe)  # through the debugger: the page's policy allows no foreign script
    found = chat.page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [
        f"{v['id']} ({v['impact']}): {node['html'][:150]} {node['failureSummary'][:200]}"
        for v in found["violations"]
        if v["impact"] in ("serious", "critical")
        for node in v["nodes"]
    ]


@pytest.mark.parametrize("phone", [False, True], ids=["wide", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_serious_fault(browser: Any, site: Site, axe: str, scheme: str, phone: bool) -> None:
    with Chat.visit(browser, site, color_scheme=scheme, reduced_motion="reduce", **(PHONE if phone else {})) as chat:
        assert faults(chat, axe) == []
        chat.answered("Explain.", "rich")
        chat.page.wait_for_selector(".answer blockquote")
        chat.page.locator(".reasoning summary").click()
        assert faults(chat, axe) == []
        if phone:
            chat.page.click("#open-sidebar")
            assert faults(chat, axe) == []
            chat.page.click("#close-sidebar")
        chat.page.click("#open-settings")
        assert faults(chat, axe) == []
        chat.page.click("#close-settings")
        chat.page.get_by_label("Edit").first.click()
        assert faults(chat, axe) == []
        chat.page.keyboard.press("Escape")
        chat.page.goto(f"{site.url}/#{seeded(site, STEPS)}")
        chat.page.wait_for_selector(".step.done")
        chat.page.evaluate("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
        assert faults(chat, axe) == []


def test_while_it_answers_and_with_the_keys_shown(chat: Chat, axe: str) -> None:
    chat.page.click("#help")
    assert faults(chat, axe) == []
    chat.page.keyboard.press("Escape")
    chat.ask("Think long.", "slow")
    chat.page.wait_for_selector("#answer-now:visible")
    assert faults(chat, axe) == []
    chat.page.click("#stop")
    chat.done()


@pytest.mark.parametrize("motion", ["reduce", "no-preference"])
def test_who_wants_no_motion_sees_none(browser: Any, site: Site, motion: str) -> None:
    with Chat.visit(browser, site, reduced_motion=motion) as chat:
        chat.ask("Talk.", "talker")
        chat.page.wait_for_selector(".answer .piece")
        moves = chat.page.evaluate("document.getAnimations().filter((a) => a.playState === 'running').length")
        assert bool(moves) == (motion != "reduce"), "the cursor at the end of the answer"
        chat.page.click("#stop")
        chat.done()


def test_everything_is_reached_by_the_tab_key(chat: Chat) -> None:
    """One round through the page: every visible control gets the focus, and it is seen there."""
    chat.answered("Explain.", "rich")
    controls = set(
        chat.page.evaluate("""() => [...document.querySelectorAll("button, input, select, textarea, a[href], summary")]
        .filter((n) => n.checkVisibility({ opacityProperty: false }) && !n.disabled)
        .map((n, i) => (n.dataset.n = String(i)))""")
    )
    reached = set()
    chat.page.evaluate("document.activeElement.blur()")
    for _ in range(len(controls) + 30):
        chat.page.keyboard.press("Tab")
        reached.add(chat.page.evaluate("document.activeElement.dataset.n ?? ''"))
    assert controls <= reached, [
        chat.page.evaluate(f"document.querySelector('[data-n=\"{n}\"]').outerHTML") for n in controls - reached
    ]
