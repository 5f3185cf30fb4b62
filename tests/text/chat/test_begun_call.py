"""A call while it is written: what is told holds, never the whole, and changes nothing of what comes out in the end."""

import itertools
import json
import random
from typing import Any

import pytest
from test_stream_parser import ASK, GOOD, TABLE, outcome, random_ids

from ponder.core.event import Event, ToolCallDelta, ToolCallDone
from ponder.core.message import ToolCall
from ponder.text.calls.begun_call import SHORT, BegunCall
from ponder.text.calls.begun_xml import BegunXml
from ponder.text.calls.xml_calls import parse_xml
from ponder.text.chat.parse import StreamParser
from ponder.text.tokenizer.tokenizer import Tokenizer

LONG = f'"long": "{"x" * SHORT}", '  # what nobody is told before


def long(arguments: str) -> str:
    """With something long in front."""
    return "{" + LONG + arguments[1:] if arguments[1:].strip() != "}" else f"{{{LONG[:-2]}{arguments[1:]}"


def told(arguments: str, cuts: list[int] | None = None, head: str = '\n{"name": "f", "arguments": ') -> tuple[Any, str]:
    """(name, what is said of the arguments)"""
    body = head + arguments
    call, said = BegunCall(), ""
    places = [0, *(cuts or range(1, len(body))), len(body)]
    for a, b in itertools.pairwise(places):
        call.feed(body[a:b])
        said += call.take()
        assert arguments.startswith(said)
    return call.name, said


COMPLETE = ["{}", "{ }",
            '{"a": 1}', '{"a":[1,-2.5e+3,[],{}],"b":{"c":null}}', '{"s":"x\\u00e9\\n\\"}{"}', '{"a": true }',
            '{"":""}', "{\n \"a\" : [ ] ,\n\t\"b\":false\n}", '{"ü": "👋"}']  # fmt: skip
# with how far each is good
BROKEN = {'{"a": foo}': '{"a": ',
          '{"a" 1}': '{"a" ', "{'a': 1}": "{", '{"a": 01}': '{"a": ', '{"a": "x\ny"}': '{"a": "x',
          '{"a": "\\x"}': '{"a": "', '{"a": 1,}': '{"a": 1,', '{"a": [1}': '{"a": [1', '{"a": 1 2}': '{"a": 1 ',
          '{,}': "{", '{"a": tru}': '{"a": ', '{"a": "\\u12g4"}': '{"a": "', '{"a": 1]': '{"a": 1'}  # fmt: skip


@pytest.mark.parametrize("arguments", COMPLETE)
def test_all_but_the_last_bracket(arguments: str) -> None:
    arguments = long(arguments)
    json.loads(arguments)
    assert told(arguments + "}\n") == ("f", arguments[:-1])


@pytest.mark.parametrize("arguments", BROKEN)
def test_where_it_stops_being_json_nothing_more_is_said(arguments: str) -> None:
    assert told(long(arguments)) == ("f", long(BROKEN[arguments]))


@pytest.mark.parametrize(
    "head",
    ['{"arguments": {"a": 1}, "name": "f", "x": ', '{"name": 1, "arguments": ', '{"name": "f", "parameters": ', "nope ",
     '{"name": "f", "arguments": "', '{"name": "\\x", "arguments": ', "[" * 2000 + '{"name": "f", "arguments": '],
)  # fmt: skip
def test_what_does_not_begin_as_a_call_is_not_told(head: str) -> None:
    assert told(long('{"a": 1}'), head=head)[1] == ""


def test_what_is_short_is_not_told() -> None:
    assert told(f'{{"a": "{"x" * (SHORT - 8)}')[1] == "" and told(f'{{"a": "{"x" * (SHORT - 7)}')[1] != ""


def test_however_it_is_cut() -> None:
    rng = random.Random(3)
    for _ in range(300):
        arguments = long(rng.choice(COMPLETE) if rng.random() < 0.5 else rng.choice(list(BROKEN)))
        cuts = sorted(rng.choices(range(1, len(arguments) + 20), k=rng.randrange(6)))
        assert told(arguments, cuts) == told(arguments)


def test_it_agrees_with_the_call_that_came_of_it() -> None:
    call = BegunCall()
    arguments = long('{"a": 1}')
    call.feed('{"name": "f", "arguments": ' + arguments)
    call.take()
    assert call.agrees(ToolCall("f", arguments))
    others = (None, ToolCall("g", arguments), ToolCall("f", arguments.replace(": 1", ":1")))
    assert not any(map(call.agrees, others))


SCHEMAS = {"f": {"properties": {"s": {"type": "string"}, "n": {"type": "integer"}, "e": {"enum": ["a", "b"]},
                               "m": {"type": ["string", "null"]}}}}  # fmt: skip
VALUES = ["one\ntwo", "", "\n", "\n\nx\n", "7", "null", "a", '"quoted" \\ 👋', "x </parameter> y", "<b>\n</b>",
          "</parameter>", "é" * 70, "y" * 99]  # fmt: skip


def xml(parameters: list[tuple[str, str]], layout: str = "\n") -> str:
    inner = "".join(f"<parameter={k}>{layout}{v}{layout}</parameter>{layout}" for k, v in parameters)
    return f"\n<function=f>{layout}{inner}</function>\n"


