"""Grammars that would lead the grammar library deeper than the C stack are refused; what refers to itself is not."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from ponder.core.errors import UserError
from ponder.core.params import Grammar
from ponder.engine.decoding.answer_constraint import answer_rules
from ponder.engine.decoding.grammar import NO_OTHER_KEYS
from ponder.engine.decoding.grammar_depth import check_schema
from ponder.text.tokenizer.tokenizer import Tokenizer

Link = Callable[[Any], Any]
LINKS: dict[str, tuple[int, Link]] = {  # steps of a link, the link
    "plain": (1, lambda ref: ref),
    "items": (2, lambda ref: {"type": "array", "items": ref}),
    "properties": (3, lambda ref: {"type": "object", "properties": {"a": ref}}),
    "a property of that name": (3, lambda ref: {"type": "object", "properties": {"definitions": ref}}),
    "patternProperties": (3, lambda ref: {"type": "object", "patternProperties": {"^a": ref}}),
    "anyOf": (3, lambda ref: {"anyOf": [ref, {"type": "null"}]}),
    "oneOf": (3, lambda ref: {"oneOf": [ref]}),
    "allOf": (3, lambda ref: {"allOf": [ref]}),
    "prefixItems": (3, lambda ref: {"type": "array", "prefixItems": [ref]}),
}


@pytest.fixture(scope="module")
def tok() -> Tokenizer:
    return Tokenizer.packaged()


def chain(links: int, link: Link, end: Any = None) -> dict[str, Any]:
    defs = {"d0": end or {"type": "string"}}
    defs |= {f"d{n}": link({"$ref": f"#/$defs/d{n - 1}"}) for n in range(1, links)}
    return {"$defs": defs, "$ref": f"#/$defs/d{links - 1}"}


def rules(tok: Tokenizer, schema: Any, strict: bool = True) -> Any:
    return answer_rules(tok, (151_645,), grammar=Grammar("json_schema", json.dumps(schema), strict))


def test_a_long_chain_of_references_is_refused(tok: Tokenizer) -> None:
    for steps, link in LINKS.values():
        deep = chain(1500, link)
        told = rf"leads {2 + 1499 * steps} steps deep through its \$refs, 800 are the limit"
        for strict in (True, False):
            with pytest.raises(UserError, match=told):
                rules(tok, deep, strict)
            tool = {"name": "t", "strict": strict, "parameters": deep}
            for choice in ("auto", "required") if strict else ("required",):
                with pytest.raises(UserError, match=told) as caught:
                    answer_rules(tok, (151_645,), tools=(tool,), tool_choice=choice)
                assert caught.value.param == "tools"


def test_other_ways_to_refer(tok: Tokenizer) -> None:
    items = {"type": "array", "items": {}}
    paths = {f"p{n}": {"items": {"$ref": f"#/properties/p{n + 1}"}} for n in range(1000)} | {"p1000": items}
    circle = {f"d{n}": {"items": {"$ref": f"#/$defs/d{(n + 1) % 1000}"}} for n in range(1000)}
    escaped = {f"a/{n}": {"items": {"$ref": f"#/$defs/a~1{n + 1}"}} for n in range(1000)} | {"a/1000": items}
    for schema in ({"properties": paths}, {"$defs": circle, "$ref": "#/$defs/d0"}, {"$defs": escaped}):
        with pytest.raises(UserError, match="steps deep"):
            rules(tok, schema)
    anchors = {f"d{n}": {"$anchor": f"a{n}", "items": {"$ref": f"#a{n + 1}"}} for n in range(65)}
    with pytest.raises(UserError, match="more than 64 subschemas with an"):
        rules(tok, {"$defs": anchors})


def relaxed(warnings: tuple[str, ...]) -> list[str]:
    """What was not kept; that an object is closed is said, too."""
    return [warning for warning in warnings if not warning.startswith(NO_OTHER_KEYS)]


def test_what_is_below_the_limit_compiles(tok: Tokenizer) -> None:
    """The deepest that is let through, on the C stack of this test."""
    for steps, link in LINKS.values():
        links = 1 + 798 // steps
        deep = chain(links, link)
        check_schema(deep, "response_format")
        with pytest.raises(UserError, match="steps deep"):
            check_schema(chain(links + 1, link), "response_format")
    for name in ("plain", "items", "properties", "patternProperties"):
        steps, link = LINKS[name]
        assert relaxed(rules(tok, chain(1 + 798 // steps, link)).grammar.warnings) == []


def test_what_refers_to_itself_is_kept(tok: Tokenizer) -> None:
    tree = {"type": "object", "properties": {"kids": {"type": "array", "items": {"$ref": "#"}}, "n": {"type": "null"}}}
    pair = {"a": LINKS["properties"][1]({"$ref": "#/$defs/b"}), "b": LINKS["items"][1]({"$ref": "#/$defs/a"})}
    many = {
        f"d{n}": {"type": "object", "properties": {"next": {"$ref": f"#/$defs/d{(n + 1) % 200}"}}} for n in range(200)
    }
    for schema in (tree, {"$defs": pair, "$ref": "#/$defs/a"}, {"$defs": many, "$ref": "#/$defs/d0"}):
        assert relaxed(rules(tok, schema).grammar.warnings) == []
    wide = {f"d{n}": {"type": "object", "properties": {"a": {"$ref": "#/$defs/d0"}}} for n in range(1, 900)}
    check_schema({"$defs": {"d0": {"type": "null"}, **wide}, "anyOf": [{"$ref": f"#/$defs/{d}"} for d in wide]}, "")


def test_a_lark_grammar_of_too_many_rules(tok: Tokenizer) -> None:
    def lark(rules: int) -> Grammar:
        chained = "".join(f'r{n}: r{n + 1} "x"\n' for n in range(rules - 2))
        return Grammar("lark", f'start: r0\n{chained}r{rules - 2}: "a"\n')

    for grammar in (
        lark(1501),
        Grammar("lark", "start: %json " + json.dumps(chain(1000, LINKS["items"][1])) + "\n"),
        Grammar("lark", "start: T0\n" + "".join(f"T{n}: T{n + 1}\n" for n in range(5000)) + 'T5000: "a"\n'),
    ):
        with pytest.raises(UserError, match="rules and brackets, 1500 are the limit"):
            answer_rules(tok, (151_645,), grammar=grammar)
    assert answer_rules(tok, (151_645,), grammar=lark(1500)).grammar is not None
