"""Constraints on the answer as token masks, by llguidance: JSON schema, any object, regex, choice, Lark, tool calls.

The thoughts are never constrained; RequestState decides when the answer begins. Control tokens are special to the
matcher, so no text rule (a JSON string, `.`) can ever let one through. Whitespace outside strings is bounded: one
blank, or one newline with an indentation, so a model cannot fill its tokens with blanks (SO-2). What llguidance cannot
enforce is refused before generation with the place in the schema (SO-3), of a tool whose function says `strict: true`
as well; schemas that were not sent as strict are relaxed with a warning (TC-7).
"""

import json
import time
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ponder.core.errors import UserError
from ponder.core.params import Grammar
from ponder.engine.decoding.grammar_depth import check_lark, check_schema
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.text.tokenizer.utf8 import well_formed

if TYPE_CHECKING:  # imported where a grammar is compiled: most requests have none
    import llguidance

MAX_SOURCE = 1 << 18  # characters of a schema or Lark grammar
LOCATING = 1.0  # seconds for finding out where a schema fails
MAX_REGEX = 1 << 14
MAX_DEPTH = 200  # nesting of a schema
WHITESPACE = r"(\n[ ]{0,40}|[ ])"
_STRICT = {"whitespace_pattern": WHITESPACE, "lenient": False}
_RELAXED = {"whitespace_pattern": WHITESPACE, "lenient": True, "coerce_one_of": True}
_TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")
# keywords whose value is a map of names to schemas, a list of schemas, or one schema (JSON Schema 2020-12)
_MAPS = ("$defs", "definitions", "properties", "patternProperties", "dependentSchemas")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = ("items", "additionalProperties", "not", "contains", "propertyNames", "if", "then", "else")


class Matcher:
    """The state of one sequence's constraint. `fill_mask()` says what may come next, `accept(id)` moves on.

    mask: one bit an id, little-endian; at least one is set after filling. End tokens are allowed exactly when the text
    is complete. complete: the text so far satisfies the grammar. error: llguidance gave up (a limit was hit); only an
    end token is allowed then, and RequestState reports it.
    """

    def __init__(self, state: "llguidance.LLMatcher", size: int, eos_ids: tuple[int, ...]) -> None:
        self.mask: NDArray[np.uint8] = np.zeros(-(-size // 32) * 4, np.uint8)
        self._state = state
        self._eos_ids = eos_ids

    def fill_mask(self) -> None:
        self._state.unsafe_compute_mask_ptr(self.mask.ctypes.data, self.mask.size)
        if not self.mask.any() or self._state.is_error():
            self.mask[:] = 0
            self.allow(self._eos_ids)

    def allow(self, ids: Iterable[int]) -> None:
        """Let these come too."""
        for id_ in ids:
            self.mask[id_ >> 3] |= 1 << (id_ & 7)

    def accept(self, id_: int) -> None:
        self._state.consume_token(id_)

    def forced_tokens(self) -> list[int]:
        """The text to which there is no alternative, in the usual ids; other ids may write it too."""
        return list(self._state.compute_ff_tokens())

    @property
    def complete(self) -> bool:
        return not self._state.is_error() and bool(self._state.is_accepting())

    @property
    def error(self) -> str:
        return str(self._state.get_error()).split("\n")[0]


class Compiled:
    """A grammar compiled for one tokenizer; `start()` gives each sequence its own matcher."""

    def __init__(self, state: "llguidance.LLMatcher", size: int, eos_ids: tuple[int, ...], warnings: tuple[str, ...]):
        self._state = state
        self._size = size
        self._eos_ids = eos_ids
        self.warnings = warnings

    def warned(self, warnings: tuple[str, ...]) -> "Compiled":
        """The same with these warnings; what is compiled is shared by all who ask for it."""
        return Compiled(self._state, self._size, self._eos_ids, warnings)

    def start(self) -> Matcher:
        return Matcher(self._state.deep_copy(), self._size, self._eos_ids)

    def fits(self, ids: Iterable[int]) -> bool:
        """Whether these ids are a whole text of this grammar."""
        matcher = self.start()
        for id_ in ids:
            matcher.accept(id_)
        return matcher.complete


def compile_grammar(tokenizer: Tokenizer, eos_ids: tuple[int, ...], grammar: Grammar) -> Compiled:
    """Compile a request's grammar. Raises UserError that names the place of what cannot be enforced."""
    param = "response_format" if grammar.kind.startswith("json") else grammar.kind
    if len(grammar.value) > (MAX_REGEX if grammar.kind == "regex" else MAX_SOURCE):
        raise UserError(f"the {grammar.kind} has {len(grammar.value)} characters, too many", param=param)
    if grammar.kind in ("json_schema", "json_object"):
        schema = _schema(grammar.value) if grammar.kind == "json_schema" else {"type": "object"}
        if not grammar.strict:
            return _relaxed(tokenizer, eos_ids, schema)
        compiled = _compile(tokenizer, eos_ids, _json_source(schema, _STRICT))
        if isinstance(compiled, str):
            place, why = _locate(tokenizer, eos_ids, schema, compiled, _STRICT)
            raise UserError(f"the JSON schema cannot be enforced at {place}: {why}", param=param)
        return compiled
    compiled = _compile(tokenizer, eos_ids, _text_source(grammar))
    if isinstance(compiled, str):
        raise UserError(f"invalid {grammar.kind}: {compiled}", param=param)
    return compiled


def _relaxed(tokenizer: Tokenizer, eos_ids: tuple[int, ...], schema: Any) -> Compiled:
    """As much of the schema as can be enforced; what cannot is a warning that names it."""
    compiled = _compile(tokenizer, eos_ids, _json_source(schema, _RELAXED))
    if not isinstance(compiled, str):
        warnings = tuple(f"the JSON schema is not enforced in full: {w}" for w in compiled.warnings)
        return compiled.warned(warnings)
    place, why = _locate(tokenizer, eos_ids, schema, compiled, _RELAXED)
    kept = {"type": "object"} if isinstance(schema, dict) and schema.get("type") == "object" else {}
    free = _compile(tokenizer, eos_ids, _json_source(kept, _RELAXED))
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
) -> Compiled:
    """A grammar for one call or more, in the exact form the model was trained on, arguments after each tool's schema.

    `<tool_call>\\n{"name": NAME, "arguments": ARGS}\\n</tool_call>`, tags as control ids, calls separated by "\\n".
    only_strict: the arguments of tools that are not strict are any object. Raises UserError for a strict tool whose
    schema cannot be kept, with the place.
    """
    assert tokenizer.tool_call is not None and tokenizer.end_tool_call is not None
    grammars: list[dict[str, Any]] = []
    heads: list[str] = []
    warnings: list[str] = []
    for n, tool in enumerate(tools):
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
    )
    compiled = _compile(tokenizer, eos_ids, json.dumps({"grammars": [{"lark_grammar": lark}, *grammars]}))
    if isinstance(compiled, str):
        raise UserError(f"the tools cannot be turned into a grammar: {compiled}", param="tools")
    return compiled.warned(tuple(warnings))


