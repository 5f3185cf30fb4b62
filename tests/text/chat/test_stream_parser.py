"""Ids -> events: boundaries, newlines, calls, and the same result for every chunking (RS, TC, UT)."""

import random
import time

import pytest

from ponder.core.event import Event, ReasoningDelta, TextDelta, ToolCallDone, message_of
from ponder.core.message import Message, Reasoning, Text, ToolCall
from ponder.text.chat.parse import StreamParser, parse
from ponder.text.chat.render import render
from ponder.text.tokenizer.tokenizer import Tokenizer

GOOD = '<tool_call>\n{"name": "f", "arguments": {"x": 1}}\n</tool_call>'


def outcome(events: list[Event]) -> tuple[str, str, list[tuple[int, str, str]]]:
    """(reasoning, content, calls as (index, name, arguments))."""
    reasoning = "".join(e.text for e in events if isinstance(e, ReasoningDelta))
    content = "".join(e.text for e in events if isinstance(e, TextDelta))
    calls = [(e.index, e.call.name, e.call.arguments) for e in events if isinstance(e, ToolCallDone)]
    return reasoning, content, calls


def run(tok: Tokenizer, text: str, prompt: str = "") -> tuple[str, str, list[tuple[int, str, str]], int]:
    """Parse text whose tags are control ids; whole, and one id at a time, which must agree."""
    ids, prompt_ids = tok.encode(text, allow_control=True), tok.encode(prompt, allow_control=True)
    results = []
    for size in (1, 3, len(ids) or 1):
        parser = StreamParser(tok, prompt_ids)
        events = [e for at in range(0, len(ids), size) for e in parser.feed(ids[at : at + size])] + parser.finish()
        assert all(e.text for e in events if isinstance(e, ReasoningDelta | TextDelta)), "no empty deltas"
        results.append((*outcome(events), parser.malformed_calls))
    assert results[0] == results[1] == results[2]
    return results[0]


