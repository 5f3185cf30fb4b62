"""Constraints on the answer as token masks, by llguidance: JSON schema, any object, regex, choice, Lark, tool calls.

The thoughts are never constrained; RequestState decides when the answer begins. Whitespace outside strings is bounded:
one blank, or one newline with an indentation, so a model cannot fill its tokens with blanks (SO-2). What llguidance
cannot enforce is refused before generation with the place in the schema (SO-3), of a tool whose function says
`strict: true` as well; schemas that were not sent as strict are relaxed with a warning (TC-7).
"""

import json
import time
from typing import Any

from ponder.core.errors import UserError
from ponder.core.params import Grammar
from ponder.engine.decoding.grammar_depth import check_lark, check_schema
from ponder.engine.decoding.json_schema import closed, parsed, schema_of, subschemas
from ponder.engine.decoding.matcher import Compiled, compile_source
from ponder.engine.decoding.xml_grammar import XmlRules, xml_rules
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.text.tokenizer.utf8 import well_formed

MAX_SOURCE = 1 << 18  # characters of a schema or Lark grammar
LOCATING = 1.0  # seconds for finding out where a schema fails
MAX_REGEX = 1 << 14
WHITESPACE = r"(\n[ ]{0,40}|[ ])"
SHOWN = 3  # places of a schema that a warning names
NO_OTHER_KEYS = "additionalProperties is false where the JSON schema does not say otherwise:"
_STRICT = {"whitespace_pattern": WHITESPACE, "lenient": False}
_RELAXED = {"whitespace_pattern": WHITESPACE, "lenient": True, "coerce_one_of": True}


def compile_grammar(tokenizer: Tokenizer, eos_ids: tuple[int, ...], grammar: Grammar) -> Compiled:
    """Compile a request's grammar. Raises UserError that names the place of what cannot be enforced."""
    other = {"json_schema": "response_format", "json_object": "response_format", "gbnf": "grammar"}
    param = other.get(grammar.kind, grammar.kind)
    if len(grammar.value) > (MAX_REGEX if grammar.kind == "regex" else MAX_SOURCE):
        raise UserError(f"the {grammar.kind} has {len(grammar.value)} characters, too many", param=param)
    if grammar.kind in ("json_schema", "json_object"):
        if grammar.kind == "json_object":
            return _strict(tokenizer, eos_ids, {"type": "object"}, ())
        schema, places = closed(schema_of(grammar.value))
        more = f" and {len(places) - SHOWN} more" if len(places) > SHOWN else ""
        note = (f"{NO_OTHER_KEYS} {', '.join(places[:SHOWN])}{more}",) if places else ()
        return (_strict if grammar.strict else _relaxed)(tokenizer, eos_ids, schema, note)
    compiled = compile_source(tokenizer, eos_ids, _text_source(grammar))
    if isinstance(compiled, str):
        raise UserError(f"invalid {grammar.kind}: {compiled}", param=param)
    return compiled


def _strict(tokenizer: Tokenizer, eos_ids: tuple[int, ...], schema: Any, note: tuple[str, ...]) -> Compiled:
    """The whole schema. note: warnings where it holds. Raises UserError with the place of what cannot be enforced."""
    compiled = compile_source(tokenizer, eos_ids, _json_source(schema, _STRICT))
    if isinstance(compiled, str):
        place, why = _locate(tokenizer, eos_ids, schema, compiled, _STRICT)
        raise UserError(f"the JSON schema cannot be enforced at {place}: {why}", param="response_format")
    return compiled.warned((*compiled.warnings, *note)) if note else compiled


def _relaxed(tokenizer: Tokenizer, eos_ids: tuple[int, ...], schema: Any, note: tuple[str, ...]) -> Compiled:
    """As much of the schema as can be enforced; what cannot is a warning that names it."""
    compiled = compile_source(tokenizer, eos_ids, _json_source(schema, _RELAXED))
    if not isinstance(compiled, str):
        warnings = tuple(f"the JSON schema is not enforced in full: {w}" for w in compiled.warnings)
        return compiled.warned((*warnings, *note))
    place, why = _locate(tokenizer, eos_ids, schema, compiled, _RELAXED)
    kept = {"type": "object"} if isinstance(schema, dict) and schema.get("type") == "object" else {}
    free = compile_source(tokenizer, eos_ids, _json_source(kept, _RELAXED))
    assert isinstance(free, Compiled), "any JSON can be enforced"
    return free.warned((f"the JSON schema is not enforced: at {place}: {why}",))


