"""Answers do not invent keys: objects that name their properties are closed unless the schema says otherwise."""

import json
from typing import Any

import pytest
from engine_tools import TOKENIZER

from ponder.core.params import Grammar
from ponder.engine.decoding.grammar import NO_OTHER_KEYS, compile_grammar
from ponder.engine.decoding.json_schema import closed

A, B = {"type": "object", "properties": {"a": {"type": "integer"}}}, {"properties": {"b": {"type": "integer"}}}


@pytest.mark.parametrize(
    ("schema", "places"),
    [
        (A, ["#"]),
        ({**A, "additionalProperties": True}, []),
        ({**A, "patternProperties": {"^x": {}}}, []),
        ({"type": "object"}, []),
        ({"type": "array", "items": A}, ["#/items"]),
        ({"anyOf": [A, B]}, ["#/anyOf/0", "#/anyOf/1"]),
        ({"allOf": [A, B]}, []),
        ({"properties": {"x": A}, "anyOf": [A, B]}, ["#/properties/x"]),
        ({"$defs": {"A": A}, "properties": {"x": {"$ref": "#/$defs/A", "description": "one"}}}, ["#", "#/$defs/A"]),
        ({"$defs": {"A": A}, "allOf": [{"$ref": "#/$defs/A"}, B]}, []),
        ({"properties": {"a": {}}, "required": ["a", "b"]}, []),
        (True, []),
    ],
)
def test_which_objects_are_closed(schema: Any, places: list[str]) -> None:
    before = json.dumps(schema)
    _, found = closed(schema)
    assert sorted(found) == sorted(places)
    assert json.dumps(schema) == before, "the caller's schema stays as it is"


@pytest.mark.parametrize("strict", [True, False])
def test_an_invented_key_does_not_fit(strict: bool) -> None:
    grammar = Grammar("json_schema", json.dumps({**A, "required": ["a"]}), strict=strict)
    compiled = compile_grammar(TOKENIZER, TOKENIZER.eos_ids, grammar)
    assert compiled.fits(TOKENIZER.encode('{"a": 1}'))
    assert not compiled.fits(TOKENIZER.encode('{"a": 1, "b": 2}'))
    assert compiled.warnings == (f"{NO_OTHER_KEYS} #",)


def test_who_wants_other_keys_says_so() -> None:
    grammar = Grammar("json_schema", json.dumps({**A, "additionalProperties": True}))
    compiled = compile_grammar(TOKENIZER, TOKENIZER.eos_ids, grammar)
    assert compiled.fits(TOKENIZER.encode('{"a": 1, "b": 2}'))
    assert compiled.warnings == ()


def test_parts_of_one_object_can_still_be_met_together() -> None:
    grammar = Grammar("json_schema", json.dumps({"type": "object", "allOf": [A, B], "required": ["a", "b"]}))
    compiled = compile_grammar(TOKENIZER, TOKENIZER.eos_ids, grammar)
    assert compiled.fits(TOKENIZER.encode('{"a": 1, "b": 2}'))
