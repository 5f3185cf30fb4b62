"""An XML call while it is written: what is told of its arguments holds, however it is cut."""

import itertools
import json
import time
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ponder.core.event import Event, TextDelta, ToolCallDelta, ToolCallDone
from ponder.text.calls.begun_call import SHORT
from ponder.text.calls.begun_xml import BegunXml
from ponder.text.calls.xml_calls import parse_xml
from ponder.text.chat.parse import StreamParser
from ponder.text.tokenizer.tokenizer import Tokenizer

SCHEMAS: dict[str, Any] = {
    "edit": {"properties": {"text": {"type": "string"}, "n": {"type": "integer"}, "kind": {"enum": ["a", None]},
                            "opts": {"type": "object"}, "maybe": {"type": ["string", "null"]}}},
    "ls": {},
}  # fmt: skip
LONG = "x" * SHORT
packaged = cache(Tokenizer.packaged)


def call(*parameters: str) -> str:
    values = "".join(f"<parameter={p.partition('=')[0]}>\n{p.partition('=')[2]}\n</parameter>\n" for p in parameters)
    return f"<function=edit>\n{values}</function>"


def told(body: str, cuts: list[int] | None = None) -> str:
    begun, said = BegunXml(SCHEMAS), ""
    for a, b in itertools.pairwise([0, *(cuts or range(1, len(body))), len(body)]):
        begun.feed(body[a:b])
        said += begun.take()
    return said


@pytest.mark.parametrize(
    "parameters",
    [
        (f"text={LONG}",), (f"text={LONG}\n\n", "n=3"), ("n=3", f"text=\n{LONG}"),
        (f"text={LONG}", 'opts={"a": [1, 2]}'),
        (f"text={LONG}", "opts={'a': None}"), (f"text={LONG}", "n=three", "kind=null", "maybe=null"),
        (f"other={LONG}", "n=1"), (f'text=é👋 "q" \\ {LONG}\t< </p> <para', "n=1"), (f"text={LONG}", "text2="),
        (f'opts={{"a": "{LONG}"}}', "n=1"),
    ],
)  # fmt: skip
def test_all_but_the_last_bracket(parameters: tuple[str, ...]) -> None:
    body = call(*parameters)
    made = parse_xml(body, SCHEMAS)
    assert made is not None and told(body) == made.arguments[:-1]
    assert told(body, [len(body) // 2]) == told(body, [7, 40]) == told(body)


def test_a_text_is_told_as_it_comes() -> None:
    begun = BegunXml(SCHEMAS)
    begun.feed(f"<function=edit>\n<parameter=text>\n{LONG} and")
    assert (begun.name, begun.take()) == ("edit", f'{{"text": "{LONG} and')
    begun.feed(" so\n")
    assert begun.take() == " so"
    begun.feed("\n</param")
    assert begun.take() == "\\n"
    begun.feed("s>")
    assert begun.take() == "\\n</params>"


@pytest.mark.parametrize(
    "inner",
    ["a\n</parameter>\nb", "a\n<parameter=n>\n1\n</parameter>\nb", "a</function>b", "a\n<parameter=n>\n1"],
)
def test_what_looks_like_a_tag_ends_what_is_certain(inner: str) -> None:
    body = call(f"text={LONG}{inner}", "n=1")
    made = parse_xml(body, SCHEMAS)
    assert made is not None and told(body).startswith(f'{{"text": "{LONG}a') and made.arguments.startswith(told(body))


PIECES = st.lists(
    st.sampled_from([
        "<tool_call>", "</tool_call>", "\n", "<function=edit>\n", "<parameter=text>\n", "<parameter=n>",
        "</parameter>\n", "</function>", LONG, "3", "so", "<", "</", "param", "eter>", "é👋", '"', "<think>",
        "</think>",
        f"<tool_call>\n{call('n=1', f'text={LONG}')}\n</tool_call>", call(f"text={LONG}"),
    ]),
    max_size=14,
)  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(PIECES, st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_what_is_told_holds_for_any_chunking(pieces: list[str], sizes: list[int]) -> None:
    """And changes nothing of what comes out in the end."""
    tok = packaged()
    ids = [i for piece in pieces for i in tok.encode(piece, allow_control=True)]
    plain = StreamParser(tok, schemas=SCHEMAS, bare_calls=True)
    expected = plain.feed(ids) + plain.finish(ended=True)
    parser = StreamParser(tok, schemas=SCHEMAS, bare_calls=True, call_deltas=True)
    events: list[Event] = []
    for size in itertools.cycle(sizes):
        if not ids:
            break
        events += parser.feed(ids[:size])
        ids = ids[size:]
    events += parser.finish(ended=True)
    said: dict[int, str] = {}
    for event in events:
        if isinstance(event, ToolCallDelta):
            said[event.index] = said.get(event.index, "") + event.text
            with pytest.raises(ValueError):
                json.loads(said[event.index])
        elif isinstance(event, ToolCallDone):
            assert event.call.arguments.startswith(said.get(event.index, ""))

    def outcome(found: list[Event]) -> tuple[str, list[tuple[str, str]]]:
        calls = [(e.call.name, e.call.arguments) for e in found if isinstance(e, ToolCallDone)]
        return "".join(e.text for e in found if isinstance(e, TextDelta)), calls

    assert outcome(events) == outcome(expected)


def test_long_calls_are_told_in_tags_and_without(tok: Tokenizer) -> None:
    body = call(f"text={LONG * 20}", "n=1")
    for text in (f"So.\n\n<tool_call>\n{body}\n</tool_call>", f"So.\n{body}"):
        parser = StreamParser(tok, schemas=SCHEMAS, bare_calls=True, call_deltas=True)
        ids = tok.encode(text, allow_control=True)
        events = [e for i in ids for e in parser.feed([i])] + parser.finish(ended=True)
        deltas = [e for e in events if isinstance(e, ToolCallDelta)]
        (done,) = [e for e in events if isinstance(e, ToolCallDone)]
        assert len(deltas) > 10 and {(d.index, d.name, d.id) for d in deltas} == {(0, "edit", done.call.id)}
        said = "".join(d.text for d in deltas)
        assert done.call.arguments.startswith(said) and len(said) > 20 * SHORT
        assert [e.text for e in events if isinstance(e, TextDelta)] == ["So", "."]


@pytest.mark.flaky(reruns=2)  # judges time
@pytest.mark.parametrize("text", ["<function=" + "a" * 100_000, f"{call()[:15]}\n<parameter=opts>\n" + "[" * 100_000,
                                  f"{call()[:15]}\n<parameter=text>\na\n</parameter>" + " " * 100_000,
                                  f"{call()[:15]}\n<parameter=text>\n" + "\n" * 100_000])  # fmt: skip
def test_linear_time(text: str) -> None:
    def seconds(part: str) -> float:
        begun = BegunXml(SCHEMAS)
        start = time.thread_time()
        for at in range(0, len(part), 4):
            begun.feed(part[at : at + 4])
            begun.take()
        return time.thread_time() - start

    eighth, whole = seconds(text[: len(text) // 8]), seconds(text)
    assert whole < 20 and whole < 24 * eighth + 0.5, (eighth, whole)  # 64 if it were quadratic
