"""The tool `run_code` of the MCP server: Python in the sandbox, one kernel a session.

A session is named by us, at random, in the result of the call that began it; who knows the name goes on with its
variables and files. MCP connections are no sessions (since 2026-07-28 there are none), and clients that chose names
could meet in one.
"""

import base64
import contextlib
import secrets
import tempfile
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated, Any

from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp_types import CallToolResult, ContentBlock, ImageContent, TextContent, ToolAnnotations
from pydantic import BaseModel, Field

from ponder.agent.tools.code_interpreter import CodeInterpreter
from ponder.agent.tools.tool import Output, ToolContext
from ponder.core.errors import UserError

SESSIONS = 256  # workspaces that are kept; more must wait for a restart
ONLY_IN_THE_SANDBOX = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=False)


class Ran(BaseModel):
    """session: goes on with the same variables and files. files: made or changed, in the session's folder."""

    session: str
    output: str
    files: list[str]


Code = Annotated[str, Field(description="the Python code; the value of its last line is shown")]
Session = Annotated[str | None, Field(description="from an earlier result, to go on with it; by default a new one")]


class CodeTools:
    """folder: where the workspaces are made."""

    def __init__(self, interpreter: CodeInterpreter, folder: Path) -> None:
        self._interpreter, self._folder = interpreter, folder
        self._sessions: set[str] = set()

    async def run_code(
        self, context: Context[Any, Any], code: Code, session: Session = None
    ) -> Annotated[CallToolResult, Ran]:
        """Runs Python code in a sandbox without network and returns what it prints, errors and plots. Variables and
        files stay for later calls with the same session."""
        name = self._begin() if session is None else session
        if name not in self._sessions:
            raise ToolError(f"there is no session {session!r} here; leave it out to begin one")
        await context.report_progress(0, message="running")
        try:
            [tool] = self._interpreter.tools()
            output = await tool.call({"code": code}, ToolContext(name, self._folder / name))
        except UserError as e:
            raise ToolError(str(e)) from e
        return _result(name, output)

    def _begin(self) -> str:
        if len(self._sessions) >= SESSIONS:
            raise ToolError(f"{SESSIONS} sessions have been begun; go on with one of yours")
        name = secrets.token_hex(8)
        (self._folder / name).mkdir()
        self._sessions.add(name)
        return name


@contextlib.asynccontextmanager
async def offering_code(
    server: MCPServer[Any], *, unsafe_host_exec: bool, tell: Callable[[str], None]
) -> AsyncIterator[None]:
    """`run_code` is a tool of the server as long as this is open; where nothing isolates it is not, and `tell` hears
    why."""
    interpreter = CodeInterpreter(unsafe_host_exec=unsafe_host_exec)
    with tempfile.TemporaryDirectory(prefix="ponder-mcp-", ignore_cleanup_errors=True) as folder:
        try:
            await interpreter.open()
        except UserError as e:
            tell(f"run_code is not offered: {e}")
            yield
            return
        for warning in interpreter.warnings():
            tell(f"warning: {warning}")
        server.add_tool(
            CodeTools(interpreter, Path(folder)).run_code, title="Run Python", annotations=ONLY_IN_THE_SANDBOX
        )
        try:
            yield
        finally:
            await interpreter.close()


def _result(session: str, output: Output) -> CallToolResult:
    content: list[ContentBlock] = [TextContent(type="text", text=output.text)]
    for image in output.images:
        data = base64.b64encode(image.data).decode()
        content.append(ImageContent(type="image", data=data, mime_type=image.media_type))
    ran = Ran(session=session, output=output.text, files=list(output.files))
    return CallToolResult(content=content, structured_content=ran.model_dump(), is_error=output.error)
