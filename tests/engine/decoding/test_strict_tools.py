"""`strict: true` of a tool: its calls have arguments that fit its schema, whatever the model wants."""

import json
import os
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from control_driver import END_TOOL_CALL, IM_END, THINK, TOOL_CALL, Script, drive, make_settings, tokenizer
from engine_tools import TOKENIZER, scripted, tiny, tiny_model

from ponder.core.errors import UserError
from ponder.core.params import Grammar, Thinking
from ponder.engine.decoding.answer_constraint import AnswerRules, answer_rules
from ponder.engine.llm import LLM

VALUES: list[Any] = [
    {"type": "boolean"},
    {"type": "integer", "minimum": -5, "maximum": 300},
    {"type": "string", "pattern": "^[a-c]{1,3}$"},
    {"enum": ["rouge", 'a "quoted" one', "漢字", 7, None, "</tool_call>"]},
    {"type": "array", "items": {"$ref": "#/$defs/k"}, "minItems": 1, "maxItems": 2},
    {"anyOf": [{"type": "null"}, {"type": "array", "prefixItems": [{"const": "x"}], "items": False, "minItems": 1}]},
]
CITY = {"type": "string", "enum": ["Paris", "Rome"]}


def schema_of(value: Any) -> dict[str, Any]:
    return {
        "type": "object", "properties": {"v": value, "maybe": {"type": "boolean"}}, "required": ["v"],
        "additionalProperties": False, "$defs": {"k": {"type": "string", "maxLength": 2}},
    }  # fmt: skip


