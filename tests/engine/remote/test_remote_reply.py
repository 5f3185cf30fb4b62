"""Chunks of other servers -> events: two names of the thoughts, tags in the content, calls in pieces, torn streams."""

import random
from typing import Any

import pytest

from ponder.core.errors import UpstreamError
from ponder.core.event import (
    Effective,
    Event,
    Finish,
    ReasoningDelta,
    TextDelta,
    TokenLogprob,
    ToolCallDelta,
    ToolCallDone,
    message_of,
)
from ponder.engine.remote.reply import RemoteReply, TokenNames
from ponder.engine.remote.request import Outgoing
from ponder.engine.remote.tags import TagParser
from ponder.text.calls.xml_calls import NO_SCHEMAS

EFFECTIVE = Effective(False, "model", None, None, None, None, None, None, None)


def replied(
    *parts: dict[str, Any], choices: int = 1, calls: bool = True, path: str = "/chat/completions", deltas: bool = False
) -> list[Any]:
    """The events of a stream whose chunks have these choices; a chunk with other keys stands as it is."""
    outgoing = Outgoing(path, {}, EFFECTIVE, (), calls, call_deltas=deltas)
    reply = RemoteReply(outgoing, choices, TokenNames())
    out: list[tuple[int, Event]] = []
    for part in parts:
        out += reply.feed(part if set(part) & {"choices", "usage", "error"} else {"id": "x", "choices": [part]})
    return [*out, *reply.finish()]


def delta(**fields: Any) -> dict[str, Any]:
    return {"index": 0, "delta": fields, "finish_reason": None}


def end(reason: str = "stop", **more: Any) -> dict[str, Any]:
    return {"index": 0, "delta": {}, "finish_reason": reason} | more


def said(events: list[tuple[int, Event]]) -> tuple[str | None, str, list[tuple[str, str]]]:
    message = message_of(e for _, e in events if not isinstance(e, Finish | TokenLogprob))
    return message.reasoning, message.text, [(c.name, c.arguments) for c in message.tool_calls]


def finish(events: list[tuple[int, Event]]) -> Finish:
    last = events[-1][1]
    assert isinstance(last, Finish)
    return last


def test_the_usage_of_choices_that_is_told_one_by_one_is_added_up() -> None:
    """As llama.cpp does it; others tell one number for all, or one that grows with every chunk."""
    each = [{"usage": {"prompt_tokens": 4, "completion_tokens": n}, "choices": []} for n in (3, 5)]
    end = [{"choices": [{"index": i, "delta": {"content": "x"}, "finish_reason": "stop"}]} for i in (0, 1)]
    growing = [c | {"usage": {"prompt_tokens": 4, "completion_tokens": n}} for n, c in enumerate(end, 1)]
    for chunks, count in (([*end, *each], 8), ([*end, each[1]], 5), (growing, 2), ([*growing, each[1]], 5)):
        reply = RemoteReply(Outgoing("/chat/completions", {}, EFFECTIVE, ()), 2, TokenNames())
        for chunk in chunks:
            list(reply.feed(chunk))
        ends = [e for _, e in reply.finish() if isinstance(e, Finish)]
        assert [e.usage.completion_tokens for e in ends] == [count, 0] and ends[0].usage.prompt_tokens == 4


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
def test_both_names_of_the_thoughts(field: str) -> None:
    events = replied(delta(role="assistant"), delta(**{field: "hm"}), delta(content="a <think> is a word"), end())
    assert said(events) == ("hm", "a <think> is a word", [])
    both = replied(delta(reasoning_content="hm", reasoning="hm"), end())
    assert said(both)[0] == "hm" and finish(both).effective.thinking


RAW = '<think>\nlet me\nsee</think>\n\nAnswer.\n<tool_call>\n{"name": "f", "arguments": {"x": "é"}}\n</tool_call>'