def is_strict(tool: dict[str, Any]) -> bool:
    """Whether calls of this tool are to be held to its schema, or not to be offered at all."""
    function = tool.get("function", tool)
    return isinstance(function, dict) and function.get("strict") is True


def compile_calls(
    tokenizer: Tokenizer,
    eos_ids: tuple[int, ...],
    tools: tuple[dict[str, Any], ...],
    *,
    single: bool,
    only_strict: bool = False,
    xml: bool = False,
) -> Compiled:
    """A grammar for one call or more, in the exact form the model was trained on, arguments after each tool's schema.

    `<tool_call>\\n{"name": NAME, "arguments": ARGS}\\n</tool_call>`, tags as control ids, calls separated by "\\n".
    xml: in Qwen3-Coder's form instead, see xml_grammar.py. only_strict: the arguments of tools that are not strict are
    any object. Raises UserError for a strict tool whose
    schema cannot be kept, with the place.
    """
    assert tokenizer.tool_call is not None and tokenizer.end_tool_call is not None
    grammars: list[dict[str, Any]] = []
    heads: list[str] = []
    rules: list[str] = []
    warnings: list[str] = []
    for n, tool in enumerate(tools if xml else ()):
        found = _xml(tokenizer, eos_ids, f"tool{n}", tool, only_strict=only_strict)
        heads.append(f"tool{n}")
        rules += [f"tool{n}: {found.body}", *found.rules]
        grammars += found.grammars
        warnings += [f"tool {tool.get('function', tool)['name']}: {place}: {why}" for place, why in found.problems]
    for n, tool in enumerate(() if xml else tools):
        function = tool.get("function", tool)
        if is_strict(tool):
            schema = _kept(tokenizer, eos_ids, function)
        elif only_strict:
            schema = {"type": "object", "x-guidance": _RELAXED}
        else:
            schema, reported = _arguments(tokenizer, eos_ids, function)
            warnings += reported
        head = f'{{"name": {json.dumps(function["name"], ensure_ascii=False)}, "arguments": '
        heads.append(f'{_literal(head)} @tool{n} "}}"')
        grammars.append({"name": f"tool{n}", "json_schema": schema})
    more = "" if single else ' ("\\n" call)*'
    lark = (
        f"start: call{more}\n"
        f'call: <[{tokenizer.tool_call}]> "\\n" ({" | ".join(heads)}) "\\n" <[{tokenizer.end_tool_call}]>\n'
        + "".join(f"{rule}\n" for rule in rules)
    )
    compiled = compile_source(tokenizer, eos_ids, json.dumps({"grammars": [{"lark_grammar": lark}, *grammars]}))
    if isinstance(compiled, str):
        raise UserError(f"the tools cannot be turned into a grammar: {compiled}", param="tools")
    return compiled.warned(tuple(warnings))


