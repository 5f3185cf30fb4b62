"""Real tools that are small: they answer, draw, ask first and change a file, take long, fail."""

import asyncio
import difflib
from typing import Any

from sample_steps import a_png

from ponder.agent.tools.tool import Image, Output, Tool, ToolContext
from ponder.core.errors import UserError

NUMBERS = {"type": "object", "properties": {"a": {"type": "number"}, "b": {"type": "number"}}, "required": ["a", "b"]}
NOTHING: dict[str, Any] = {"type": "object", "properties": {}}
TEXT = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}


class Add(Tool):
    name, description = "add", "Adds two numbers."
    parameters = NUMBERS

    async def call(self, arguments: dict[str, Any], place: ToolContext) -> Output:
        return Output(str(arguments["a"] + arguments["b"]))


class Draw(Tool):
    name, description, parameters = "draw", "Draws a square.", NOTHING

    async def call(self, arguments: dict[str, Any], place: ToolContext) -> Output:
        return Output("drawn", images=(Image("image/png", a_png(16), "square.png"),))


class WriteNote(Tool):
    name, description = "write_note", "Writes a note into the workspace."
    parameters = TEXT
    approval = "ask"

    async def call(self, arguments: dict[str, Any], place: ToolContext) -> Output:
        path = place.workspace / "note.txt"
        old = path.read_text() if path.exists() else ""
        path.write_text(arguments["text"] + "\n")
        lines = difflib.unified_diff(
            old.splitlines(), path.read_text().splitlines(), "note.txt", "note.txt", lineterm=""
        )
        changes = [{"name": "note.txt", "kind": "changed", "size": 1, "diff": "\n".join(lines)}]
        return Output("written", files=("note.txt",), structured={"changes": changes})


class Count(Tool):
    name, description, parameters = "count", "Counts slowly.", NOTHING

    async def call(self, arguments: dict[str, Any], place: ToolContext) -> Output:
        for n in range(200):
            place.progress(f"{n} of 200")
            await asyncio.sleep(0.05)
        return Output("counted")


class Fail(Tool):
    name, description, parameters = "fail", "Fails.", NOTHING

    async def call(self, arguments: dict[str, Any], place: ToolContext) -> Output:
        raise UserError("the <b>network</b> is down")
