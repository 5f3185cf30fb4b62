"""One Chromium and one server with scripted models for the tests of each file. `make test-web` installs both."""

import json
import shutil
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

sys.path.append(str(Path(__file__).parents[1] / "server"))
from live import server
from pages import Chat, Site

from ponder.engine.llm import LLM
from ponder.server.config import ServerConfig

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
RICH = Path(__file__).with_name("rich.md").read_text()
XSS = [json.loads(line) for line in (Path(__file__).parents[1] / "server" / "xss.jsonl").read_text().splitlines()]
HOSTILE = "\n\n".join(sorted(XSS, key=lambda text: "```" in text))  # an open fence would swallow the rest
WORDS = " ".join(f"thought {i * i}" for i in range(3000))
FLOOD = " ".join(f"so {i * 7919 % 100_003}," for i in range(16_000))  # 104,000 tokens
TALK = "".join(f"On and on, {i * i}.\n\n" for i in range(3000))
MODELS: dict[str, list[Any]] = {
    "rich": [{"text": f"<think>\n{'Let me see what they want. ' * 30}\n</think>\n\n{RICH}"}],
    "slow": [{"text": f"<think>\n{WORDS}", "answer": "All right, here it is.", "delay_ms": 4, "eos": False}],
    "talker": [{"text": "<think>\n\n</think>\n\n" + TALK, "delay_ms": 4, "eos": False}],
    "flood": [{"model": {"context": 131072}}, {"text": f"<think>\n{FLOOD}\n</think>\n\nDone."}],
    "reader": [{"model": {"read_ms": 1.0, "capability": "instruct"}}, {"text": "That was long."}],
    "hostile": [f"<think>\n{HOSTILE}\n</think>\n\n{HOSTILE}"],
    "brief": [{"model": {"capability": "instruct"}}, {"text": "First answer."}, {"text": "Second answer."}],
    "thinker": [{"model": {"capability": "thinking"}}, {"text": "<think>\nHm.\n</think>\n\nYes."}],
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """For one file: Playwright leaves its thread an event loop that runs, and other tests begin one of their own."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="tests of the page need playwright: make test-web")
    if CHROMIUM is None:
        pytest.skip("tests of the page need Chromium: make test-web, or apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def site(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    models = {}
    for name, lines in MODELS.items():
        (folder / f"{name}.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
        models[name] = partial(LLM, f"scripted:{folder / name}.jsonl")
    with server(models, ServerConfig(linger=1.5), store=folder / "chat.sqlite") as url:
        yield Site(url, folder / "chat.sqlite")


@pytest.fixture
def chat(browser: Any, site: Site) -> Iterator[Chat]:
    """A fresh page of a fresh visitor. Errors in the console fail the test."""
    with Chat.visit(browser, site) as chat:
        yield chat
