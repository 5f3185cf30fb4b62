"""A wrong type anywhere in a body is told by the name of its field: what a client sends is no failure of ours."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from live import saying, server

from ponder.server.config import ServerConfig

HI = [{"role": "user", "content": "hi"}]
CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
HUGE = 10**400
GRAMMARS = [" ", "# nothing", "x ::= y", 'x ::= "a"', "root ::= y", "root ::= (", "root"]
DEEP: Any = "deep"
for _ in range(400):
    DEEP = [{"type": "search_result", "content": DEEP}]


def tool(parameters: dict[str, Any], **more: Any) -> dict[str, Any]:
    function = {"name": "f", "parameters": {"type": "object", "properties": {}} | parameters}
    return {"tools": [{"type": "function", "function": function | more}], "tool_choice": "required"}


def result(content: Any) -> list[dict[str, Any]]:
    used = {"type": "tool_use", "id": "c", "name": "f", "input": {}}
    given = {"type": "tool_result", "tool_use_id": "c", "content": content}
    return [{"role": "assistant", "content": [used]}, {"role": "user", "content": [given]}]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with server(saying(tmp_path_factory.mktemp("s"), {"s": "Yes."}), ServerConfig()) as base:
        yield base


@pytest.mark.parametrize(
    "path, body, field",
    [
        *((CHAT, {"messages": HI, name: HUGE}, name) for name in ("max_tokens", "top_k", "seed", "min_tokens", "n")),
        (MESSAGES, {"messages": HI, "max_tokens": HUGE}, "max_tokens"),
        ("/api/chat", {"model": "s", "messages": HI, "options": {"num_predict": HUGE}}, "options.num_predict"),
        ("/completion", {"prompt": "a", "n_predict": HUGE}, "max_tokens"),
        (CHAT, {"messages": HI, **tool({"required": [[]]}, strict=True)}, "tools"),
        (CHAT, {"messages": HI, **tool({"properties": {"a": {"$ref": []}}}, strict=True)}, "tools"),
        (CHAT, {"messages": HI, "response_format": {"type": "json_schema", "json_schema": {
            "schema": {"properties": {}, "required": [{}]}, "strict": True}}}, "response_format"),
        *(("/completion", {"prompt": "a", "grammar": text}, "grammar") for text in GRAMMARS),
        (CHAT, {"messages": HI, "tool_choice": {"type": "allowed_tools", "allowed_tools": []}}, "tool_choice"),
        (CHAT, {"messages": HI, "tool_choice": {"type": "allowed_tools", "tools": 1}}, "tool_choice"),
        (CHAT, {"messages": HI, "tool_choice": {"type": "allowed_tools", "mode": [], "tools": []}}, "tool_choice"),
        (MESSAGES, {"messages": HI, "max_tokens": 1, "tool_choice": {"type": []}}, "tool_choice"),
        (MESSAGES, {"messages": HI, "max_tokens": 1, "tool_choice": {"type": {}}}, "tool_choice"),
        (MESSAGES, {"messages": HI, "max_tokens": 1, "tool_choice": {"type": "tool", "name": None}}, "tool_choice"),
        (MESSAGES, {"messages": result(True), "max_tokens": 1}, "messages"),
        (MESSAGES, {"messages": result(1.5), "max_tokens": 1}, "messages"),
        (MESSAGES, {"messages": result(False), "max_tokens": 1}, "messages"),
        (MESSAGES, {"messages": HI, "max_tokens": 1, "stop_sequences": [""]}, "stop_sequences takes"),
        (MESSAGES, {"messages": HI, "max_tokens": 1, "stop_sequences": ["x" * 5000]}, "stop_sequences: a string"),
        (RESPONSES, {"input": "hi", "text": {"format": "json"}}, "text.format"),
        (RESPONSES, {"input": "hi", "text": {"format": []}}, "text.format"),
        (RESPONSES, {"input": "hi", "tool_choice": {"type": "allowed_tools", "tools": 1}}, "tool_choice"),
        (RESPONSES, {"input": "hi", "tool_choice": {"type": "allowed_tools", "mode": "none"}}, "tool_choice"),
        ("/api/chat", {"model": "s", "messages": HI, "keep_alive": "soon"}, "keep_alive"),
        ("/api/generate", {"model": "s", "prompt": "hi", "keep_alive": "5 minutes"}, "keep_alive"),
        ("/api/generate", {"model": "s", "prompt": "hi", "keep_alive": 90 * "1" + "x"}, "keep_alive"),
        ("/tokenize", {"messages": HI, "tools": [{"type": "function", "function": 5}]}, "tools"),
        ("/apply-template", {"messages": HI, "tools": [{}]}, "tools"),
    ],
)  # fmt: skip
def test_it_is_told_by_name(base: str, path: str, body: dict[str, Any], field: str) -> None:
    reply = httpx.post(base + path, json=body, timeout=60)
    assert reply.status_code == 400 and field in reply.text, reply.text[:300]


@pytest.mark.parametrize("content", [[{"type": "search_result", "content": 5}], DEEP, None, [None, 1, "a"]])
def test_what_a_tool_gave_never_ends_a_session(base: str, content: Any) -> None:
    assert (
        httpx.post(base + MESSAGES, json={"messages": result(content), "max_tokens": 9}, timeout=60).status_code == 200
    )


@pytest.mark.parametrize("type_", [None, "message"])
def test_an_item_whose_type_is_null_is_a_message(base: str, type_: str | None) -> None:
    body = {"input": [{"type": type_, "role": "user", "content": "Say yes."}], "text": {"format": None}}
    used = httpx.post(base + RESPONSES, json=body, timeout=60).json()["usage"]["input_tokens"]
    assert used == httpx.post(base + RESPONSES, json={"input": "Say yes."}, timeout=60).json()["usage"]["input_tokens"]


def test_a_tool_whose_type_is_null_is_a_tool(base: str) -> None:
    tools = [{"type": None, "name": "f", "input_schema": {"type": "object"}}]
    body = {"messages": HI, "max_tokens": 9, "tools": tools, "tool_choice": {"type": "none"}}
    reply = httpx.post(base + MESSAGES, json=body, timeout=60)
    assert reply.status_code == 200 and "left out" not in reply.text
