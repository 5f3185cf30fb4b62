"""Calls as XML: their values by schema, what may stand in a value, any chunking, and what a cut or broken one is."""

import json
import re
import time
from functools import cache
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ponder.core.event import Event, ReasoningDelta, TextDelta, ToolCallDone
from ponder.core.message import ToolCall
from ponder.text.calls.tool_calls import format_call
from ponder.text.calls.xml_calls import ValueScanner, parse_xml
from ponder.text.chat.coder_template import FORMS, format_xml
from ponder.text.chat.parse import StreamParser
from ponder.text.schema_values import json_value
from ponder.text.tokenizer.tokenizer import Tokenizer

EDIT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "path": {"type": "string"}, "text": {"type": "string"}, "count": {"type": "integer"},
    },
}  # fmt: skip
SCHEMAS = {"edit": EDIT, "ls": {}, "f": {}}
BODY = "\n<function=edit>\n<parameter=path>\nsrc/a.py\n</parameter>\n<parameter=count>\n3\n</parameter>\n</function>\n"
MADE = ("edit", {"path": "src/a.py", "count": 3})
CALL = f"<tool_call>{BODY}</tool_call>"


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        ({"type": "string"}, "3", "3"),
        ({"type": "string"}, "null", "null"),
        ({"type": "string"}, '{"a": 1}', '{"a": 1}'),
        ({"type": "string"}, "  two\n\nlines ", "  two\n\nlines "),
        ({"type": "str"}, "true", "true"),
        ({"type": "integer"}, "3", 3),
        ({"type": "integer"}, "-12345678901234567890", -12345678901234567890),
        ({"type": "integer"}, "three", "three"),
        ({"type": "integer"}, "null", None),
        ({"type": "int64"}, " 7 ", 7),
        ({"type": "number"}, "1.50", 1.5),
        ({"type": "number"}, "2.0", 2),
        ({"type": "number"}, "1e3", 1000),
        ({"type": "number"}, "1e300", 1e300),
        ({"type": "number"}, "inf", "inf"),
        ({"type": "number"}, "nan", "nan"),
        ({"type": "float"}, "None", None),
        ({"type": "boolean"}, "true", True),
        ({"type": "boolean"}, "False", False),
        ({"type": "boolean"}, "maybe", "maybe"),  # not False: the tool complains of it
        ({"type": "object"}, '{"deep": [1, {"x": null}]}', {"deep": [1, {"x": None}]}),
        ({"type": "object"}, "{'deep': [True, None]}", {"deep": [True, None]}),  # as Python writes it
        ({"type": "object"}, '"{\'a\': 1}"', {"a": 1}),
        ({"type": "object"}, "{cut", "{cut"),
        ({"type": "array"}, "[1,2]", [1, 2]),
        ({"type": "array"}, "(1, 2)", [1, 2]),
        ({"type": "array"}, "[" * 5000, "[" * 5000),
        ({"type": ["string", "null"]}, "null", None),
        ({"type": ["string", "null"]}, "5", "5"),
        ({"type": ["integer", "string"]}, "5", 5),
        ({"type": ["integer", "string"]}, "five", "five"),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "None", None),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "None", None),
        ({"oneOf": [{"type": "object"}, {"type": "array"}]}, "[1]", [1]),
        ({"type": "string", "nullable": True}, "null", None),
        ({"enum": [1, 2]}, "2", 2),
        ({"enum": ["1", "2"]}, "2", "2"),
        ({"enum": ["1", 7, None]}, "7", 7),
        ({"enum": ["null", 7]}, "null", "null"),
        ({"enum": ["a", None]}, "null", None),
        ({"const": True}, "true", True),
        ({"$ref": "#/$defs/Options"}, '{"a": 1}', {"a": 1}),
        ({"$ref": "#/$defs/Loop"}, "1", "1"),
        ({"$ref": "other.json"}, "1", "1"),
        ({}, "1", "1"),
        (True, "1", "1"),
        (None, '{"a": 1}', '{"a": 1}'),
        ({"type": "any"}, "[1]", [1]),
    ],
)  # fmt: skip
def test_what_a_value_is(schema: Any, text: str, value: object) -> None:
    root = {"$defs": {"Options": {"type": "object"}, "Loop": {"$ref": "#/$defs/Loop"}}}
    found = json.loads(json_value(text, schema, root))
    assert found == value and type(found) is type(value)