def test_tags_in_the_content_are_parsed_whatever_the_pieces() -> None:
    rng = random.Random(1)
    for _ in range(200):
        cuts = sorted(rng.sample(range(len(RAW)), rng.randrange(len(RAW))))
        pieces = [RAW[a:b] for a, b in zip([0, *cuts], [*cuts, len(RAW)])]
        events = replied(*(delta(content=p) for p in pieces if p), end())
        assert said(events) == ("let me\nsee", "Answer.", [("f", '{"x": "é"}')])
        assert finish(events).reason == "tool_calls"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("\n<think>\n\n</think>\n\nHi", (None, "Hi")),
        ("a </think> b", ("", "a </think> b")),
        ("Hi <think>x</think>", ("", "Hi <think>x</think>")),
        ("<thin", (None, "<thin")),
        ("  ", (None, "  ")),
        ("<think>never closed", ("never closed", "")),
    ],
)
def test_tags_that_are_words(text: str, expected: tuple[str | None, str]) -> None:
    assert said(replied(delta(content=text), end()))[:2] == expected


def test_calls_are_text_without_tools() -> None:
    text = '<tool_call>{"name": "f"}</tool_call>'
    assert said(replied(delta(content=text), end(), calls=False)) == (None, text, [])
    parser = TagParser(NO_SCHEMAS, calls=True)
    broken = parser.feed("<tool_call>{oops</tool_call>") + parser.finish()
    assert [e.text for e in broken if isinstance(e, TextDelta)] == ["<tool_call>{oops</tool_call>"]
    assert parser.malformed_calls == 1


def piece(index: int, id_: str = "", **function: str) -> dict[str, Any]:
    return delta(tool_calls=[{"index": index, "id": id_ or f"c{index}", "function": function}])


def test_calls_in_pieces() -> None:
    events = replied(
        delta(content="So:"), piece(0, name="f", arguments=""), piece(0, arguments='{"a"'), piece(0, arguments=": 1}"),
        piece(1, name="g"), end("tool_calls"),
    )  # fmt: skip
    calls = [e for _, e in events if isinstance(e, ToolCallDone)]
    assert [(c.index, c.call.name, c.call.arguments, c.call.id) for c in calls] == [
        (0, "f", '{"a": 1}', "c0"),
        (1, "g", "{}", "c1"),
    ]
    torn = replied(piece(0, name="f", arguments='{"a"'), end("length"))
    assert finish(torn).malformed_calls == 1 and '{"a"' in said(torn)[1] and not said(torn)[2]


FIRST = [piece(0, name="f", arguments=""), *(piece(0, arguments=c) for c in ' {"a": {"b}": "}"}} ')]
SECOND = [piece(1, name="g", arguments='{"x'), piece(1, arguments='": 1}')]


@pytest.mark.parametrize(
    ("pieces", "told"),
    [
        ([*FIRST, *SECOND], [' {"a": {"b}": "}"}', '{"x": 1']),
        ([FIRST[0], SECOND[0], *FIRST[1:], SECOND[1]], [' {"a": {"b}": "}"}', ""]),  # one at a time
        ([*FIRST, piece(0, "c1", name="g", arguments='{"x": 1}')], [' {"a": {"b}": "}"}', '{"x": 1']),  # all number 0
        ([*FIRST, *SECOND, piece(0, arguments="")], None),
    ],
)
def test_calls_are_told_while_they_come(pieces: list[Any], told: list[str] | None) -> None:
    """To who asked: what was told is what the call begins with, and never the whole of it."""
    events = [e for _, e in replied(*pieces, end("tool_calls"), deltas=True)]
    calls = [e for e in events if isinstance(e, ToolCallDone)]
    assert [(c.index, c.call.name, c.call.arguments.strip(), c.call.id) for c in calls] == [
        (0, "f", '{"a": {"b}": "}"}}', "c0"),
        (1, "g", '{"x": 1}', "c1"),
    ]
    deltas = [e for e in events if isinstance(e, ToolCallDelta)]
    for n, text in enumerate(told or ()):
        assert "".join(e.text for e in deltas if (e.index, e.id) == (n, f"c{n}")) == text
    assert [type(e) for _, e in replied(*pieces, end("tool_calls"))] == [ToolCallDone, ToolCallDone, Finish]


