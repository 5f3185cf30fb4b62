"""Agents: a model that thinks, calls tools, looks at what came back, and answers.

from ponder.agent import Assistant

bot = Assistant(llm={"model": "qwen3:0.6b"}, function_list=["code_interpreter"])
for responses in bot.run(messages=[{"role": "user", "content": "Plot a sine"}]): ...
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ponder.agent.compat.assistant import Assistant
    from ponder.agent.compat.group import AgentTool, GroupChat, Router
    from ponder.agent.compat.qwen_agent import BaseTool, register_tool
    from ponder.agent.compat.react import ReActModel
    from ponder.agent.loop.agent import Agent
    from ponder.agent.loop.limits import Limits
    from ponder.agent.loop.run import AgentResult
    from ponder.agent.loop.session import Session
    from ponder.agent.tools.function_tool import function_tool
    from ponder.agent.tools.tool import Image, Output, Tool, ToolContext, Toolset

_WHERE = {
    "Agent": "loop.agent", "AgentResult": "loop.run", "Limits": "loop.limits", "Session": "loop.session",
    "Image": "tools.tool", "Output": "tools.tool", "Tool": "tools.tool", "ToolContext": "tools.tool",
    "Toolset": "tools.tool",
    "function_tool": "tools.function_tool",
    "AgentTool": "compat.group", "GroupChat": "compat.group", "Router": "compat.group", "ReActModel": "compat.react",
    "Assistant": "compat.assistant", "BaseTool": "compat.qwen_agent", "register_tool": "compat.qwen_agent",
}  # fmt: skip
__all__ = [
    "Agent", "AgentResult", "AgentTool", "Assistant", "BaseTool", "GroupChat", "Image", "Limits", "Output",
    "ReActModel", "Router", "Session", "Tool", "ToolContext", "Toolset", "function_tool", "register_tool",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    """Loaded on first use: `ponder.agent.tools.tool` alone needs none of the others."""
    if name not in _WHERE:
        raise AttributeError(f"module 'ponder.agent' has no attribute {name!r}")
    from importlib import import_module

    return vars(import_module(f"ponder.agent.{_WHERE[name]}"))[name]
