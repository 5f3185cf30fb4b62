"""What clients know by its words: a prompt that is too long, a web search that is not there, a reply that failed."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anthropic
import httpx
import pytest
from live import server

from ponder.core.errors import ContextLengthExceeded
from ponder.engine.llm import LLM
from ponder.server.http.errors import api_error, body_for

SEARCH: Any = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}
ASK: Any = [{"role": "user", "content": "Perform a web search for the query: ponder"}]
CALL = '<tool_call>\n{"name": "web_search", "arguments": {"query": "ponder"}}\n</tool_call>'


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("s")
    (folder / "search.jsonl").write_text(json.dumps(CALL) + "\n")
    (folder / "small.jsonl").write_text('{"model": {"context": 300}}\n"Yes."\n')
    with server({n: lambda n=n: LLM(f"scripted:{folder / n}.jsonl") for n in ("search", "small")}) as url:  # type: ignore[misc]
        yield url


LONG = "word " * 400
BODIES: dict[str, Any] = {
    "/v1/chat/completions": {"messages": [{"role": "user", "content": LONG}]},
    "/v1/responses": {"input": LONG},
    "/v1/messages": {"messages": [{"role": "user", "content": LONG}], "max_tokens": 9},
    "/api/chat": {"messages": [{"role": "user", "content": LONG}]},
}


@pytest.mark.parametrize("path", BODIES)
def test_a_prompt_that_is_too_long(base: str, path: str) -> None:
    for stream in (False, True):
        reply = httpx.post(base + path, json=BODIES[path] | {"model": "small", "stream": stream}, timeout=60)
        assert reply.status_code == 400
        error = reply.json()["error"]
        if path == "/api/chat":
            assert error.startswith("the input length exceeds the context length")
        elif path == "/v1/messages":
            assert error["type"] == "invalid_request_error"
            assert error["message"].startswith("prompt is too long: 4") and " tokens > 300 maximum" in error["message"]
        else:
            assert error["code"] == "context_length_exceeded"
            assert error["message"].startswith("This model's maximum context length is 300 tokens")


def test_what_another_server_said_of_it() -> None:
    error = api_error(ContextLengthExceeded.reported("it has room for 4096 tokens"))
    assert "prompt is too long: " in str(body_for("/v1/messages", error)) and "4096" in str(
        body_for("/api/chat", error)
    )


@pytest.mark.parametrize("choice", [{"type": "auto"}, {"type": "tool", "name": "web_search"}])
def test_claude_codes_web_search_is_not_available(base: str, choice: Any) -> None:
    client = anthropic.Anthropic(base_url=base, api_key="none", max_retries=0)
    ask: Any = {"model": "search", "max_tokens": 999, "messages": ASK, "tools": [SEARCH], "tool_choice": choice}
    whole = client.messages.create(**ask)
    with client.messages.stream(**ask) as stream:
        streamed = stream.get_final_message()
    for reply in (whole, streamed):
        use, result = reply.content[-2:]
        assert (use.type, use.name, use.input) == ("server_tool_use", "web_search", {"query": "ponder"})
        assert result.type == "web_search_tool_result" and result.tool_use_id == use.id
        assert result.content.type == "web_search_tool_result_error" and result.content.error_code == "unavailable"
        assert reply.stop_reason == "end_turn", "there is nothing for the client to run"
    back = [*ASK, {"role": "assistant", "content": whole.content}, {"role": "user", "content": "so?"}]
    assert client.messages.create(**ask | {"messages": back}).content


def test_beside_other_tools_the_model_is_not_told_of_it(base: str) -> None:
    tool = {"name": "f", "input_schema": {"type": "object"}}
    body = {"model": "search", "max_tokens": 99, "messages": ASK, "tools": [SEARCH, tool]}
    reply = httpx.post(base + "/v1/messages", json=body, timeout=60).json()
    assert any("web_search" in w and "left out" in w for w in reply["warnings"])


def test_a_reply_that_fails_half_way(base: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Codex reads response.failed, OpenAI's packages the error."""
    (tmp_path / "s.jsonl").write_text('"one two three four five six seven"\n')
    llm = LLM(f"scripted:{tmp_path / 's.jsonl'}")

    def failing(*args: Any) -> Any:
        raise RuntimeError("broken")

    monkeypatch.setattr(llm.engine.runner, "decode", failing)
    with server({"s": lambda: llm}) as url:
        text = httpx.post(url + "/v1/responses", json={"input": "hi", "stream": True}, timeout=60).text
    events = [json.loads(line[6:]) for line in text.split("\n") if line.startswith("data: ")]
    assert events[-2]["type"] == "response.failed" and events[-2]["response"]["status"] == "failed"
    assert events[-2]["response"]["error"]["code"] == "server_error"
    assert [e["sequence_number"] for e in events] == list(range(len(events)))