def test_what_was_told_of_a_call_that_is_none() -> None:
    """Its text follows, its number is not used again, whether the server or our own parser took the call apart."""
    torn = [piece(0, name="f", arguments='{"a": 1}'), piece(0, arguments="}"), delta(content="Hm."), piece(1, name="g")]
    text = '<tool_call>\n{"name": "g", "arguments": {"a": "' + "long " * 20 + '"}}\n</tool_call>'
    events = [e for _, e in replied(*torn, *(delta(content=c) for c in text), end(), deltas=True)]
    kinds = [(type(e), e.index) for e in events if isinstance(e, ToolCallDelta | ToolCallDone)]
    assert [n for kind, n in kinds if kind is ToolCallDone] == [1, 2]
    assert (ToolCallDelta, 0) in kinds and (ToolCallDelta, 2) in kinds
    assert '{"a": 1}}' in "".join(e.text for e in events if isinstance(e, TextDelta))
    assert isinstance(events[-1], Finish) and events[-1].malformed_calls == 1


def test_numbers_come_last_and_choices_are_kept_apart() -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 2},
             "completion_tokens_details": {"reasoning_tokens": 1}}  # fmt: skip
    events = replied(
        {"index": 1, "delta": {"content": "b"}}, {"index": 0, "delta": {"content": "a"}}, {**end("length"), "index": 1},
        end(stop_reason="x"), {"choices": [], "usage": usage}, choices=2,
    )  # fmt: skip
    ends = [(i, e) for i, e in events if isinstance(e, Finish)]
    assert [(i, e.reason, e.usage.completion_tokens) for i, e in ends] == [(0, "stop", 5), (1, "length", 0)]
    assert ends[0][1].stop_reason == "x" and ends[0][1].usage.cached_tokens == 2 and not ends[0][1].warnings
    assert [e.text for i, e in events if isinstance(e, TextDelta) and i == 1] == ["b"]


def test_what_another_ponder_tells_is_kept() -> None:
    effective = {"thinking": True, "thinking_source": "request", "budget": 4, "temperature": 0.6, "top_p": 0.9,
                 "top_k": 20, "min_p": 0.0, "seed": 5, "max_tokens": 10}  # fmt: skip
    last = {"choices": [end()], "effective": effective, "warnings": ["w"]}
    assert finish(replied(last)).effective.seed == 5 and "w" in finish(replied(last)).warnings


def test_logprobs() -> None:
    entry = {"token": "é", "bytes": [0xC3, 0xA9], "logprob": -0.5, "top_logprobs": [{"token": "x", "logprob": -1.0}]}
    events = replied({**delta(content="é"), "logprobs": {"content": [entry]}}, end())
    [found] = [e for _, e in events if isinstance(e, TokenLogprob)]
    assert found.bytes == "é".encode() and found.logprob == -0.5 and found.top[0][1] == -1.0
    old = {"tokens": ["a"], "token_logprobs": [-1.0], "top_logprobs": [{"a": -1.0, "b": -2.0}]}
    raw = replied(
        {"index": 0, "text": "a", "logprobs": old},
        {"index": 0, "text": "", "finish_reason": "stop"},
        path="/completions",
    )
    assert [len(e.top) for _, e in raw if isinstance(e, TokenLogprob)] == [2]
    assert [e.text for _, e in raw if isinstance(e, TextDelta)] == ["a"]


@pytest.mark.parametrize(
    "parts",
    [
        [delta(content="half")],
        [{"error": {"message": "out of memory"}}],
        [{"choices": [{"index": 3, "delta": {"content": "x"}}]}],
    ],
)
def test_a_broken_stream_is_an_error(parts: list[dict[str, Any]]) -> None:
    with pytest.raises(UpstreamError):
        replied(*parts)


def test_thoughts_only() -> None:
    events = replied(delta(reasoning="hm"), end("length"))
    assert [type(e) for _, e in events] == [ReasoningDelta, Finish]