HTML = '<p class="x">\n</p>\n</parameter> </p>'
INNER = f"as in\n{CALL}\nor so"


@pytest.mark.parametrize(
    "text", ["", "\n", "a\n", "\n\na\n\n", HTML, INNER, f"{INNER}\n{INNER}", "é👋", "</tool_call>", "x" * 70_000]
)
def test_what_may_stand_in_a_value(tok: Tokenizer, text: str) -> None:
    call = ToolCall("edit", json.dumps({"path": "p", "text": text, "count": 1}))
    body = format_xml(call, str)
    assert parse_xml(body, SCHEMAS) == parse_xml(body, SCHEMAS, closed=False)
    for allow_control in (True, False):
        ids = tok.encode(body, allow_control=allow_control)
        found = read(tok, [151657, *ids, 151658])
        assert found[2] == [("edit", {"path": "p", "text": text, "count": 1})], found


def read(tok: Tokenizer, ids: list[int], **options: Any) -> tuple[str, str, list[tuple[str, Any]], int]:
    """(thoughts, text, calls, malformed calls), which are the same for every chunking."""
    found = []
    for size in (1, 3, len(ids)):
        parser = StreamParser(tok, schemas=SCHEMAS, bare_calls=True, **options)
        events = [e for at in range(0, len(ids), size) for e in parser.feed(ids[at : at + size])] + parser.finish()
        found.append((*outcome(events), parser.malformed_calls))
    assert found[0] == found[1] == found[2]
    return found[0]


def outcome(events: list[Event]) -> tuple[str, str, list[tuple[str, Any]]]:
    return (
        "".join(e.text for e in events if isinstance(e, ReasoningDelta)),
        "".join(e.text for e in events if isinstance(e, TextDelta)),
        [(e.call.name, json.loads(e.call.arguments)) for e in events if isinstance(e, ToolCallDone)],
    )


BARE = BODY.strip("\n")
TABLE: dict[str, tuple[str, tuple[str, list[tuple[str, Any]], int]]] = {
    "a call": (CALL, ("", [MADE], 0)),
    "after text": (f"I edit.\n\n{CALL}", ("I edit.", [MADE], 0)),
    "one line break": (f"I edit.\n{CALL}", ("I edit.", [MADE], 0)),
    "two calls": (f"{CALL}\n{CALL}", ("", [MADE, MADE], 0)),
    "text behind": (f"{CALL}\nDone.", ("\nDone.", [MADE], 0)),
    "no arguments": ("<tool_call>\n<function=ls>\n</function>\n</tool_call>", ("", [("ls", {})], 0)),
    "without line breaks": (
        "<tool_call><function=edit><parameter=path>a</parameter><parameter=count>1</parameter></function></tool_call>",
        ("", [("edit", {"path": "a", "count": 1})], 0)),
    "an unknown tool": (
        "<tool_call><function=g><parameter=a>1</parameter></function></tool_call>", ("", [("g", {"a": "1"})], 0)),
    "the same parameter twice": (
        "<tool_call><function=ls><parameter=a>1</parameter><parameter=a>2</parameter></function></tool_call>",
        ("", [("ls", {"a": "2"})], 0)),
    "no end of the function": (CALL.replace("</function>\n", ""), ("", [MADE], 0)),
    "no end of a value before the next": (CALL.replace("src/a.py\n</parameter>", "src/a.py"), ("", [MADE], 0)),
    "no end of the last value": (CALL.replace("3\n</parameter>", "3"), ("", [MADE], 0)),
    "JSON beside it": (CALL + '\n<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>', (
        "", [MADE, ("f", {})], 0)),
    "no name": ("<tool_call><function=>\n</function></tool_call>", (
        "<tool_call><function=>\n</function></tool_call>", [], 1)),
    "a template's name": ("<tool_call><function={{ x }}></function></tool_call>", (
        "<tool_call><function={{ x }}></function></tool_call>", [], 1)),
    "words in it": (CALL.replace("<function=edit>", "<function=edit> so"), (
        CALL.replace("<function=edit>", "<function=edit> so"), [], 1)),
    "words behind the function": (CALL.replace("</function>", "</function> so"), (
        CALL.replace("</function>", "</function> so"), [], 1)),
    "only the end tag is missing": (CALL.removesuffix("\n</tool_call>") + "<|im_end|>", ("", [MADE], 0)),
    "cut off in a value": (CALL[:60] + "<|im_end|>", (CALL[:60], [], 1)),
    "cut off by a limit": (CALL.removesuffix("\n</tool_call>"), (CALL.removesuffix("\n</tool_call>"), [], 1)),
    "no tag": (f"I edit.\n{BARE}\n</tool_call>", ("I edit.", [MADE], 0)),
    "no tags at all": (f"I edit.\n{BARE}", ("I edit.", [MADE], 0)),
    "no tags, twice": (f"{BARE}\n{BARE}", ("", [MADE, MADE], 0)),
    "no tags, then with tags": (f"{BARE}\n</tool_call>\n{CALL}", ("", [MADE, MADE], 0)),
    "no tags, then words": (f"{BARE}\n\nDone.", ("\n\nDone.", [MADE], 0)),
    "no tag, cut off": (f"So.\n{BARE[:50]}<|im_end|>", (f"So.\n{BARE[:50]}", [], 1)),
    "no tag and no end of the function": (
        BARE.removesuffix("\n</function>") + "\n</tool_call>", ("", [MADE], 0)),
    "no tag, a call inside a value": (
        "<function=ls>\n<parameter=a>\n" + INNER + "\n</parameter>\n</function>", ("", [("ls", {"a": INNER})], 0)),
    "not at the beginning of a line": (f"Write {BARE}", (f"Write {BARE}", [], 0)),
    "no tool of that name": ("<function=rm>\n</function>", ("<function=rm>\n</function>", [], 0)),
    "the beginning of a name": ("<function=ed", ("<function=ed", [], 0)),
    "in a fence": (f"```xml\n{BARE}\n```\n{BARE}", (f"```xml\n{BARE}\n```", [MADE], 0)),
    "after thoughts": (f"<think>\nhm\n</think>\n\n{BARE}", ("", [MADE], 0)),
}  # fmt: skip


