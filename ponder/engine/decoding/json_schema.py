"""A JSON schema that a request brought: read, checked, and taken apart into its subschemas."""

import json
from collections.abc import Iterator
from typing import Any

from ponder.core.errors import UserError
from ponder.engine.decoding.grammar_depth import check_schema

MAX_DEPTH = 200  # nesting of a schema
_TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")
# keywords whose value is a map of names to schemas, a list of schemas, or one schema (JSON Schema 2020-12)
_MAPS = ("$defs", "definitions", "properties", "patternProperties", "dependentSchemas")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = ("items", "additionalProperties", "not", "contains", "propertyNames", "if", "then", "else")


def schema_of(text: str) -> Any:
    schema = parsed(text, "response_format")
    check_schema(schema, "response_format")
    if not isinstance(schema, dict | bool):
        raise UserError("a JSON schema must be an object", param="response_format")
    depth, level = 0, [schema]
    while level:
        depth += 1
        level = [c for v in level for c in (v.values() if isinstance(v, dict) else v if isinstance(v, list) else ())]
    if depth > MAX_DEPTH:
        raise UserError(f"the JSON schema is nested more than {MAX_DEPTH} deep", param="response_format")
    _check_types(schema, "#")
    return schema


def _check_types(schema: Any, place: str) -> None:
    """What names no type of JSON is a mistake, not something to relax."""
    where = f"the JSON schema cannot be enforced at {place}: "
    if not isinstance(schema, dict | bool):
        raise UserError(where + "it is neither an object nor true or false", param="response_format")
    if isinstance(schema, dict):
        named = schema.get("type", "object")
        for name in named if isinstance(named, list) else [named]:
            if name not in _TYPES:
                raise UserError(f"{where}{name!r} is no type; {', '.join(_TYPES)} are", param="response_format")
    for pointer, child in subschemas(schema):
        _check_types(child, place + pointer)


def parsed(text: str, param: str) -> Any:
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as e:
        raise UserError(f"{param} is not valid JSON: {e}", param=param) from e


def subschemas(schema: Any) -> Iterator[tuple[str, Any]]:
    """(pointer from here, subschema) of the direct subschemas; definitions first, so that they are blamed before
    the places that refer to them."""
    if not isinstance(schema, dict):
        return
    for key in (*_MAPS, *_LISTS, *_SINGLE):
        value = schema.get(key)
        if key in _SINGLE and isinstance(value, dict):
            yield f"/{key}", value
        elif key in _LISTS and isinstance(value, list):
            yield from ((f"/{key}/{n}", v) for n, v in enumerate(value))
        elif key in _MAPS and isinstance(value, dict):
            yield from ((f"/{key}/{k}".replace("~", "~0"), v) for k, v in value.items())
