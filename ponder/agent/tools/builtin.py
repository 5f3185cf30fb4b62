"""The built-in tools by name: what `function_list` and `ponder agent --tool` may say."""

from typing import Any

from ponder.agent.tools.tool import Tool, Toolset
from ponder.core.errors import UserError

NAMES = ("code_interpreter", "shell", "files", "web_fetch", "doc_search", "calculator", "current_time")


def builtin_tool(name: Any, options: dict[str, Any] | None = None, *, unsafe_host_exec: bool = False) -> Tool | Toolset:
    """options: keyword arguments of the tool. Raises UserError for a name or an option that is not known."""
    given = dict(options or {})
    try:
        made: Tool | Toolset = _make(name, given, unsafe_host_exec)
    except TypeError as e:
        raise UserError(f"tool {name}: {e}", param="function_list") from e
    return made


def _make(name: str, given: dict[str, Any], unsafe: bool) -> Any:
    match name:
        case "code_interpreter":
            from ponder.agent.tools.code_interpreter import CodeInterpreter

            return CodeInterpreter(unsafe_host_exec=unsafe, **given)
        case "shell":
            from ponder.agent.tools.shell import Shell

            return Shell(unsafe_host_exec=unsafe, **given)
        case "files":
            from ponder.agent.tools.files import Files

            return Files(**given)
        case "web_fetch":
            from ponder.agent.tools.web_fetch import WebFetch

            return WebFetch(**given)
        case "doc_search":
            from ponder.agent.tools.doc_search import DocSearch

            return DocSearch(**given)
        case "calculator" | "current_time" if given:
            raise UserError(f"tool {name} has no options", param="function_list")
        case "calculator":
            from ponder.agent.tools.calculator import calculator

            return calculator
        case "current_time":
            from ponder.agent.tools.clock import current_time

            return current_time
    raise UserError(f"there is no tool {name!r}; built in are {', '.join(NAMES)}", param="function_list")
