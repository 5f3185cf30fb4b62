"""Ollama's dialect by its official client against a live server with the scripted engine."""

from collections.abc import Iterator
from typing import Any

import ollama
import pytest
from live import saying, server

HI = [{"role": "user", "content": "hi"}]
CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 2}}\n</tool_call>'
REPLIES = {"plain": "<think>\nLet me see.\n</think>\n\nGrüße 👋🏽!", "call": f"<think>\nI add.\n</think>\n\n{CALL}"}
TOOL: dict[str, Any] = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ollama.Client]:
    with server(saying(tmp_path_factory.mktemp("scripts"), REPLIES)) as base:
        yield ollama.Client(base)


def test_chat_streamed_equals_whole(client: ollama.Client) -> None:
    whole = client.chat("plain", HI)
    parts = list(client.chat("plain", HI, stream=True))
    assert [p.done for p in parts] == [False] * (len(parts) - 1) + [True]
    assert "".join(p.message.content or "" for p in parts) == whole.message.content == "Grüße 👋🏽!"
    assert "".join(p.message.thinking or "" for p in parts) == whole.message.thinking == "Let me see."
    assert parts[-1].eval_count == whole.eval_count and whole.done_reason == "stop"
    assert (whole.total_duration or 0) > 0 and (whole.prompt_eval_count or 0) > 0


def test_tool_calls_have_objects_as_arguments(client: ollama.Client) -> None:
    for reply in (client.chat("call", HI, tools=[TOOL]), *client.chat("call", HI, tools=[TOOL], stream=True)):
        for call in reply.message.tool_calls or ():
            assert call.function.name == "add" and call.function.arguments == {"a": 2}
    again = [*HI, client.chat("call", HI, tools=[TOOL]).message, {"role": "tool", "content": "4", "tool_name": "add"}]
    assert client.chat("plain", again).message.content


def test_generate(client: ollama.Client) -> None:
    whole = client.generate("plain", "hi", system="be short")
    assert whole.response == "Grüße 👋🏽!" and whole.thinking == "Let me see."
    assert "".join(p.response for p in client.generate("plain", "hi", stream=True)) == whole.response
    assert client.generate("plain", "").done_reason == "load"


@pytest.mark.parametrize("think", [False, True, "low", "high"])
def test_think(client: ollama.Client, think: Any) -> None:
    assert client.chat("plain", HI, think=think).done


def test_models(client: ollama.Client) -> None:
    client.chat("plain", HI)
    assert {m.model for m in client.list().models} == set(REPLIES)
    assert "plain" in {m.model for m in client.ps().models}
    assert "thinking" in (client.show("plain").capabilities or [])


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"options": {"temperature": -1}}, "temperature"),
        ({"options": {"num_predict": 0}}, "max_tokens"),
        ({"options": {"stop": 3}}, "stop"),
        ({"format": "xml"}, "format"),
        ({"think": "perhaps"}, "think"),
        ({"messages": [{"role": "user", "content": "x", "images": ["aGk="]}]}, "images"),
        ({"model": "nope"}, "nope"),
    ],
)
def test_bad_input_is_named(client: ollama.Client, fields: dict[str, Any], text: str) -> None:
    reply = client._client.post("/api/chat", json={"model": "plain", "messages": HI} | fields)
    assert reply.status_code in (400, 404) and text in reply.json()["error"], reply.text
