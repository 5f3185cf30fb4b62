"""One call as text and back, and the scanner that knows whether a JSON string is open."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ponder.core.message import ToolCall
from ponder.text.calls.tool_calls import StringScanner, format_call, parse_call


@given(st.dictionaries(st.text(), st.text() | st.integers(-(10**18), 10**18) | st.lists(st.text())), st.booleans())
def test_arguments_survive_byte_for_byte(arguments: dict[str, object], ascii_only: bool) -> None:
    call = ToolCall("f", json.dumps(arguments, ensure_ascii=ascii_only))
    assert parse_call("\n" + format_call(call) + "\n") == call


@pytest.mark.parametrize(
    "body",
    [
        "", "null", "[]", "{}", "1", '"f"', '{"name": null}', '{"name": "f", "arguments": []}', '{"arguments": {}}',
        '{"name": "f", "arguments": {}', '{"name": "f", "arguments": {"a": }}', "{'name': 'f'}", '{"name": "f"} x',
        '{"name": "f", "arguments": {"a": NaN}}', '{"name": "f", "arguments": "{}"}', '{"name": "f", "arguments": 1}',
        '{"name": "f", "arguments": {"a": "line\nbreak"}}', '{"name": "f", "arguments": {"a": "\\ud800"}}', "\ud800",
        '{"name": "f", "arguments": {"a": ' + "[" * 100_000 + "]" * 100_000 + "}}",
        '{"name": "f", "arguments": {"a": 1' + "0" * 10_000 + "}}",
        '{"name": "f", "arguments": {"a": ' + "[" * 900 + "]" * 900 + "}}", '{"name": "", "arguments": {}}',
    ],
)  # fmt: skip
def test_what_is_not_a_call(body: str) -> None:
    assert parse_call(body) is None


@pytest.mark.parametrize(
    ("body", "arguments"),
    [
        ('{"name": "f", "parameters": {"a": 1.50}}', '{"a": 1.50}'),
        ('{"parameters": {"a": 1}, "name": "f"}', '{"a": 1}'),
        ('{"name": "f", "arguments": {}, "parameters": {"a": 1}}', '{"a": 1}'),
        ('{"name": "f", "arguments": null, "parameters": {"a": 1}}', '{"a": 1}'),
        ('{"name": "f", "arguments": {"a": 1}, "parameters": {"b": 2}}', '{"a": 1}'),
        ('{"name": "f", "parameters": {}}', "{}"),
        ('{"name": "f", "id": "c1", "type": "function"}', "{}"),
        ('{"name": "f", "parameters": [1]}', None),
        ('{"name": "f", "args": {"a": 1}}', None),
        ('{"name": "f", "input": {"a": 1}, "arguments": null}', None),
        ('{"name": "f", "a": 1}', None),
    ],
)
def test_arguments_in_another_place_never_become_none(body: str, arguments: str | None) -> None:
    assert parse_call(body) == (None if arguments is None else ToolCall("f", arguments))


def test_a_64_kb_argument() -> None:
    call = ToolCall("f", json.dumps({"s": 'é</tool_call>\\"' * 5000}, ensure_ascii=False))
    assert parse_call(format_call(call)) == call


def inside(text: str) -> bool:
    """The slow, obvious way."""
    opened = escaped = False
    for character in text:
        if escaped:
            escaped = False
        elif opened and character == "\\":
            escaped = True
        elif character == '"':
            opened = not opened
    return opened


@settings(max_examples=500)
@given(st.lists(st.text(st.sampled_from('"\\ab{}'), max_size=6), max_size=6))
def test_scanner_equals_the_obvious_one_for_every_cut(pieces: list[str]) -> None:
    scanner = StringScanner()
    for n, piece in enumerate(pieces):
        scanner.feed(piece)
        assert scanner.inside == inside("".join(pieces[: n + 1]))
