"""Messages -> token ids and spans. The inverse of the parser; serving, training and evaluation all use this one.

    printf '{"messages": [{"role": "user", "content": "hi"}]}' | ponder render

Equal to the official Qwen3 template byte for byte for input that template takes (facts 2.2), and to the ids that
Hugging Face makes of it, as long as no text holds a control token's name: such text stays text here (SEC-1).
Total: any list of messages renders; what the template leaves out is named in `warnings`, never dropped in silence.
"""

import json
from collections.abc import Sequence
from itertools import groupby
from typing import Any, Literal

from msgspec import Struct

from ponder.core.message import Message, Text, ToolCall, ToolResult, split_thinking
from ponder.core.request import History
from ponder.text.phase import PhaseMachine
from ponder.text.soft_switch import is_tool_response
from ponder.text.tokenizer import Tokenizer
from ponder.text.toolcall import format_call
from ponder.text.utf8 import well_formed

Template = Literal["qwen3", "qwen2.5"]
SpanKind = Literal["header", "text", "reasoning", "tool_call", "tool_result", "end"]

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


class Span(Struct, frozen=True):
    """ids[start:end] of one message (-1: of none). `trainable`: the model itself generates these ids (FT-1): its
    thoughts with their tags, its text, its calls and <|im_end|>. An empty block that the template puts where the
    message has no reasoning part is not. A token across a border belongs to the span of its first character."""

    start: int
    end: int
    message: int
    role: str
    kind: SpanKind
    trainable: bool


class Rendered(Struct, frozen=True):
    """ids with spans that tile them, the same as text, and what was left out."""

    ids: list[int]
    spans: list[Span]
    text: str
    warnings: list[str]


def render(
    messages: Sequence[Message],
    tokenizer: Tokenizer,
    *,
    tools: Sequence[dict[str, Any]] = (),
    enable_thinking: bool | None = None,
    add_generation_prompt: bool = True,
    history: History = "strip",
    template: Template | None = None,
    allow_control: bool = False,
) -> Rendered:
    """Render a conversation. template None: the one of the tokenizer's family (<think> in it: Qwen3, else Qwen2.5).

    history "strip" is the official template: thoughts before the last query go. "keep" leaves every block in.
    "exact" emits an assistant message's `ids` verbatim, the others as "keep" does, so that in a tool loop a prompt
    and its output are an exact id prefix of the next prompt (HC-2).
    allow_control: control tokens are found in the messages' texts too, as Hugging Face does. Only for text you own.
    """
    writer = _Writer(tokenizer, allow_control)
    if template is None:
        template = default_template(tokenizer)
    if template == "qwen3":
        _qwen3(writer, messages, tools, history)
    else:
        _qwen25(writer, messages, tools, history)
    if add_generation_prompt:
        writer.at(-1, "assistant")
        writer.control("<|im_start|>", "header")
        writer.text("assistant\n", "header")
        if template == "qwen3" and enable_thinking is False:
            _block(writer, "", "header")
    if template == "qwen2.5" and enable_thinking:
        writer.warn("enable_thinking: the Qwen2.5 template has no thinking; use a Qwen3 model")
    return writer.finish()


def default_template(tokenizer: Tokenizer) -> Template:
    return "qwen2.5" if tokenizer.think is None else "qwen3"


def _qwen3(writer: "_Writer", messages: Sequence[Message], tools: Sequence[dict[str, Any]], history: History) -> None:
    """facts 2.2, rule by rule."""
    first_is_system = bool(messages) and messages[0].role == "system"
    if tools or first_is_system:
        _header(writer, messages[0].text if first_is_system else None, tools, gap=first_is_system)
    query = last_query(messages)
    for n, message in enumerate(messages):
        writer.at(n, message.role)
        _warn_about(writer, message)
        if message.role == "user" or (message.role == "system" and n > 0):
            _plain_turn(writer, message)
        elif message.role == "assistant":
            if history == "exact" and message.ids is not None:
                _exact_turn(writer, message.ids)
            else:
                is_last = n == len(messages) - 1
                _qwen3_assistant(writer, message, after_query=n > query, is_last=is_last, keep=history != "strip")
        elif message.role == "tool":
            _tool_result(writer, messages, n)