def test_xml_however_it_is_cut() -> None:
    rng, told_of = random.Random(5), 0
    for _ in range(1500):
        keys = rng.sample(["s", "n", "e", "m", "unknown"], rng.randrange(5))
        body = xml([(k, rng.choice(VALUES)) for k in keys], rng.choice(["\n", "\n", ""]))
        if rng.random() < 0.2:  # without an end, or with something odd
            at = rng.randrange(len(body))
            odd = rng.choice(["", "</function>", "\n<parameter=s>", "</parameter>"])
            body = body[:at] + odd + body[at + rng.randrange(9) :]
        cuts = [0, *sorted(rng.choices(range(len(body)), k=rng.randrange(9))), len(body)]
        call, said = BegunXml(SCHEMAS), ""
        for a, b in itertools.pairwise(cuts):
            call.feed(body[a:b])
            said += call.take()
        parsed = parse_xml(body, SCHEMAS)
        told_of += bool(said)
        if parsed is not None:
            assert call.agrees(parsed), body
        whole = BegunXml(SCHEMAS)
        whole.feed(body)
        assert whole.take() == said, "however it is cut"
        with pytest.raises(ValueError):
            json.loads(said)
    assert told_of > 300


def test_a_text_of_xml_is_told_as_it_comes() -> None:
    call = BegunXml(SCHEMAS)
    call.feed("\n<function=f>\n<parameter=n>\n7\n</parameter>\n<parameter=s>\n" + "x" * SHORT)
    assert (call.name, call.take()) == ("f", '{"n": 7, "s": "' + "x" * SHORT)
    pieces = []
    for piece in (" one", "\n", "two", "\n</par", "ameter>", "\n", "</function>"):
        call.feed(piece)
        pieces.append(call.take())
    assert pieces == [" one", "", "\\ntwo", "", "", "", '"']


def events_of(tok: Tokenizer, ids: list[int], prompt: str, *, deltas: bool, size: int = 1) -> list[Event]:
    parser = StreamParser(tok, tok.encode(prompt, allow_control=True), call_deltas=deltas)
    return [e for at in range(0, len(ids), size) for e in parser.feed(ids[at : at + size])] + parser.finish()


def check(tok: Tokenizer, ids: list[int], prompt: str) -> int:
    """What is told beside the rest changes nothing of it, and belongs to the call of its number. -> how much it was."""
    events = events_of(tok, ids, prompt, deltas=True)
    plain = outcome(events_of(tok, ids, prompt, deltas=False))
    thoughts, text, calls = outcome(events)
    assert (thoughts, text) == plain[:2] and [c[1:] for c in calls] == [c[1:] for c in plain[2]]
    done = {e.index: e.call for e in events if isinstance(e, ToolCallDone)}
    pieces: dict[int, list[ToolCallDelta]] = {}
    for event in events:
        if isinstance(event, ToolCallDelta):
            assert event.text and event.index not in [
                e.index for e in events[: events.index(event)] if isinstance(e, ToolCallDone)
            ]
            pieces.setdefault(event.index, []).append(event)
    for index, parts in pieces.items():
        said = "".join(p.text for p in parts)
        assert said[0] == "{" and len({(p.id, p.name) for p in parts}) == 1
        with pytest.raises(ValueError):
            json.loads(said)
        if index in done:
            assert done[index].arguments.startswith(said)
            assert (done[index].name, done[index].id) == (parts[0].name, parts[0].id)
    return len(pieces)


@pytest.mark.parametrize("case", TABLE)
def test_the_rules_of_the_parser_hold_beside_it(tok: Tokenizer, case: str) -> None:
    prompt, text, _ = TABLE[case]
    check(tok, tok.encode(text, allow_control=True), prompt)


def test_random_streams(tok: Tokenizer) -> None:
    rng = random.Random(11)
    tags = [tok.tool_call, tok.end_tool_call, tok.think, tok.end_think]
    opening = tok.encode('<tool_call>\n{"name": "f", "arguments": {' + LONG + '"a": "', allow_control=True)
    seen = 0
    for _ in range(200):
        ids = random_ids(rng, tok)
        for _ in range(rng.randrange(3)):
            at = rng.randrange(len(ids) + 1)
            ids[at:at] = [
                *opening,
                *rng.choices([*tok.encode('x"}}, :1{[\n'), *filter(None, tags)], k=rng.randrange(9)),
            ]
        seen += check(tok, ids, ASK)
    assert seen > 60


def test_each_id_is_told_at_once(tok: Tokenizer) -> None:
    text = f'a\n<tool_call>\n{{"name": "f", "arguments": {{{LONG}"s": "one two three"}}}}\n</tool_call>'
    parser = StreamParser(tok, tok.encode(ASK, allow_control=True), call_deltas=True)
    ids = tok.encode(text, allow_control=True)
    said = ["".join(e.text for e in parser.feed([i]) if isinstance(e, ToolCallDelta)) for i in ids]
    pieces = [s for s in said if s]
    assert len(pieces[0]) >= SHORT and pieces[-6:] == ['":', ' "', "one", " two", " three", '"']


def test_the_number_of_a_broken_call_is_not_used_again(tok: Tokenizer) -> None:
    good = GOOD.replace('{"x"', "{" + LONG + '"x"')
    broken = good.replace("1}}", "1}]")
    events = events_of(tok, tok.encode(broken + good, allow_control=True), ASK, deltas=True)
    found = [(type(e).__name__, getattr(e, "index", None)) for e in events]
    assert list(dict.fromkeys(found)) == [
        ("ToolCallDelta", 0), ("TextDelta", None), ("ToolCallDelta", 1), ("ToolCallDone", 1),
    ]  # fmt: skip
