"""POST /v1/chat/completions by the official client against a live server with the scripted engine."""

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from live import saying, server

from ponder.engine.llm import LLM
from ponder.server.config import ServerConfig

CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 2, "b": "}"}}\n</tool_call>'
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {"name": "add", "parameters": {"type": "object", "properties": {"a": {}, "b": {}}}},
}
REPLIES = {
    "plain": "<think>\nWell… let me see.\n</think>\n\nGrüße 你好 👋🏽!",
    "call": f"<think>\nI add.\n</think>\n\nOne moment.\n{CALL}\n{CALL}",
    "silent": "<think>\nNothing to say.\n</think>\n\n",
    "broken": "<think>\n\n</think>\n\n<tool_call>\nnot json\n</tool_call>",
}
HI: list[Any] = [{"role": "user", "content": "hi"}]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with server(saying(tmp_path_factory.mktemp("scripts"), REPLIES)) as base:
        yield base


@pytest.fixture(scope="module")
def client(url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0)


def test_a_schema_is_strict_or_relaxed_as_asked(client: openai.OpenAI) -> None:
    """SO-3: strict, what cannot be enforced is a 400 with its place; else a warning, and the rest holds."""
    schema = {"type": "array", "items": {"type": "string"}, "uniqueItems": True}

    def ask(**more: Any) -> Any:
        form: Any = {"type": "json_schema", "json_schema": {"name": "a", "schema": schema, **more}}
        return client.chat.completions.create(model="plain", messages=HI, response_format=form, max_tokens=40)

    with pytest.raises(openai.BadRequestError, match=r"at #: .*uniqueItems") as error:
        ask(strict=True)
    assert error.value.param == "response_format"
    for more in ({}, {"strict": False}):
        assert "uniqueItems" in str(ask(**more).model_extra["warnings"])
    with pytest.raises(openai.BadRequestError, match="strict is true or false"):
        ask(strict="yes")


@pytest.mark.parametrize("name", REPLIES)
def test_streamed_equals_whole(client: openai.OpenAI, name: str) -> None:
    ask = partial(client.chat.completions.create, model=name, messages=HI, tools=[TOOL], seed=1, logprobs=True)
    whole = ask()
    chunks = list(ask(stream=True, stream_options={"include_usage": True}))
    assert [c.choices for c in chunks].count([]) == 1 and not chunks[-1].choices, "one usage chunk, at the end"
    deltas = [c.choices[0].delta for c in chunks[:-1]]
    message = whole.choices[0].message
    assert "".join(d.content or "" for d in deltas) == (message.content or "")
    thoughts = "".join(d.model_extra.get("reasoning_content", "") for d in deltas)
    for field in ("reasoning_content", "reasoning"):
        assert thoughts == (message.model_extra or {}).get(field, "")
    calls: dict[int, list[str]] = {}
    for part in (p for d in deltas for p in d.tool_calls or []):
        calls.setdefault(part.index, ["", ""])
        calls[part.index][0] += part.function.name or ""
        calls[part.index][1] += part.function.arguments or ""
    assert [[c.function.name, c.function.arguments] for c in message.tool_calls or []] == list(calls.values())
    reasons = [c.choices[0].finish_reason for c in chunks[:-1] if c.choices[0].finish_reason]
    assert reasons == [whole.choices[0].finish_reason]
    usage = chunks[-1].usage
    assert usage is not None and whole.usage is not None
    assert usage.completion_tokens == whole.usage.completion_tokens
    assert usage.completion_tokens_details == whole.usage.completion_tokens_details
    tokens = [t for c in chunks[:-1] if c.choices[0].logprobs for t in c.choices[0].logprobs.content or []]
    assert whole.choices[0].logprobs is not None and tokens == whole.choices[0].logprobs.content


