"""GET /metrics: what the server and its engines have counted, as Prometheus text."""

import time
from collections.abc import Iterator

from msgspec import Struct, structs
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from ponder.core.client import CLIENT
from ponder.server.runtime.endpoint import bodyless
from ponder.server.runtime.service import Service

GAUGES = frozenset(("running", "waiting", "free_blocks", "blocks", "seconds_since_step", "up", "in_flight"))
STARTED = time.time()


@bodyless
async def metrics(request: Request, service: Service) -> Response:
    return PlainTextResponse("\n".join(_lines(service)) + "\n", media_type="text/plain; version=0.0.4")


def _lines(service: Service) -> Iterator[str]:
    admission = service.admission
    yield from _metric("ponder_requests_in_flight", "gauge", {"": len(admission.in_flight)})
    yield from _metric("ponder_requests_rejected_total", "counter", {"": admission.rejected})
    yield from _metric("ponder_thoughts_restored_total", "counter", {"": service.reasoning_cache.restored})
    yield from _metric("ponder_start_time_seconds", "gauge", {"": STARTED})
    if service.admission.keyring.is_admin(CLIENT.get()):  # who else uses it is not everybody's business
        yield from _by_key(service)
    kinds: dict[str, dict[str, Struct]] = {"engine": {}, "upstream": {}}
    for served in service.pool.models.values():
        for kind, labels, numbers in served.llm.metrics() if served.llm else ():
            found = {"model": served.name} | labels
            kinds[kind][",".join(f'{name}="{_escaped(value)}"' for name, value in found.items())] = numbers
    for kind, of in kinds.items():
        yield from _metrics(f"ponder_{kind}", of)


def _by_key(service: Service) -> Iterator[str]:
    totals = service.admission.usage.total if service.admission.usage else {}
    requests, tokens = {}, {}
    for name, used in totals.items():
        key = f'key="{_escaped(name)}"'
        requests[f"{{{key}}}"] = float(used.requests)
        tokens[f'{{{key},kind="prompt"}}'] = float(used.prompt_tokens)
        tokens[f'{{{key},kind="completion"}}'] = float(used.completion_tokens)
    yield from _metric("ponder_key_requests_total", "counter", requests)
    yield from _metric("ponder_key_tokens_total", "counter", tokens)


def _metrics(prefix: str, of: dict[str, Struct]) -> Iterator[str]:
    """Every number of these structs, with their labels."""
    fields = {labels: structs.asdict(stats) for labels, stats in of.items()}
    names = [name for name, value in next(iter(fields.values()), {}).items() if not isinstance(value, str)]
    for name in names:
        kind = "gauge" if name in GAUGES else "counter"
        values = {f"{{{labels}}}": float(stats[name]) for labels, stats in fields.items()}
        yield from _metric(f"{prefix}_{name}{'_total' if kind == 'counter' else ''}", kind, values)


def _metric(name: str, kind: str, values: dict[str, float]) -> Iterator[str]:
    yield f"# TYPE {name} {kind}"
    for labels, value in values.items():
        yield f"{name}{labels} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