def _qwen3_assistant(writer: "_Writer", message: Message, *, after_query: bool, is_last: bool, keep: bool) -> None:
    """Rule 5. `keep`: a reasoning part that is there, even an empty one, was a block and stays one."""
    reasoning, content = message.reasoning, message.text
    if reasoning is None and "</think>" in content:
        reasoning, content = split_thinking(content)
    written = content
    writer.control("<|im_start|>", "header")
    writer.text("assistant\n", "header")
    if (after_query and (is_last or reasoning)) or (keep and reasoning is not None):
        _block(writer, (reasoning or "").strip("\n"), "reasoning", trainable=reasoning is not None)
        written = content.lstrip("\n")
    writer.text(written, "text", trainable=True)
    for n, call in enumerate(message.tool_calls):
        if content or n > 0:
            writer.text("\n", "tool_call", trainable=True)
        _call(writer, call)
    _end(writer, trainable=True)


def _qwen25(writer: "_Writer", messages: Sequence[Message], tools: Sequence[dict[str, Any]], history: History) -> None:
    """The Qwen2.5 template: a default system message, no thinking. String arguments are written verbatim here; the
    official one would quote them a second time."""
    first_is_system = bool(messages) and messages[0].role == "system"
    _header(writer, messages[0].text if first_is_system else QWEN25_SYSTEM, tools, gap=True, own=first_is_system)
    for n, message in enumerate(messages):
        writer.at(n, message.role)
        _warn_about(writer, message)
        if message.role == "assistant" and history == "exact" and message.ids is not None:
            _exact_turn(writer, message.ids)
        elif message.role == "assistant":
            if message.reasoning:
                writer.warn(f"message {n}: its reasoning is left out, the Qwen2.5 template has none")
            _qwen25_assistant(writer, message)
        elif message.role == "user" or (message.role == "system" and n > 0):
            _plain_turn(writer, message)
        elif message.role == "tool":
            _tool_result(writer, messages, n)


def _qwen25_assistant(writer: "_Writer", message: Message) -> None:
    writer.control("<|im_start|>", "header")
    writer.text("assistant", "header")
    if message.text or not message.tool_calls:
        writer.text("\n", "header")
        writer.text(message.text, "text", trainable=True)
    for call in message.tool_calls:
        writer.text("\n", "tool_call", trainable=True)
        _call(writer, call)
    _end(writer, trainable=True)


def _header(
    writer: "_Writer", system: str | None, tools: Sequence[dict[str, Any]], *, gap: bool, own: bool = True
) -> None:
    """Rule 1 and facts 2.3. system: the text of the first message if it is a system message (`own`) or a default."""
    writer.at(0 if own and system is not None else -1, "system")
    writer.control("<|im_start|>", "header")
    writer.text("system\n", "header")
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
    _end(writer)


def _plain_turn(writer: "_Writer", message: Message) -> None:
    writer.control("<|im_start|>", "header")
    writer.text(message.role + "\n", "header")
    writer.text(message.text, "text")
    _end(writer)


def _tool_result(writer: "_Writer", messages: Sequence[Message], n: int) -> None:
    """Rule 6: a run of results shares one user turn."""
    if n == 0 or messages[n - 1].role != "tool":
        writer.control("<|im_start|>", "header")
        writer.text("user", "header")
    writer.text("\n", "tool_result")
    writer.control("<tool_response>", "tool_result")
    writer.text("\n" + messages[n].text + "\n", "tool_result")
    writer.control("</tool_response>", "tool_result")
    if n == len(messages) - 1 or messages[n + 1].role != "tool":
        _end(writer)


def _block(writer: "_Writer", reasoning: str, kind: SpanKind, *, trainable: bool = False) -> None:
    writer.control("<think>", kind, trainable=trainable)
    writer.text("\n" + reasoning + "\n", kind, trainable=trainable)
    writer.control("</think>", kind, trainable=trainable)
    writer.text("\n\n", kind, trainable=trainable)