@pytest.mark.parametrize("case", TABLE)
def test_rules(tok: Tokenizer, case: str) -> None:
    text, expected = TABLE[case]
    assert read(tok, tok.encode(text, allow_control=True))[1:] == expected


def test_without_tools_to_call_it_is_text(tok: Tokenizer) -> None:
    for text in (CALL, f"So.\n{BARE}"):
        assert read(tok, tok.encode(text, allow_control=True), calls=False)[1:] == (text, [], 0)


def test_calls_at_the_end_of_the_thoughts(tok: Tokenizer) -> None:
    for text in (f"<think>\nhm\n{CALL}", f"<think>\nhm\n{CALL.removesuffix('</tool_call>')}"):
        parser = StreamParser(tok, hold_calls=True, schemas=SCHEMAS)
        events = parser.feed(tok.encode(text, allow_control=True))
        assert len(parser.pending) == 1
        assert outcome([*events, *parser.accept_pending()]) == ("hm", "", [MADE])


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=3), v, max_size=3),
    max_leaves=6,
)
NAMES = st.text(st.characters(categories=["L", "N"], include_characters="_-."), min_size=1, max_size=6)
LAYOUT = st.sampled_from(
    ["</parameter>", "</function>", "\n", " ", "<parameter=", "<parameter=a>", "<function=f>", "é", "x"]
)


packaged = cache(Tokenizer.packaged)


def type_of(value: object) -> dict[str, Any]:
    names = {bool: "boolean", int: "integer", float: "number", str: "string", dict: "object", list: "array"}
    return {"type": names.get(type(value), "null")}


def plain(value: object) -> bool:
    """Whether no text in it is a value's end, or a beginning that looks like one."""
    return not re.search(r"</?parameter|</function", json.dumps(value))


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(NAMES, VALUES, max_size=4).filter(plain), st.sampled_from(["qwen3-coder", "qwen3-coder-next"]))
def test_what_the_template_writes_is_read_again(arguments: dict[str, Any], form: str) -> None:
    schemas = {"f": {"type": "object", "properties": {k: type_of(v) for k, v in arguments.items()}}}
    body = format_xml(ToolCall("f", json.dumps(arguments)), FORMS[form].value)
    call = parse_xml(body, schemas)
    assert call is not None and call.name == "f"
    found = json.loads(call.arguments)
    assert found == arguments and list(found) == list(arguments)


