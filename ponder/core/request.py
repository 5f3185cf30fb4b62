"""A chat request as every front makes it and every `ChatModel` takes it."""

from typing import Any, Literal

from msgspec import Struct

from ponder.core.message import Message
from ponder.core.params import Grammar, SamplingParams, Thinking

History = Literal["strip", "keep", "exact"]
Truncation = Literal["disabled", "auto"]


class ChatRequest(Struct, frozen=True, kw_only=True):
    """tools: OpenAI tool objects as passed (key order kept). tool_choice: "auto", "none", "required" or a tool's name.

    history: what happens to the thoughts of earlier turns: "strip" is the official template (default), "keep" leaves
    every block in, "exact" re-uses the generated ids so that the next prompt extends this one (HC-2).
    truncation: what happens to a conversation that does not fit: "disabled" refuses it, "auto" leaves out its oldest
    turns and says so (LC-1). continue_final_message: the reply goes on with the last message, which is the assistant's;
    else it is a turn of its own. call_deltas: whether a call's arguments are told while they are written.
    """

    messages: tuple[Message, ...]
    tools: tuple[dict[str, Any], ...] = ()
    tool_choice: str = "auto"
    parallel_tool_calls: bool = True
    sampling: SamplingParams = SamplingParams()
    thinking: Thinking = Thinking()
    grammar: Grammar | None = None
    history: History = "strip"
    truncation: Truncation = "disabled"
    continue_final_message: bool = False
    call_deltas: bool = False
