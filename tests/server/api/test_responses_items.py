"""What Codex and others send in the history of /v1/responses: every kind of item is a message, none is refused."""

import json
from typing import Any

import pytest

from ponder.core.errors import UserError
from ponder.core.message import Message, Reasoning, Text, ToolCall
from ponder.server.api.openai.responses_items import messages_of

USER: Any = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "hi"}]}
DONE: Any = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "ok"}]}
IMAGE: Any = {"type": "input_image", "image_url": "data:image/png;base64,iVBO"}
UNKNOWN = "was left out: nothing is known of it here"
NO_IMAGE = "[an image was left out: this model reads text only]"


def call(kind: str, **more: Any) -> dict[str, Any]:
    return {"type": kind, "call_id": "c", **more}


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (call("function_call", name="f", arguments='{"a":1}'), ToolCall("f", '{"a":1}', "c")),
        (call("function_call", name="f", namespace="mcp__x__", arguments="{}"), ToolCall("mcp__x__f", "{}", "c")),
        (call("custom_tool_call", name="apply_patch", input="{}"), ToolCall("apply_patch", '{"input": "{}"}', "c")),
        (call("local_shell_call", action={"command": ["ls"]}), ToolCall("local_shell", '{"command": ["ls"]}', "c")),
        (call("tool_search_call", arguments={"query": "x"}), ToolCall("tool_search", '{"query": "x"}', "c")),
        (call("apply_patch_call", operation={"path": "a"}), ToolCall("apply_patch", '{"path": "a"}', "c")),
        ({"type": "reasoning", "summary": [{"type": "summary_text", "text": "hm"}]}, Reasoning("hm")),
        ({"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}, Text("no")),
        (
            {"type": "web_search_call", "id": "w", "action": {"type": "search", "query": "x"}},
            Text(f'[web_search_call {{"action": {{"type": "search", "query": "x"}}}} {UNKNOWN}]'),
        ),
    ],
)
def test_what_the_model_did(item: Any, message: Any) -> None:
    assert messages_of(None, [USER, item, USER], []) == (
        Message.user("hi"),
        Message("assistant", (message,)),
        Message.user("hi"),
    )


@pytest.mark.parametrize(
    ("item", "text"),
    [
        (call("function_call_output", output="x"), "x"),
        (call("function_call_output", output=None), ""),
        (call("function_call_output", output=[{"type": "input_text", "text": "a"}, IMAGE]), f"a{NO_IMAGE}"),
        (call("custom_tool_call_output", output="Success"), "Success"),
        (
            call("computer_call_output", output={"type": "computer_screenshot"}),
            "[a part of type 'computer_screenshot' was left out: this model reads text only]",
        ),
        (call("mcp_output", output={"a": 1}), '{"a": 1}'),
        (call("tool_search_output", tools=[]), "[tool_search_output was left out: nothing is known of it here]"),
    ],
)
def test_what_tools_gave(item: Any, text: str) -> None:
    asked = call("function_call", name="f", arguments="{}")
    assert messages_of(None, [USER, asked, item], [])[-1] == Message.tool(text, call_id="c")


def test_what_nobody_here_can_read_is_said() -> None:
    for kind in ("compaction", "something_new"):
        found = messages_of(None, [USER, DONE, {"type": kind, "encrypted_content": "abc"}, USER], [])
        assert found[2] == Message.user(f"[{kind} was left out: nothing is known of it here]")


def test_a_picture_is_refused_in_what_is_asked_now_only() -> None:
    seen: Any = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "see "}, IMAGE]}
    assert messages_of(None, [seen, DONE, USER], [])[0].text == f"see {NO_IMAGE}"
    for items in ([seen], [USER, DONE, seen], [USER, DONE, seen, USER]):
        with pytest.raises(UserError, match="text parts only"):
            messages_of(None, items, [])
    shown = [USER, call("function_call", name="view_image", arguments="{}"), call("function_call_output", output="ok")]
    assert messages_of(None, [*shown, seen], [])[-1].text == f"see {NO_IMAGE}", "Codex shows it in the user's name"


def test_one_turn_of_the_model_is_one_message() -> None:
    items = [USER, {"type": "reasoning", "content": [{"type": "reasoning_text", "text": "hm"}]}, DONE,
             call("function_call", name="f", arguments="{}"), call("function_call_output", output="1")]  # fmt: skip
    found = messages_of("Be kind.", items, [])
    assert [m.role for m in found] == ["system", "user", "assistant", "tool"]
    assert found[2].parts == (Reasoning("hm"), Text("ok"), ToolCall("f", "{}", "c"))
    with pytest.raises(UserError, match=r"input\[0\] must be an object"):
        messages_of(None, [json.dumps(USER)], [])
