"""What operators ask: GET /health and GET /metrics (Prometheus text)."""

import time
from collections.abc import Iterator

from msgspec import structs
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from ponder.server.service import Service

STUCK_SECONDS = 60.0  # a single step of the largest model takes a few seconds
COUNTERS = frozenset(
    ("steps", "prefill_ids", "decode_ids", "cached_ids", "preemptions", "restarts", "finished", "cancelled", "failed")
)
STARTED = time.time()


async def health(request: Request) -> Response:
    """Deep: 503 when a model has work and no step of it ended for a minute, or the server is draining (SR-4)."""
    service: Service = request.app.state.service
    stuck = [
        served.name
        for served in service.pool.models.values()
        if served.llm is not None and served.llm.stats().seconds_since_step > STUCK_SECONDS
    ]
    if stuck or service.running.draining:
        status = f"no step for {STUCK_SECONDS:.0f} s: {', '.join(stuck)}" if stuck else "shutting down"
        return JSONResponse({"status": status}, 503, {"Retry-After": "5"})
    return JSONResponse({"status": "ok", "in_flight": len(service.running.runs)})


async def metrics(request: Request) -> Response:
    service: Service = request.app.state.service
    return PlainTextResponse("\n".join(_lines(service)) + "\n", media_type="text/plain; version=0.0.4")


def _lines(service: Service) -> Iterator[str]:
    running = service.running
    yield from _metric("ponder_requests_in_flight", "gauge", {"": len(running.runs)})
    yield from _metric("ponder_requests_rejected_total", "counter", {"": running.rejected})
    yield from _metric("ponder_start_time_seconds", "gauge", {"": STARTED})
    loaded = {s.name: structs.asdict(s.llm.stats()) for s in service.pool.models.values() if s.llm is not None}
    names = next(iter(loaded.values()), {})
    for name in names:
        kind = "counter" if name in COUNTERS else "gauge"
        values = {f'{{model="{_escaped(model)}"}}': stats[name] for model, stats in loaded.items()}
        yield from _metric(f"ponder_engine_{name}{'_total' if kind == 'counter' else ''}", kind, values)


def _metric(name: str, kind: str, values: dict[str, float]) -> Iterator[str]:
    yield f"# TYPE {name} {kind}"
    for labels, value in values.items():
        yield f"{name}{labels} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
