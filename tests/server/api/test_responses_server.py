"""POST /v1/responses by the official client against a live server with the scripted engine."""

import json
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from live import saying, server

CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 2}}\n</tool_call>'
REPLIES = {
    "plain": "<think>\nLet me see.\n</think>\n\nGrüße 👋🏽!",
    "call": f"<think>\nI add.\n</think>\n\nOne moment.\n{CALL}\n{CALL}",
    "silent": "<think>\n\n</think>\n\nJust this.",
}
TOOL: Any = {"type": "function", "name": "add", "parameters": {"type": "object"}, "strict": False}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[openai.OpenAI]:
    with server(saying(tmp_path_factory.mktemp("scripts"), REPLIES)) as base:
        yield openai.OpenAI(base_url=base + "/v1", api_key="none", max_retries=0)


def plain(items: list[Any]) -> list[Any]:
    """Without what differs from request to request."""
    return [{k: v for k, v in i.model_dump().items() if k not in ("id", "call_id", "parsed_arguments")} for i in items]


@pytest.mark.parametrize("name", REPLIES)
def test_streamed_equals_whole(client: openai.OpenAI, name: str) -> None:
    whole = client.responses.create(model=name, input="hi", tools=[TOOL])
    events = list(client.responses.create(model=name, input="hi", tools=[TOOL], stream=True))
    assert [e.sequence_number for e in events] == list(range(len(events)))
    assert [e.type for e in events[:2]] == ["response.created", "response.in_progress"]
    final = events[-1]
    assert final.type == "response.completed"
    assert plain(final.response.output) == plain(whole.output)
    assert final.response.output_text == whole.output_text
    assert "".join(e.delta for e in events if e.type == "response.output_text.delta") == whole.output_text
    assert final.response.usage is not None and whole.usage is not None
    assert final.response.usage.output_tokens == whole.usage.output_tokens > 0
    opened = [e.output_index for e in events if e.type == "response.output_item.added"]
    closed = [e.output_index for e in events if e.type == "response.output_item.done"]
    assert opened == closed == list(range(len(whole.output)))


def test_the_client_library_follows_the_stream(client: openai.OpenAI) -> None:
    with client.responses.stream(model="call", input="hi", tools=[TOOL]) as stream:
        for _ in stream:
            pass
        final = stream.get_final_response()
    assert [i.type for i in final.output] == ["reasoning", "message", "function_call", "function_call"]
    assert json.loads(final.output[2].arguments) == {"a": 2}


def test_items_come_back(client: openai.OpenAI) -> None:
    first = client.responses.create(model="call", input="hi", tools=[TOOL])
    calls = [i for i in first.output if i.type == "function_call"]
    assert len({c.call_id for c in calls}) == 2
    results = [{"type": "function_call_output", "call_id": c.call_id, "output": "4"} for c in calls]
    items: Any = [{"role": "user", "content": "hi"}, *(i.model_dump() for i in first.output), *results]
    second = client.responses.create(model="plain", input=items, tools=[TOOL], instructions="Be kind.")
    assert second.output_text == "Grüße 👋🏽!"


def test_limits_switches_and_foreign_tools(client: openai.OpenAI) -> None:
    cut = client.responses.create(model="plain", input="hi", max_output_tokens=2)
    assert cut.status == "incomplete" and cut.incomplete_details.reason == "max_output_tokens"
    for effort, on in (("none", False), ("low", True)):
        reply = client.responses.create(model="plain", input="hi", reasoning={"effort": effort})
        assert reply.model_extra["effective"]["thinking"] is on
    odd: Any = [{"type": "web_search"}, TOOL]
    assert "web_search" in client.responses.create(model="plain", input="hi", tools=odd).model_extra["warnings"][0]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": []}, "input"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input"),
        ({"truncation": "middle"}, "truncation"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort"),
        ({"text": {"format": {"type": "xml"}}}, "text.format"),
        ({"tool_choice": {"type": "magic"}}, "tool_choice"),
    ],
)
def test_a_bad_field_is_named(client: openai.OpenAI, fields: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as error:
        client.responses.create(**{"model": "plain", "input": "hi"} | fields)
    assert error.value.param == param, error.value.body
