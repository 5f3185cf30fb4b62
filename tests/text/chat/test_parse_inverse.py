"""parse(render(x)) == x: the two directions are inverses for every message that a model can produce."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from ponder.core.event import message_of
from ponder.core.message import Message, Part, Reasoning, Text, ToolCall
from ponder.text.chat.parse import StreamParser
from ponder.text.chat.render import render
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.text.tokenizer.vocabulary import ADDED

# NFC is the tokenizer's own loss; letters without combining marks stay as they are.
characters = st.one_of(
    st.sampled_from('\n\n\n \t"\\{}[]:,<>/|ab12é你🤖\u00a0\r'),
    st.characters(max_codepoint=0x2FF, exclude_categories=["Cs"]),
)
words = st.one_of(st.text(characters, max_size=12), st.sampled_from([*ADDED, "\n", '{"name": "f"}', "</think>\n\n"]))
free = st.lists(words, max_size=5).map("".join)
reasoning = free.map(lambda s: s.strip("\n")).filter(bool)
values = st.recursive(
    st.one_of(free, st.integers(-(2**60), 2**60), st.booleans(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(free, inner, max_size=3)),
    max_leaves=6,
)
arguments = st.tuples(st.dictionaries(free, values, max_size=3), st.booleans(), st.sampled_from([None, 2])).map(
    lambda a: json.dumps(a[0], ensure_ascii=a[1], indent=a[2])
)
names = st.text(st.sampled_from("abc_.-你<>/é "), min_size=1, max_size=10) | st.sampled_from(
    ["</tool_call>", "<think>"]
)
calls = st.lists(st.builds(ToolCall, names, arguments), max_size=3)


@settings(max_examples=300, deadline=None)
@given(
    thoughts=st.none() | reasoning, text=free, calls=calls, tail=st.booleans(), cut=st.integers(1, 9), off=st.booleans()
)
def test_parse_inverts_render(
    tok: Tokenizer, thoughts: str | None, text: str, calls: list[ToolCall], tail: bool, cut: int, off: bool
) -> None:
    text = text.lstrip("\n")  # the template drops newlines before the content of a turn with a block
    if not tail and calls:
        text = text.rstrip()
    body: list[Part] = [Text(text)] if text else []
    # An empty part says that a literal </think> in the text is no end of a block (message_of does the same).
    head: list[Part] = [Reasoning(thoughts)] if thoughts else [Reasoning("")] if "</think>" in text else []
    message = Message("assistant", (*head, *body, *calls))
    question = [Message.user("q")]
    prompt = render(question, tok, enable_thinking=False if off and not thoughts else None)
    whole = render([*question, message], tok, add_generation_prompt=False)
    assert whole.ids[: len(prompt.ids)] == prompt.ids
    generated = whole.ids[len(prompt.ids) :]
    parser = StreamParser(tok, prompt.ids)
    events = [e for at in range(0, len(generated), cut) for e in parser.feed(generated[at : at + cut])]
    found = message_of(events + parser.finish())
    bare = tuple(structs.replace(p, id="") if isinstance(p, ToolCall) else p for p in found.parts)
    assert structs.replace(found, parts=bare) == message
    assert parser.malformed_calls == 0
