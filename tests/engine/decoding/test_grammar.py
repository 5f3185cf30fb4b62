"""Grammar masks with the real vocabulary. Random walks through the masks must end in text that is valid."""

import json
import re
import time
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ponder.core.errors import UserError
from ponder.core.params import Grammar
from ponder.engine.decoding import grammar as grammar_module
from ponder.engine.decoding.answer_constraint import AnswerRules, answer_rules
from ponder.engine.decoding.grammar import compile_calls, compile_grammar
from ponder.engine.decoding.matcher import Compiled, Matcher
from ponder.text.calls.tool_calls import parse_call
from ponder.text.tokenizer.tokenizer import Tokenizer

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "tags": {"type": "array", "items": {"enum": ["a", "b", "é"]}, "maxItems": 3},
        "home": {"$ref": "#/$defs/place"},
    },
    "required": ["name", "age", "home"],
    "additionalProperties": False,
    "$defs": {
        "place": {
            "type": "object",
            "properties": {"zip": {"type": "string", "pattern": "^[0-9]{5}$"}, "ok": {"type": "boolean"}},
            "required": ["zip"],
            "additionalProperties": False,
        }
    },
}
TOOLS: tuple[dict[str, Any], ...] = (
    {"type": "function", "function": {"name": "get_weather", "parameters": PERSON}},
    {"name": "nothing"},
    {"type": "function", "function": {"name": 'od.d-"näme"', "parameters": {"properties": {"q": {"type": "null"}}}}},
)


@pytest.fixture(scope="module")
def tok() -> Tokenizer:
    return Tokenizer.packaged()


VOCAB = 151_669


def allowed_by(matcher: Matcher) -> NDArray[np.bool_]:
    """[VOCAB] bool"""
    matcher.fill_mask()
    return np.unpackbits(matcher.mask, count=VOCAB, bitorder="little").view(np.bool_)


def follow(compiled: Compiled, ids: list[int]) -> tuple[int, bool]:
    """(how many ids were allowed, whether the text is complete after them)."""
    matcher = compiled.start()
    for n, id_ in enumerate(ids):
        if not allowed_by(matcher)[id_]:
            return n, False
        matcher.accept(id_)
    return len(ids), matcher.complete


def accepts(tok: Tokenizer, compiled: Compiled, text: str, *, control: bool = False) -> bool:
    ids = tok.encode(text, allow_control=control)
    return follow(compiled, ids) == (len(ids), True)


def walk(tok: Tokenizer, compiled: Compiled, rng: np.random.Generator, limit: int = 300) -> tuple[str, bool]:
    """A random text under the mask: (text, whether an end token came). Ends are made likely, so that it ends."""
    matcher, ids = compiled.start(), []
    bonus = np.zeros(tok.vocab_size, np.float32)
    bonus[[*tok.eos_ids, *tok.encode('"'), *tok.encode("}"), *tok.encode("]"), *tok.encode('"}')]] = 6
    noise = rng.gumbel(size=2 * tok.vocab_size).astype(np.float32)
    for _ in range(limit):
        allowed = allowed_by(matcher)
        assert allowed.any()
        assert allowed[list(tok.eos_ids)].all() == matcher.complete
        at = int(rng.integers(tok.vocab_size))
        scores = np.where(allowed, noise[at : at + tok.vocab_size] + bonus, -np.inf)
        id_ = int(scores.argmax())
        if id_ in tok.eos_ids:
            return tok.decode(ids, skip_special=False), True
        ids.append(id_)
        matcher.accept(id_)
    return tok.decode(ids, skip_special=False), False


def check_person(value: Any) -> None:
    assert set(value) <= {"name", "age", "tags", "home"} and {"name", "age", "home"} <= set(value)
    assert isinstance(value["name"], str) and isinstance(value["age"], int) and 0 <= value["age"] <= 150
    assert len(value.get("tags", [])) <= 3 and set(value.get("tags", [])) <= {"a", "b", "é"}
    assert re.fullmatch("[0-9]{5}", value["home"]["zip"]) and set(value["home"]) <= {"zip", "ok"}


def test_random_walks_end_in_valid_json(tok: Tokenizer) -> None:
    compiled = compile_grammar(tok, tok.eos_ids, Grammar("json_schema", json.dumps(PERSON)))
    rng = np.random.default_rng(0)
    ended = 0
    for _ in range(30):
        text, done = walk(tok, compiled, rng)
        ended += done
        if done:
            check_person(json.loads(text))
        assert not re.search(r"\n\s*\n", re.sub(r'"(\\.|[^"\\])*"?', '""', text)), "blank lines outside strings (SO-2)"
    assert ended >= 20


