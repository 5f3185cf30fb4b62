"""Messages -> token ids and spans. The inverse of the parser; serving, training and evaluation all use this one.

    printf '{"messages": [{"role": "user", "content": "hi"}]}' | ponder render

Equal to the official Qwen3 template byte for byte for input that template takes, and to the ids that
Hugging Face makes of it, as long as no text holds a control token's name: such text stays text here (SEC-1).
Total: any list of messages renders; what the template leaves out is named in `warnings`, never dropped in silence.
"""

import json
from collections.abc import Sequence
from typing import Any

from ponder.core.message import Message, Text, ToolCall, ToolResult, split_thinking
from ponder.core.request import History
from ponder.text.calls.tool_calls import format_call
from ponder.text.chat.coder_template import FORMS, render_coder
from ponder.text.chat.soft_switch import is_tool_response
from ponder.text.chat.spans import Rendered, SpanKind, Writer
from ponder.text.chat.template import Template, default_template, opens_block, switch_warning
from ponder.text.tokenizer.tokenizer import Tokenizer

QWEN25_SYSTEM = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
_TOOLS_BEFORE = (
    "# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>"
)
_TOOLS_AFTER = (
    "\n</tools>\n\nFor each function call, return a json object with function name and arguments within ",
    " XML tags:\n",
    '\n{"name": <function-name>, "arguments": <args-json-object>}\n',
)
_KNOWN_ROLES = ("system", "user", "assistant", "tool")


def render(
    messages: Sequence[Message],
    tokenizer: Tokenizer,
    *,
    tools: Sequence[dict[str, Any]] = (),
    enable_thinking: bool | None = None,
    add_generation_prompt: bool = True,
    continue_final_message: bool = False,
    history: History = "strip",
    template: Template | None = None,
    allow_control: bool = False,
    context: int | None = None,
) -> Rendered:
    """Render a conversation. template None: the one of the tokenizer's family (<think> in it: Qwen3, else Qwen2.5);
    for what the others are see `text.template`.

    history "strip" is the official template: thoughts before the last query go. "keep" leaves every block in.
    "exact" emits an assistant message's `ids` verbatim, the others as "keep" does, so that in a tool loop a prompt
    and its output are an exact id prefix of the next prompt (HC-2).
    continue_final_message: no turn is opened; the last message, which is the assistant's, stays open.
    allow_control: control tokens are found in the messages' texts too, as Hugging Face does. Only for text you own.
    context: the ids there is room for; raises ContextLengthExceeded for a prompt of more than twice as many.
    """
    writer = Writer(tokenizer, allow_control, context)
    if template is None:
        template = default_template(tokenizer)
    if template in FORMS:
        render_coder(writer, messages, tools, history, FORMS[template])
    elif template == "qwen2.5":
        _qwen25(writer, messages, tools, history)
    else:
        _qwen3(writer, messages, tools, history, template)
    if continue_final_message:
        writer.reopen_turn()
    elif add_generation_prompt:
        _open_turn(writer, template, enable_thinking)
    if warning := switch_warning(template, enable_thinking):
        writer.warn(warning)
    return writer.finish()


def _open_turn(writer: Writer, template: Template, enable_thinking: bool | None) -> None:
    """Rule 7. A block that is opened here is not the model's own, so nothing of it is trainable."""
    writer.at(-1, "assistant")
    writer.open_turn("assistant")
    if opens_block(template):
        writer.control("<think>", "header")
        writer.text("\n", "header")
    elif template == "qwen3" and enable_thinking is False:
        _block(writer, "", "header")


