"""Templates after April 2025, and QwQ's: the prompt that opens the thinking block, and the one that knows none."""

import json
import random
from typing import Any

import pytest
from generate_chats import Generator
from test_render_qwen25 import as_object
from test_render_spans import CHAT, TOOLS, assert_tiles, outputs, shown
from text_oracle import official, official_ids, qwen3_template

from ponder.core.message import Message, message_from_dict
from ponder.text.chat.parse import parse
from ponder.text.chat.phase import PhaseMachine
from ponder.text.chat.render import render
from ponder.text.chat.template import Template, capability_of, of_model
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.text.tokenizer_files import chat_template

LATER: tuple[Template, ...] = ("qwen3-thinking", "qwen3-instruct", "qwq")
OPENED = "{%- if add_generation_prompt %}\n    {{- '<|im_start|>assistant\\n<think>\\n' }}\n{%- endif %}"
PLAIN = OPENED.replace("<think>\\n", "")


def theirs(template: Template) -> str:
    """The official templates by what they change in the one before them (Qwen3's of April, Qwen2.5's)."""
    if template == "qwq":
        text = chat_template("qwen2.5")
        default = "{{- 'You are Qwen, created by Alibaba Cloud. You are a helpful assistant.' }}"
        start = text.index("    {%- else %}\n        {{- '<|im_start|>system\\nYou are Qwen")
        end = text.index("    {%- endif %}", start)
        text = (text[:start] + text[end:]).replace(default, "{{- '' }}").replace(PLAIN, OPENED)
        split = "message.content.split('</think>')[-1].lstrip('\\n')"
        text = text.replace(
            "+ message.content + '<|im_end|>'", f"+ ({split} if mine else message.content) + '<|im_end|>'"
        )
        text = text.replace("'\\n' + message.content }}", f"'\\n' + {split} }}}}")
        return text.replace(
            "in messages %}\n", "in messages %}\n    {%- set mine = message.role == 'assistant' %}\n", 1
        )
    text, prompt, _ = qwen3_template()[0].rpartition("{%- if add_generation_prompt %}")
    assert prompt
    if template == "qwen3-thinking":
        return text + OPENED
    start, end = text.index("{%- set reasoning_content = '' %}"), text.index("{%- if message.tool_calls %}")
    return text[:start] + "{{- '<|im_start|>' + message.role + '\\n' + content }}\n        " + text[end:] + PLAIN


def test_the_derived_templates_say_what_was_meant() -> None:
    assert not any("You are Qwen" in theirs(t) for t in LATER) and "<think>" not in theirs("qwen3-instruct")
    assert [theirs(t).count("<think>") - theirs("qwen3-thinking").count("<think>") for t in LATER] == [0, -3, -2]
    assert theirs("qwq").count("split('</think>')") == 2


@pytest.mark.parametrize("template", LATER)
def test_generated_conversations_equal_transformers(tok: Tokenizer, template: Template) -> None:
    text = theirs(template)
    generator = Generator(2507, nasty=True, current=qwen3_template()[1] and template != "qwq")
    for n in range(500):
        messages, options = generator.chat()
        messages = [alike(m, template) for m in messages]
        expected = official(messages, text, **options)
        read = [message_from_dict(m, content_parts="official") for m in messages]
        assert render(read, tok, template=template, **options).text == expected, (n, messages, options)
        assert render(read, tok, template=template, allow_control=True, **options).ids == official_ids(expected)


def alike(message: dict[str, Any], template: Template) -> dict[str, Any]:
    """Without what we do on purpose: `message_from_dict` takes thoughts out of a text, which Instruct-2507 leaves in,
    and QwQ's template writes a line break for a text of nothing but thoughts and quotes string arguments again."""
    content, calls = message.get("content"), message.get("tool_calls") or []
    if isinstance(content, str) and (template == "qwen3-instruct" or (template == "qwq" and calls)):
        message = message | {"content": content.replace("think>", "thought>")}
    for call in calls if template == "qwq" else ():
        body = call.get("function", call)
        body["arguments"] = as_object(body["arguments"])
    return message


HI = [Message.user("hi")]
USER = [151644, 872, 198, 6023, 151645, 198]


def test_the_prompt_opens_the_block_and_the_turn_begins_in_it(tok: Tokenizer) -> None:
    ends = {"qwen3-thinking": [198, 151667, 198], "qwq": [198, 151667, 198], "qwen3-instruct": [198], "qwen3": [198]}
    for template, end in ends.items():
        prompt = render(HI, tok, template=template)  # type: ignore[arg-type]
        assert prompt.ids == [*USER, 151644, 77091, *end] and prompt.warnings == []
        assert not prompt.spans[-1].trainable and prompt.spans[-1].kind == "header"
        assert (PhaseMachine(tok, prompt.ids).phase == "reasoning") == (len(end) > 1)
        assert render(HI, tok, template=template, add_generation_prompt=False).ids == USER  # type: ignore[arg-type]
    said = parse(
        tok.encode("Two and two.\n</think>\n\nFour.", allow_control=True), tok, render(HI, tok, template="qwq").ids
    )
    assert (said.reasoning, said.text) == ("Two and two.", "Four.")