def _parameters(function: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """(a tool's schema, as one of objects; the type that it named)"""
    given = function.get("parameters") or {"properties": {}, "additionalProperties": False}
    check_schema(given, "tools")
    schema, _ = closed({**given, "type": "object"})
    return schema, given.get("type", "object")


def _arguments(
    tokenizer: Tokenizer, eos_ids: tuple[int, ...], function: dict[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """As much of a tool's schema as can be enforced, and warnings of what cannot."""
    name, (schema, type_) = function["name"], _parameters(function)
    warnings = [] if type_ == "object" else [f"tool {name}: arguments are an object, not {type_}"]
    if isinstance(compiled := compile_source(tokenizer, eos_ids, _json_source(schema, _RELAXED)), str):
        warnings.append(f"tool {name}: its schema is not enforced: {compiled}")
        schema = {"type": "object"}
    else:
        warnings += [f"tool {name}: {w}" for w in compiled.warnings]
    return {**schema, "x-guidance": _RELAXED}, warnings


def _kept(tokenizer: Tokenizer, eos_ids: tuple[int, ...], function: dict[str, Any]) -> dict[str, Any]:
    """The schema of a strict tool. Raises UserError when it cannot be kept to the letter."""
    schema, type_ = _parameters(function)
    compiled = compile_source(tokenizer, eos_ids, _json_source(schema, _STRICT))
    if type_ == "object" and isinstance(compiled, Compiled):
        return {**schema, "x-guidance": _STRICT}
    place, why = "#/type", f"arguments are an object, not {type_}"
    if isinstance(compiled, str):
        place, why = _locate(tokenizer, eos_ids, schema, compiled, _STRICT)
    raise _not_kept(function["name"], place, why)


def _not_kept(name: str, place: str, why: str) -> UserError:
    return UserError(
        f"tools: the parameters of {name} cannot be kept strictly at {place}: {why}. Change the schema, or "
        "leave strict out: then as much of it as can be is kept",
        param="tools",
    )


def _xml(
    tokenizer: Tokenizer, eos_ids: tuple[int, ...], prefix: str, tool: dict[str, Any], *, only_strict: bool
) -> XmlRules:
    """A tool's call in Qwen3-Coder's form, with what of its schema is not enforced. Raises UserError when a strict
    tool's cannot be kept to the letter."""
    function, strict = tool.get("function", tool), is_strict(tool)
    options = _STRICT if strict else _RELAXED
    schema, type_ = _parameters(function)
    problems = [] if type_ == "object" else [("#/type", f"arguments are an object, not {type_}")]

    def check(part: Any) -> str | None:
        compiled = compile_source(tokenizer, eos_ids, _json_source(part, options))
        return compiled if isinstance(compiled, str) else None

    def rules_of(schema: dict[str, Any]) -> XmlRules:
        return xml_rules(function["name"], prefix, schema, options, check)

    if only_strict and not strict:
        return rules_of({})
    rules = rules_of(schema)
    lark = "\n".join([f"start: {rules.body}", *rules.rules, ""])
    whole = compile_source(tokenizer, eos_ids, json.dumps({"grammars": [{"lark_grammar": lark}, *rules.grammars]}))
    problems += [("#", why) for why in ([whole] if isinstance(whole, str) else whole.warnings)]
    problems += rules.problems
    if strict and problems:
        raise _not_kept(function["name"], *problems[0])
    if isinstance(whole, str):
        rules = rules_of({})
    rules.problems = problems
    return rules


def _json_source(schema: Any, options: dict[str, Any]) -> str:
    if isinstance(schema, dict):
        schema = {**schema, "x-guidance": options}
    return json.dumps({"grammars": [{"json_schema": schema}]})


def _text_source(grammar: Grammar) -> str:
    import llguidance

    _check_text(grammar.value)
    if grammar.kind in ("lark", "gbnf"):
        check_lark(grammar.value, "grammar" if grammar.kind == "gbnf" else grammar.kind)
    if grammar.kind == "gbnf":
        return str(llguidance.LLMatcher.grammar_from_lark(_lark_of(grammar.value)))
    if grammar.kind == "regex":
        return str(llguidance.LLMatcher.grammar_from_regex(grammar.value))
    if grammar.kind == "choice":
        choices = parsed(grammar.value, "choice")
        if not isinstance(choices, list) or not choices or not all(isinstance(c, str) for c in choices):
            raise UserError("choice must be a JSON list of at least one string", param="choice")
        return str(llguidance.LLMatcher.grammar_from_lark("start: " + " | ".join(map(_literal, choices))))
    return str(llguidance.LLMatcher.grammar_from_lark(grammar.value))


def _lark_of(text: str) -> str:
    """Raises UserError for what is neither GBNF nor Lark."""
    from llguidance.gbnf_to_lark import any_to_lark

    try:
        return any_to_lark(text)
    except Exception as e:  # the library raises the bare type for a rule that is missing, or there twice
        raise UserError(f"invalid grammar: {e}", param="grammar") from e


def _literal(text: str) -> str:
    """A Lark string for exactly this text."""
    _check_text(text)
    return json.dumps(text, ensure_ascii=False)


def _check_text(text: str) -> None:
    if well_formed(text) != text:
        raise UserError(f"{text!r:.80} has half a surrogate pair, which no answer can have", param="grammar")


def _locate(
    tokenizer: Tokenizer, eos_ids: tuple[int, ...], schema: Any, why: str, options: dict[str, Any]
) -> tuple[str, str]:
    """(JSON pointer, message) of the innermost subschema that alone cannot be compiled, as far as time allows."""
    place, tries, end = "#", 0, time.monotonic() + LOCATING
    shared = {k: schema[k] for k in ("$defs", "definitions") if isinstance(schema, dict) and k in schema}
    while tries < 500:
        for pointer, child in subschemas(schema):
            tries += 1
            if time.monotonic() > end:
                return place, why
            alone = {**shared, **child} if isinstance(child, dict) else child
            failed = compile_source(tokenizer, eos_ids, _json_source(alone, options))
            if isinstance(failed, str):
                schema, place, why = child, place + pointer, failed
                break
        else:
            break
    return place, why
