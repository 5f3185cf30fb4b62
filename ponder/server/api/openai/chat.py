"""POST /v1/chat/completions."""

from collections.abc import AsyncGenerator
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ponder.core.event import Finish, TokenLogprob
from ponder.core.protocol import READING
from ponder.core.request import ChatRequest
from ponder.server.api.openai.chat_reply import ChatReply
from ponder.server.api.openai.chat_request import ChatBody, chat_request
from ponder.server.http.body import parse, read_json
from ponder.server.http.errors import api_error, openai_body
from ponder.server.http.log import log
from ponder.server.http.stream import Stream, cancel_on_disconnect, data
from ponder.server.runtime.service import ActiveRequest, Service

PREFIX = "chatcmpl-"


async def chat_completions(request: Request) -> Response:
    service: Service = request.app.state.service
    body, warnings = parse(await read_json(request, service.config), ChatBody, strict=service.config.strict)
    chat = chat_request(body)
    if body.stream:
        return await Stream.sse(_streamed(service, body, chat, warnings), service.config.keep_alive)
    return JSONResponse(await cancel_on_disconnect(request, lambda: _whole(service, body, chat, warnings)))


async def _whole(service: Service, body: ChatBody, chat: ChatRequest, warnings: tuple[str, ...]) -> dict[str, Any]:
    async with service.run_chat(body.model, chat, PREFIX) as active:
        return _reply(service, body, active).whole(await active.choices(), warnings)


async def _streamed(
    service: Service, body: ChatBody, chat: ChatRequest, warnings: tuple[str, ...]
) -> AsyncGenerator[bytes, None]:
    async with service.run_chat(body.model, chat, PREFIX) as active:
        reply = _reply(service, body, active)
        yield b"".join(data(reply.first(i)) for i in range(len(active.handle)))
        try:
            if body.return_progress:
                async for progress in active.handle.areading(READING):
                    yield data(reply.reading(progress, active.handle.timings()))
            async for item in _chunks(active, reply, body, warnings):
                yield item
        except Exception as e:  # the headers are out: whatever went wrong becomes the last item
            log.exception("request %s failed", active.id)
            yield data(openai_body(api_error(e)))
        yield b"data: [DONE]\n\n"


async def _chunks(
    active: ActiveRequest, reply: ChatReply, body: ChatBody, warnings: tuple[str, ...]
) -> AsyncGenerator[bytes, None]:
    """Log-probabilities ride on the next chunk of their choice: some clients drop a chunk whose delta is empty."""
    finishes: dict[int, Finish] = {}
    scores: dict[int, list[TokenLogprob]] = {}
    counts = body.stream_options.continuous_usage_stats
    async for index, event in active.events():
        match event:
            case TokenLogprob():
                scores.setdefault(index, []).append(event)
                continue
            case Finish():
                finishes[index] = event
                chunks = [reply.last(index, event, warnings)]
            case _:
                chunks = reply.delta(index, event)
        for chunk in chunks:
            if found := scores.pop(index, None):
                chunk["choices"][0]["logprobs"] = reply.logprobs(found)
            yield data(chunk | {"usage": _so_far(active)} if counts else chunk)
    if body.stream_options.include_usage:
        yield data(reply.usage_chunk([finishes[i] for i in sorted(finishes)]))


def _so_far(active: ActiveRequest) -> dict[str, int]:
    """vLLM's continuous_usage_stats: the counts at each chunk."""
    prompt = len(active.handle.prompt_ids())
    generated = sum(active.handle.timings(choice).generated for choice in range(len(active.handle)))
    return {"prompt_tokens": prompt, "completion_tokens": generated, "total_tokens": prompt + generated}


def _reply(service: Service, body: ChatBody, active: ActiveRequest) -> ChatReply:
    name, field = service.pool.find(body.model).name, service.config.reasoning_field
    return ChatReply(active.id, name, active.llm.tokenizer, field, body.logprobs)