def test_json_object_walks(tok: Tokenizer) -> None:
    compiled = compile_grammar(tok, tok.eos_ids, Grammar("json_object"))
    rng = np.random.default_rng(1)
    texts = [walk(tok, compiled, rng) for _ in range(20)]
    assert all(isinstance(json.loads(text), dict) for text, done in texts if done) and any(d for _, d in texts)


@pytest.mark.parametrize("indent", [None, 2, 4])
def test_usual_layouts_are_allowed_and_endless_blanks_are_not(tok: Tokenizer, indent: int | None) -> None:
    compiled = compile_grammar(tok, tok.eos_ids, Grammar("json_schema", json.dumps(PERSON)))
    value = {"name": "Ann <think>", "age": 7, "tags": ["a", "é"], "home": {"zip": "01234", "ok": True}}
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    assert accepts(tok, compiled, text)
    assert accepts(tok, compiled, json.dumps(value, separators=(",", ":"), ensure_ascii=False))
    assert not accepts(tok, compiled, text.replace(": ", ":   ", 1))
    assert not accepts(tok, compiled, " " + text)
    assert not accepts(tok, compiled, text + "\n")


def test_control_ids_are_never_text(tok: Tokenizer) -> None:
    for grammar in (Grammar("json_schema", '{"type": "string"}'), Grammar("regex", "(?s).*"), Grammar("json_object")):
        matcher = compile_grammar(tok, tok.eos_ids, grammar).start()
        for id_ in tok.encode('"x' if grammar.kind == "json_schema" else ('{"' if "json" in grammar.kind else "x")):
            matcher.accept(id_)
        inside = allowed_by(matcher)
        assert inside.sum() > 10_000
        control = set(tok.control.values()) - set(tok.eos_ids)
        assert not inside[list(control)].any()


def test_regex_and_choice(tok: Tokenizer) -> None:
    regex = compile_grammar(tok, tok.eos_ids, Grammar("regex", r"[0-9]{3}-\p{L}+"))
    assert accepts(tok, regex, "123-né") and not accepts(tok, regex, "12-n") and not accepts(tok, regex, "123-n1")
    choices = ["yes", "yes, but", 'no\n"q"', "é\\x", "a b", "<think>", "/no_think"]
    choice = compile_grammar(tok, tok.eos_ids, Grammar("choice", json.dumps(choices)))
    assert all(accepts(tok, choice, c) for c in choices)
    assert not any(accepts(tok, choice, c) for c in ("y", "maybe", "yes,", ""))
    rng = np.random.default_rng(2)
    assert {walk(tok, choice, rng) for _ in range(60)} >= {(c, True) for c in choices if c != "yes, but"}


def test_lark(tok: Tokenizer) -> None:
    lark = compile_grammar(tok, tok.eos_ids, Grammar("lark", 'start: "(" start ")" | "x"'))
    assert accepts(tok, lark, "((x))") and not accepts(tok, lark, "((x)")


@pytest.mark.parametrize(
    ("schema", "place", "why"),
    [
        ({"properties": {"a": {"items": {"type": "string", "contains": {}}}}}, "#/properties/a/items", "contains"),
        ({"properties": {"b": {"type": "string", "format": "zip"}}}, "#/properties/b", "zip"),
        ({"$defs": {"q": {"not": {}}}, "properties": {"z": {"$ref": "#/$defs/q"}}}, "#/$defs/q", "not"),
        ({"anyOf": [{"type": "integer"}, {"if": {}, "type": "string"}]}, "#/anyOf/1", "if"),
        ({"properties": {"x": {"type": "string", "pattern": "(a"}}}, "#/properties/x", "unclosed"),
        ({"type": "foo"}, "#", "foo"),
    ],
)
def test_what_cannot_be_enforced_is_refused_by_place(tok: Tokenizer, schema: Any, place: str, why: str) -> None:
    with pytest.raises(UserError) as error:
        compile_grammar(tok, tok.eos_ids, Grammar("json_schema", json.dumps(schema)))
    assert f" {place}: " in str(error.value) and why in str(error.value)
    assert error.value.param == "response_format"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("regex", "a(b"),
        ("regex", "(?=x)a"),
        ("regex", "a" * 20_000),
        ("lark", "start: x"),
        ("lark", ""),
        ("choice", "[]"),
        ("choice", "[1]"),
        ("choice", "{"),
        ("json_schema", "{"),
        ("json_schema", "7"),
        ("json_schema", "[" * 100_000),
        ("json_schema", '{"items":' * 300 + "{}" + "}" * 300),
        ("json_schema", '{"description": "' + "x" * (1 << 20) + '"}'),
        ("json_schema", "false"),
    ],
)
def test_bad_grammars_are_user_errors(tok: Tokenizer, kind: Any, value: str) -> None:
    with pytest.raises(UserError):
        compile_grammar(tok, tok.eos_ids, Grammar(kind, value))


