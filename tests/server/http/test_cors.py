"""A19: web pages of the origins that the operator named, as their browsers ask."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest
from live import server

from ponder.engine.llm import LLM
from ponder.server.config import ServerConfig

PAGE = "https://chat.example"
KEY = "k" * 20


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    script = tmp_path_factory.mktemp("scripts") / "s.jsonl"
    script.write_text('"Hi."\n')
    config = ServerConfig(api_keys=(KEY,), origins=(PAGE, "null"))
    with server({"s": partial(LLM, f"scripted:{script}")}, config) as base, httpx.Client(base_url=base) as client:
        yield client


def preflight(method: str = "POST", headers: str = "authorization,content-type,x-stainless-os") -> dict[str, str]:
    return {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/api/chat", "/v1/responses/x", "/mcp"])
@pytest.mark.parametrize("origin", [PAGE, "null"])
def test_a_preflight_needs_no_key(http: httpx.Client, path: str, origin: str) -> None:
    reply = http.options(path, headers={"Origin": origin, **preflight("DELETE")})
    assert reply.status_code == 200, reply.text
    assert reply.headers["access-control-allow-origin"] == origin
    assert "DELETE" in reply.headers["access-control-allow-methods"]
    assert "x-stainless-os" in reply.headers["access-control-allow-headers"]


def test_replies_can_be_read_and_so_can_refusals(http: httpx.Client) -> None:
    body = {"messages": [{"role": "user", "content": "hi"}]}
    for more, status in (({"Authorization": f"Bearer {KEY}"}, 200), ({}, 401)):
        reply = http.post("/v1/chat/completions", json=body, headers={"Origin": PAGE, **more})
        assert reply.status_code == status
        assert reply.headers["access-control-allow-origin"] == PAGE and "origin" in reply.headers["vary"].lower()
        assert "Retry-After" in reply.headers["access-control-expose-headers"]
    with http.stream(
        "POST", "/v1/chat/completions", json={**body, "stream": True},
        headers={"Origin": PAGE, "Authorization": f"Bearer {KEY}"},
    ) as stream:  # fmt: skip
        assert stream.headers["access-control-allow-origin"] == PAGE


@pytest.mark.parametrize("origin", ["https://evil.example", "https://chat.example.evil", "http://chat.example"])
def test_others_stay_out(http: httpx.Client, origin: str) -> None:
    reply = http.options("/v1/chat/completions", headers={"Origin": origin, **preflight()})
    assert reply.status_code == 400 and "access-control-allow-origin" not in reply.headers
    reply = http.get("/v1/models", headers={"Origin": origin, "Authorization": f"Bearer {KEY}"})
    assert reply.status_code == 403 and "access-control-allow-origin" not in reply.headers


def test_without_origins_nobody_is_let_in(tmp_path: Path) -> None:
    script = tmp_path / "s.jsonl"
    script.write_text('"Hi."\n')
    with server({"s": partial(LLM, f"scripted:{script}")}) as base:
        reply = httpx.options(base + "/v1/chat/completions", headers={"Origin": PAGE, **preflight()})
        assert reply.status_code == 403 and "--allow-origin" in reply.json()["error"]["message"]