def _qwen3(
    writer: Writer,
    messages: Sequence[Message],
    tools: Sequence[dict[str, Any]],
    history: History,
    template: Template,
) -> None:
    """The later templates differ from Qwen3's first one only in what an assistant's turn looks like."""
    first_is_system = bool(messages) and messages[0].role == "system"
    if tools or first_is_system:
        system = messages[0].text if first_is_system else None
        _header(writer, system, tools, gap=first_is_system or template == "qwq")
    query, keep = last_query(messages), history != "strip"
    for n, message in enumerate(messages):
        writer.at(n, message.role)
        _warn_about(writer, message)
        if message.role == "user" or (message.role == "system" and n > 0):
            _plain_turn(writer, message)
        elif message.role == "assistant":
            if history == "exact" and message.ids is not None:
                writer.exact_turn(message.ids, opened=opens_block(template))
            elif template == "qwen3-instruct":
                _instruct_assistant(writer, message)
            elif template == "qwq":
                _qwq_assistant(writer, message, keep=keep)
            else:
                is_last = n == len(messages) - 1
                _qwen3_assistant(writer, message, template, after_query=n > query, is_last=is_last, keep=keep)
        elif message.role == "tool":
            _tool_result(writer, messages, n)


def _qwen3_assistant(
    writer: Writer, message: Message, template: Template, *, after_query: bool, is_last: bool, keep: bool
) -> None:
    """Rule 5. `keep`: a reasoning part that is there, even an empty one, was a block and stays one."""
    reasoning, content = message.reasoning, message.text
    if reasoning is None and "</think>" in content:
        reasoning, content = split_thinking(content)
    written = content
    writer.open_turn("assistant")
    if (after_query and (is_last or reasoning)) or (keep and reasoning is not None):
        _block(writer, reasoning or "", "reasoning", trainable=reasoning is not None, opened=opens_block(template))
        written = content.lstrip("\n")
    _text_and_calls(writer, written, message, gap=bool(content))


def _instruct_assistant(writer: Writer, message: Message) -> None:
    """Instruct-2507: the text as it stands, for this template knows no thoughts."""
    if message.reasoning:
        writer.warn(f"message {writer.message}: its reasoning is left out, the Qwen3-Instruct-2507 template has none")
    writer.open_turn("assistant")
    _text_and_calls(writer, message.text, message, gap=bool(message.text))


def _qwq_assistant(writer: Writer, message: Message, *, keep: bool) -> None:
    """QwQ: thoughts are dropped from every turn, in a tool loop and from the last one, too."""
    reasoning, content = message.reasoning, message.text
    if reasoning is None and "</think>" in content:
        reasoning = split_thinking(content)[0]
    content = content.split("</think>")[-1].lstrip("\n")
    writer.open_turn("assistant")
    if keep and reasoning is not None:
        _block(writer, reasoning, "reasoning", trainable=True, opened=True)
    _text_and_calls(writer, content, message, gap=bool(message.text))


def _text_and_calls(writer: Writer, text: str, message: Message, *, gap: bool) -> None:
    """The rest of an assistant's turn. gap: whether the first call stands on a line of its own."""
    writer.text(text, "text", trainable=True)
    for n, call in enumerate(message.tool_calls):
        if gap or n > 0:
            writer.text("\n", "tool_call", trainable=True)
        _call(writer, call)
    writer.end_turn(trainable=True)


def _qwen25(writer: Writer, messages: Sequence[Message], tools: Sequence[dict[str, Any]], history: History) -> None:
    """The Qwen2.5 template: a default system message, no thinking. String arguments are written verbatim here; the
    official one would quote them a second time."""
    first_is_system = bool(messages) and messages[0].role == "system"
    _header(writer, messages[0].text if first_is_system else QWEN25_SYSTEM, tools, gap=True, own=first_is_system)
    for n, message in enumerate(messages):
        writer.at(n, message.role)
        _warn_about(writer, message)
        if message.role == "assistant" and history == "exact" and message.ids is not None:
            writer.exact_turn(message.ids)
        elif message.role == "assistant":
            if message.reasoning:
                writer.warn(f"message {n}: its reasoning is left out, the Qwen2.5 template has none")
            _qwen25_assistant(writer, message)
        elif message.role == "user" or (message.role == "system" and n > 0):
            _plain_turn(writer, message)
        elif message.role == "tool":
            _tool_result(writer, messages, n)