def test_the_switch_cannot_change_a_fixed_template_and_that_is_said(tok: Tokenizer) -> None:
    for template, wish in (("qwen3-thinking", False), ("qwq", False), ("qwen3-instruct", True)):
        asked = render(HI, tok, template=template, enable_thinking=wish)  # type: ignore[arg-type]
        assert asked.ids == render(HI, tok, template=template).ids  # type: ignore[arg-type]
        assert len(asked.warnings) == 1 and "enable_thinking" in asked.warnings[0]
        assert render(HI, tok, template=template, enable_thinking=not wish).warnings == []  # type: ignore[arg-type]


def test_thoughts_of_earlier_turns(tok: Tokenizer) -> None:
    chat = [Message.user("a"), Message.assistant("b", reasoning="T"), Message.user("c")]
    block = "<|im_start|>assistant\n<think>\nT\n</think>\n\nb<|im_end|>"
    for template in LATER:
        assert "<|im_start|>assistant\nb<|im_end|>" in render(chat, tok, template=template).text
        kept = render(chat, tok, template=template, history="keep")
        assert (block in kept.text) == (template != "qwen3-instruct") == (not kept.warnings)
        last = render(chat[:2], tok, template=template, add_generation_prompt=False).text
        assert (block in last) == (template == "qwen3-thinking")


def test_what_the_prompt_opened_is_not_trainable(tok: Tokenizer) -> None:
    result = render(CHAT, tok, template="qwen3-thinking", add_generation_prompt=False)
    assert_tiles(result)
    blocks = [s[3:] for s in shown(result, tok) if s[2] == "reasoning"]
    assert blocks == [(False, "<think>\n"), (True, "T1\n</think>\n\n"), (False, "<think>\n\n</think>\n\n")]
    ids = (151667, 198, 40, 151668, 271, 9707)
    exact = render([Message.user("a"), Message.assistant(ids=ids)], tok, template="qwen3-thinking", history="exact")
    assert [s[2:] for s in shown(exact, tok) if s[0] == 1][1:3] == [
        ("reasoning", False, "<think>\n"),
        ("reasoning", True, "I</think>"),
    ]


@pytest.mark.parametrize("template", ["qwen3-thinking", "qwq"])
def test_exact_history_extends_the_previous_prompt_id_by_id(tok: Tokenizer, template: Template) -> None:
    r = random.Random(5)
    for _ in range(100):
        chat = [Message.user("question")]
        for _ in range(3):
            prompt = render(chat, tok, tools=TOOLS, history="exact", template=template)
            output = outputs(tok, r)
            chat = [*chat, Message.assistant("lost", ids=(151667, 198, *output)), Message.tool("R")]
            following = render(chat, tok, tools=TOOLS, history="exact", template=template)
            assert following.ids[: len(prompt.ids) + len(output)] == prompt.ids + output


@pytest.mark.parametrize(
    ("end", "capability"),
    [
        (OPENED, "thinking"),
        (OPENED.replace("\\n", "\n"), "thinking"),  # a real newline in the piece of text
        ('{% if add_generation_prompt %}{{ "<|im_start|>assistant\\n<think>" }}{% endif %}', "thinking"),
        ("{% if add_generation_prompt %}<|im_start|>assistant\n<think>\n{% endif %}", "thinking"),
        (
            "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n<think>\\n\\n</think>\\n\\n' }}{% endif %}",
            "instruct",
        ),
        (PLAIN, "instruct"),
        ("{{ '<|im_start|>assistant\\n<think>\\n' }}", "instruct"),  # no generation prompt at all
        (OPENED + "{# enable_thinking #}", "hybrid"),
    ],
)
def test_what_a_template_can_is_read_from_its_text(end: str, capability: str) -> None:
    assert capability_of("{% for m in messages %}{% endfor %}" + end) == capability


def test_which_template_a_text_is() -> None:
    april, qwen25 = qwen3_template()[0], chat_template("qwen2.5")
    found: dict[str, Any] = {t: theirs(t) for t in LATER} | {"qwen3": april}
    for name, text in found.items():
        assert of_model(text, capability_of(text), has_block=True) == name
        assert of_model(json.loads(json.dumps(text)), capability_of(text), has_block=False) == "qwen2.5"
    assert of_model(None, "base", has_block=True) == of_model(april, "base", has_block=True) == "qwen3"
    assert of_model(april, "instruct", has_block=True) == "qwen3"  # no switch, but blocks in the history
    assert of_model(qwen25, capability_of(qwen25), has_block=False) == "qwen2.5"
