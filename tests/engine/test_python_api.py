"""What people write in Python: text as it comes, answers as values, functions as tools, vectors."""

import asyncio
import sys
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import pydantic
import pytest
from engine_tools import scripted, tiny, tiny_model

from ponder.core.errors import UserError
from ponder.core.event import TextDelta
from ponder.core.message import Message
from ponder.core.request import ChatRequest
from ponder.engine.result import Result


@dataclass
class Soup:
    name: str
    minutes: int = 10


class SoupDict(TypedDict):
    name: str
    minutes: int


class Menu(TypedDict):
    soups: list[SoupDict]
    guests: int


class SoupModel(pydantic.BaseModel):
    name: str
    minutes: int


SAID = '{"name": "leek", "minutes": 20}'


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


async def later(word: str) -> str:
    """Say a word later."""
    return f"{word}!"


def fail() -> None:
    """Always fails."""
    raise RuntimeError("no luck")


def called(name: str, arguments: str) -> str:
    return f'<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>'


def test_a_stream_is_text_and_has_the_whole_result() -> None:
    with scripted(["<think>\nhm\n</think>\n\nFine, thanks."]) as llm:
        stream = llm.stream("How are you?")
        pieces = list(stream)
        assert len(pieces) > 1 and "".join(pieces) == "Fine, thanks."
        assert (stream.result().text, stream.result().reasoning) == ("Fine, thanks.", "hm")
        assert llm.stream("Again?").result().text == "Fine, thanks.", "read in one go"
    with scripted(["word " * 5000]) as llm:
        broken_off = llm.stream("And again?")
        next(iter(broken_off))
        broken_off.cancel()
        assert broken_off.result().finish.reason == "cancelled"


def test_astream() -> None:
    async def read() -> tuple[str, Result]:
        with scripted(["Fine, thanks."]) as llm:
            stream = llm.astream("How are you?")
            pieces = [piece async for piece in stream]
            return "".join(pieces), await stream.result()

    text, result = asyncio.run(read())
    assert text == result.text == "Fine, thanks."


def test_a_request_streams_events() -> None:
    """As every `ChatModel` does."""
    with scripted(["Hi."]) as llm:
        events = list(llm.stream(ChatRequest(messages=(Message.user("Hello"),))))
        assert "".join(e.text for e in events if isinstance(e, TextDelta)) == "Hi."


@pytest.mark.parametrize(
    ("output", "value"),
    [
        (Soup, Soup("leek", 20)),
        (SoupDict, {"name": "leek", "minutes": 20}),
        (SoupModel, SoupModel(name="leek", minutes=20)),
        (Menu, {"soups": [{"name": "leek", "minutes": 20}], "guests": 3}),
    ],
)
def test_an_answer_as_a_value(output: type, value: object) -> None:
    said = f'{{"soups": [{SAID}], "guests": 3}}' if output is Menu else SAID
    with scripted([said]) as llm:
        assert llm.chat("A soup!", output=output).parsed == value
        assert asyncio.run(llm.achat("A soup!", output=output)).parsed == value


def test_a_random_model_keeps_to_the_form() -> None:
    """Not a script: the grammar binds."""
    with tiny(tiny_model()) as llm:
        reply = llm.chat("A soup!", output=Soup, thinking=False, temperature=1, seed=3, max_tokens=300)
        if reply.finish.reason == "stop":
            assert isinstance(reply.parsed, Soup)
        else:  # still inside a string of random words
            with pytest.raises(UserError, match="allow more max_tokens"):
                _ = reply.parsed


def test_an_answer_that_was_cut_is_told_and_kept() -> None:
    with scripted([SAID]) as llm:
        reply = llm.chat("A soup!", output=Soup, max_tokens=4)
        assert reply.text and SAID.startswith(reply.text)
        with pytest.raises(UserError, match="cut off: allow more max_tokens"):
            _ = reply.parsed
        with pytest.raises(UserError, match="one of output, json_schema and grammar"):
            llm.chat("A soup!", output=Soup, json_schema={"type": "object"})
        with pytest.raises(UserError, match="output is a dataclass, a TypedDict"):
            llm.chat("A soup!", output=type(sys))


def test_functions_are_described_and_only_reported() -> None:
    with scripted([called("add", '{"a": 17, "b": 25}')]) as llm:
        reply = llm.chat("17 + 25?", tools=[add])
        assert [(c.name, c.arguments) for c in reply.tool_calls] == [("add", '{"a": 17, "b": 25}')]
        assert reply.between == ()


def test_functions_are_run_when_asked() -> None:
    script = [called("add", '{"a": 17, "b": 25}'), called("later", '{"word": "ok"}'), called("fail", "{}"), "It is 42."]
    with scripted(script) as llm:
        reply = llm.chat("17 + 25?", tools=[add, later, fail], run_tools=True)
        assert reply.text == "It is 42."
        results = [m.text for m in reply.between if m.role == "tool"]
        assert results == ["42", "ok!", "Error: RuntimeError: no luck"]
    with scripted([called("add", '{"a": "x", "b": 1}'), called("sub", "{}"), "No."]) as llm:
        reply = asyncio.run(llm.achat("17 + 25?", tools=[add], run_tools=True))
        wrong, unknown = (m.text for m in reply.between if m.role == "tool")
        assert "add, argument a" in wrong and "there is no tool sub" in unknown


def test_a_model_that_only_calls_is_left_to_the_caller() -> None:
    with scripted([called("add", '{"a": 1, "b": 1}')]) as llm:
        reply = llm.chat("1 + 1?", tools=[add], run_tools=True)
        assert reply.tool_calls and len([m for m in reply.between if m.role == "tool"]) == 10


def test_what_cannot_be_run_is_refused() -> None:
    with scripted(["Hi."]) as llm:
        with pytest.raises(UserError, match="a tool that is a dict"):
            llm.chat("?", tools=[{"type": "function", "function": {"name": "x"}}], run_tools=True)
        with pytest.raises(UserError, match="two tools are called add"):
            llm.chat("?", tools=[add, add], run_tools=True)


def test_results_are_one_line() -> None:
    with scripted(["A long answer. " * 20]) as llm:
        reply = llm.chat("?")
        assert "\n" not in repr(reply) and len(repr(reply)) < 120
        assert str(reply) == reply.text and repr(llm).startswith("LLM(")


def test_one_text_is_one_vector() -> None:
    with tiny(tiny_model()) as llm:
        one, two = llm.embed("hello"), llm.embed(["hello", "world"])
        assert one.ndim == 1 and two.shape == (2, len(one))
        assert np.array_equal(one, two[0])
        assert np.array_equal(asyncio.run(llm.aembed("hello")), one)
        vectors, count = llm.embed_with_usage(["hello"])
        assert np.array_equal(vectors[0], one) and count == len(llm.tokenize("hello"))
