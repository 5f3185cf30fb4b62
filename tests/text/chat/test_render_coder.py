"""Qwen3-Coder's template in its published forms. coder_chats.jsonl: conversations, and the text that transformers made
of each with the official Jinja text of that form."""

import json
from pathlib import Path
from typing import Any

import pytest
from test_render_spans import assert_tiles, shown
from text_oracle import official_ids

from ponder.core.errors import UserError
from ponder.core.message import Message, ToolCall, message_from_dict
from ponder.text.chat.coder_template import FORMS
from ponder.text.chat.render import render
from ponder.text.chat.template import capability_of, check_tools, is_known, of_model, template_warning
from ponder.text.tokenizer.tokenizer import Tokenizer

CHATS = [json.loads(line) for line in Path(__file__).with_name("coder_chats.jsonl").read_text("utf-8").splitlines()]
EDIT = '{"path": "a.py", "n": 3, "deep": {"x": [1, true]}, "yes": true, "no": null}'
CALLS = (ToolCall("edit", EDIT), ToolCall("ls"))
# The marks of the forms in their Jinja texts
CODER = r"""{{- "\n<function>\n<name>" ~ tool.name ~ "</name>" }}{{- 'You have access to the following functions:' }}
{{- '<tool_call>\n<function=example_function_name>' }}{{- '<|im_start|>' + message.role }}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"""
MARKED = {
    "qwen3-coder": CODER,
    "qwen3-coder-july": "{% macro render_item_list(items) %}" + CODER,
    "qwen3-coder-tools": CODER.replace("following functions", "following tools"),
    "qwen3-coder-next": CODER + "{%- set v = args_value if args_value is string else args_value | tojson | safe %}",
}


@pytest.mark.parametrize("chat", CHATS, ids=[f"{n} {chat['template']}" for n, chat in enumerate(CHATS)])
def test_rendered_as_transformers_does(tok: Tokenizer, chat: dict[str, Any]) -> None:
    messages = [message_from_dict(m, content_parts="official") for m in chat["messages"]]
    assert render(messages, tok, template=chat["template"], **chat["options"]).text == chat["text"]
    ids = render(messages, tok, template=chat["template"], allow_control=True, **chat["options"]).ids
    assert ids == official_ids(chat["text"])


def test_each_form_has_chats_with_tools_and_calls() -> None:
    for form in FORMS:
        mine = [c for c in CHATS if c["template"] == form]
        assert any("tools" in c["options"] for c in mine)
        assert any(m.get("tool_calls") for c in mine for m in c["messages"])


@pytest.mark.parametrize(
    ("form", "values"),
    [
        ("qwen3-coder", ('{"x": [1, true]}', "True", "None")),
        ("qwen3-coder-july", ("{'x': [1, True]}", "True", "None")),
        ("qwen3-coder-next", ('{"x": [1, true]}', "true", "null")),
    ],
)
def test_values_of_calls(tok: Tokenizer, form: Any, values: tuple[str, str, str]) -> None:
    said = [Message.user("q"), Message.assistant("I edit.\n", tool_calls=CALLS), Message.tool("ok"), Message.tool("no")]
    result = render(said, tok, template=form, add_generation_prompt=False)
    deep, yes, no = values
    assert (
        "<|im_start|>assistant\nI edit.\n\n<tool_call>\n<function=edit>\n<parameter=path>\na.py\n</parameter>\n"
        f"<parameter=n>\n3\n</parameter>\n<parameter=deep>\n{deep}\n</parameter>\n<parameter=yes>\n{yes}\n"
        f"</parameter>\n<parameter=no>\n{no}\n</parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=ls>\n</function>\n"
        "</tool_call><|im_end|>\n<|im_start|>user\n<tool_response>\nok\n</tool_response>\n<tool_response>"
    ) in result.text
    assert_tiles(result)
    trained = "".join(text for _, _, _, trainable, text in shown(result, tok) if trainable)
    assert trained.startswith("I edit.\n\n<tool_call>") and trained.endswith("</tool_call><|im_end|>")


def test_arguments_that_are_no_object_stay_as_they_were(tok: Tokenizer) -> None:
    said = Message.assistant(tool_calls=(ToolCall("f", '{"cut": '),))
    assert '<function=f>\n{"cut": \n</function>' in render([Message.user("q"), said], tok, template="qwen3-coder").text


def test_thoughts_are_left_out_and_that_is_said(tok: Tokenizer) -> None:
    said = [Message.user("q"), Message.assistant("a", reasoning="T"), Message.user("r")]
    result = render(said, tok, template="qwen3-coder", enable_thinking=True)
    assert "<|im_start|>assistant\na<|im_end|>" in result.text and "T" not in result.text
    assert len(result.warnings) == 2 and all("Qwen3-Coder" in w for w in result.warnings)


def test_exact_history_extends_the_previous_prompt(tok: Tokenizer) -> None:
    prompt = render([Message.user("q")], tok, template="qwen3-coder", history="exact")
    ids = tok.encode("Hm.\n\n<tool_call>\n<function=ls>\n</function>\n</tool_call>", allow_control=True)
    said = [Message.user("q"), Message.assistant("lost", ids=tuple(ids)), Message.tool("R")]
    following = render(said, tok, template="qwen3-coder", history="exact")
    assert following.ids[: len(prompt.ids) + len(ids)] == prompt.ids + ids


def test_which_form_a_text_is() -> None:
    for form, text in MARKED.items():
        for written in (text, text.replace(r"\n", "\n"), "{# comment #}\n" + text):
            assert is_known(written) and capability_of(written) == "instruct"
            assert {of_model(written, "instruct", has_block=block) for block in (True, False)} == {form}
            assert template_warning("known", form) == () == check_tools("known", form)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text",
    [
        "{{ bos_token }}{% for m in messages %}[INST] {{ m.content }} [/INST]{% endfor %}",
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content + '<|im_end|>\\n' }}{% endfor %}",
        CODER.replace("<function>\\n<name>", "").replace("tool.name", "tool | tojson"),  # Qwen3.5 writes tools as JSON
    ],
)
def test_no_other_template_is_taken_for_one_of_these(text: str) -> None:
    assert not is_known(text)
    assert of_model(text, "instruct", has_block=False) == of_model(text, "instruct", has_block=True) == "qwen3-instruct"
    assert "none that Ponder knows" in template_warning("unknown", "qwen3-instruct")[0]
    with pytest.raises(UserError, match="tools: the model's chat template is none that Ponder knows"):
        check_tools("unknown", "qwen3-instruct")
