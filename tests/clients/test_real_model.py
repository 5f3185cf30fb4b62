"""The same cases on a real model: what a real model says is its own affair, but its form must hold.

PONDER_TEST_MODEL (default: the bundle qwen2.5-coder:0.5b) names the model, PONDER_CLIENTS the clients. Each case runs
once, every other one streamed.
"""

import os
import zlib
from collections.abc import Iterator
from typing import Any

import pytest
from cases import Case
from dialects import body_of
from judge import judge
from readers import read
from roster import CLIENTS, Client, cases_of, driver
from serving import ponder_serve

MODEL = os.environ.get("PONDER_TEST_MODEL", "qwen2.5-coder:0.5b")
HERE = [c.name for c in CLIENTS.values() if not c.packages]
CHOSEN = [CLIENTS[name] for name in os.environ.get("PONDER_CLIENTS", ",".join(HERE)).split(",")]
LIMIT = 48  # ids, where a case does not say: a real model talks
WORDS = ("think", "budget", "effort", "reasoning")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def base() -> Iterator[str]:
    with ponder_serve(MODEL, seconds=1800) as url:
        yield url


def fits(case: Case) -> bool:
    """Cases about a certain script's length or a model's kind say nothing about another model."""
    return case.model not in ("small", "instruct", "loop")


CHOICE = [(client, case) for client in CHOSEN for case in cases_of(client) if fits(case)]


@pytest.mark.parametrize(("client", "case"), CHOICE, ids=[f"{client.name}: {case.name}" for client, case in CHOICE])
def test_case_on_a_real_model(base: str, drivers: dict[str, Any], client: Client, case: Case) -> None:
    assert client.ready, f"{client.name} is not installed: make test-clients"
    if client.name not in drivers:
        drivers[client.name] = driver(client, base)
    limit = {} if "max_completion_tokens" in case.ask.get("extra", {}) else {"max_tokens": LIMIT}
    body = body_of(client.dialect, limit | case.ask)
    body["model"] = case.model if case.model == "nobody" else "default"
    stream = zlib.crc32(case.name.encode()) % 2 == 0
    reply = read(client.dialect, drivers[client.name].ask(body, stream))
    asks_to_think = any(word in str(body) for word in WORDS) and "error" in reply
    if asks_to_think and "error" not in case.want:
        assert reply["error"]["status"] == 400 and "without thinking" in reply["error"]["message"], reply
        return
    judge(form_of(case), reply, client.hidden)


def form_of(case: Case) -> dict[str, Any]:
    """What a case wants of any model: errors, limits that were asked for, and that no call comes where none may."""
    if "error" in case.want:
        return case.want
    effective = {
        k: v for k, v in case.want.get("effective", {}).items() if k in case.ask and k not in ("thinking", "budget")
    }
    kept = {"effective": effective} if effective else {}
    return kept | {k: v for k, v in case.want.items() if k == "text_lacks"}