def _qwen25_assistant(writer: Writer, message: Message) -> None:
    writer.control("<|im_start|>", "header")
    writer.text("assistant", "header")
    if message.text or not message.tool_calls:
        writer.text("\n", "header")
        writer.text(message.text, "text", trainable=True)
    for call in message.tool_calls:
        writer.text("\n", "tool_call", trainable=True)
        _call(writer, call)
    writer.end_turn(trainable=True)


def _header(
    writer: Writer, system: str | None, tools: Sequence[dict[str, Any]], *, gap: bool, own: bool = True
) -> None:
    """The system turn, with the tools. system: the text of the first message if it is a system message (`own`), or a
    default."""
    writer.at(0 if own and system is not None else -1, "system")
    writer.open_turn("system")
    writer.text(system or "", "text" if own else "header")
    if tools:
        writer.at(-1, "system")
        writer.text(("\n\n" if gap else "") + _TOOLS_BEFORE, "header")
        for tool in tools:
            writer.text("\n" + json.dumps(tool, ensure_ascii=False), "header")
        # The protocol text names the tags, and Hugging Face turns exactly these into control ids.
        writer.text(_TOOLS_AFTER[0], "header")
        writer.control("<tool_call>", "header")
        writer.control("</tool_call>", "header")
        writer.text(_TOOLS_AFTER[1], "header")
        writer.control("<tool_call>", "header")
        writer.text(_TOOLS_AFTER[2], "header")
        writer.control("</tool_call>", "header")
    writer.end_turn()


def _plain_turn(writer: Writer, message: Message) -> None:
    writer.open_turn(message.role)
    writer.text(message.text, "text")
    writer.end_turn()


def _tool_result(writer: Writer, messages: Sequence[Message], n: int) -> None:
    """Rule 6: a run of results shares one user turn."""
    if n == 0 or messages[n - 1].role != "tool":
        writer.control("<|im_start|>", "header")
        writer.text("user", "header")
    writer.text("\n", "tool_result")
    writer.control("<tool_response>", "tool_result")
    writer.text("\n" + messages[n].text + "\n", "tool_result")
    writer.control("</tool_response>", "tool_result")
    if n == len(messages) - 1 or messages[n + 1].role != "tool":
        writer.end_turn()


def _block(writer: Writer, reasoning: str, kind: SpanKind, *, trainable: bool = False, opened: bool = False) -> None:
    """opened: the prompt of that turn ended in the open block, so the model did not write its beginning."""
    writer.control("<think>", kind, trainable=trainable and not opened)
    writer.text("\n", kind, trainable=trainable and not opened)
    writer.text(reasoning.strip("\n") + "\n", kind, trainable=trainable)
    writer.control("</think>", kind, trainable=trainable)
    writer.text("\n\n", kind, trainable=trainable)


def _call(writer: Writer, call: ToolCall) -> None:
    writer.control("<tool_call>", "tool_call", trainable=True)
    writer.text("\n" + format_call(call) + "\n", "tool_call", trainable=True)
    writer.control("</tool_call>", "tool_call", trainable=True)


def last_query(messages: Sequence[Message]) -> int:
    """Rule 2: the newest user message that is a query, not a tool response in disguise. A message without any part
    is one whose content was no string."""
    for n in range(len(messages) - 1, -1, -1):
        if messages[n].role == "user" and messages[n].parts and not is_tool_response(messages[n].text):
            return n
    return len(messages) - 1


def _warn_about(writer: Writer, message: Message) -> None:
    """What the templates leave out of this message."""
    n, role = writer.message, message.role
    if role not in _KNOWN_ROLES:
        writer.warn(f"message {n}: the role {role!r} is not rendered; use one of {', '.join(_KNOWN_ROLES)}")
    elif role != "assistant" and not all(isinstance(p, Text | ToolResult) for p in message.parts):
        writer.warn(f"message {n}: reasoning and tool calls of a {role} message are not rendered; use role assistant")
    elif role == "assistant" and any(isinstance(p, ToolResult) for p in message.parts):
        writer.warn(f"message {n}: a tool result inside an assistant message is rendered as its text; use role tool")