@pytest.mark.flaky(reruns=2)  # judges time
@pytest.mark.parametrize(
    "regex",
    [
        "(a{1,1000}){1,1000}",
        "(.*a){200}",
        "(x+x+)+y",
        "(a?){5000}a{5000}",
        "((a{0,100}){0,100}){0,100}",
        ".*" * 2000,
        r"(.|\n)*x.{5000}",
        r"([a-z]+ ){1,5000}",
        r"\p{L}{1,10000}",
        "(a|aa|aaa|b)*c{3000}(a|b)*",
    ],
)
def test_hostile_regexes_end_in_time(tok: Tokenizer, regex: str) -> None:
    compile_grammar(tok, tok.eos_ids, Grammar("regex", "x"))  # the vocabulary is not part of the time
    start = time.thread_time()
    try:
        matcher = compile_grammar(tok, tok.eos_ids, Grammar("regex", regex)).start()
    except UserError:
        pass
    else:
        for id_ in tok.encode("aaaa aa xyx ab " * 20):
            allowed = allowed_by(matcher)
            assert allowed.any()
            if not allowed[id_]:
                break
            matcher.accept(id_)
    assert time.thread_time() - start < 5  # SEC-5 asks for 1 s on an idle machine


def test_calls_have_the_trained_form_and_valid_arguments(tok: Tokenizer) -> None:
    single = compile_calls(tok, tok.eos_ids, TOOLS, single=True)
    several = compile_calls(tok, tok.eos_ids, TOOLS, single=False)
    one = '<tool_call>\n{"name": "nothing", "arguments": {}}\n</tool_call>'
    for text, want in [
        (one, (True, True)),
        (one + "\n" + one, (False, True)),
        ("Sure! " + one, (False, False)),
        (one.replace("nothing", "other"), (False, False)),
        (one.replace("{}", '{"x": 1}'), (False, False)),
    ]:
        found = accepts(tok, single, text, control=True), accepts(tok, several, text, control=True)
        assert found == want, text
    assert not accepts(tok, single, one), "the tags as plain text are no call"
    rng = np.random.default_rng(3)
    ended = 0
    for _ in range(30):
        text, done = walk(tok, single, rng)
        if not done:
            continue
        ended += 1
        assert text.startswith("<tool_call>\n") and text.endswith("\n</tool_call>")
        call = parse_call(text[len("<tool_call>") : -len("</tool_call>")])
        assert call is not None and call.name in ("get_weather", "nothing", 'od.d-"näme"')
        if call.name == "get_weather":
            check_person(json.loads(call.arguments))
    assert ended >= 15


def test_odd_tool_schemas_relax_with_a_warning(tok: Tokenizer) -> None:
    odd = {"name": "odd", "parameters": {"type": "object", "properties": {"l": {"type": "array", "uniqueItems": True}}}}
    broken = {"name": "broken", "parameters": {"type": "object", "properties": {"p": {"pattern": "(?=a)b"}}}}
    compiled = compile_calls(tok, tok.eos_ids, (odd, broken), single=True)
    assert any("odd" in w and "uniqueItems" in w for w in compiled.warnings)
    assert any("broken" in w and "not enforced" in w for w in compiled.warnings)
    call = '<tool_call>\n{"name": "broken", "arguments": {"anything": [1]}}\n</tool_call>'
    assert accepts(tok, compiled, call, control=True)


def test_a_schema_that_is_not_strict_relaxes_with_a_warning(tok: Tokenizer) -> None:
    """As much as can be enforced is; strict, the same schemas are refused with the place (SO-3)."""
    numbers = {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}
    unique = {"type": "object", "properties": {"l": numbers}, "required": ["l"], "additionalProperties": False}
    ahead = {"type": "object", "properties": {"p": {"type": "string", "pattern": "(?=a)b"}}}
    for schema, place, good, bad in (
        (unique, "#/properties/l", '{"l": [1, 1]}', '{"l": ["x"]}'),
        (ahead, "#/properties/p", '{"q": 1}', "[]"),
    ):
        text = json.dumps(schema)
        with pytest.raises(UserError, match=place):
            compile_grammar(tok, tok.eos_ids, Grammar("json_schema", text))
        relaxed = compile_grammar(tok, tok.eos_ids, Grammar("json_schema", text, strict=False))
        assert accepts(tok, relaxed, good) and not accepts(tok, relaxed, bad)
        assert len(relaxed.warnings) == 1 and "not enforced" in relaxed.warnings[0], relaxed.warnings
    nested = {"properties": {"a": {"items": {"type": "text"}}}}
    for none, place in (({"type": 3}, "#"), (nested, "#/properties/a/items"), ({"anyOf": [3]}, "#/anyOf/0")):
        with pytest.raises(UserError, match=f"at {place}: "):
            compile_grammar(tok, tok.eos_ids, Grammar("json_schema", json.dumps(none), strict=False))
    plain = Grammar("json_schema", '{"type": "integer"}', strict=False)
    assert compile_grammar(tok, tok.eos_ids, plain).warnings == ()


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("regex", "[^\\s\\S]"),
        ("regex", "a\ud800"),
        ("choice", '["a", "\\ud800"]'),
        ("lark", 'start: "\ud800"'),
        ("lark", "start: " + '"a" ' * 100_000),
        ("json_schema", '{"$ref": "#"}'),
    ],
)
def test_what_no_text_can_match_is_refused_before_generation(tok: Tokenizer, kind: Any, value: str) -> None:
    with pytest.raises(UserError) as error:
        compile_grammar(tok, tok.eos_ids, Grammar(kind, value))
    assert len(str(error.value)) < 500


