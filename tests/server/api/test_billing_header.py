"""Claude Code's first system line, whose numbers change: no model sees it, so the cache holds behind it."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from live import saying, server

from ponder.core.message import Message
from ponder.server.api.billing_header import without_billing_header


def header(number: str) -> str:
    return f"x-anthropic-billing-header: cc_version=2.1.177.01c; cc_entrypoint=cli; cch={number};"


def block(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


RULES = "You are an agent. " + "Be careful and precise. " * 100
HI: Any = [{"role": "user", "content": "hi"}]
BODIES: dict[str, Any] = {
    "/v1/messages": lambda h: {"system": [block(h), block(RULES)], "messages": HI, "max_tokens": 9},
    "/v1/chat/completions": lambda h: {"messages": [{"role": "system", "content": f"{h}\n{RULES}"}, *HI]},
    "/v1/responses": lambda h: {"instructions": f"{h}\n{RULES}", "input": HI},
    "/api/chat": lambda h: {"model": "m", "stream": False, "messages": [{"role": "system", "content": h + RULES}, *HI]},
}  # fmt: skip


def read_anew(path: str, reply: dict[str, Any]) -> int:
    if path == "/api/chat":
        return int(reply["prompt_eval_count"])
    usage = reply["usage"]
    cached = usage.get("prompt_tokens_details") or usage.get("input_tokens_details") or {}
    return int(usage.get("prompt_tokens") or usage["input_tokens"]) - int(cached.get("cached_tokens", 0))


@pytest.mark.parametrize("path", BODIES)
def test_a_new_number_costs_nothing(tmp_path: Path, path: str) -> None:
    with server(saying(tmp_path, {"m": "Hello."})) as base:
        counts = [
            read_anew(path, httpx.post(base + path, json=BODIES[path](header(n)), timeout=60).json())
            for n in ("36ee5", "0a9")
        ]
        plain = read_anew(path, httpx.post(base + path, json=BODIES[path](""), timeout=60).json())
    if path == "/api/chat":  # which does not say what came from the cache
        assert counts[0] == counts[1] == plain
    else:
        assert counts[0] > 300 and counts[1] < 50, "the second reads the end only"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (header("1") + "\nYou are.", "You are."),
        (header("1") + "You are a=b; c.", "You are a=b; c."),
        (header("1").rstrip(";") + "\nYou are.", "You are."),
        (f"First.\n{header('1')}\nThen.", "First.\nThen."),
        (
            "The x-anthropic-billing-header: a=b; is Claude Code's.",
            "The x-anthropic-billing-header: a=b; is Claude Code's.",
        ),
    ],
)
def test_the_line_and_nothing_else_goes(text: str, left: str) -> None:
    assert without_billing_header((Message.system(text), Message.user(text))) == (
        Message.system(left),
        Message.user(text),
    )


def test_a_message_that_says_nothing_else_goes() -> None:
    said = (Message.system(header("1")), Message.system(""), Message.user("x"))
    assert without_billing_header(said) == said[1:]
