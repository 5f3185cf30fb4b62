"""POST /v1/responses."""

from typing import Any

from ponder.server.api.openai.response_store import Item, ResponseStore
from ponder.server.api.openai.responses_reply import PREFIX, ResponsesDialect
from ponder.server.api.openai.responses_request import ResponsesBody, items_of, listed, responses_request
from ponder.server.api.stream_reply import answer, pieces_of
from ponder.server.runtime.endpoint import Incoming, endpoint


@endpoint(ResponsesBody)
async def responses(incoming: Incoming[ResponsesBody]) -> Any:
    service, body = incoming.service, incoming.body
    store: ResponseStore = incoming.request.app.state.responses
    items, earlier = await service.lanes.store.call(_context, store, body)
    chat, warnings = await service.in_thread(lambda: responses_request(body, items, earlier))
    if body.store and not store.limit:
        warnings += ("store: this server keeps no replies (--keep-responses 0)",)

    async def put(reply: dict[str, Any]) -> bool:
        return await service.lanes.store.call(store.put, reply, listed(items, reply["id"].removeprefix(PREFIX)))

    stored = body.store is not False and store.limit > 0
    dialect = ResponsesDialect(body, service.pool.find(body.model).name, put if stored else None)
    pieces = pieces_of(service.run_chat(body.model, chat, PREFIX), (*incoming.warnings, *warnings))
    return await answer(incoming, pieces, dialect)


def _context(store: ResponseStore, body: ResponsesBody) -> tuple[list[Any], list[Item]]:
    """The items of the input, and those that it continues."""
    earlier = [] if body.previous_response_id is None else store.history(body.previous_response_id)
    return store.resolve_references(items_of(body.input)), earlier
