"""POST /v1/chat/completions."""

from typing import Any

from ponder.server.api.openai.chat_reply import ChatDialect
from ponder.server.api.openai.chat_request import ChatBody, chat_request
from ponder.server.api.stream_reply import answer, pieces_of
from ponder.server.runtime.endpoint import Incoming, endpoint

PREFIX = "chatcmpl-"


@endpoint(ChatBody)
async def chat_completions(incoming: Incoming[ChatBody]) -> Any:
    service, body = incoming.service, incoming.body
    request = await service.in_thread(lambda: chat_request(body))
    run = service.run_chat(body.model, request, PREFIX)
    pieces = pieces_of(run, incoming.warnings, reading=body.stream and body.return_progress)
    dialect = ChatDialect(body, service.pool.find(body.model).name, service.config.reasoning_field)
    return await answer(incoming, pieces, dialect)
