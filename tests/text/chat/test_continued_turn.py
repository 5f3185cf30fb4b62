"""A last message of the assistant that stays open: the official prompt up to the end of its text."""

import pytest

from ponder.core.message import Message, Reasoning, Text
from ponder.text.chat.parse import StreamParser
from ponder.text.chat.render import render
from ponder.text.chat.template import Template
from ponder.text.tokenizer.tokenizer import Tokenizer

HI = Message.user("hi")
TEMPLATES: list[Template] = ["qwen3", "qwen3-thinking", "qwen3-instruct", "qwq", "qwen2.5", "qwen3-coder"]


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize(
    "last",
    [Message.assistant("The capital is"), Message.assistant("So \n\n", reasoning="Well.\n")],
    ids=["text", "both"],
)
def test_the_end_of_the_turn_is_left_out(template: Template, last: Message) -> None:
    tokenizer = Tokenizer.packaged("qwen2.5" if template == "qwen2.5" else "qwen3")
    closed = render((HI, last), tokenizer, template=template, add_generation_prompt=False)
    opened = render((HI, last), tokenizer, template=template, continue_final_message=True)
    assert opened.text == closed.text.removesuffix("<|im_end|>\n") != closed.text
    assert opened.ids == closed.ids[: len(opened.ids)] or last.text.endswith("\n")
    assert opened.spans[-1].end == len(opened.ids)


@pytest.mark.parametrize("template", ["qwen3", "qwen3-thinking"])
def test_thoughts_alone_stay_open_and_go_on(template: Template) -> None:
    tokenizer = Tokenizer.packaged()
    last = Message("assistant", (Reasoning("Let me\nsee"),))
    opened = render((HI, last), tokenizer, template=template, continue_final_message=True)
    assert opened.text.endswith("<|im_start|>assistant\n<think>\nLet me\nsee")
    parser = StreamParser(tokenizer, opened.ids)
    assert parser.phase == "reasoning"
    said = parser.feed(tokenizer.encode(": two.\n</think>\n\nTwo.", allow_control=True)) + parser.finish()
    assert [(type(e).__name__, e.text) for e in said] == [("ReasoningDelta", ": two."), ("TextDelta", "Two.")]  # type: ignore[union-attr]


def test_a_message_that_ends_in_exact_ids_stays_open_as_well() -> None:
    tokenizer = Tokenizer.packaged()
    ids = (*tokenizer.encode("<think>\n\n</think>\n\nYes", allow_control=True),)
    last = Message("assistant", (Text("Yes"),), ids)
    opened = render((HI, last), tokenizer, history="exact", continue_final_message=True)
    assert tuple(opened.ids[-len(ids) :]) == ids
