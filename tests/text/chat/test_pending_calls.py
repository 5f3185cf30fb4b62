"""Calls that thoughts end with: held back while they may be the end, thoughts again as soon as they cannot (TC-3)."""

import random
import time

import pytest

from ponder.core.event import Event, ReasoningDelta, ToolCallDone
from ponder.text.chat.parse import StreamParser
from ponder.text.tokenizer.tokenizer import Tokenizer

GOOD = '<tool_call>\n{"name": "f", "arguments": {"x": 1}}\n</tool_call>'
TAGGED = '<tool_call>\n{"name": "f", "arguments": {"x": "</tool_call> <tool_call>"}}\n</tool_call>'
BAD = '<tool_call>\n{"name": "f", "arguments": [1]}\n</tool_call>'


def thoughts_of(events: list[Event]) -> str:
    return "".join(e.text for e in events if isinstance(e, ReasoningDelta))


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (GOOD, 1), ("\n\n" + GOOD, 1), ("Hm.\n" + GOOD, 1), (GOOD + "\n \n", 1), (GOOD + "\n" + GOOD, 2), (GOOD * 3, 3),
        (TAGGED, 1), (f"So {GOOD} or not.\n{GOOD}", 1), (BAD + GOOD, 1), ("<tool_call>" + GOOD, 1), (GOOD + BAD, 0),
        ("", 0), ("Hm.", 0), (BAD, 0), (GOOD + ".", 0), (GOOD + "\n<tool_call>", 0), (GOOD[:-12], 1), (GOOD[:-14], 0),
        (GOOD + GOOD[:-12], 2), (BAD[:-12], 0),
        (GOOD + "</tool_call>", 0), ('<tool_call>{"name": "f\n' + GOOD, 1), (GOOD + "<|fim_prefix|>", 0),
        ("<tool_call><|im_start|>" + GOOD, 1), ("<tool_call></tool_call>", 0), (GOOD + "\n<think>", 0),
    ],
)  # fmt: skip
def test_what_counts_as_the_end(tok: Tokenizer, text: str, count: int) -> None:
    ids = tok.encode("<think>\n" + text, allow_control=True)
    for size in (1, 3, len(ids)):
        parser = StreamParser(tok, hold_calls=True)
        events = [e for at in range(0, len(ids), size) for e in parser.feed(ids[at : at + size])]
        assert len(parser.pending) == count
        assert not any(isinstance(e, ToolCallDone) for e in events)
        if not count:
            continue
        assert all(s[0] == tok.tool_call and s[-1] == tok.end_tool_call for s in parser.pending)
        events += parser.accept_pending() + parser.finish()
        calls = [e for e in events if isinstance(e, ToolCallDone)]
        assert [c.index for c in calls] == list(range(count)) and len({c.call.id for c in calls}) == count
        plain = thoughts_of(whole_of(tok, ids))
        assert plain.startswith(thoughts_of(events)) and not thoughts_of(events).endswith("\n")
        assert parser.pending == () and parser.feed(tok.encode("more")) == []


def whole_of(tok: Tokenizer, ids: list[int]) -> list[Event]:
    parser = StreamParser(tok)
    return parser.feed(ids) + parser.finish()


def test_nothing_is_lost_when_nothing_counts(tok: Tokenizer) -> None:
    """Ten thousand streams give the same events whether calls were held back or not, at any place they are cut."""
    r = random.Random(8)
    pieces = [GOOD, BAD, TAGGED, "<tool_call>", "</tool_call>", '"', "\\", "\n", " ", "{", "é👋", "so", "</think>",
              "<think>", "<|im_end|>", "<|im_start|>"]  # fmt: skip
    encoded = [tok.encode(p, allow_control=True) for p in pieces]
    held = 0
    for _ in range(10_000):
        ids = [tok.think or 0] * r.randint(0, 1) + [i for _ in range(r.randint(0, 9)) for i in r.choice(encoded)]
        parser, events = StreamParser(tok, hold_calls=True), []
        for id_ in ids:
            events += parser.feed([id_])
            held += bool(parser.pending)
            if r.random() < 0.01:
                events += parser.release_pending()
        events += parser.finish()
        plain = StreamParser(tok)
        expected = plain.feed(ids) + plain.finish()
        assert joined(events) == joined(expected), ids
        assert parser.malformed_calls == plain.malformed_calls
    assert held > 1000, "the streams must reach the interesting states"


def joined(events: list[Event]) -> list[Event]:
    out: list[Event] = []
    for event in events:
        if out and isinstance(event, ReasoningDelta) and isinstance(out[-1], ReasoningDelta):
            out[-1] = ReasoningDelta(out[-1].text + event.text)
        elif out and type(event) is type(out[-1]) and not isinstance(event, ToolCallDone):
            out[-1] = type(event)(out[-1].text + event.text)  # type: ignore[union-attr,call-arg]
        else:
            out.append(event)
    return out


def test_a_prompt_that_drafts_leaves_nothing_held(tok: Tokenizer) -> None:
    prompt = tok.encode("<|im_start|>assistant\n<think>\nso <tool_call>\n{", allow_control=True)
    parser = StreamParser(tok, prompt, hold_calls=True)
    assert thoughts_of(parser.feed(tok.encode('"a": 1}')) + parser.finish()) == '"a": 1}'


@pytest.mark.flaky(reruns=2)  # judges time
@pytest.mark.parametrize(
    "ids",
    [
        [151657, 1] + [151658, 151657, 87] * 30_000, [151657] + [2105, 151658] * 45_000, [151657] * 90_000,
        [151657, 4913, 606, 788, 330, 69, 9207, 151658] * 12_000,
        [151657, 4913, 606, 788, 330, 69, 9207, 151658] + [220] * 90_000 + [32],
    ],
    ids=["quotes", "escapes", "tags", "calls", "blanks"],
)  # fmt: skip
def test_linear_time(tok: Tokenizer, ids: list[int]) -> None:
    def seconds(part: list[int]) -> float:
        parser = StreamParser(tok, hold_calls=True)
        start = time.thread_time()
        for id_ in [151667, *part]:
            parser.feed([id_])
        parser.finish()
        return time.thread_time() - start

    eighth, whole = seconds(ids[: len(ids) // 8]), seconds(ids)
    assert whole < 20 and whole < 24 * eighth + 0.5, (eighth, whole)  # 64 if it were quadratic
