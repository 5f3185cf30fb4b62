"""Anthropic's dialect: POST /v1/messages and /v1/messages/count_tokens."""

from typing import Any

from ponder.server.api.anthropic.messages_reply import PREFIX, MessagesDialect, TokenCount
from ponder.server.api.anthropic.messages_request import MessagesBody, messages_request, offered_search
from ponder.server.api.stream_reply import answer, pieces_of
from ponder.server.runtime.endpoint import Incoming, endpoint


@endpoint(MessagesBody)
async def messages(incoming: Incoming[MessagesBody]) -> Any:
    service, body = incoming.service, incoming.body
    chat, warnings = await service.in_thread(lambda: messages_request(body))
    pieces = pieces_of(service.run_chat(body.model, chat, PREFIX), (*incoming.warnings, *warnings))
    asked = chat.thinking.enabled
    dialect = MessagesDialect(
        service.pool.find(body.model).name,
        service.thinking.enabled if asked is None else asked,
        offered_search(body.tools, body.tool_choice),
    )
    return await answer(incoming, pieces, dialect)


@endpoint(MessagesBody)
async def count_tokens(incoming: Incoming[MessagesBody]) -> TokenCount:
    """The ids that the prompt would have."""
    service, body = incoming.service, incoming.body
    chat, _ = await service.in_thread(lambda: messages_request(body))
    restorer = service.restorer(body.model, chat)
    async with service.admission.admit("count-"), service.pool.use(body.model) as llm:
        count = await incoming.in_thread(lambda: llm.count_tokens(service.prepared(chat, llm, restorer)))
    return TokenCount(input_tokens=count)
