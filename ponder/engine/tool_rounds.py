"""Python functions as tools of `LLM.chat`: what the model asks for is run, and told to it, until it answers.

Agents (`ponder.agent`) do more: approvals, limits, sessions, workspaces. This is the loop alone.
"""

import asyncio
import inspect
import json
from collections.abc import Callable, Sequence
from typing import Any

from ponder.core.errors import UserError
from ponder.core.message import Message, ToolCall
from ponder.engine.result import Result
from ponder.text.function import Function, result_text

ROUNDS = 10  # of calls, after which those of the last reply are left to the caller


class ToolRounds:
    def __init__(self, messages: Sequence[Message], tools: Sequence[dict[str, Any] | Callable[..., Any]]) -> None:
        """Raises UserError for a tool that cannot be run here."""
        self.messages = list(messages)
        """What to ask next: the question, and every call with what it gave."""
        self._asked, self._rounds = len(self.messages), 0
        self._functions: dict[str, Function] = {}
        for tool in tools:
            if isinstance(tool, dict):
                raise UserError("run_tools runs functions; a tool that is a dict has none to run", param="tools")
            function = Function.of(tool)
            if function.name in self._functions:
                raise UserError(f"two tools are called {function.name}; rename one", param="tools")
            self._functions[function.name] = function

    def take(self, reply: Result) -> bool:
        """Run what a reply calls. -> whether to ask again. A function that raises is told to the model."""
        if not reply.tool_calls or self._rounds == ROUNDS:
            return False
        self._rounds += 1
        answers = [Message.tool(self._answer(call), call_id=call.id, name=call.name) for call in reply.tool_calls]
        self.messages += [reply.message, *answers]
        return True

    def result(self, reply: Result) -> Result:
        """The last reply, with what came before it."""
        return Result(reply.choices, reply.prompt_ids, tuple(self.messages[self._asked :]))

    def _answer(self, call: ToolCall) -> str:
        function = self._functions.get(call.name)
        if function is None:
            return f"Error: there is no tool {call.name}; there are {', '.join(self._functions)}"
        try:
            values = function.arguments(json.loads(call.arguments))
            result = function.run(**values)
            return result_text(asyncio.run(result) if inspect.iscoroutine(result) else result)
        except Exception as e:  # a tool is somebody else's code: whatever it raises, the model hears of it
            return f"Error: {type(e).__name__}: {e}"
