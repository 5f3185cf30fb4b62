"""What a text means as a value of a JSON schema: `json_value("2", {"type": "integer"})` is `2`.

A value that does not fit its type stays a string, for the tool to complain of.
"""

import ast
import json
from collections.abc import Mapping
from typing import Any

import msgspec

_NULLS = ("null", "none")
_WORDS = {  # beginnings of what schemas call the types of JSON
    "int": "integer", "uint": "integer", "long": "integer", "short": "integer", "unsigned": "integer",
    "num": "number", "float": "number", "bool": "boolean", "binary": "boolean", "obj": "json", "dict": "json",
    "arr": "json", "list": "json", "str": "string", "text": "string", "varchar": "string", "char": "string",
    "enum": "string", "null": "null",
}  # fmt: skip


def parameter(schemas: Mapping[str, Any], name: str | None, key: str) -> tuple[Any, Any]:
    """(the schema of a parameter, the schema of all of them)"""
    root = schemas.get(name) if name is not None else None
    return properties_of(root).get(key), root


def is_text(schema: Any, root: Any) -> bool:
    """Whether `json_value` makes a string of any text."""
    types = types_of(schema, root)
    return not _enumerated(schema) and (not types or (types[0] == "string" and "null" not in types))


def json_value(text: str, schema: Any, root: Any = None) -> str:
    """A value as JSON text, by the schema of its parameter. root: the whole schema, where `$ref` leads."""
    for chosen in _enumerated(schema):
        if text in (chosen, json.dumps(chosen, ensure_ascii=False)):
            return json.dumps(chosen, ensure_ascii=False)
    types = types_of(schema, root)
    if text.strip().lower() in _NULLS and types and ("null" in types or "string" not in types):
        return "null"
    for type_ in types:
        converted = _converted(text, type_)
        if converted is not None:
            return converted
    return json.dumps(text, ensure_ascii=False)


def _converted(text: str, type_: str) -> str | None:
    """None: it is no value of this type."""
    match type_:
        case "string":
            return json.dumps(text, ensure_ascii=False)
        case "integer":
            return _integer(text)
        case "number":
            return _integer(text) or _number(text)
        case "boolean":
            return text.strip().lower() if text.strip().lower() in ("true", "false") else None
        case "null":
            return None
    return _any_json(text)


def _integer(text: str) -> str | None:
    try:
        return str(int(text))
    except ValueError:
        return None


def _number(text: str) -> str | None:
    try:
        value = float(text)
        return str(int(value)) if value == int(value) and abs(value) < 1e15 else json.dumps(value)
    except (ValueError, OverflowError):  # the second for inf
        return None


def _any_json(text: str) -> str | None:
    """JSON as it stands, or what Python writes for it."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        value = text
    else:
        if not isinstance(value, str):
            return text.strip()
    try:
        return json.dumps(ast.literal_eval(value), ensure_ascii=False, allow_nan=False)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def properties_of(schema: Any) -> Mapping[str, Any]:
    found = schema.get("properties") if isinstance(schema, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def types_of(schema: Any, root: Any, depth: int = 0) -> tuple[str, ...]:
    """What a value may be, in the schema's order; () when the schema does not say."""
    if not isinstance(schema, Mapping) or depth > 8:
        return ()
    if isinstance(ref := schema.get("$ref"), str):
        return types_of(resolved(ref, root), root, depth + 1)
    named = schema.get("type")
    found: list[str] = []
    if isinstance(named, str | list):
        found += [_type_named(n) for n in ([named] if isinstance(named, str) else named)]
    else:
        parts = next((p for k in ("anyOf", "oneOf", "allOf") if isinstance(p := schema.get(k), list)), [])
        found += [t for part in parts for t in types_of(part, root, depth + 1)]
    if not found:
        found += [_type_of(v) for v in _enumerated(schema)]
    if schema.get("nullable") is True:
        found.append("null")
    return tuple(dict.fromkeys(found))


def _enumerated(schema: Any) -> list[Any]:
    """The only values there may be; [] where others may, too."""
    if not isinstance(schema, Mapping):
        return []
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    return values if isinstance(values, list) else []


def _type_named(name: Any) -> str:
    word = str(name).strip().lower()
    return next((type_ for start, type_ in _WORDS.items() if word.startswith(start)), "json")


def _type_of(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case str():
            return "string"
    return "json"


def resolved(ref: str, root: Any) -> Any:
    """What a reference into the same schema leads to; None for any other."""
    found = root
    if not ref.startswith("#"):
        return None
    for step in ref[1:].split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        found = found.get(name) if isinstance(found, Mapping) else None
    return found
