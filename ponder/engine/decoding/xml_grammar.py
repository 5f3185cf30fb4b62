"""Tool calls in Qwen3-Coder's form as a grammar: the tags as they are, each value after its part of the tool's schema.

A text stands in the call as it is, so what JSON schema says of it becomes a regular expression; every other value is
JSON, or what Python writes for true, false and null. Parameters come in the schema's order, those that are not required
may be left out. No value holds `<parameter` or `</parameter`, for there a reader would take it apart.
"""

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from msgspec import Struct, field, structs

from ponder.core.errors import UserError
from ponder.text.calls.xml_calls import END_FUNCTION, END_PARAMETER, FUNCTION, PARAMETER
from ponder.text.schema_values import resolved, types_of

Check = Callable[[Any], str | None]
"""Why a JSON schema cannot be enforced; None when it can be."""
_NAME = re.compile(r"[^<>{}\"'\s]+")
_KEY = re.compile(r"[^<>\n]+")
_END = json.dumps(f"\n{END_PARAMETER}\n")
_PLAIN = r"~/(?s:.*)<\/?parameter(?s:.*)/"
_TOLD = frozenset(  # keywords that say nothing of what may be written, and those that are followed here
    ["type", "properties", "required", "additionalProperties", "title", "description", "default", "examples", "$schema",
     "$id", "$defs", "definitions", "$comment", "x-guidance", "deprecated", "strict"]
)  # fmt: skip
_UNMET = ("format", "contentEncoding", "contentMediaType")  # of a text
_PYTHON = {"boolean": '"True" | "False"', "null": '"None"'}


class XmlRules(Struct):
    """Lark for the calls of one tool. body: what stands between the call's tags. rules: what it needs. grammars: of
    JSON values. problems: what cannot be enforced, by its place."""

    body: str
    rules: list[str] = field(default_factory=list)
    grammars: list[dict[str, Any]] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)


def xml_rules(name: str, prefix: str, schema: Mapping[str, Any], options: dict[str, Any], check: Check) -> XmlRules:
    """prefix: of the names of rules. options: llguidance's, for JSON values."""
    if not _NAME.fullmatch(name):
        raise UserError(f"tools: {name!r} cannot stand in a call of this model's form", param="tools")
    out = XmlRules(json.dumps(f"{FUNCTION}{name}>\n", ensure_ascii=False))
    properties = schema.get("properties") or {}
    required = schema.get("required") or ()
    out.problems += [(f"#/{key}", "it is not followed in this form") for key in schema if key not in _TOLD]
    out.problems += [("#/required", f"{key!r} is no property") for key in required if key not in properties]
    for n, (key, part) in enumerate(properties.items()):
        rule = f"{prefix}p{n}"
        if not _KEY.fullmatch(key):
            out.problems.append((f"#/properties/{key}", "this name cannot stand in a call of this model's form"))
            continue
        value = _value(out, rule, part, _Place(f"#/properties/{key}", schema, options, check))
        out.rules.append(f"{rule}: {json.dumps(f'{PARAMETER}{key}>' + chr(10), ensure_ascii=False)} {value}")
        out.body += f" {rule}" if key in required else f" {rule}?"
    if not properties and schema.get("additionalProperties") is not False:
        out.rules += [
            f'{prefix}any: "{PARAMETER}" /[^<>\\n]+/ ">\\n" {prefix.upper()}ANY',
            f"{prefix.upper()}ANY: (/(?s:.*)/ & {_PLAIN}) {_END}",
        ]
        out.body += f" {prefix}any*"
    out.body += f' "{END_FUNCTION}"'
    return out


class _Place(Struct, frozen=True):
    """Where in the parameters' schema a value stands. root: that schema."""

    pointer: str
    root: Mapping[str, Any]
    options: dict[str, Any]
    check: Check
    depth: int = 0


def _value(out: XmlRules, rule: str, schema: Any, place: _Place) -> str:
    """Lark for a value and its closing tag."""
    if isinstance(schema, Mapping) and place.depth < 8:
        deeper = structs.replace(place, depth=place.depth + 1)
        if isinstance(ref := schema.get("$ref"), str):
            return _value(out, rule, resolved(ref, place.root), deeper)
        for parts in _alternatives(schema):
            return f"({' | '.join(_value(out, f'{rule}x{n}', part, deeper) for n, part in enumerate(parts))})"
    else:
        schema = {}
    types = types_of(schema, place.root)
    if isinstance(chosen := schema.get("enum", [schema["const"]] if "const" in schema else None), list):
        texts = (v if isinstance(v, str) else json.dumps(v, ensure_ascii=False) for v in chosen)
        return f"({' | '.join(json.dumps(t, ensure_ascii=False) for t in texts)}) {_END}"
    if types and "string" not in types:
        whole = {**schema, **{k: place.root[k] for k in ("$defs", "definitions") if k in place.root}}
        if (why := place.check(whole)) is None:
            out.grammars.append({"name": f"{rule}j", "json_schema": {**whole, "x-guidance": place.options}})
            return f"({' | '.join([f'@{rule}j', *(_PYTHON[t] for t in types if t in _PYTHON)])}) {_END}"
        out.problems.append((place.pointer, why))
    out.problems += [(f"{place.pointer}/{k}", "it is not followed in this form") for k in _UNMET if k in schema]
    out.rules.append(f"{rule.upper()}: ({' & '.join([*_texts(schema), _PLAIN])}) {_END}")
    return rule.upper()


def _alternatives(schema: Mapping[str, Any]) -> Iterator[list[Any]]:
    """The schemas of which a value has to match one; nothing where it is this schema itself."""
    for key in ("anyOf", "oneOf"):
        if isinstance(parts := schema.get(key), list) and parts:
            rest = {k: v for k, v in schema.items() if k != key}
            yield [{**rest, **p} if isinstance(p, Mapping) else p for p in parts]
    if isinstance(named := schema.get("type"), list) and len(named) > 1 and "enum" not in schema:
        yield [{**schema, "type": name} for name in named]


def _texts(schema: Mapping[str, Any]) -> list[str]:
    """Regular expressions that all hold of a text."""
    least, most = schema.get("minLength", 0), schema.get("maxLength", "")
    found = [f"/(?s:.{{{least},{most}}})/" if least or most != "" else "/(?s:.*)/"]
    if isinstance(pattern := schema.get("pattern"), str):
        ends = pattern.endswith("$") and not pattern.endswith("\\$")
        inner = pattern.removeprefix("^").removesuffix("$" if ends else "")
        before, after = "" if pattern.startswith("^") else "(?s:.*)", "" if ends else "(?s:.*)"
        found.append("/" + before + "(" + re.sub(r"(?<!\\)/", r"\/", inner) + ")" + after + "/")
    return found
