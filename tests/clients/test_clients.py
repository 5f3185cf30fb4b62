"""Every client, every case of cases.py, streamed and whole, against `ponder serve` with scripted models.

make test-clients                                   # the clients that need an environment of their own, too
python tests/clients/cases.py                       # how many cases each client has
PONDER_CLIENTS=litellm pytest tests/clients         # some of them
"""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cases import Case
from dialects import body_of
from judge import judge
from readers import read
from roster import CLIENTS, DRIVERS, Client, cases_of, driver
from scripts import write
from serving import ponder_serve

HERE = [c.name for c in CLIENTS.values() if not c.packages]
CHOSEN = [CLIENTS[name] for name in os.environ.get("PONDER_CLIENTS", ",".join(HERE)).split(",")]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    models = write(tmp_path_factory.mktemp("scripts"))
    with ponder_serve(*models.values(), "--keep", str(len(models))) as url:
        yield url


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize(("client", "case"), [pytest.param(client, case, id=f"{client.name}: {case.name}")
                                              for client in CHOSEN for case in cases_of(client)])  # fmt: skip
def test_case(base: str, drivers: dict[str, Any], client: Client, case: Case, stream: bool) -> None:
    assert client.ready, f"{client.name} is not installed: make test-clients"
    if client.name not in drivers:
        drivers[client.name] = driver(client, base)
    body = body_of(client.dialect, case.ask) | {"model": case.model}
    for _ in range(2 if case.twice else 1):
        reply = read(client.dialect, drivers[client.name].ask(body, stream))
    judge(case.want, reply, client.hidden)
    assert not {"<think>", "</think>"} & set(reply.get("text", "").split()), "no tag in an answer"


@pytest.mark.skipif("qwen-agent" not in [c.name for c in CHOSEN], reason="qwen-agent is not among the clients")
@pytest.mark.parametrize("mode", ["raw", "prompt"])
def test_qwen_agents_way_of_function_calling(base: str, mode: str) -> None:
    client = CLIENTS["qwen-agent"]
    command = [str(client.home / "bin" / "python"), str(DRIVERS / "qwen_agent_example.py"), base, "weather", mode]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    messages = json.loads(done.stdout.splitlines()[-1])
    calls = [m["function_call"] for m in messages if m.get("function_call")]
    assert [(c["name"], json.loads(c["arguments"])) for c in calls] == [("get_current_weather", {"location": "Tokyo"})]
    result = next(m for m in messages if m["role"] == "function")
    assert json.loads(result["content"])["temperature"] == 10
    assert messages[-1]["content"] == "It is 10 degrees in Tokyo."


def test_forty_cases_a_client() -> None:
    assert all(len(cases_of(client)) >= 40 for client in CLIENTS.values())
    names = [case.name for case in cases_of(CLIENTS["openai"])]
    assert len(set(names)) == len(names), "two cases of one name"


def test_the_table_is_judged(tmp_path: Path) -> None:
    """A judge that lets everything pass would prove nothing."""
    good: dict[str, Any] = {"text": "a", "calls": [], "finish": "stop", "usage": {"prompt": 1, "completion": 1}}
    judge({"text": "a", "finish": "stop"}, good)
    for want in ({"text": "b"}, {"error": [400, "x"]}, {"calls": [["f", {}]]}, {"usage": {"completion": 2}},
                 {"effective": {"budget": 1}}, {"text_has": "z"}, {"reasoning": "r"}):  # fmt: skip
        with pytest.raises(AssertionError):
            judge(want, good)
    with pytest.raises(AssertionError):
        judge({}, good | {"reasoning": "  "})
