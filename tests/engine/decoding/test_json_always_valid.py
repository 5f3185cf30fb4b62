"""SO-1, SO-2: every JSON answer of a model that knows nothing is valid, whatever the schema, with thoughts and without.

Random weights draw from what the grammar allows and from nothing else, so a hole in it shows at once."""

import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from engine_tools import TOKENIZER, tiny, tiny_model

from ponder.core.params import Grammar, Thinking
from ponder.engine.llm import LLM
from ponder.engine.result import Result

LEAVES: list[Any] = [
    {"type": "boolean"},
    {"type": "integer", "minimum": -5, "maximum": 300},
    {"type": "number", "minimum": 0, "maximum": 1},
    {"type": "string", "maxLength": 4},
    {"type": "string", "pattern": "^[a-c]{1,3}$"},
    {"enum": ["rouge", 'a "quoted" one', "漢字", 7, None]},
    {"const": {"a": [1, "<think>"]}},
    {"anyOf": [{"type": "null"}, {"type": "string", "enum": ["x", "y"]}]},
    {"type": "string", "enum": ["</think>", "<tool_call>", "\n"]},
]
SHAPES = [
    lambda leaf: leaf,
    lambda leaf: {"type": "array", "items": leaf, "minItems": 1, "maxItems": 3},
    lambda leaf: {"type": "object", "properties": {"é ü": leaf}, "required": ["é ü"], "additionalProperties": False},
    lambda leaf: {
        "type": "object", "properties": {"a": leaf, "b": {"$ref": "#/$defs/more"}}, "required": ["a", "b"],
        "additionalProperties": False, "$defs": {"more": {"type": "array", "items": leaf, "maxItems": 2}},
    },
    lambda leaf: {
        "type": "object", "properties": {"maybe": leaf, "sure": {"type": "object", "properties": {"n": leaf},
        "additionalProperties": False}}, "required": ["sure"], "additionalProperties": False,
    },
    lambda leaf: {"type": "array", "prefixItems": [leaf, leaf], "items": False, "minItems": 2, "maxItems": 2},
    lambda leaf: {"anyOf": [{"type": "boolean"}, {"type": "array", "items": leaf, "minItems": 2, "maxItems": 2}]},
    lambda leaf: {
        "type": "object", "properties": {"kind": {"const": "k"}, "value": leaf}, "required": ["kind", "value"],
        "additionalProperties": False,
    },
]  # fmt: skip
SCHEMAS = [shape(leaf) for shape, leaf in itertools.product(SHAPES, LEAVES)]
SCHEMAS += [{"type": "array", "items": schema, "maxItems": 2} for schema in (*SCHEMAS[9:27], *SCHEMAS[36:46])]


@pytest.fixture(scope="module")
def llm() -> Iterator[LLM]:
    with tiny(tiny_model(1024)) as llm:
        yield llm


def modes(llm: LLM, schema: Any, seed: int) -> Iterator[tuple[str, Result]]:
    options: dict[str, Any] = {"seed": seed, "max_tokens": 400, "temperature": 1.0}
    grammar = Grammar("json_schema", json.dumps(schema))
    yield "off", llm.chat("x", thinking=False, grammar=grammar, **options)
    yield "on", llm.chat("x", thinking=12, grammar=grammar, **options)
    opened = [*llm.rendered(llm.request("x")).ids, TOKENIZER.think, 198]
    assert TOKENIZER.think is not None
    yield "in its thoughts", llm.generate(opened, thinking=Thinking(budget=9), grammar=grammar, **options)


def check(llm: LLM, schemas: list[Any]) -> None:
    ended, thoughts = 0, 0
    for seed, schema in enumerate(schemas):
        for mode, result in modes(llm, schema, seed):
            where = f"{mode}: {json.dumps(schema)}\n{result.text}"
            thoughts += bool(result.reasoning)
            assert not re.search(r"\n\s*\n", re.sub(r'"(\\.|[^"\\])*"?', '""', result.text)), f"blank lines; {where}"
            if result.finish.reason == "length":
                continue
            ended += 1
            jsonschema.validate(json.loads(result.text), schema)
    assert ended > 2.5 * len(schemas), "nearly all come to an end"
    assert thoughts >= len(schemas), "thoughts were free"


def test_a_hundred_schemas_are_there() -> None:
    assert len({json.dumps(schema) for schema in SCHEMAS}) == 100
    for schema in SCHEMAS:
        jsonschema.Draft202012Validator.check_schema(schema)


def test_answers_are_valid_in_every_mode(llm: LLM) -> None:
    check(llm, SCHEMAS[::7])


@pytest.mark.slow
def test_answers_to_a_hundred_schemas_are_valid_in_every_mode(llm: LLM) -> None:
    check(llm, SCHEMAS)
