"""Calls in Qwen3-Coder's form by grammar: whatever is allowed is read as a call, and its arguments fit the schema."""

import json
from typing import Any

import jsonschema
import numpy as np
import pytest
from control_driver import END_TOOL_CALL, IM_END, TOOL_CALL, Script, drive, make_settings, tokenizer

from ponder.core.errors import UserError
from ponder.core.event import ToolCallDone
from ponder.engine.decoding.answer_constraint import AnswerRules, answer_rules
from ponder.engine.decoding.matcher import Compiled
from ponder.text.calls.xml_calls import schemas_of
from ponder.text.chat.parse import StreamParser

SHORT = {"type": "string", "maxLength": 3}
VALUES: list[Any] = [
    {"type": "boolean"},
    {"type": "null"},
    {"type": "integer", "minimum": -5, "maximum": 300},
    {"type": "number", "minimum": 0, "maximum": 1},
    SHORT,
    {"type": "string", "pattern": "^[a-c]{1,3}$"},
    {"type": "string", "pattern": "^/x/[0-9]$", "minLength": 4},
    {"type": "string", "enum": ["rouge", 'a "quoted" one', "漢字", "", "two\nlines", "null"]},
    {"enum": ["1", 7, None]},
    {"const": {"a": [1, "x"]}},
    {"type": ["integer", "null"], "minimum": 0, "maximum": 9},
    {"anyOf": [{"type": "null"}, {"type": "string", "pattern": "^[xy]$"}]},
    {"anyOf": [{"enum": [3, 5]}, {"type": "array", "items": {"type": "boolean"}, "maxItems": 1}]},
    {"$ref": "#/$defs/k"},
    {"type": "array", "items": {"$ref": "#/$defs/k"}, "minItems": 1, "maxItems": 2},
    {"type": "object", "properties": {"n": {"$ref": "#/$defs/k"}}, "required": ["n"], "additionalProperties": False},
]  # fmt: skip


def schema_of(value: Any) -> dict[str, Any]:
    return {
        "type": "object", "properties": {"v": value, "maybe": {"type": "boolean"}, "w-x": value}, "required": ["v"],
        "additionalProperties": False, "$defs": {"k": {"type": "string", "maxLength": 2}},
    }  # fmt: skip


def tool(parameters: Any, name: str = "f", **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": parameters, **more}}


def rules(*tools: dict[str, Any], **fields: Any) -> AnswerRules:
    return answer_rules(tokenizer(), tokenizer().eos_ids, tools=tools, xml=True, **fields)


def drawn(compiled: Compiled, rng: np.random.Generator, most: int = 400) -> list[int] | None:
    """Ids that the grammar allows, up to an end token; None when that does not come."""
    matcher, ids = compiled.start(), []
    for _ in range(most):
        matcher.fill_mask()
        allowed = np.flatnonzero(np.unpackbits(matcher.mask, bitorder="little"))
        if IM_END in allowed:
            return ids
        ids.append(int(rng.choice(allowed)))
        matcher.accept(ids[-1])
    return None


def called(ids: list[int], *tools: dict[str, Any]) -> list[tuple[str, Any]]:
    parser = StreamParser(tokenizer(), schemas=schemas_of(tools))
    events = parser.feed(ids) + parser.finish()
    assert all(isinstance(e, ToolCallDone) for e in events) and not parser.malformed_calls, tokenizer().decode(ids)
    return [(e.call.name, json.loads(e.call.arguments)) for e in events if isinstance(e, ToolCallDone)]


def ids_of(text: str) -> list[int]:
    return tokenizer().encode(text, allow_control=True)


def call(*parameters: str, name: str = "f") -> str:
    values = "".join(f"<parameter={p.partition('=')[0]}>\n{p.partition('=')[2]}\n</parameter>\n" for p in parameters)
    return f"<tool_call>\n<function={name}>\n{values}</function>\n</tool_call>"


@pytest.mark.parametrize("value", VALUES, ids=[json.dumps(v, ensure_ascii=True)[:40] for v in VALUES])
def test_what_is_allowed_is_a_call_that_fits(value: Any) -> None:
    asked = tool(schema_of(value), strict=True)
    compiled = rules(asked, tool_choice="required", parallel_tool_calls=False).calls
    rng, done = np.random.default_rng(1), 0
    assert compiled is not None and not compiled.warnings
    for _ in range(6):
        ids = drawn(compiled, rng)
        if ids is not None:
            ((name, arguments),) = called(ids, asked)
            assert name == "f"
            jsonschema.validate(arguments, schema_of(value))
            done += 1
    assert done


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"type": "string"}, ["", "x < 1:\n    y", "</p> null", "\n"], ["a\n</parameter>", "<parameter=w>"]),
        ({"type": "integer"}, ["3", "-1"], ["x", "3.5", "", "True"]),
        ({"type": "boolean"}, ["true", "True", "false"], ["yes", "1"]),
        ({"type": ["string", "null"]}, ["null", "None", "x"], []),
        ({"type": ["integer", "null"]}, ["null", "None", "4"], ["x"]),
        ({"type": "string", "minLength": 2, "maxLength": 3}, ["ab", "abc"], ["a", "abcd"]),
        ({"type": "string", "pattern": "b"}, ["b", "abc"], ["a"]),
        ({"type": "object"}, ["{}", '{"a": [1]}'], ["[]", "{'a': 1}"]),
        ({}, ["x", "1"], []),
    ],
)
def test_values(schema: Any, good: list[str], bad: list[str]) -> None:
    compiled = rules(tool({"properties": {"v": schema}, "required": ["v"]}), tool_choice="f", parallel_tool_calls=False)
    assert compiled.calls is not None
    for text in good:
        assert compiled.calls.fits(ids_of(call(f"v={text}"))), text
    for text in bad:
        assert not compiled.calls.fits(ids_of(call(f"v={text}"))), text