@pytest.mark.parametrize("parameters", [{"type": "string"}, {"type": ["object", "null"]}, {"enum": ["a", {}]}])
def test_arguments_are_an_object_whatever_a_schema_says(tok: Tokenizer, parameters: dict[str, Any]) -> None:
    compiled = compile_calls(tok, tok.eos_ids, ({"name": "f", "parameters": parameters},), single=True)
    call = '<tool_call>\n{{"name": "f", "arguments": {}}}\n</tool_call>'
    assert accepts(tok, compiled, call.format("{}"), control=True)
    assert not any(accepts(tok, compiled, call.format(a), control=True) for a in ('"a"', "null", "[]"))
    assert any("f" in w and "object" in w for w in compiled.warnings) == ("type" in parameters)


def test_the_time_to_compile_grows_with_the_tools_and_no_faster(tok: Tokenizer) -> None:
    """TC-7 asks for 0.5 s for a hundred on an idle machine. What is judged here is how CPU time grows."""

    def cost(count: int) -> float:
        tools = tuple({"name": f"t{n}", "parameters": {**PERSON, "title": f"{count}.{n}"}} for n in range(count))
        start = time.thread_time()
        compile_calls(tok, tok.eos_ids, tools, single=False).start().fill_mask()
        return time.thread_time() - start

    compile_calls(tok, tok.eos_ids, TOOLS, single=True)
    assert cost(100) < 3 * 10 * cost(10)


def test_sequences_do_not_share_state(tok: Tokenizer) -> None:
    compiled = compile_grammar(tok, tok.eos_ids, Grammar("choice", '["ab", "cd"]'))
    one, two = compiled.start(), compiled.start()
    one.accept(tok.encode("ab")[0])
    assert one.complete and not two.complete and allowed_by(two)[tok.encode("cd")[0]]


def rules(tok: Tokenizer, **kwargs: Any) -> AnswerRules:
    return answer_rules(tok, tok.eos_ids, **kwargs)


def test_tool_choice(tok: Tokenizer) -> None:
    free = rules(tok, tools=TOOLS)
    assert free == AnswerRules(free_calls=True, schemas=free.schemas, bare_calls=free.bare_calls) and free.schemas
    assert rules(tok, tools=TOOLS, tool_choice="none").no_calls
    assert rules(tok, tools=TOOLS, parallel_tool_calls=False).single_call
    named = rules(tok, tools=TOOLS, tool_choice="nothing").grammar
    assert named is not None
    call = '<tool_call>\n{{"name": "{}", "arguments": {{}}}}\n</tool_call>'
    assert accepts(tok, named, call.format("nothing"), control=True)
    assert not accepts(tok, named, call.format("get_weather"), control=True)
    for bad in (
        {"tool_choice": "required"},
        {"tools": TOOLS, "tool_choice": "nobody"},
        {"tools": TOOLS, "tool_choice": "required", "grammar": Grammar("json_object")},
    ):
        with pytest.raises(UserError) as error:
            rules(tok, **bad)
        assert error.value.param == "tool_choice"


def test_where_a_schema_fails_is_looked_for_as_long_as_time_allows(
    tok: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = {"type": "string", "format": "no such format"}
    schema = {"type": "object", "properties": {"a": {"type": "object", "properties": {"b": bad}}}}
    with pytest.raises(UserError, match="#/properties/a/properties/b"):
        compile_grammar(tok, tok.eos_ids, Grammar("json_schema", json.dumps(schema)))
    monkeypatch.setattr(grammar_module, "LOCATING", -1.0)
    with pytest.raises(UserError, match="at #: "):
        compile_grammar(tok, tok.eos_ids, Grammar("json_schema", json.dumps(schema)))
