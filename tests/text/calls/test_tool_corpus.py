"""TC-1: over 250 scripts of tool calls in three chunkings; what must come out follows from how each was put together.

A body of a call, good or broken, stands in a frame (alone, after text, in thoughts, cut off ...). The tags inside its
strings come once as control ids and once as plain text, which a model may write as well.
"""

from collections.abc import Callable

import pytest

from ponder.core.event import Event, ReasoningDelta, TextDelta, ToolCallDone
from ponder.text.chat.parse import StreamParser
from ponder.text.tokenizer.tokenizer import Tokenizer

BIG = "x" * (64 << 10)
ARGUMENTS = {
    "none": "{}",
    "one": '{"city": "Paris"}',
    "nested": '{"a": {"b": {"c": [{}, {"d": []}]}}}',
    "braces in a string": '{"s": "}}{{ ]["}',
    "end tag in a string": '{"s": "a </tool_call> b"}',
    "both tags in a string": '{"s": "<tool_call></tool_call></tool_call>", "t": 1}',
    "escaped quotes": '{"s": "say \\"</tool_call>\\" \\\\"}',
    "unicode": '{"城市": "北京", "ü": "é ß"}',
    "emoji": '{"s": "👩\u200d👩\u200d👧 🤖"}',
    "escapes": '{"s": "\\u00e9\\ud83e\\udd16\\n\\t"}',
    "numbers": '{"a": -1.50e+3, "b": 12345678901234567890, "c": 0.1}',
    "words": '{"a": true, "b": false, "c": null}',
    "wide layout": '{\n  "a" : 1 ,\n\t"b":[ 1,2 ]\n}',
    "tight layout": '{"a":1,"b":{"c":2}}',
    "same key twice": '{"a": 1, "a": 2}',
    "code": '{"code": "def f():\\n    return {\'a\': 1}\\n"}',
    "markup": '{"html": "<p>&amp;</p><think >"}',
    "other tags": '{"s": "<tool_response></tool_response>"}',
    "64 KB": f'{{"s": "{BIG}"}}',
}
GOOD: dict[str, tuple[str, str, str]] = {  # name -> (body, tool, arguments)
    **{k: (f'\n{{"name": "f", "arguments": {a}}}\n', "f", a) for k, a in ARGUMENTS.items()},
    "no arguments": ('\n{"name": "f"}\n', "f", "{}"),
    "null arguments": ('\n{"name": "f", "arguments": null}\n', "f", "{}"),
    "arguments first": ('\n{"arguments": {"a": 1}, "name": "f"}\n', "f", '{"a": 1}'),
    "more keys": ('\n{"id": "x", "name": "f", "arguments": {"a": 1}}\n', "f", '{"a": 1}'),
    "no newlines": ('{"name": "f", "arguments": {"a": 1}}', "f", '{"a": 1}'),
    "blanks": (' \n {"name": "f", "arguments": {}} \n\n', "f", "{}"),
    "dotted name": ('\n{"name": "srv.read-file", "arguments": {}}\n', "srv.read-file", "{}"),
    "xml": ("\n<function=f><parameter=a>1</parameter></function>\n", "f", '{"a": "1"}'),
    "foreign name": ('\n{"name": "查询天气", "arguments": {}}\n', "查询天气", "{}"),
}
BROKEN = {
    "empty": "",
    "newlines": "\n\n",
    "prose": "\nI would call f now.\n",
    "no name": '\n{"arguments": {}}\n',
    "name is a number": '\n{"name": 1, "arguments": {}}\n',
    "arguments are text": '\n{"name": "f", "arguments": "{}"}\n',
    "arguments are a list": '\n{"name": "f", "arguments": [1]}\n',
    "a brace short": '\n{"name": "f", "arguments": {"a": 1}\n',
    "a brace more": '\n{"name": "f", "arguments": {"a": 1}}}\n',
    "single quotes": "\n{'name': 'f', 'arguments': {}}\n",
    "trailing comma": '\n{"name": "f", "arguments": {"a": 1,}}\n',
    "comment": '\n{"name": "f", "arguments": {}} // now\n',
    "two objects": '\n{"name": "f"}{"name": "g"}\n',
    "a list": '\n[{"name": "f", "arguments": {}}]\n',
    "raw newline in a string": '\n{"name": "f", "arguments": {"a": "x\ny"}}\n',
    "not a number": '\n{"name": "f", "arguments": {"a": NaN}}\n',
    "xml with words": "\n<function=f>one</function>\n",
    "xml without a name": "\n<function><parameter=a>1</parameter></function>\n",
}
OTHER = '<tool_call>\n{"name": "g", "arguments": {"n": 2}}\n</tool_call>'

