"""What operators ask: GET /health and GET /metrics (Prometheus text)."""

import time
from collections.abc import Iterator

from msgspec import Struct, structs
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from ponder.engine.llm import LLM
from ponder.server.runtime.service import Service

GAUGES = frozenset(("running", "waiting", "free_blocks", "blocks", "seconds_since_step", "up", "in_flight"))
STARTED = time.time()


async def health(request: Request) -> Response:
    """Deep: 503 when a model has work and no step of it ended for a minute, when its engine failed or no upstream
    answers, or when the server is draining (SR-4)."""
    service: Service = request.app.state.service
    held = [(s.name, s.llm.trouble()) for s in service.pool.models.values() if s.llm is not None]
    wrong = [f"{name}: {trouble}" for name, trouble in held if trouble]
    if wrong or service.running.draining:
        status = "; ".join(wrong) or "shutting down"
        return JSONResponse({"status": status}, 503, {"Retry-After": "5"})
    return JSONResponse({"status": "ok", "in_flight": len(service.running.runs)})


async def metrics(request: Request) -> Response:
    service: Service = request.app.state.service
    return PlainTextResponse("\n".join(_lines(service)) + "\n", media_type="text/plain; version=0.0.4")


def _lines(service: Service) -> Iterator[str]:
    running = service.running
    yield from _metric("ponder_requests_in_flight", "gauge", {"": len(running.runs)})
    yield from _metric("ponder_requests_rejected_total", "counter", {"": running.rejected})
    yield from _metric("ponder_thoughts_restored_total", "counter", {"": service.thoughts.restored})
    yield from _metric("ponder_start_time_seconds", "gauge", {"": STARTED})
    engines: dict[str, Struct] = {}
    upstreams: dict[str, Struct] = {}
    for served in service.pool.models.values():
        model = f'model="{_escaped(served.name)}"'
        if isinstance(served.llm, LLM):
            engines[model] = served.llm.stats()
        elif served.llm is not None:
            upstreams |= {f'{model},upstream="{_escaped(s.url)}"': s for s in served.llm.stats()}
    yield from _metrics("ponder_engine", engines)
    yield from _metrics("ponder_upstream", upstreams)


def _metrics(prefix: str, of: dict[str, Struct]) -> Iterator[str]:
    """Every number of these structs, with their labels."""
    told = {labels: structs.asdict(stats) for labels, stats in of.items()}
    names = [name for name, value in next(iter(told.values()), {}).items() if not isinstance(value, str)]
    for name in names:
        kind = "gauge" if name in GAUGES else "counter"
        values = {f"{{{labels}}}": float(stats[name]) for labels, stats in told.items()}
        yield from _metric(f"{prefix}_{name}{'_total' if kind == 'counter' else ''}", kind, values)


def _metric(name: str, kind: str, values: dict[str, float]) -> Iterator[str]:
    yield f"# TYPE {name} {kind}"
    for labels, value in values.items():
        yield f"{name}{labels} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
