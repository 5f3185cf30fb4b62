"""The server that the official conformance suite drives: `ponder mcp` over HTTP, and beside its tools those that the
suite wants to find (a picture, a failing tool, a prompt with arguments ...). Usage: server.py MODEL PORT

The transport, the guard, the sessions and everything else are what `ponder mcp --http` runs; only content is added.
"""

import asyncio
import json
import sys
from typing import Any

import uvicorn
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.mcpserver.prompts.base import UserMessage
from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp_types import (
    AudioContent,
    Completion,
    ContentBlock,
    EmbeddedResource,
    EmptyResult,
    ImageContent,
    JSONRPCMessage,
    SamplingMessage,
    SetLevelRequestParams,
    SubscribeRequestParams,
    TextContent,
    TextResourceContents,
    UnsubscribeRequestParams,
)

from ponder.engine.llm import LLM
from ponder.server.config import ServerConfig
from ponder.server.mcp.run import http_app
from ponder.server.mcp.server import build_mcp
from ponder.server.runtime.admission import Admission
from ponder.server.runtime.pool import Pool
from ponder.server.runtime.service import Service

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
WAV = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="
PICTURE = ImageContent(type="image", data=PIXEL, mime_type="image/png")
ADDRESS_SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {"address": {"type": "object", "properties": {"street": {"type": "string"}, "city": {"type": "string"}}}},
    "properties": {"name": {"type": "string"}, "address": {"$ref": "#/$defs/address"}},
    "additionalProperties": False,
}
PERSON = {
    "type": "object",
    "properties": {"username": {"type": "string"}, "email": {"type": "string"}},
    "required": ["username", "email"],
}
DEFAULTS = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    },
}
TITLED = [{"const": f"value{n}", "title": f"Choice {n}"} for n in (1, 2, 3)]
OPTIONS = ["option1", "option2", "option3"]
ENUMS = {
    "type": "object",
    "properties": {
        "untitledSingle": {"type": "string", "enum": OPTIONS},
        "titledSingle": {"type": "string", "oneOf": TITLED},
        "legacyEnum": {"type": "string", "enum": ["opt1", "opt2", "opt3"], "enumNames": ["One", "Two", "Three"]},
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": OPTIONS}},
        "titledMulti": {"type": "array", "items": {"anyOf": TITLED}},
    },
}
Ctx = Context[Any, Any]


class Events(EventStore):
    """What was sent, by number, so that a stream can be taken up again."""

    def __init__(self) -> None:
        self._sent: list[tuple[str, JSONRPCMessage | None]] = []

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        self._sent.append((stream_id, message))
        return str(len(self._sent))

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        number = int(last_event_id)
        stream = self._sent[number - 1][0]
        for n, (of, message) in enumerate(self._sent[number:], number + 1):
            if of == stream and message is not None:
                await send_callback(EventMessage(message, str(n)))
        return stream


def text_resource(uri: str, text: str, mime_type: str = "text/plain") -> EmbeddedResource:
    return EmbeddedResource(type="resource", resource=TextResourceContents(uri=uri, text=text, mime_type=mime_type))


def add_results(server: MCPServer[Any]) -> None:
    """Tools whose result is the point."""

    @server.tool(description="Of the conformance suite.", structured_output=False)
    def test_simple_text() -> str:
        return "This is a simple text response for testing."

    @server.tool(description="Of the conformance suite.", structured_output=False)
    def test_image_content() -> list[ContentBlock]:
        return [PICTURE]

    @server.tool(description="Of the conformance suite.", structured_output=False)
    def test_audio_content() -> list[ContentBlock]:
        return [AudioContent(type="audio", data=WAV, mime_type="audio/wav")]

    @server.tool(description="Of the conformance suite.", structured_output=False)
    def test_embedded_resource() -> list[ContentBlock]:
        return [text_resource("test://embedded-resource", "This is an embedded resource content.")]

    @server.tool(description="Of the conformance suite.", structured_output=False)
    def test_multiple_content_types() -> list[ContentBlock]:
        data = text_resource("test://mixed-content-resource", '{"test": "data", "value": 123}', "application/json")
        return [TextContent(type="text", text="Multiple content types test:"), PICTURE, data]

    @server.tool(description="Of the conformance suite.", structured_output=False)
    def test_error_handling() -> str:
        raise ToolError("This tool intentionally returns an error for testing")

    @server.tool(description="Of the conformance suite.", structured_output=False)
    def json_schema_2020_12_tool(name: str = "", address: dict[str, str] | None = None) -> str:
        return name

    for tool in server._tool_manager.list_tools():
        if tool.name == "json_schema_2020_12_tool":
            tool.parameters = ADDRESS_SCHEMA