ASK = "<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n"
F = (0, "f", '{"x": 1}')
TABLE: dict[str, tuple[str, str, tuple[str, str, list[tuple[int, str, str]], int]]] = {
    "plain": (ASK, "Hi", ("", "Hi", [], 0)),
    "plain newlines stay": (ASK, "\n\nHi\n\nyou\n", ("", "\n\nHi\n\nyou\n", [], 0)),
    "model opens": (ASK, "<think>\nhm\nso\n</think>\n\nHi", ("hm\nso", "Hi", [], 0)),
    "prompt opens": (ASK + "<think>\n", "hm\n</think>\n\nHi", ("hm", "Hi", [], 0)),
    "prompt opens and thinks": (ASK + "<think>\nOne", "\nTwo\n</think>\n\nHi", ("\nTwo", "Hi", [], 0)),
    "prompt closed": (ASK + "<think>\n\n</think>\n\n", "Hi", ("", "Hi", [], 0)),
    "prompt closed, more newlines": (ASK + "<think>\n\n</think>\n\n", "\nHi", ("", "Hi", [], 0)),
    "prompt answers already": (ASK + "<think>\n\n</think>\n\nA", "\n\nHi", ("", "\n\nHi", [], 0)),
    "soft off": (ASK, "<think>\n\n</think>\n\nHi", ("", "Hi", [], 0)),
    "earlier turn does not count": ("<|im_start|>assistant\n<think>\nx" + ASK, "Hi", ("", "Hi", [], 0)),
    "no prompt": ("", "<think>a</think>b", ("a", "b", [], 0)),
    "unterminated": (ASK, "<think>\nhm\n", ("hm\n", "", [], 0)),
    "stray close": (ASK, "Hi</think>you", ("", "Hiyou", [], 0)),
    "newline before the block": (ASK, "\n<think>\na\n</think>\n\nb", ("a", "b", [], 0)),
    "second block": (ASK, "<think>\na\n</think>\n\nb<think>\nc\n</think>\n\nd", ("ac", "bd", [], 0)),
    "open in open": (ASK, "<think>\na<think>b</think>c", ("ab", "c", [], 0)),
    "end of turn": (ASK, "Hi<|im_end|>\n<|im_start|>user\nmore", ("", "Hi", [], 0)),
    "specials vanish": (ASK, "a<|im_start|>b<|box_start|>c", ("", "abc", [], 0)),
    "other tags stay": (ASK, "a<tool_response>b</tool_response><|fim_prefix|>", (
        "", "a<tool_response>b</tool_response><|fim_prefix|>", [], 0)),
    "call": (ASK, GOOD, ("", "", [F], 0)),
    "call after text": (ASK, "pre\n" + GOOD, ("", "pre", [F], 0)),
    "one newline only": (ASK, "pre\n\n" + GOOD, ("", "pre\n", [F], 0)),
    "no newline": (ASK, "pre" + GOOD, ("", "pre", [F], 0)),
    "call after thoughts": (ASK, "<think>\nt\n</think>\n\n" + GOOD, ("t", "", [F], 0)),
    "two calls": (ASK, GOOD + " \n\n " + GOOD + "\n \n", ("", "", [F, (1, "f", '{"x": 1}')], 0)),
    "text after call": (ASK, "a\n" + GOOD + "\nb\n", ("", "a\nb\n", [F], 0)),
    "call in thoughts (TC-3)": (ASK, f"<think>\n{GOOD}\n</think>\n\nb", (GOOD, "b", [], 0)),
    "no arguments": (ASK, '<tool_call>{"name": "g"}</tool_call>', ("", "", [(0, "g", "{}")], 0)),
    "null arguments": (ASK, '<tool_call>{"name":"g","arguments":null}</tool_call>', ("", "", [(0, "g", "{}")], 0)),
    "verbatim arguments": (ASK, '<tool_call>{"arguments": {"b":1,  "a":[1.50,"\\u00e9é"]} , "name":"g"}</tool_call>', (
        "", "", [(0, "g", '{"b":1,  "a":[1.50,"\\u00e9é"]}')], 0)),
    "end tag in a string (TC-1)": (
        ASK, '<tool_call>{"name":"g","arguments":{"s":"</tool_call>\\"<tool_call>"}}</tool_call>', (
        "", "", [(0, "g", '{"s":"</tool_call>\\"<tool_call>"}')], 0)),
    "not json": (ASK, "a\n<tool_call>\nnope\n</tool_call>b", ("", "a\n<tool_call>\nnope\n</tool_call>b", [], 1)),
    "name is no string": (ASK, '<tool_call>{"name":1}</tool_call>', ("", '<tool_call>{"name":1}</tool_call>', [], 1)),
    "arguments are no object": (ASK, '<tool_call>{"name":"f","arguments":"{}"}</tool_call>', (
        "", '<tool_call>{"name":"f","arguments":"{}"}</tool_call>', [], 1)),
    "not repaired": (ASK, '<tool_call>{"name":"f","arguments":{}</tool_call>', (
        "", '<tool_call>{"name":"f","arguments":{}</tool_call>', [], 1)),
    "two objects": (ASK, '<tool_call>{"name":"f"}{"name":"g"}</tool_call>', (
        "", '<tool_call>{"name":"f"}{"name":"g"}</tool_call>', [], 1)),
    "truncated": (ASK, 'a\n<tool_call>\n{"name": "f", "argu', ("", 'a\n<tool_call>\n{"name": "f", "argu', [], 1)),
    "bare open tag": (ASK, "a<tool_call>", ("", "a<tool_call>", [], 1)),
    "stray end tag": (ASK, "a</tool_call>b", ("", "a</tool_call>b", [], 0)),
    "missing end tag": (ASK, "<tool_call>{" + GOOD, ("", "<tool_call>{", [F], 1)),
    "only the end tag is missing": (ASK, f"a\n{GOOD[:-13]}<|im_end|>", ("", "a", [F], 0)),
    "the end tag is missing between two": (ASK, GOOD[:-12] + GOOD, ("", "", [F, (1, "f", '{"x": 1}')], 0)),
    "cut off where only the end tag is missing": (ASK, f"a\n{GOOD[:-13]}", ("", f"a\n{GOOD[:-13]}", [], 1)),
    "words where the end tag belongs": (
        ASK, GOOD[:-12] + "So.<|im_end|>", ("", GOOD[:-12] + "So.", [], 1)),
    "parameters are arguments": (ASK, GOOD.replace("arguments", "parameters"), ("", "", [F], 0)),
    "bad then good": (ASK, "<tool_call>x</tool_call>\n" + GOOD, ("", "<tool_call>x</tool_call>", [F], 1)),
    "unbalanced quote keeps later calls": (
        ASK, '<tool_call>{"name": "f</tool_call>\n' + GOOD.replace('"', "'") + GOOD, (
        "", '<tool_call>{"name": "f</tool_call>\n' + GOOD.replace('"', "'"), [F], 2)),
    "think breaks a call off": (ASK, '<tool_call>{"name": <think>a</think>b', ("a", '<tool_call>{"name": b', [], 1)),
    "special id inside a call": (ASK, '<tool_call>{"name":"f","arguments":{"a":"<|box_end|>"}}</tool_call>', (
        "", '<tool_call>{"name":"f","arguments":{"a":""}}</tool_call>', [], 1)),
    "prompt began the call": (ASK + '<tool_call>\n{"name": "f", "arguments": ', '{"x": 1}}\n</tool_call>', (
        "", "", [F], 0)),
}  # fmt: skip