PIECES = st.lists(
    st.sampled_from([
        "<tool_call>", "</tool_call>", "\n", "<function=edit>", "<function=ls>", "<parameter=path>",
        "<parameter=count>", "</parameter>", "</function>", "3", "so", " ", "```", "<think>", "</think>",
        "<|im_end|>", BODY, BARE, CALL,
        "<", "func", "tion=", "ls>", "é👋", '{"name": "f"}', '"',
    ]),
    max_size=14,
)  # fmt: skip


@settings(max_examples=600, deadline=None)
@given(PIECES, st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_streamed_equals_whole_for_any_chunking(pieces: list[str], sizes: list[int]) -> None:
    """And what was given out stays true: the events of a prefix are a prefix of the whole."""
    tok = packaged()
    ids = [i for piece in pieces for i in tok.encode(piece, allow_control=True)]
    whole = StreamParser(tok, schemas=SCHEMAS, bare_calls=True)
    expected = outcome(whole.feed(ids) + whole.finish(ended=True))
    parts = StreamParser(tok, schemas=SCHEMAS, bare_calls=True)
    events: list[Event] = []
    at = n = 0
    while at < len(ids):
        events += parts.feed(ids[at : at + sizes[n % len(sizes)]])
        at, n = at + sizes[n % len(sizes)], n + 1
        thoughts, text, calls = outcome(events)
        assert expected[0].startswith(thoughts) and expected[1].startswith(text) and expected[2][: len(calls)] == calls
    events += parts.finish(ended=True)
    assert outcome(events) == expected and parts.malformed_calls == whole.malformed_calls


@settings(max_examples=500, deadline=None)
@given(st.lists(LAYOUT, max_size=14))
def test_the_scanner_does_not_depend_on_pieces(pieces: list[str]) -> None:
    whole, parts = ValueScanner(), ValueScanner()
    whole.feed("".join(pieces))
    for piece in pieces:
        for character in piece:
            parts.feed(character)
    assert (whole.inside, whole.done, whole.rest) == (parts.inside, parts.done, parts.rest)


@pytest.mark.flaky(reruns=2)  # judges time
@pytest.mark.parametrize(
    "text",
    ["<tool_call>\n<function=edit>\n" + "<parameter=path>\n" * 30_000,
     "<tool_call>\n<function=f>" + "</parameter>\n" * 30_000,
     "<tool_call>\n<function=edit>\n<parameter=path>\n" + "</tool_call>\n" * 30_000, "<function=edit>\n" * 20_000,
     "<function=ls>\n<parameter=a>\n" + "</parameter> " * 30_000, CALL * 3000, f"{BARE}\n" * 3000,
     "<function=ls>" + " \n" * 90_000],
)  # fmt: skip
def test_linear_time(tok: Tokenizer, text: str) -> None:
    ids = tok.encode(text, allow_control=True)

    def seconds(part: list[int]) -> float:
        parser = StreamParser(tok, schemas=SCHEMAS, bare_calls=True)
        start = time.thread_time()
        for id_ in part:
            parser.feed([id_])
        parser.finish()
        return time.thread_time() - start

    eighth, whole = seconds(ids[: len(ids) // 8]), seconds(ids)
    assert whole < 20 and whole < 24 * eighth + 0.5, (eighth, whole)  # 64 if it were quadratic


def test_json_calls_are_as_they_were(tok: Tokenizer) -> None:
    text = f"<tool_call>\n{format_call(ToolCall('f', json.dumps({'x': CALL})))}\n</tool_call>"
    assert read(tok, tok.encode(text, allow_control=True))[2] == [("f", {"x": CALL})]


def test_a_value_nested_too_deep_to_be_read_is_no_call() -> None:
    body = "<function=f>\n<parameter=a>\n{}\n</parameter>\n</function>"
    schemas = {"f": {"properties": {"a": {"type": "array"}}}}
    assert parse_xml(body.format("[" * 200 + "]" * 200), schemas) is not None
    assert parse_xml(body.format("[" * 900 + "]" * 900), schemas) is None
