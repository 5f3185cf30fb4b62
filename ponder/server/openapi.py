"""GET /openapi.json: the HTTP interface in OpenAPI 3.1, made from the structs that the handlers read and
write.

What a body may hold is what its struct holds, with the ranges of `SamplingParams`; a null counts as left out, and an
unknown field as a warning (an error with --strict). Rules between two fields (two spellings of "think" that disagree,
a prompt that does not fit) are not in the document: they are a 400 that names the field.
"""

import copy
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct
from starlette.requests import Request

from ponder import __version__
from ponder.core.params import RANGES
from ponder.server.api.ollama.manage import DeleteBody
from ponder.server.api.ollama.models import PullBody
from ponder.server.http.errors import AnthropicError, OllamaError, OpenAIError
from ponder.server.operations import OPERATIONS, SSE, Operation
from ponder.server.runtime.endpoint import bodyless
from ponder.server.runtime.service import Service

JSON = "application/json"
Schema = dict[str, Any]
EVENT: Schema = {"type": "object", "properties": {"event": {"type": "string"}, "data": {"type": "string"}}}
ERRORS = {
    "400": "what cannot be, with the field named", "401": "no valid API key", "403": "a foreign Host or Origin",
    "404": "no such model, request or path", "409": "the model is in use", "413": "the body is too large",
    "429": "the queue is full; see Retry-After", "500": "a fault of the server", "503": "shutting down, or stuck",
}  # fmt: skip
# where the body's field is called otherwise than in SamplingParams, or means something else
OWN_RANGES = {
    ("ChatBody", "top_k"): (-1, None), ("CompletionBody", "top_k"): (-1, None), ("CompletionBody", "logprobs"): None,
    ("CompletionBody", "max_tokens"): (0, None), ("ResponsesBody", "max_output_tokens"): (1, None),
}  # fmt: skip


@bodyless
async def openapi(request: Request, service: Service) -> Schema:
    return document(list(service.pool.listed()), keys=bool(service.config.api_keys))


def document(models: list[str], *, keys: bool = False) -> Schema:
    """models: the names that requests may use. keys: whether an API key is asked for."""
    types = [t for o in OPERATIONS for t in (o.body, o.reply) if t is not None]
    types += [OpenAIError, AnthropicError, OllamaError]
    unique = list(dict.fromkeys(types))
    schemas, components = msgspec.json.schema_components(unique, ref_template="#/components/schemas/{name}")
    refs = dict(zip(unique, schemas))
    for body in dict.fromkeys(o.body for o in OPERATIONS if o.body is not None):
        name = refs[body]["$ref"].rpartition("/")[2]
        components[name] = _body(components[name], body, models)
    paths: dict[str, Schema] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation, refs)
    out: Schema = {
        "openapi": "3.1.0",
        "info": {"title": "Ponder", "version": __version__, "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {"schemas": components},
    }
    if keys:
        out["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        out["security"] = [{"key": []}]
    return out


def _operation(operation: Operation, refs: dict[Any, Schema]) -> Schema:
    content: Schema = {} if operation.reply is None else {JSON: {"schema": refs[operation.reply]}}
    if operation.streams:
        content[operation.streams] = {"schema": EVENT if operation.streams == SSE else {"type": "string"}}
    error = {"schema": refs[_error(operation.path)]}
    responses: Schema = {"200": {"description": "OK"} | ({"content": content} if content else {})}
    responses |= {s: {"description": text, "content": {JSON: error}} for s, text in ERRORS.items()}
    out: Schema = {"summary": operation.summary, "responses": responses}
    if operation.path == "/health":
        responses["503"]["content"] = {JSON: {"schema": {"type": "object", "required": ["status"]}}}
    parameters = list(_parameters(operation))
    out |= {"parameters": parameters} if parameters else {}
    if operation.body is not None:
        out["requestBody"] = {"required": True, "content": {JSON: {"schema": refs[operation.body]}}}
    return out


def _parameters(operation: Operation) -> Iterator[Schema]:
    for part in operation.path.split("/"):
        if part.startswith("{"):
            yield {"name": part[1:-1], "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    for name in operation.query:
        yield {"name": name, "in": "query", "schema": {"type": "string"}}


def _error(path: str) -> type[Struct]:
    if path.startswith("/v1/messages"):
        return AnthropicError
    return OllamaError if path.startswith("/api/") else OpenAIError


def _body(schema: Schema, body: type[Struct], models: list[str]) -> Schema:
    """The struct's schema, with ranges, the names of the models, and null for every field that may be left out."""
    schema = copy.deepcopy(schema)
    required = schema.get("required", [])
    for name, value in schema["properties"].items():
        value.pop("default", None)
        low, high = OWN_RANGES.get((body.__name__, name), RANGES.get(name)) or (None, None)
        limits = {"minimum": low} if low is not None else {}
        limits |= {"maximum": high} if high is not None else {}
        for kind in value.get("anyOf", [value]):
            if kind.get("type") in ("integer", "number"):
                kind |= limits
        if name == "model" and body is not PullBody and body is not DeleteBody:
            value |= {"enum": models if name in required else ["", "default", *models]}
        if name not in required and {"type": "null"} not in value.get("anyOf", []):
            schema["properties"][name] = {"anyOf": [value, {"type": "null"}]}
    return schema
