"""GET /health: whether this server can answer."""

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from ponder.server.runtime.service import Service


async def health(request: Request) -> Response:
    """Deep: 503 when a model has work and no step of it ended for a minute, when its engine failed or no upstream
    answers, or when the server is draining (SR-4)."""
    service: Service = request.app.state.service
    troubles = [(s.name, s.llm.trouble()) for s in service.pool.models.values() if s.llm is not None]
    problems = [f"{name}: {trouble}" for name, trouble in troubles if trouble]
    if problems or service.admission.draining:
        status = "; ".join(problems) or "shutting down"
        return JSONResponse({"status": status}, 503, {"Retry-After": "5"})
    return JSONResponse({"status": "ok", "in_flight": len(service.admission.in_flight)})
