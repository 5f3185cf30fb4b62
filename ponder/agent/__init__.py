"""Agents: a model that thinks, calls tools, looks at what came back, and answers.

from ponder.agent import Assistant

bot = Assistant(llm={"model": "qwen3:0.6b"}, function_list=["code_interpreter"])
for responses in bot.run(messages=[{"role": "user", "content": "Plot a sine"}]): ...
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ponder.agent.agent import Agent
    from ponder.agent.assistant import Assistant
    from ponder.agent.function_tool import function_tool
    from ponder.agent.group import AgentTool, GroupChat, Router
    from ponder.agent.limits import Limits
    from ponder.agent.qwen_agent import BaseTool, register_tool
    from ponder.agent.react import ReActModel
    from ponder.agent.session import Session
    from ponder.agent.tool import Image, Output, Place, Tool, Toolset

_WHERE = {
    "Agent": "agent", "Assistant": "assistant", "BaseTool": "qwen_agent", "register_tool": "qwen_agent",
    "function_tool": "function_tool", "AgentTool": "group", "GroupChat": "group", "Router": "group",
    "Limits": "limits", "ReActModel": "react", "Session": "session", "Image": "tool", "Output": "tool",
    "Place": "tool", "Tool": "tool", "Toolset": "tool",
}  # fmt: skip
__all__ = [
    "Agent", "AgentTool", "Assistant", "BaseTool", "GroupChat", "Image", "Limits", "Output", "Place", "ReActModel",
    "Router", "Session", "Tool", "Toolset", "function_tool", "register_tool",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Loaded on first use: `ponder.agent.tool` alone needs none of the others."""
    if name not in _WHERE:
        raise AttributeError(f"module 'ponder.agent' has no attribute {name!r}")
    from importlib import import_module

    return vars(import_module(f"ponder.agent.{_WHERE[name]}"))[name]
