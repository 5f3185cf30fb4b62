"""The many spellings of "the answer has this form", as one `Grammar`: OpenAI's response_format, vLLM's
structured_outputs and guided_*, SGLang's regex, ebnf and json_schema, llama.cpp's grammar and json_schema. What is
given binds, or is refused by name; two that differ contradict each other.
"""

import json
from collections.abc import Iterator
from typing import Any

from ponder.core.errors import UserError
from ponder.core.params import Grammar
from ponder.server.api.thinking_params import ThinkingBody

# of vLLM's structured_outputs: how the constraint is kept, which is decided here
_HOW = ("disable_fallback", "disable_any_whitespace", "disable_additional_properties", "whitespace_pattern", "_backend")


class StructuredBody(ThinkingBody, frozen=True, kw_only=True):
    response_format: dict[str, Any] | None = None
    structured_outputs: dict[str, Any] | None = None
    guided_json: dict[str, Any] | str | None = None
    guided_regex: str | None = None
    guided_choice: list[str] | None = None
    guided_grammar: str | None = None
    json_schema: dict[str, Any] | str | None = None
    regex: str | None = None
    ebnf: str | None = None
    grammar: str | None = None


def grammar_of(body: StructuredBody) -> Grammar | None:
    """Raises UserError naming the field that cannot be."""
    given = [(name, grammar) for name, grammar in _all(body) if grammar is not None]
    for name, grammar in given[1:]:
        if grammar != given[0][1]:
            text = f"{given[0][0]} and {name} ask for two forms of one answer: give one of them"
            raise UserError(text, param=name)
    return given[0][1] if given else None


def _all(body: StructuredBody) -> Iterator[tuple[str, Grammar | None]]:
    yield "response_format", _response_format(body.response_format)
    yield from _structured_outputs(body.structured_outputs or {})
    yield "guided_json", _schema(body.guided_json, "guided_json")
    yield "json_schema", _schema(body.json_schema, "json_schema")
    if body.guided_choice is not None:
        yield "guided_choice", _choice(body.guided_choice, "guided_choice")
    for name, regex in (("guided_regex", body.guided_regex), ("regex", body.regex)):
        yield name, Grammar("regex", regex) if regex else None
    rules = {"guided_grammar": body.guided_grammar, "ebnf": body.ebnf, "grammar": body.grammar}
    for name, text in rules.items():
        yield name, Grammar("gbnf", text) if text else None


def _structured_outputs(raw: dict[str, Any]) -> Iterator[tuple[str, Grammar | None]]:
    for key, value in raw.items():
        name = f"structured_outputs.{key}"
        if value is None or key in _HOW:
            continue
        match key:
            case "json" if isinstance(value, dict | str):
                yield name, _schema(value, name)
            case "regex" if isinstance(value, str):
                yield name, Grammar("regex", value)
            case "choice":
                yield name, _choice(value, name)
            case "grammar" if isinstance(value, str):
                yield name, Grammar("gbnf", value)
            case "json_object" if isinstance(value, bool):
                yield name, Grammar("json_object") if value else None
            case _:
                text = f"{name}: there are json, regex, choice, grammar and json_object, each with a value of its kind"
                raise UserError(text, param="structured_outputs")


def _response_format(form: dict[str, Any] | None) -> Grammar | None:
    """OpenAI's text, json_object, json_schema. A json_object with a schema is llama.cpp's."""
    kind = (form or {}).get("type", "text")
    if form is None or kind == "text":
        return None
    if kind == "json_object":
        return _schema(form.get("schema"), "response_format") or Grammar("json_object")
    if kind == "json_schema":
        holder = form.get("json_schema")
        return schema_grammar(holder if isinstance(holder, dict) else form, "response_format.json_schema")
    text = f"response_format.type {kind!r}: there are text, json_object and json_schema"
    raise UserError(text, param="response_format")


def schema_grammar(form: dict[str, Any], where: str) -> Grammar:
    """{"schema": ..., "strict": true or false}, as OpenAI's APIs spell it; strict is false by default."""
    if not isinstance(form.get("schema"), dict | bool):
        raise UserError(f"{where}.schema must be a JSON schema", param=where.partition(".json")[0])
    if not isinstance(strict := form.get("strict"), bool | None):
        raise UserError(f"{where}.strict is true or false", param=where.partition(".json")[0])
    return Grammar("json_schema", json.dumps(form["schema"], ensure_ascii=False), strict=bool(strict))


def _schema(value: Any, name: str) -> Grammar | None:
    """A schema, as itself or as JSON text. It is enforced as far as can be."""
    if value is None:
        return None
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError) as e:
            raise UserError(f"{name} is no JSON schema: {e}", param=name.partition(".")[0]) from e
    if not isinstance(value, dict | bool):
        raise UserError(f"{name} must be a JSON schema", param=name.partition(".")[0])
    return Grammar("json_schema", json.dumps(value, ensure_ascii=False), strict=False)


def _choice(value: Any, name: str) -> Grammar:
    if not isinstance(value, list) or not value or not all(isinstance(text, str) for text in value):
        raise UserError(f"{name} is a list of texts", param=name.partition(".")[0])
    return Grammar("choice", json.dumps(value, ensure_ascii=False))