Call = tuple[str, str]
Outcome = tuple[str, str, list[Call], int]  # reasoning, content, calls, malformed calls
# a frame: what stands before the call, what stands after it, and the outcome for a call that is (calls, its text)
Frame = tuple[str, str, Callable[[list[Call], str], Outcome]]


def _frame(before: str, after: str, left: str, right: str, more: int = 0, thoughts: str = "") -> Frame:
    """left, right: the text that remains around a good call; a broken one also keeps the layout newline before it."""

    def outcome(calls: list[Call], raw: str) -> Outcome:
        gap = before[len(before.rstrip("\n")) :] if left else ""
        others = [("g", '{"n": 2}')] * more
        text = left + right if calls else left + gap + raw + right
        return thoughts, text, calls + others, 0 if calls else 1

    return before, after, outcome


FRAMES: dict[str, Frame] = {
    "alone": _frame("", "", "", ""),
    "after text": _frame("Let me look.\n", "", "Let me look.", ""),
    "after thoughts": _frame("<think>\nhm {\n</think>\n\n", "", "", "", thoughts="hm {"),
    "before text": _frame("", "\nDone.", "", "\nDone."),
    "with another": _frame("", "\n" + OTHER, "", "", more=1),
    "before the end": _frame("", "<|im_end|>\n<|im_start|>user\n" + OTHER, "", ""),
    "in thoughts": ("<think>\n", "\n</think>\n\nok", lambda calls, raw: (raw, "ok", [], 0)),
}


def corpus() -> list[tuple[str, str, str, str, Outcome]]:
    """(name, before, body, after, outcome)"""
    cases = []
    for frame, (before, after, outcome) in FRAMES.items():
        for name, (body, tool, arguments) in GOOD.items():
            raw = f"<tool_call>{body}</tool_call>"
            cases.append((f"{name}, {frame}", before, body, after, outcome([(tool, arguments)], raw)))
        for name, body in BROKEN.items():
            cases.append((f"{name}, {frame}", before, body, after, outcome([], f"<tool_call>{body}</tool_call>")))
    return cases


CASES = corpus()


def parsed(tok: Tokenizer, ids: list[int], size: int) -> Outcome:
    """Through the stream in pieces of `size` ids; calls must come in order of their index."""
    parser = StreamParser(tok)
    events: list[Event] = [e for at in range(0, len(ids), size) for e in parser.feed(ids[at : at + size])]
    events += parser.finish()
    done = [e for e in events if isinstance(e, ToolCallDone)]
    assert [e.index for e in done] == list(range(len(done))) and len({e.call.id for e in done}) == len(done)
    return (
        "".join(e.text for e in events if isinstance(e, ReasoningDelta)),
        "".join(e.text for e in events if isinstance(e, TextDelta)),
        [(e.call.name, e.call.arguments) for e in done],
        parser.malformed_calls,
    )


@pytest.mark.parametrize("case", CASES, ids=[c[0] for c in CASES])
def test_corpus_of_calls(tok: Tokenizer, case: tuple[str, str, str, str, Outcome]) -> None:
    _, before, body, after, expected = case
    assert tok.tool_call is not None and tok.end_tool_call is not None
    start, end = tok.encode(before, allow_control=True), tok.encode(after, allow_control=True)
    for allow_control in (True, False):
        call = [tok.tool_call, *tok.encode(body, allow_control=allow_control), tok.end_tool_call]
        ids = [*start, *call, *end]
        for size in (1, 3, len(ids)):
            assert parsed(tok, ids, size) == expected


@pytest.mark.parametrize("name", GOOD)
def test_calls_cut_off_stay_text(tok: Tokenizer, name: str) -> None:
    """At the end of the tokens the call has no closing tag: it is text, and never executed (TC-5)."""
    body = GOOD[name][0]
    for part in (0.0, 0.5, 1.0):
        text = "Now:\n<tool_call>" + body[: int(len(body) * part)]
        ids = tok.encode(text, allow_control=True)
        for size in (1, 3, len(ids)):
            reasoning, content, calls, malformed = parsed(tok, ids, size)
            assert (reasoning, content, calls) == ("", text, []) and malformed > 0


def test_the_corpus_is_large_enough() -> None:
    assert len(CASES) + len(GOOD) >= 250