def _call(writer: "_Writer", call: ToolCall) -> None:
    writer.control("<tool_call>", "tool_call", trainable=True)
    writer.text("\n" + format_call(call) + "\n", "tool_call", trainable=True)
    writer.control("</tool_call>", "tool_call", trainable=True)


def _end(writer: "_Writer", *, trainable: bool = False) -> None:
    writer.control("<|im_end|>", "end", trainable=trainable)
    writer.text("\n", "end")


def _exact_turn(writer: "_Writer", ids: Sequence[int]) -> None:
    """HC-2: the ids as the model saw and produced them, after `<|im_start|>assistant\\n`."""
    tok = writer.tokenizer
    writer.control("<|im_start|>", "header")
    writer.text("assistant\n", "header")
    ends = bool(ids) and ids[-1] == tok.im_end
    machine = PhaseMachine(tok)
    for id_ in ids[:-1] if ends else ids:
        phases = (machine.phase, machine.advance(id_))
        kind: SpanKind = "reasoning" if "reasoning" in phases else "tool_call" if "tool_call" in phases else "text"
        writer.verbatim(id_, kind, trainable=True)
    _end(writer, trainable=True)


def last_query(messages: Sequence[Message]) -> int:
    """Rule 2: the newest user message that is a query, not a tool response in disguise. A message without any part
    is one whose content was no string."""
    for n in range(len(messages) - 1, -1, -1):
        if messages[n].role == "user" and messages[n].parts and not is_tool_response(messages[n].text):
            return n
    return len(messages) - 1


def _warn_about(writer: "_Writer", message: Message) -> None:
    """What the templates leave out of this message."""
    n, role = writer.message, message.role
    if role not in _KNOWN_ROLES:
        writer.warn(f"message {n}: the role {role!r} is not rendered; use one of {', '.join(_KNOWN_ROLES)}")
    elif role != "assistant" and not all(isinstance(p, Text | ToolResult) for p in message.parts):
        writer.warn(f"message {n}: reasoning and tool calls of a {role} message are not rendered; use role assistant")
    elif role == "assistant" and any(isinstance(p, ToolResult) for p in message.parts):
        writer.warn(f"message {n}: a tool result inside an assistant message is rendered as its text; use role tool")


class _Writer:
    """Collects pieces (texts and control ids), each with the span it belongs to."""

    def __init__(self, tokenizer: Tokenizer, allow_control: bool) -> None:
        self.tokenizer = tokenizer
        self.message = -1
        self._role = ""
        self._allow_control = allow_control
        self._pieces: list[str | int] = []
        self._keys: list[tuple[int, str, SpanKind, bool]] = []
        self._warnings: list[str] = []

    def at(self, message: int, role: str) -> None:
        self.message, self._role = message, role

    def warn(self, text: str) -> None:
        self._warnings.append(text)

    def text(self, text: str, kind: SpanKind, *, trainable: bool = False) -> None:
        for piece in self.tokenizer.split_control(text) if self._allow_control else [text]:
            self.verbatim(piece, kind, trainable=trainable)

    def control(self, name: str, kind: SpanKind, *, trainable: bool = False) -> None:
        """A control token; plain text where the vocabulary lacks it (Qwen2.5 has no <tool_response>)."""
        self.verbatim(self.tokenizer.control.get(name, name), kind, trainable=trainable)

    def verbatim(self, piece: str | int, kind: SpanKind, *, trainable: bool) -> None:
        self._pieces.append(piece)
        self._keys.append((self.message, self._role, kind, trainable))

    def finish(self) -> Rendered:
        ids, owners = self.tokenizer.encode_pieces(self._pieces)
        spans: list[Span] = []
        for (message, role, kind, trainable), run in groupby(owners, key=lambda owner: self._keys[owner]):
            start = spans[-1].end if spans else 0
            spans.append(Span(start, start + len(list(run)), message, role, kind, trainable))
        # Bytes first: exact ids may end inside a character that the next id completes.
        of = self.tokenizer.token_bytes
        raw = b"".join(of(p) if isinstance(p, int) else well_formed(p).encode() for p in self._pieces)
        return Rendered(ids, spans, raw.decode("utf-8", "replace"), self._warnings)