def test_content_is_null_only_beside_calls(client: openai.OpenAI) -> None:
    ask = partial(client.chat.completions.create, messages=HI, tools=[TOOL])
    assert ask(model="silent").choices[0].message.content == ""
    broken = ask(model="broken").choices[0]
    assert broken.finish_reason == "stop" and "not json" in (broken.message.content or "")
    called = ask(model="call").choices[0]
    assert called.finish_reason == "tool_calls" and called.message.content == "One moment."
    assert len({c.id for c in called.message.tool_calls or []}) == 2
    assert json.loads(called.message.tool_calls[0].function.arguments) == {"a": 2, "b": "}"}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"temperature": 9e9}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "max_tokens"),
        ({"n": 1000}, "n"),
        ({"messages": []}, "messages"),
        ({"messages": [{"content": "x"}]}, "messages"),
        ({"stop": [""]}, "stop"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": -1}, "top_logprobs"),
        ({"logit_bias": {"x": 1}}, "logit_bias"),
        ({"logit_bias": {"900000": 1}}, "logit_bias"),
        ({"response_format": {"type": "xml"}}, "response_format"),
        ({"tool_choice": {"type": "function"}}, "tool_choice"),
        ({"extra_body": {"enable_thinking": True, "think": False}}, "think"),
        ({"extra_body": {"thinking_budget": -5}}, "thinking_budget"),
        ({"extra_body": {"chat_template_kwargs": {"nope": 1}}}, "chat_template_kwargs.nope"),
        ({"reasoning_effort": "huge"}, "reasoning_effort"),
        ({"extra_body": {"top_k": "many"}}, "top_k"),
    ],
)
def test_a_bad_field_is_named(client: openai.OpenAI, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        client.chat.completions.create(**{"model": "plain", "messages": HI} | fields)
    assert error.value.param == param, error.value.body


def test_every_spelling_of_the_switch(client: openai.OpenAI) -> None:
    spellings = [
        ({"enable_thinking": False}, False), ({"think": True}, True), ({"reasoning_effort": "none"}, False),
        ({"chat_template_kwargs": {"enable_thinking": False}}, False), ({"reasoning": {"effort": "low"}}, True),
        ({"thinking": {"type": "disabled"}}, False), ({"thinking": {"type": "enabled", "budget_tokens": 7}}, True),
    ]  # fmt: skip
    for body, on in spellings:
        reply = client.chat.completions.create(model="plain", messages=HI, extra_body=body)
        assert reply.model_extra["effective"]["thinking"] is on, body


def test_a_field_that_is_missing_or_out_of_range_is_named(url: str) -> None:
    for path, body, field in (
        ("/v1/chat/completions", {}, "messages"),
        ("/v1/chat/completions", {"messages": HI, "stream": True, "stream_options": 3}, "stream_options"),
        ("/v1/chat/completions", {"messages": HI, "top_k": -2}, "top_k"),
        ("/v1/embeddings", {}, "input"),
        ("/v1/rerank", {"query": "q"}, "documents"),
        ("/v1/completions", {}, "prompt"),
        ("/v1/completions", {"prompt": "x", "show_handover": False}, "show_handover"),
    ):
        reply = httpx.post(url + path, json=body)
        assert (reply.status_code, reply.json()["error"]["param"]) == (400, field), reply.text
        assert field in reply.json()["error"]["message"]


def test_unknown_fields_are_told_or_refused(client: openai.OpenAI, tmp_path: Path) -> None:
    reply = client.chat.completions.create(model="plain", messages=HI, extra_body={"foo": 1})
    assert reply.model_extra["warnings"] == ["unknown field 'foo' was ignored"]
    script = tmp_path / "s.jsonl"
    script.write_text('"x"\n')
    with server({"s": partial(LLM, f"scripted:{script}")}, ServerConfig(strict=True)) as base:
        strict = openai.OpenAI(base_url=base + "/v1", api_key="none", max_retries=0)
        with pytest.raises(openai.BadRequestError) as error:
            strict.chat.completions.create(model="s", messages=HI, extra_body={"foo": 1})
        assert error.value.param == "foo"


def test_keys_hosts_and_origins(url: str, tmp_path: Path) -> None:
    script = tmp_path / "s.jsonl"
    script.write_text('"x"\n')
    with server({"s": partial(LLM, f"scripted:{script}")}, ServerConfig(api_keys=("right", "other"))) as base:
        for key, good in (("right", True), ("other", True), ("wrong", False), ("righ", False)):
            client = openai.OpenAI(base_url=base + "/v1", api_key=key, max_retries=0)
            if good:
                assert client.models.list().data[0].id == "s"
            else:
                with pytest.raises(openai.AuthenticationError):
                    client.models.list()
    for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
        client = openai.OpenAI(base_url=url + "/v1", api_key="x", max_retries=0, default_headers=headers)
        with pytest.raises(openai.PermissionDeniedError):
            client.models.list()


def test_unknown_model_and_path(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as error:
        client.chat.completions.create(model="nope", messages=HI)
    assert error.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError) as error:
        client.post("/nothing", cast_to=object)
    assert error.value.type == "invalid_request_error"
