"""A model with Qwen3-Coder's template, over every API: streamed equals whole, by grammar, in the history; and a model
with a template that nobody knows."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from dialect_readers import DIALECTS
from live import server

from ponder.engine.llm import LLM

CODER = r"""{{- "\n<function>\n<name>" ~ tool.name ~ "</name>" }}{{- 'You have access to the following functions:' }}
{{- '<tool_call>\n<function=example_function_name>' }}{{- '<|im_start|>' + message.role }}"""
CALL = ("<tool_call>\n<function=edit>\n<parameter=path>\né👋.py\n</parameter>\n<parameter=count>\n{}\n</parameter>\n"
        "<parameter=text>\nif x < 1:\n    print(\"hi\")\n</parameter>\n</function>\n</tool_call>")  # fmt: skip
REPLIES = {
    "coder": "I edit.\n\n" + CALL.format(3) + "\n" + CALL.format(4),
    "untagged": "I edit.\n" + CALL.format(3).removeprefix("<tool_call>\n") + "\n" + CALL.format(4),
    "cut": "I edit.\n\n" + CALL.format(3)[:60],
    "wrong": CALL.format("three"),
}
MADE = [{"path": "é👋.py", "count": n, "text": 'if x < 1:\n    print("hi")'} for n in (3, 4)]
SCHEMA = {
    "type": "object", "required": ["path", "count"], "additionalProperties": False,
    "properties": {"path": {"type": "string"}, "count": {"type": "integer"}, "text": {"type": "string"}},
}  # fmt: skip
CHAT = ["/v1/chat/completions", "/v1/messages", "/v1/responses", "/api/chat"]


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder: Path = tmp_path_factory.mktemp("coder")
    models = {}
    for name, text in {**REPLIES, "unknown": "Hi."}.items():
        template = "{% for m in messages %}[INST] {{ m.content }}{% endfor %}" if name == "unknown" else CODER
        lines = [json.dumps({"model": {"chat_template": template}}), json.dumps({"text": text})]
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
        models[name] = partial(LLM, f"scripted:{folder / name}.jsonl")
    with server(models) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield client


def body_of(path: str, model: str, **more: Any) -> dict[str, Any]:
    strict = {"strict": True} if more.pop("strict", False) else {}
    if path == "/v1/messages":
        tool: dict[str, Any] = {"name": "edit", "description": "Edits.", "input_schema": SCHEMA, **strict}
    elif path == "/v1/responses":
        tool = {"type": "function", "name": "edit", "description": "Edits.", "parameters": SCHEMA, **strict}
        return {"model": model, "input": "hi", "tools": [tool], "temperature": 0, **more}
    else:
        function = {"name": "edit", "description": "Edits.", "parameters": SCHEMA, **strict}
        tool = {"type": "function", "function": function}
    zero = {"options": {"temperature": 0}} if path.startswith("/api") else {"temperature": 0}
    return {"model": model, "messages": [{"role": "user", "content": "hi"}], "tools": [tool], **zero, **more}


def calls_of(path: str, reply: dict[str, Any]) -> list[Any]:
    if path == "/v1/messages":
        return [b["input"] for b in reply["content"] if b["type"] == "tool_use"]
    if path == "/v1/responses":
        return [json.loads(i["arguments"]) for i in reply["output"] if i["type"] == "function_call"]
    message = reply["message"] if path == "/api/chat" else reply["choices"][0]["message"]
    found = [c["function"]["arguments"] for c in message.get("tool_calls", ())]
    return found if path == "/api/chat" else [json.loads(f) for f in found]


def asked(http: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """The whole reply, which says the same as the streamed one."""
    whole, streamed, extra = DIALECTS[path]
    plain = http.post(path, json=body | {"stream": False})
    assert plain.status_code == 200, plain.text
    raw = http.post(path, json=body | extra | {"stream": True}).text
    assert streamed([x for x in raw.split("\n") if x and not x.startswith(":")]) == whole(plain.json())
    reply: dict[str, Any] = plain.json()
    return reply


@pytest.mark.parametrize("path", CHAT)
@pytest.mark.parametrize("model", ["coder", "untagged"])
def test_calls_in_every_dialect(http: httpx.Client, path: str, model: str) -> None:
    reply = asked(http, path, body_of(path, model))
    assert calls_of(path, reply) == MADE
    assert "I edit." in str(reply) and "<function" not in str(reply) and "malformed_tool_calls" not in reply


@pytest.mark.parametrize("path", CHAT)
def test_a_call_that_breaks_off_is_told(http: httpx.Client, path: str) -> None:
    reply = asked(http, path, body_of(path, "cut"))
    assert calls_of(path, reply) == [] and reply["malformed_tool_calls"] == 1 and reply["warnings"]


@pytest.mark.parametrize(
    "fields",
    [
        {"tool_choice": "required", "parallel_tool_calls": False},
        {"tool_choice": {"type": "function", "function": {"name": "edit"}}, "parallel_tool_calls": False},
        {"strict": True},
    ],
)
def test_the_grammar_binds_values(http: httpx.Client, fields: dict[str, Any]) -> None:
    """The model wants a word where the schema has a number."""
    path = CHAT[0]
    ((free),) = calls_of(path, asked(http, path, body_of(path, "wrong")))
    assert free["count"] == "three"
    ((bound),) = calls_of(path, asked(http, path, body_of(path, "wrong", **fields)))
    assert isinstance(bound["count"], int) and bound["path"] == MADE[0]["path"]


def test_tools_and_history_are_written_as_the_template_has_them(http: httpx.Client) -> None:
    call = {"id": "c", "type": "function", "function": {"name": "edit", "arguments": '{"path": "a", "count": 3}'}}
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "I edit.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "done"},
    ]
    body = body_of(CHAT[0], "coder") | {"messages": messages}
    tokens = http.post("/tokenize", json=body).json()["tokens"]
    prompt = http.post("/detokenize", json={"model": "coder", "tokens": tokens}).json()["content"]
    assert "<tools>\n<function>\n<name>edit</name>\n<description>Edits.</description>\n<parameters>" in prompt
    assert (
        "I edit.\n\n<tool_call>\n<function=edit>\n<parameter=path>\na\n</parameter>\n<parameter=count>\n3\n"
        "</parameter>\n</function>\n</tool_call><|im_end|>\n<|im_start|>user\n<tool_response>\ndone\n</tool_response>\n<|im_end|>\n"
        "<|im_start|>assistant\n"
    ) in prompt


@pytest.mark.parametrize("path", CHAT)
def test_tools_are_refused_where_the_template_is_not_known(http: httpx.Client, path: str) -> None:
    body = body_of(path, "unknown")
    for stream in (False, True):
        refused = http.post(path, json=body | {"stream": stream})
        assert refused.status_code == 400 and "none that Ponder knows" in refused.text
    without = {k: v for k, v in body.items() if k != "tools"}
    assert http.post(path, json=without | {"stream": False}).status_code == 200
