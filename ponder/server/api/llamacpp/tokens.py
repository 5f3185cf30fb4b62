"""POST /tokenize and /detokenize, as llama.cpp (`content`) and vLLM (`prompt`, `messages`) have them.

Control tokens in a text are text, unless `allow_special_tokens` says otherwise (SEC-1). These vocabularies add
nothing of their own to a text, so `add_special` changes nothing.
"""

import asyncio
from typing import Any

from msgspec import Struct, field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ponder.core.errors import UserError
from ponder.core.request import ChatRequest
from ponder.engine.llm import LLM
from ponder.server.api.openai.chat_request import messages_of
from ponder.server.http.body import parse, read_json
from ponder.server.runtime.backend import local
from ponder.server.runtime.service import Service


class TokenizeBody(Struct, frozen=True, kw_only=True):
    """One of content, prompt and messages."""

    model: str = ""
    content: str | None = None
    prompt: str | None = None
    messages: list[dict[str, Any]] | None = None
    tools: list[dict[str, Any]] = field(default_factory=list)
    allow_special_tokens: bool = False
    add_special: bool | None = None
    with_pieces: bool = False


class DetokenizeBody(Struct, frozen=True, kw_only=True):
    tokens: list[int]
    model: str = ""


async def tokenize(request: Request) -> Response:
    service: Service = request.app.state.service
    body, warnings = parse(await read_json(request, service.config), TokenizeBody, strict=service.config.strict)
    sources = [name for name in ("content", "prompt", "messages") if getattr(body, name) is not None]
    if len(sources) != 1:
        raise UserError("give one of content, prompt and messages", param=sources[1] if sources else "content")
    async with service.pool.use(body.model) as model:
        llm = local(model, "/tokenize")
        ids = await asyncio.to_thread(_ids, service, llm, body)
        tokens = [{"id": i, "piece": _piece(llm.tokenizer.token_bytes(i))} for i in ids] if body.with_pieces else ids
        out = {"tokens": tokens, "count": len(ids), "max_model_len": llm.profile.context}
    return JSONResponse(out | ({"warnings": list(warnings)} if warnings else {}))


async def detokenize(request: Request) -> Response:
    service: Service = request.app.state.service
    body, _ = parse(await read_json(request, service.config), DetokenizeBody, strict=service.config.strict)
    async with service.pool.use(body.model) as model:
        llm = local(model, "/detokenize")
        llm.tokenizer.check_ids(body.tokens, "tokens")
        text = llm.tokenizer.decode(body.tokens, skip_special=False)
    return JSONResponse({"content": text, "prompt": text})


def _ids(service: Service, llm: LLM, body: TokenizeBody) -> list[int]:
    if body.messages is not None:
        chat = ChatRequest(messages=messages_of(body.messages), tools=tuple(body.tools))
        return list(llm.rendered(service.with_defaults(chat, llm)).ids)
    text = body.content if body.content is not None else body.prompt
    assert text is not None
    return llm.tokenizer.encode(text, allow_control=body.allow_special_tokens)


def _piece(raw: bytes) -> str | list[int]:
    """The text of an id; its bytes when they are no whole characters, as llama.cpp gives them."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return list(raw)