@pytest.mark.parametrize("case", TABLE)
def test_rules(tok: Tokenizer, case: str) -> None:
    prompt, text, expected = TABLE[case]
    assert run(tok, text, prompt) == expected


def test_reasoning_streams_live_and_content_only_after_the_boundary(tok: Tokenizer) -> None:
    """RS-6: each id of the thoughts gives its text at once."""
    parser = StreamParser(tok, tok.encode(ASK, allow_control=True))
    seen = []
    for id_ in tok.encode("<think>\none two\n</think>\n\nHi you", allow_control=True):
        seen.append([(type(e).__name__, e.text) for e in parser.feed([id_]) if not isinstance(e, ToolCallDone)])
    assert seen == [
        [], [], [("ReasoningDelta", "one")], [("ReasoningDelta", " two")], [], [], [],
        [("TextDelta", "Hi")], [("TextDelta", " you")],
    ]  # fmt: skip
    assert parser.finish() == []


def random_ids(r: random.Random, tok: Tokenizer) -> list[int]:
    """Any ids of the embedding, and tags and JSON often enough to meet each other."""
    tags = [151667, 151668, 151657, 151658]
    json_ids = [*tok.encode('{"name": "f", "arguments": {"a": "\\"'), *tok.encode('"}}\n'), *tok.encode("\n\n \n\t")]
    good = tok.encode(GOOD, allow_control=True)
    ids: list[int] = []
    for _ in range(r.randint(0, 40)):
        kind = r.random()
        if kind < 0.45:
            ids.append(r.randrange(151936))
        elif kind < 0.65:
            ids.append(r.choice(tags))
        elif kind < 0.95:
            ids.append(r.choice(json_ids))
        else:
            ids += good
    return ids


def test_ten_thousand_random_streams_do_not_depend_on_chunks(tok: Tokenizer) -> None:
    r = random.Random(5)
    prompts = [[], *(tok.encode(ASK + p, allow_control=True) for p in ("", "<think>\n", "<think>\n\n</think>\n\n"))]
    calls = malformed = 0
    for _ in range(10_000):
        ids, prompt = random_ids(r, tok), r.choice(prompts)
        whole = StreamParser(tok, prompt)
        expected = outcome(whole.feed(ids) + whole.finish())
        parts = StreamParser(tok, prompt)
        events: list[Event] = []
        at = 0
        while at < len(ids):
            size = r.choice([1, 1, 2, 3, 7, 40])
            events += parts.feed(ids[at : at + size])
            at += size
        events += parts.finish()
        assert outcome(events) == expected, (ids, prompt)
        assert parts.malformed_calls == whole.malformed_calls
        assert message_of(events) == parse(ids, tok, prompt)
        for text in expected[:2]:
            assert "<think>" not in text and "</think>" not in text and "<|im_" not in text
            text.encode()
        calls += len(expected[2])
        malformed += whole.malformed_calls
    assert calls > 1000 and malformed > 1000, "the streams must reach the interesting states"