def tool(parameters: Any, name: str = "f", **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": parameters, **more}}


def rules(*tools: dict[str, Any], **fields: Any) -> AnswerRules:
    return answer_rules(tokenizer(), tokenizer().eos_ids, tools=tools, **fields)


def wanted(name: str, arguments: str) -> list[int]:
    body = tokenizer().encode(f'\n{{"name": "{name}", "arguments": {arguments}}}\n')
    return [TOOL_CALL, *body, END_TOOL_CALL]


@pytest.fixture(scope="module")
def llm() -> Iterator[LLM]:
    with tiny(tiny_model(1024)) as llm:
        yield llm


@pytest.mark.parametrize("choice", ["auto", "required", "f"])
def test_random_weights_call_with_valid_arguments(llm: LLM, choice: str) -> None:
    """Bias makes a model that knows nothing call."""
    ended = 0
    for seed, value in enumerate(VALUES):
        schema = schema_of(value)
        result = llm.chat(
            "x", tools=[tool(schema, strict=True)], tool_choice=choice, seed=seed,
            temperature=1.0, max_tokens=300, thinking=False if seed % 2 else 5, parallel_tool_calls=False,
            logit_bias={TOOL_CALL: 100.0},
        )  # fmt: skip
        assert len(result.tool_calls) == (result.finish.reason == "tool_calls"), result.text
        for call in result.tool_calls:
            ended += 1
            assert call.name == "f"
            jsonschema.validate(json.loads(call.arguments), schema)
    assert ended >= 4, "nearly all come to an end"


def test_what_a_script_wants_is_bent_to_the_schema() -> None:
    f, g = tool(schema_of(VALUES[1]), strict=True), tool({"type": "object", "properties": {"n": CITY}}, "g")
    settings, prompt = make_settings(Thinking(enabled=False))
    said = [*tokenizer().encode("Well. "), *wanted("f", '{"v": "no", "w": 1}'), 198, *wanted("g", '{"n": 1}'), 198]
    out = drive(settings, prompt, Script([*said, *wanted("f", '{"v": 7}'), IM_END]), rules=rules(f, g))
    arguments = [json.loads(c.arguments) for c in out.calls]
    assert [c.name for c in out.calls] == ["f", "g", "f"] and arguments[1:] == [{"n": 1}, {"v": 7}]
    jsonschema.validate(arguments[0], schema_of(VALUES[1]))
    assert out.content == "Well. " and out.finish.reason == "tool_calls" and not out.finish.warnings
    free = drive(settings, prompt, Script([*said, IM_END]), rules=rules(tool(schema_of(VALUES[1])), g))
    assert json.loads(free.calls[0].arguments) == {"v": "no", "w": 1}, "not strict, nothing changes"


def test_drafts_in_thoughts_are_free_and_text_after_a_call_too() -> None:
    settings, prompt = make_settings()
    draft, call = wanted("f", '{"v": "draft"}'), wanted("f", '{"v": true}')
    line = [THINK, *draft, tokenizer().end_think, 271, *call, *tokenizer().encode("That is all.\n"), *call, IM_END]
    out = drive(settings, prompt, Script(line), rules=rules(tool(schema_of(VALUES[0]), strict=True)))  # type: ignore[arg-type]
    assert '"draft"' in out.reasoning and [c.arguments for c in out.calls] == ['{"v": true}'] * 2
    assert out.content == "That is all."


def test_beside_a_response_format_the_call_is_held_to_its_schema() -> None:
    settings, prompt = make_settings(Thinking(enabled=False))
    held = rules(tool(schema_of(VALUES[1]), strict=True), grammar=Grammar("choice", '["yes", "no"]'))
    called = drive(settings, prompt, Script([*wanted("f", '{"v": 9999}'), IM_END]), rules=held)
    jsonschema.validate(json.loads(called.calls[0].arguments), schema_of(VALUES[1]))
    assert drive(settings, prompt, Script(tokenizer().encode("yes")), rules=held).content == "yes"


def test_the_same_in_the_engine_at_any_burst_streamed_and_cut_short() -> None:
    text = 'So.\n<tool_call>\n{"name": "f", "arguments": {"v": "no"}}\n</tool_call>'
    tools, results = [tool(schema_of(VALUES[1]), strict=True)], []
    for burst in (0.0, 1.0):
        with scripted([text], burst=burst) as llm:
            results.append(llm.chat("hi", tools=tools, thinking=False, temperature=0))
            cut = llm.chat("hi", tools=tools, thinking=False, temperature=0, max_tokens=12)
            assert cut.finish.reason == "length" and not cut.tool_calls and "<tool_call>" in cut.text
    assert results[0].message == results[1].message
    jsonschema.validate(json.loads(results[0].tool_calls[0].arguments), schema_of(VALUES[1]))


@pytest.mark.parametrize("choice", ["auto", "required", "f"])
@pytest.mark.parametrize(
    ("parameters", "place"),
    [
        ({"type": "object", "properties": {"a": {"type": "array", "uniqueItems": True}}}, "#/properties/a"),
        ({"type": "object", "properties": {"p": {"type": "string", "pattern": "(?=a)b"}}}, "#/properties/p"),
        ({"type": "string"}, "#/type"),
        ({"type": "object", "properties": {"x": {"type": "text"}}}, "#/properties/x"),
        ({"type": "object", "not": {"required": ["a"]}}, "#"),
        ({"type": "object", "properties": {"x": False}, "required": ["x"]}, "#"),
    ],
)
def test_what_cannot_be_kept_is_refused_by_place(parameters: Any, place: str, choice: str) -> None:
    with pytest.raises(UserError, match="strictly at " + place) as error:
        rules(tool({"type": "object"}, "g"), tool(parameters, strict=True), tool_choice=choice)
    assert error.value.param == "tools" and "parameters of f" in str(error.value) and len(str(error.value)) < 500
    rules(tool(parameters, strict=True), tool_choice="none")
    free = rules(tool(parameters), tool_choice="auto")
    assert (free.grammar, free.calls, free.free_calls, free.warnings) == (None, None, True, ())


def test_strict_is_a_truth_value() -> None:
    with pytest.raises(UserError, match="strict of f is true or false"):
        rules(tool({"type": "object"}, strict="yes"))
    assert rules(tool({"type": "object"}, strict=False)) == rules(tool({"type": "object"}, strict=None))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_real_model_calls_with_valid_arguments() -> None:
    """The 0.5B coder, told to call: half of what it would like to write does not fit; what it writes always does."""
    days = {"type": "array", "items": {"type": "integer", "minimum": 1, "maximum": 7}, "minItems": 1, "maxItems": 3}
    schema = {
        "type": "object", "properties": {"city": CITY, "unit": {"enum": ["c", "f"]}, "days": days},
        "required": ["city", "unit", "days"], "additionalProperties": False,
    }  # fmt: skip
    name, fits = os.environ.get("PONDER_TEST_MODEL", "qwen2.5-coder:0.5b"), {True: 0, False: 0}
    with LLM(name, max_context=2048) as llm:
        for n, city in enumerate(("Paris", "Rome", "London", "東京", "the city of light", "nowhere")):
            for strict in fits:
                result = llm.chat(
                    f"What will the weather in {city} be tomorrow and on the tenth day, in kelvin? Use the tool.",
                    tools=[tool(schema, "forecast", strict=strict)], parallel_tool_calls=False, max_tokens=120, seed=n,
                    logit_bias={TOKENIZER.tool_call or 0: 100.0},
                )  # fmt: skip
                found = [json.loads(c.arguments) for c in result.tool_calls]
                fits[strict] += sum(jsonschema.Draft202012Validator(schema).is_valid(a) for a in found)
    assert fits[True] == 6 and fits[False] < 6, fits
