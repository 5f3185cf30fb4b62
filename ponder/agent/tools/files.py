"""The file tools: list, read, write, edit and search files of the workspace, and nothing outside it.

    Files().tools()
    await ReadFile().call({"name": "data/notes.txt"}, ToolContext("chat-1", workspace))

They run in Ponder's own process, so they must not be led astray by what untrusted code left in the workspace: names are
checked, links are never followed, only regular files are opened (`ponder/sandbox/workspace.py`). Search is for plain
text: a pattern made by a model could keep a regular expression busy for years; `grep` in the sandbox is there for
those.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ponder.agent.tools.format_result import format_result
from ponder.agent.tools.tool import Output, Tool, ToolContext, Toolset
from ponder.core.errors import UserError
from ponder.sandbox import workspace
from ponder.sandbox.output import clean
from ponder.sandbox.snapshot import diff, snapshot

MAX_FILE = 10 * 2**20  # bytes of a file that is read or edited
MAX_LISTED = 500
MAX_LINES = 1000
MAX_LINE = 2000  # characters
MAX_HITS = 100
NAME = {"type": "string", "description": "Name of the file, relative to the workspace."}


class Files(Toolset):
    def tools(self) -> Sequence[Tool]:
        return [ListFiles(), ReadFile(), WriteFile(), EditFile(), SearchFiles()]

    async def open(self) -> None:
        """Nothing to do: the workspace comes with each call."""

    async def close(self) -> None:
        """Nothing is held."""


def parameters(required: Sequence[str], **properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


def text_of(root: Path, name: str) -> str:
    raw = workspace.read(root, name, MAX_FILE)
    if b"\0" in raw[:8192]:
        raise UserError(f"{name} is not a text file ({len(raw):,} bytes): use the code interpreter for it.")
    return raw.decode("utf-8", errors="replace")


def shown(line: str) -> str:
    line = clean(line.encode("utf-8", errors="replace"))
    return line if len(line) <= MAX_LINE else f"{line[:MAX_LINE]} [... {len(line) - MAX_LINE:,} more characters]"


class ListFiles(Tool):
    name = "list_files"
    description = "Lists the files of the workspace with their sizes."
    parameters = parameters([])

    async def call(self, arguments: dict[str, Any], context: ToolContext) -> Output:
        return await asyncio.to_thread(self.list, context.workspace)

    def list(self, root: Path) -> Output:
        found = list(workspace.files(root, MAX_LISTED + 1))
        lines = [f"{shown(name)}  {status.st_size:,} bytes" for name, status in found[:MAX_LISTED]]
        if len(found) > MAX_LISTED:
            lines.append(f"[... more than {MAX_LISTED} files]")
        return Output("\n".join(lines) or "[the workspace is empty]")


class ReadFile(Tool):
    name = "read_file"
    description = f"Reads a text file of the workspace, {MAX_LINES} lines at a time."
    parameters = parameters(
        ["name"],
        name=NAME,
        start={"type": "integer", "minimum": 1, "description": "First line, counted from 1."},
        lines={"type": "integer", "minimum": 1, "maximum": MAX_LINES, "description": "How many lines."},
    )

    async def call(self, arguments: dict[str, Any], context: ToolContext) -> Output:
        start, count = arguments.get("start", 1), arguments.get("lines", MAX_LINES)
        return await asyncio.to_thread(self.read, context.workspace, arguments["name"], start, count)

    def read(self, root: Path, name: str, start: int, count: int) -> Output:
        lines = text_of(root, name).splitlines()
        if start > max(1, len(lines)):
            raise UserError(f"{name} has {len(lines)} lines; line {start} is not among them.")
        part = [shown(line) for line in lines[start - 1 : start - 1 + count]]
        rest = len(lines) - (start - 1 + len(part))
        if rest:
            part.append(f"[... {rest} more lines; go on with start={start + len(part)}]")
        return Output("\n".join(part) or "[the file is empty]")


class WriteFile(Tool):
    name = "write_file"
    description = "Creates or replaces a file of the workspace."
    parameters = parameters(["name", "content"], name=NAME, content={"type": "string"})
    concurrent = False

    async def call(self, arguments: dict[str, Any], context: ToolContext) -> Output:
        return await asyncio.to_thread(replace, context.workspace, arguments["name"], arguments["content"])


class EditFile(Tool):
    name = "edit_file"
    description = "Replaces a piece of text that occurs exactly once in a file of the workspace."
    parameters = parameters(
        ["name", "old", "new"],
        name=NAME,
        old={"type": "string", "description": "The text as it stands in the file, long enough to occur once."},
        new={"type": "string", "description": "What takes its place."},
    )
    concurrent = False

    async def call(self, arguments: dict[str, Any], context: ToolContext) -> Output:
        return await asyncio.to_thread(
            self.edit, context.workspace, arguments["name"], arguments["old"], arguments["new"]
        )

    def edit(self, root: Path, name: str, old: str, new: str) -> Output:
        try:
            text = workspace.read(root, name, MAX_FILE).decode()
        except UnicodeDecodeError as e:
            raise UserError(f"{name} is not UTF-8 text: use the code interpreter for it.") from e
        count = text.count(old) if old else 0
        if count != 1:
            how = "is empty" if not old else "does not occur" if not count else f"occurs {count} times"
            raise UserError(f"The text to replace {how} in {name}: give a piece that occurs exactly once.")
        return replace(root, name, text.replace(old, new))


class SearchFiles(Tool):
    name = "search_files"
    description = "Finds lines that contain a plain text in the files of the workspace, upper and lower case alike."
    parameters = parameters(["text"], text={"type": "string", "minLength": 1})

    async def call(self, arguments: dict[str, Any], context: ToolContext) -> Output:
        return await asyncio.to_thread(self.search, context.workspace, arguments["text"])

    def search(self, root: Path, wanted: str) -> Output:
        hits: list[str] = []
        for name, status in workspace.files(root, 10_000):
            if status.st_size > MAX_FILE:
                continue
            try:
                lines = text_of(root, name).splitlines()
            except UserError:  # not text, or gone meanwhile
                continue
            hits += [f"{name}:{i}: {shown(line)}" for i, line in enumerate(lines, 1) if wanted.lower() in line.lower()]
            if len(hits) > MAX_HITS:
                return Output("\n".join([*hits[:MAX_HITS], f"[... more than {MAX_HITS} lines]"]))
        return Output("\n".join(hits) or f"[no line contains {wanted!r}]")


def replace(root: Path, name: str, text: str) -> Output:
    before = snapshot(root)
    try:
        workspace.write(root, name, text.encode())
    except UnicodeEncodeError as e:
        raise UserError(f"The text cannot be written as UTF-8: {e}.") from e
    return format_result("", diff(before, snapshot(root, before)), error=False)
