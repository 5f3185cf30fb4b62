"""GET /slots, as llama.cpp has it: what the places are doing in which requests are computed. Numbers only: what people
write is theirs."""

from typing import Any

from starlette.requests import Request

from ponder.server.http.errors import ApiError
from ponder.server.http.reply import json_response
from ponder.server.runtime.endpoint import bodyless
from ponder.server.runtime.service import Service

Body = dict[str, Any]


@bodyless
async def slots(request: Request, service: Service) -> Any:
    """?fail_on_no_slot=1: 503 where no place is free."""
    running = [r for r in service.admission.in_flight.values() if r.handle is not None]
    served = service.pool.find(request.query_params.get("model"))
    context = served.llm.profile.context if served.llm is not None else 0
    capacity = service.admission.capacity
    if "fail_on_no_slot" in request.query_params and len(running) >= capacity:
        raise ApiError(503, "no slot available", kind="server_error", code="no_slot", retry_after=1)
    out: list[Body] = []
    for n in range(capacity):
        slot: Body = {"id": n, "n_ctx": context, "speculative": False, "is_processing": n < len(running)}
        if n < len(running) and (handle := running[n].handle) is not None:
            decoded = sum(handle.timings(choice).generated for choice in range(len(handle)))
            slot |= {
                "id_task": running[n].id,
                "n_prompt_tokens": len(handle.prompt_ids()),
                "next_token": [{"has_next_token": True, "n_decoded": decoded}],
            }
        out.append(slot)
    return json_response(out)
