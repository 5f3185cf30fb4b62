"""GET /health: whether this server can answer; GET /live: whether its process is there at all."""

from starlette.requests import Request
from starlette.responses import Response

from ponder.server.http.reply import JsonReply, json_response
from ponder.server.runtime.endpoint import bodyless
from ponder.server.runtime.service import Service


class Health(JsonReply):
    status: str
    in_flight: int


@bodyless
async def health(request: Request, service: Service) -> Health | Response:
    """Deep: 503 when a model has work and no step of it ended for a minute, when its engine failed or no upstream
    answers, or when the server is draining (SR-4)."""
    troubles = [(s.name, s.llm.health().trouble) for s in service.pool.models.values() if s.llm is not None]
    problems = [f"{name}: {trouble}" for name, trouble in troubles if trouble]
    if problems or service.admission.draining:
        status = "; ".join(problems) or "shutting down"
        return json_response({"status": status}, 503, {"Retry-After": "5"})
    return Health(status="ok", in_flight=len(service.admission.in_flight))


class Live(JsonReply):
    status: str


@bodyless
async def live(request: Request, service: Service) -> Live:
    """While it loads, drains or is stuck, too: an engine that hangs is the watchdog's, who ends the process."""
    return Live(status="ok")
