"""From what a server answers to what a tool gives: text for the model, pictures for people, files in the workspace."""

import base64
import binascii
import json
import mimetypes
import re
from collections.abc import Iterable
from pathlib import Path

from mcp_types import (
    AudioContent,
    BlobResourceContents,
    CallToolResult,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    ReadResourceResult,
    ResourceLink,
    TextContent,
    TextResourceContents,
)

from ponder.agent.mcp.text import shortened
from ponder.agent.tools.tool import Image, Output

IMAGES = 16  # pictures of one result
BYTES = 32 << 20  # of pictures and files of one result


class Collector:
    """Gathers the parts of one result. name: of the tool; files are called after it."""

    def __init__(self, name: str, workspace: Path) -> None:
        self._name, self._workspace = name, workspace
        self._room = BYTES
        self.texts: list[str] = []
        self.images: list[Image] = []
        self.files: list[str] = []

    def add(self, block: ContentBlock) -> None:
        match block:
            case TextContent():
                self.texts.append(block.text)
            case ImageContent():
                self._binary(block.data, block.mime_type, "")
            case AudioContent():
                self._binary(block.data, block.mime_type, "")
            case EmbeddedResource():
                self.resource(block.resource)
            case ResourceLink():
                kind = f", {block.mime_type}" if block.mime_type else ""
                about = f": {block.description}" if block.description else ""
                self.texts.append(f"[resource {block.uri} ({block.name}{kind}){about}]")

    def resource(self, contents: TextResourceContents | BlobResourceContents) -> None:
        if isinstance(contents, TextResourceContents):
            self.texts.append(f"[resource {contents.uri}]\n{contents.text}")
        else:
            self._binary(contents.blob, contents.mime_type or "application/octet-stream", contents.uri)

    def _binary(self, encoded: str, media_type: str, uri: str) -> None:
        """A picture goes to people, anything else becomes a file; the model reads that it is there."""
        where = f" {uri}" if uri else ""
        try:
            data = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            self.texts.append(f"[{media_type}{where}: not valid base64]")
            return
        if len(data) > self._room or len(self.images) >= IMAGES:
            self.texts.append(f"[{media_type}{where}, {len(data):,} bytes: left out, the result is too large]")
            return
        self._room -= len(data)
        if media_type.startswith("image/"):
            self.images.append(Image(media_type, data, uri))
            self.texts.append(f"[image {media_type}{where}, {len(data):,} bytes]")
            return
        name = self._save(data, media_type)
        self.files.append(name)
        self.texts.append(f"[{media_type}{where}, {len(data):,} bytes, saved as {name}]")

    def _save(self, data: bytes, media_type: str) -> str:
        """A new file in the workspace; the name is ours, never the server's."""
        self._workspace.mkdir(parents=True, exist_ok=True)
        stem, suffix = re.sub(r"[^\w-]", "_", self._name), mimetypes.guess_extension(media_type.split(";")[0]) or ".bin"
        number = 1
        while True:
            name = f"{stem}-{number}{suffix}"
            try:
                with (self._workspace / name).open("xb") as file:
                    file.write(data)
            except FileExistsError:
                number += 1
                continue
            return name

    def output(self, limit: int, structured: object, error: bool) -> Output:
        text = "\n".join(self.texts)
        if structured is not None:
            as_json = json.dumps(structured, ensure_ascii=False)
            text = text or as_json
            structured = structured if len(as_json) <= limit else None
        if error and not text.startswith("Error"):
            text = f"Error: {text or 'the tool failed and did not say why'}"
        return Output(
            shortened(text, limit), tuple(self.images), tuple(self.files), None if error else structured, error
        )


def tool_output(result: CallToolResult, name: str, workspace: Path, limit: int) -> Output:
    """limit: characters of text; head and tail of more are kept. Structured content over the limit is left out."""
    gathered = Collector(name, workspace)
    for block in result.content:
        gathered.add(block)
    return gathered.output(limit, result.structured_content, result.is_error)


def resource_output(result: ReadResourceResult, name: str, workspace: Path, limit: int) -> Output:
    gathered = Collector(name, workspace)
    for contents in result.contents:
        gathered.resource(contents)
    return gathered.output(limit, None, False)


def failure(text: str, *, lost: bool = False) -> Output:
    return Output(f"Error: {text}", error=True, lost=lost)


def lines_output(lines: Iterable[str], limit: int) -> Output:
    return Output(shortened("\n".join(lines) or "(none)", limit))
