"""Anthropic's dialect by its official client against a live server with the scripted engine."""

from collections.abc import Iterator
from typing import Any

import anthropic
import pytest
from live import saying, server

HI: list[Any] = [{"role": "user", "content": "hi"}]
CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 2}}\n</tool_call>'
REPLIES = {
    "plain": "<think>\nLet me see.\n</think>\n\nGrüße 👋🏽!",
    "call": f"<think>\nI add.\n</think>\n\nOne moment.\n{CALL}\n{CALL}",
    "silent": "<think>\n\n</think>\n\nJust this.",
}
TOOL: Any = {"name": "add", "description": "adds", "input_schema": {"type": "object", "properties": {"a": {}}}}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[anthropic.Anthropic]:
    with server(saying(tmp_path_factory.mktemp("scripts"), REPLIES)) as base:
        yield anthropic.Anthropic(base_url=base, api_key="none", max_retries=0)


@pytest.mark.parametrize("name", REPLIES)
def test_streamed_equals_whole(client: anthropic.Anthropic, name: str) -> None:
    ask: dict[str, Any] = {"model": name, "messages": HI, "max_tokens": 200, "tools": [TOOL]}
    whole = client.messages.create(**ask)
    with client.messages.stream(**ask) as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_message()
    assert kinds[0] == "message_start" and kinds[-1] == "message_stop"
    drop = {"id"}
    assert [b.model_dump(exclude=drop) for b in final.content] == [b.model_dump(exclude=drop) for b in whole.content]
    assert (final.stop_reason, final.usage.output_tokens) == (whole.stop_reason, whole.usage.output_tokens)


def test_blocks_in_order(client: anthropic.Anthropic) -> None:
    reply = client.messages.create(model="call", messages=HI, max_tokens=200, tools=[TOOL])
    assert [b.type for b in reply.content] == ["thinking", "text", "tool_use", "tool_use"]
    assert reply.content[2].input == {"a": 2} and reply.stop_reason == "tool_use"
    assert len({b.id for b in reply.content[2:]}) == 2
    four = [{"type": "text", "text": "4"}]
    results = [{"type": "tool_result", "tool_use_id": b.id, "content": four} for b in reply.content[2:]]
    again: Any = [*HI, {"role": "assistant", "content": reply.content}, {"role": "user", "content": results}]
    assert client.messages.create(model="plain", messages=again, max_tokens=200, tools=[TOOL]).stop_reason == "end_turn"


def test_counting_equals_the_prompt(client: anthropic.Anthropic) -> None:
    ask: dict[str, Any] = {"model": "plain", "messages": HI, "system": [{"type": "text", "text": "Be kind."}]}
    count = client.messages.count_tokens(**ask).input_tokens
    usage = client.messages.create(**ask, max_tokens=10).usage
    assert count == usage.input_tokens + (usage.cache_read_input_tokens or 0)


def test_limits_and_switches(client: anthropic.Anthropic) -> None:
    cut = client.messages.create(model="plain", messages=HI, max_tokens=2)
    assert cut.stop_reason == "max_tokens"
    stopped = client.messages.create(model="plain", messages=HI, max_tokens=99, stop_sequences=["👋"])
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", "👋")
    for thinking, on in (({"type": "disabled"}, False), ({"type": "enabled", "budget_tokens": 1024}, True)):
        reply = client.messages.create(model="plain", messages=HI, max_tokens=2000, thinking=thinking)
        assert reply.model_extra["effective"]["thinking"] is on


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "role"),
        ({"messages": [{"role": "user", "content": [{"type": "image", "source": {}}]}]}, "text only"),
        ({"thinking": {"type": "maybe"}}, "thinking.type"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"extra_body": {"temperature": "hot"}}, "temperature"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice"),
    ],
)
def test_bad_input_is_named(client: anthropic.Anthropic, fields: dict[str, Any], text: str) -> None:
    with pytest.raises(anthropic.BadRequestError) as error:
        client.messages.create(**{"model": "plain", "messages": HI, "max_tokens": 20} | fields)
    assert text in str(error.value) and error.value.body["type"] == "error"