def add_conversations(server: MCPServer[Any]) -> None:
    """Tools that say something, or ask something, on the way."""

    @server.tool(description="Of the conformance suite.", structured_output=False)
    async def test_tool_with_logging(context: Ctx) -> str:
        for words in ("started", "processing data", "completed"):
            await context.info(f"Tool execution {words}")
            await asyncio.sleep(0.05)
        return "done"

    @server.tool(description="Of the conformance suite.", structured_output=False)
    async def test_tool_with_progress(context: Ctx) -> str:
        for done in (0, 50, 100):
            await context.report_progress(done, 100)
            await asyncio.sleep(0.05)
        return "done"

    @server.tool(description="Of the conformance suite.", structured_output=False)
    async def test_sampling(prompt: str, context: Ctx) -> str:
        question = SamplingMessage(role="user", content=TextContent(type="text", text=prompt))
        answer = await context.session.create_message(messages=[question], max_tokens=100)
        return f"LLM response: {answer.content.text}"  # type: ignore[union-attr]

    async def ask(context: Ctx, message: str, schema: dict[str, Any]) -> str:
        answer = await context.session.elicit_form(message, schema, context.request_id)
        return f"action={answer.action}, content={json.dumps(answer.content)}"

    @server.tool(description="Of the conformance suite.", structured_output=False)
    async def test_elicitation(message: str, context: Ctx) -> str:
        return await ask(context, message, PERSON)

    @server.tool(description="Of the conformance suite.", structured_output=False)
    async def test_elicitation_sep1034_defaults(context: Ctx) -> str:
        return await ask(context, "Who are you?", DEFAULTS)

    @server.tool(description="Of the conformance suite.", structured_output=False)
    async def test_elicitation_sep1330_enums(context: Ctx) -> str:
        return await ask(context, "Choose.", ENUMS)

    @server.tool(description="Of the conformance suite.", structured_output=False)
    async def test_reconnection(context: Ctx) -> str:
        await context.close_sse_stream()
        await asyncio.sleep(0.2)
        return "here again"


def add_resources_and_prompts(server: MCPServer[Any]) -> None:
    @server.resource("test://static-text", mime_type="text/plain")
    def static_text() -> str:
        return "This is the content of the static text resource."

    @server.resource("test://static-binary", mime_type="image/png")
    def static_binary() -> bytes:
        return b"\x89PNG"

    @server.resource("test://watched-resource", mime_type="text/plain")
    def watched() -> str:
        return "watched"

    @server.resource("test://template/{id}/data", mime_type="application/json")
    def template(id: str) -> str:
        return json.dumps({"id": id, "templateTest": True, "data": f"Data for ID: {id}"})

    @server.prompt(description="Of the conformance suite.")
    def test_simple_prompt() -> str:
        return "This is a simple prompt for testing."

    @server.prompt(description="Of the conformance suite.")
    def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
        return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"

    @server.prompt(description="Of the conformance suite.")
    def test_prompt_with_embedded_resource(resourceUri: str) -> list[UserMessage]:
        resource = text_resource(resourceUri, "Embedded resource content for testing.")
        return [UserMessage(resource), UserMessage("Please process the embedded resource above.")]

    @server.prompt(description="Of the conformance suite.")
    def test_prompt_with_image() -> list[UserMessage]:
        return [UserMessage(PICTURE), UserMessage("Please analyze the image above.")]

    @server.completion()
    async def complete(ref: Any, argument: Any, context: Any) -> Completion:
        return Completion(values=[])

    async def accepted(context: Any, params: Any) -> EmptyResult:
        return EmptyResult()

    low = server._lowlevel_server
    low.add_request_handler("logging/setLevel", SetLevelRequestParams, accepted)
    low.add_request_handler("resources/subscribe", SubscribeRequestParams, accepted)
    low.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, accepted)


if __name__ == "__main__":
    model, port = sys.argv[1], int(sys.argv[2])
    config = ServerConfig(port=port)
    service = Service(config, Pool({"default": lambda: LLM(model)}), Admission(config, 4))
    server = build_mcp(service)
    add_results(server)
    add_conversations(server)
    add_resources_and_prompts(server)
    app = http_app(server, config, events=Events(), retry=100)
    uvicorn.run(app, port=port, log_level="warning")