def test_which_parameters_and_which_tools() -> None:
    f = tool({"properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}, "required": ["b"]})
    g = tool({"type": "object", "properties": {}, "additionalProperties": False}, "g")
    free = tool({"type": "object"}, "free")
    several = rules(f, g, free, tool_choice="required").calls
    assert several is not None
    for text in (call("b=1"), call("a=1", "b=2"), call(name="g"), call("x=1", "y=z\nz", name="free"), call(name="free"),
                 call("b=1") + "\n" + call(name="g")):  # fmt: skip
        assert several.fits(ids_of(text)), text
    for text in (call("a=1"), call("b=1", "c=2"), call("a=1", name="g"), call(name="h"), f"So. {call(name='g')}"):
        assert not several.fits(ids_of(text)), text
    named = rules(f, g, tool_choice="g", parallel_tool_calls=False).calls
    assert named is not None and named.fits(ids_of(call(name="g"))) and not named.fits(ids_of(call("b=1")))
    assert not named.fits(ids_of(call(name="g") + "\n" + call(name="g")))


def test_what_cannot_be_kept_is_refused_or_told() -> None:
    """SO-3, TC-7: a strict tool with its place, another one with a warning."""
    unique = {"type": "object", "properties": {"l": {"type": "array", "uniqueItems": True}}, "required": ["l"]}
    day = {"type": "string", "format": "date"}
    for schema, place, said in (
        (unique, "#/properties/l", "uniqueItems"),
        ({"type": "object", "properties": {"d": day}}, "#/properties/d/format", "#/properties/d/format: it is not"),
        ({"type": "object", "properties": {"a": {}}, "minProperties": 1}, "#/minProperties", "#/minProperties: it is"),
        ({"type": "object", "properties": {"<": {}}}, "#/properties/<", "#/properties/<: this name"),
        ({"type": "object", "properties": {"p": {"type": "string", "pattern": "(?=a)b"}}}, "#", "tool f: #: "),
    ):
        with pytest.raises(UserError, match="the parameters of f cannot be kept strictly at " + place):
            rules(tool(schema, strict=True))
        told = rules(tool(schema), tool_choice="required").warnings
        assert any(w.startswith("tool f: ") and said in w for w in told), told


def test_in_auto_the_form_begins_with_the_tag() -> None:
    asked = tool(schema_of({"type": "integer"}), strict=True)
    other = tool({"type": "object", "properties": {"x": {"type": "integer"}}}, "other")
    for script, arguments in (("v=three", None), ("v=3", {"v": 3})):
        line = [*ids_of("I call.\n\n" + call(script)), IM_END]
        settings, prompt = make_settings()
        out = drive(settings, prompt, Script(line), rules=rules(asked, other))
        assert out.content == "I call." and [c.name for c in out.calls] == ["f"]
        found = json.loads(out.calls[0].arguments)
        jsonschema.validate(found, schema_of({"type": "integer"}))
        assert arguments is None or found == arguments
    free = [*ids_of(call("x=what it likes", name="other")), IM_END]
    out = drive(*make_settings(), Script(free), rules=rules(asked, other))
    assert [json.loads(c.arguments) for c in out.calls] == [{"x": "what it likes"}]
    assert {TOOL_CALL, END_TOOL_CALL} < set(out.ids)