def test_text_equals_the_full_decode(tok: Tokenizer) -> None:
    """UT-1: without tags, the deltas add up to the decode of all ids, U+FFFD only where the whole decode has it."""
    r = random.Random(6)
    skip = {151667, 151668, 151657, 151658, 151643, 151645}
    for _ in range(3000):
        ids = [i for i in (r.randrange(151936) for _ in range(r.randint(1, 25))) if i not in skip]
        parser = StreamParser(tok, [])
        deltas = [e for id_ in ids for e in parser.feed([id_])] + parser.finish()
        assert outcome(deltas)[1] == tok.decode(ids)


def test_call_ids_are_unique_and_repeatable(tok: Tokenizer) -> None:
    ids = tok.encode(GOOD * 3, allow_control=True)
    first, again = parse(ids, tok, [1, 2]), parse(ids, tok, [1, 2])
    other = parse(ids, tok, [1, 2, 3])
    names = [c.id for c in (*first.tool_calls, *other.tool_calls)]
    assert first == again and len(set(names)) == 6 and all(n.startswith("call_") for n in names)


ADVERSARIAL = {
    "unclosed quotes": [151657, 1] + [151658, 151657, 87] * 80_000,
    "escaped quotes": [151657] + [2105, 151658] * 120_000,
    "open tags": [151657] * 250_000,
    "good calls": [151657, 4913, 606, 788, 330, 69, 9207, 151658] * 30_000,
    "newlines": [198] * 250_000 + [32] + [198] * 250_000 + [151657, 1, 151658],
    "spaces after a call": [151657, 4913, 606, 788, 330, 69, 9207, 151658] + [220] * 400_000 + [32],
    "think flips": [151667, 198, 151668, 198] * 60_000,
    "half characters": [160] * 400_000,
    "deep json": [151657, 4913, 606, 3252, 69, 2198, 16370, 22317, 64, 788] + [58] * 300_000 + [151658],
}


@pytest.mark.flaky(reruns=2)  # judges time
@pytest.mark.parametrize("name", ADVERSARIAL)
def test_linear_time_on_a_megabyte(tok: Tokenizer, name: str) -> None:
    """Eight times the input takes about eight times the time (64 if it were quadratic), the whole seconds at most."""
    ids = ADVERSARIAL[name]

    def seconds(part: list[int]) -> float:
        parser = StreamParser(tok, [])
        start = time.thread_time()
        for id_ in part:
            parser.feed([id_])
        parser.finish()
        return time.thread_time() - start

    eighth, whole = (min(seconds(part) for _ in range(2)) for part in (ids[: len(ids) // 8], ids))
    assert whole < 20 and whole < 24 * eighth + 0.5, (eighth, whole)


def test_message_keeps_the_order_of_parts(tok: Tokenizer) -> None:
    ids = tok.encode("<think>\na\n</think>\n\nb\n" + GOOD + "\nc", allow_control=True)
    message = parse(ids, tok)
    assert [type(p) for p in message.parts] == [Reasoning, Text, ToolCall, Text]
    assert message.text == "b\nc" and message.reasoning == "a"


def test_literal_close_tag_in_text_is_protected(tok: Tokenizer) -> None:
    """Text that only looks like the end of a block must come back as text after the next rendering."""
    ids = [151667, 271, 151668, 271, *tok.encode("write </think> here")]
    message = parse(ids, tok)
    assert message == Message.assistant("write </think> here", reasoning="")
    assert "write </think> here<|im_end|>" in render([Message.user("q"), message], tok).text


def test_without_tools_a_call_is_text() -> None:
    """A client that describes its tools in words (qwen-agent does) reads the calls from the text itself."""
    tok = Tokenizer.packaged()
    text = 'One moment.\n<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>\n<tool_call>\n{'
    for step in (1, 3, 1000):
        parser = StreamParser(tok, [], calls=False)
        ids = tok.encode(text, allow_control=True)
        events = [e for i in range(0, len(ids), step) for e in parser.feed(ids[i : i + step])] + parser.finish()
        assert all(isinstance(e, TextDelta) for e in events) and parser.malformed_calls == 0
        assert "".join(e.text for e in events) == text