def _parameters(function: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """(a tool's schema, as one of objects; the type that it named)"""
    given = function.get("parameters") or {"properties": {}, "additionalProperties": False}
    check_schema(given, "tools")
    return {**given, "type": "object"}, given.get("type", "object")


def _arguments(
    tokenizer: Tokenizer, eos_ids: tuple[int, ...], function: dict[str, Any]
) -> tuple[dict[str, Any], list[str]]:
    """As much of a tool's schema as can be enforced, and warnings of what cannot."""
    name, (schema, type_) = function["name"], _parameters(function)
    warnings = [] if type_ == "object" else [f"tool {name}: arguments are an object, not {type_}"]
    if isinstance(compiled := _compile(tokenizer, eos_ids, _json_source(schema, _RELAXED)), str):
        warnings.append(f"tool {name}: its schema is not enforced: {compiled}")
        schema = {"type": "object"}
    else:
        warnings += [f"tool {name}: {w}" for w in compiled.warnings]
    return {**schema, "x-guidance": _RELAXED}, warnings


def _kept(tokenizer: Tokenizer, eos_ids: tuple[int, ...], function: dict[str, Any]) -> dict[str, Any]:
    """The schema of a strict tool. Raises UserError when it cannot be kept to the letter."""
    schema, type_ = _parameters(function)
    compiled = _compile(tokenizer, eos_ids, _json_source(schema, _STRICT))
    if type_ == "object" and isinstance(compiled, Compiled):
        return {**schema, "x-guidance": _STRICT}
    place, why = "#/type", f"arguments are an object, not {type_}"
    if isinstance(compiled, str):
        place, why = _locate(tokenizer, eos_ids, schema, compiled, _STRICT)
    raise UserError(
        f"tools: the parameters of {function['name']} cannot be kept strictly at {place}: {why}. Change the schema, or "
        "leave strict out: then as much of it as can be is kept",
        param="tools",
    )


class _Source:
    """A tokenizer in the shape llguidance reads: fields by these names, and a call that encodes text."""

    def __init__(self, tokenizer: Tokenizer, eos_ids: tuple[int, ...]) -> None:
        self.eos_token_id = eos_ids[0]
        self.bos_token_id = None
        self.tokens = [tokenizer.token_bytes(i) for i in range(tokenizer.vocab_size)]
        self.special_token_ids = sorted({*tokenizer.control.values(), *eos_ids})
        self._encode = tokenizer.encode

    def __call__(self, text: str | bytes) -> list[int]:
        return self._encode(text if isinstance(text, str) else text.decode())


@lru_cache(maxsize=4)
def _vocabulary(tokenizer: Tokenizer, eos_ids: tuple[int, ...]) -> "llguidance.LLTokenizer":
    """The vocabulary as llguidance wants it: a trie of bytes, every added token special. About half a second."""
    import llguidance

    source = llguidance.TokenizerWrapper(_Source(tokenizer, eos_ids))
    return llguidance.LLTokenizer(source, n_vocab=tokenizer.vocab_size, eos_token=list(eos_ids))


@lru_cache(maxsize=64)
def _compile(tokenizer: Tokenizer, eos_ids: tuple[int, ...], source: str) -> Compiled | str:
    """A compiled grammar, or llguidance's message. Limits keep hostile input below a second and 64 MB (SEC-5).

    The first mask is computed here, in the caller's thread: it finds what no text can match, and costs the most."""
    import llguidance

    limits = llguidance.LLParserLimits(max_lexer_states=20_000, verbose_errors=False)
    state = llguidance.LLMatcher(_vocabulary(tokenizer, eos_ids), source, log_level=0, limits=limits)
    if not state.is_error() and not any(state.compute_bitmask()):
        return "no text can match it"
    if state.is_error():
        why = str(state.get_error()).split("<backtrace>")[0]
        return "no text can match it" if why.startswith("NoExtensionBias") else " ".join(why.split())
    return Compiled(state, tokenizer.vocab_size, eos_ids, tuple(state.get_grammar_warnings()))


def _json_source(schema: Any, options: dict[str, Any]) -> str:
    if isinstance(schema, dict):
        schema = {**schema, "x-guidance": options}
    return json.dumps({"grammars": [{"json_schema": schema}]})


def _text_source(grammar: Grammar) -> str:
    import llguidance

    _check_text(grammar.value)
    if grammar.kind == "lark":
        check_lark(grammar.value, grammar.kind)
    if grammar.kind == "regex":
        return str(llguidance.LLMatcher.grammar_from_regex(grammar.value))
    if grammar.kind == "choice":
        choices = _parsed(grammar.value, "choice")
        if not isinstance(choices, list) or not choices or not all(isinstance(c, str) for c in choices):
            raise UserError("choice must be a JSON list of at least one string", param="choice")
        return str(llguidance.LLMatcher.grammar_from_lark("start: " + " | ".join(map(_literal, choices))))
    return str(llguidance.LLMatcher.grammar_from_lark(grammar.value))


def _literal(text: str) -> str:
    """A Lark string for exactly this text."""
    _check_text(text)
    return json.dumps(text, ensure_ascii=False)


def _check_text(text: str) -> None:
    if well_formed(text) != text:
        raise UserError(f"{text!r:.80} has half a surrogate pair, which no answer can have", param="grammar")


def _schema(text: str) -> Any:
    schema = _parsed(text, "response_format")
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
    for pointer, child in _subschemas(schema):
        _check_types(child, place + pointer)


def _parsed(text: str, param: str) -> Any:
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as e:
        raise UserError(f"{param} is not valid JSON: {e}", param=param) from e


def _locate(
    tokenizer: Tokenizer, eos_ids: tuple[int, ...], schema: Any, why: str, options: dict[str, Any]
) -> tuple[str, str]:
    """(JSON pointer, message) of the innermost subschema that alone cannot be compiled, as far as time allows."""
    place, tries, end = "#", 0, time.monotonic() + LOCATING
    shared = {k: schema[k] for k in ("$defs", "definitions") if isinstance(schema, dict) and k in schema}
    while tries < 500:
        for pointer, child in _subschemas(schema):
            tries += 1
            if time.monotonic() > end:
                return place, why
            alone = {**shared, **child} if isinstance(child, dict) else child
            failed = _compile(tokenizer, eos_ids, _json_source(alone, options))
            if isinstance(failed, str):
                schema, place, why = child, place + pointer, failed
                break
        else:
            break
    return place, why


def _subschemas(schema: Any) -> Iterator[tuple[str, Any]]:
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
