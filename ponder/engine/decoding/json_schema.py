"""A JSON schema that a request brought: read, checked, and taken apart into its subschemas."""

import copy
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
# keywords under which a schema describes the same value as the one that holds it
_SAME_VALUE = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas")
_OTHER_KEYS = ("additionalProperties", "patternProperties", "unevaluatedProperties")  # what is said of them


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


def closed(schema: Any) -> tuple[Any, list[str]]:
    """The schema with `additionalProperties: false` wherever an object names its properties and nothing is said of
    others, and the pointers of those places: an answer shall not invent keys, as llama.cpp and OpenAI's strict mode
    have it. An object that several schemas describe together stays open: each would forbid the keys of the others."""
    schema = copy.deepcopy(schema)
    placed = list(_placed(schema, "#", shared=False))
    shared_definitions = {
        to for _, node, shared in placed if isinstance(to := node.get("$ref"), str) and (shared or "properties" in node)
    }
    places = []
    for pointer, node, shared in placed:
        alone = not shared and pointer not in shared_definitions and not any(k in node for k in (*_SAME_VALUE, "$ref"))
        if alone and _names_its_keys(node):
            node["additionalProperties"] = False
            places.append(pointer)
    return schema, places


def _names_its_keys(node: dict[str, Any]) -> bool:
    properties, required = node.get("properties"), node.get("required", [])
    if not isinstance(properties, dict) or any(key in node for key in _OTHER_KEYS):
        return False
    return isinstance(required, list) and all(isinstance(key, str) and key in properties for key in required)


def _placed(schema: Any, pointer: str, *, shared: bool) -> Iterator[tuple[str, dict[str, Any], bool]]:
    """(pointer, subschema, whether another one describes the same value) of all, the schema itself included. One of
    several choices is alone, unless the schema around them describes the object too."""
    if not isinstance(schema, dict):
        return
    yield pointer, schema, shared
    for below, child in subschemas(schema):
        keyword = below.split("/")[1]
        choice = keyword in ("anyOf", "oneOf") and "properties" not in schema and "allOf" not in schema
        yield from _placed(child, pointer + below, shared=shared if choice else keyword in _SAME_VALUE)
