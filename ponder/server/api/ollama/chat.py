"""Ollama's dialect: /api/chat and /api/generate, streamed as JSON lines by default."""

from typing import Any

from ponder.core.request import ChatRequest
from ponder.engine.llm import LLM
from ponder.engine.scheduling.handle import Handle
from ponder.server.api.ollama.chat_reply import OllamaChatDialect, OllamaGenerateDialect, now
from ponder.server.api.ollama.chat_request import (
    GenerateBody,
    OllamaChatBody,
    at_once,
    chat_request,
    generate_request,
)
from ponder.server.api.stream_reply import Pieces, answer, pieces_of
from ponder.server.runtime.endpoint import Incoming, endpoint
from ponder.server.runtime.pool import Model
from ponder.server.runtime.service import Service

PREFIX = "ollama-"


@endpoint(OllamaChatBody)
async def chat(incoming: Incoming[OllamaChatBody]) -> Any:
    service, body = incoming.service, incoming.body
    at_once(body.keep_alive)  # refuses what is no time
    dialect = OllamaChatDialect(body.model)
    if not body.messages:  # how Ollama's clients load a model, and unload it
        return await _load(service, body, dialect)
    request, warnings = await service.in_thread(lambda: chat_request(body))
    pieces = pieces_of(service.run_chat(body.model, request, PREFIX), (*incoming.warnings, *warnings))
    return await answer(incoming, _then_unload(service, body, pieces), dialect, lines=True)


@endpoint(GenerateBody)
async def generate(incoming: Incoming[GenerateBody]) -> Any:
    service, body = incoming.service, incoming.body
    at_once(body.keep_alive)
    dialect = OllamaGenerateDialect(body.model, context=not (body.raw or body.suffix))
    if not body.prompt and not body.suffix:
        return await _load(service, body, dialect)
    request, warnings = generate_request(body)

    def submit(llm: Model) -> Handle:
        thinking, grammar = request.thinking, request.grammar
        raw = not thinking.enabled  # who asks for thoughts gets them in their own field, here too
        return llm.generate_stream(
            body.prompt, request.sampling, thinking=thinking, grammar=grammar, allow_control=True, raw=raw,
            suffix=body.suffix or None,
        )  # fmt: skip

    def go_on(llm: Model) -> Handle:
        return _after(service, llm.in_process("context"), request, body.context or [])

    if body.raw or body.suffix:
        run = service.run(body.model, submit, PREFIX, body.prompt)
    elif body.context:
        run = service.run(body.model, go_on, PREFIX, body.prompt)
    else:
        run = service.run_chat(body.model, request, PREFIX)
    pieces = pieces_of(run, (*incoming.warnings, *warnings))
    return await answer(incoming, _then_unload(service, body, pieces), dialect, lines=True)


def _after(service: Service, llm: LLM, request: ChatRequest, context: list[int]) -> Handle:
    """A prompt after the ids of an earlier reply, as a further turn."""
    prepared = service.prepared(request, llm, None)
    rendered = llm.rendered(prepared)
    turn = next(span.start for span in rendered.spans if span.message == 0)  # a default system turn is in the context
    ids = [*context, *llm.tokenizer.encode("\n"), *rendered.ids[turn:]]
    return llm.generate_stream(ids, prepared.sampling, thinking=prepared.thinking, grammar=prepared.grammar)


async def _then_unload(service: Service, body: OllamaChatBody | GenerateBody, pieces: Pieces) -> Pieces:
    try:
        async for piece in pieces:
            yield piece
    finally:
        await pieces.aclose()
    if at_once(body.keep_alive):
        await _unload(service, body.model)


async def _load(service: Service, body: OllamaChatBody | GenerateBody, dialect: OllamaChatDialect) -> dict[str, Any]:
    reason = "load"
    if at_once(body.keep_alive):
        await _unload(service, body.model)
        reason = "unload"
    else:
        async with service.pool.use(body.model):
            pass
    return {"model": body.model, "created_at": now()} | dialect.message() | {"done": True, "done_reason": reason}


async def _unload(service: Service, model: str) -> None:
    """Unless others use it now."""
    if not service.pool.find(model).users:
        await service.pool.unload(model)
