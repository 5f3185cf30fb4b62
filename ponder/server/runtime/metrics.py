"""GET /metrics: what the server and its engines have counted, as Prometheus text."""

import time
from collections.abc import Iterator

import msgspec
from msgspec import Struct, structs
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response

from ponder.core.client import CLIENT
from ponder.server.runtime.endpoint import bodyless
from ponder.server.runtime.request_times import Together
from ponder.server.runtime.service import Service

GAUGES = frozenset(("running", "waiting", "free_blocks", "blocks", "seconds_since_step", "up", "in_flight"))
STARTED = time.time()


@bodyless
async def metrics(request: Request, service: Service) -> Response:
    registry = CollectorRegistry()
    admin = service.admission.keyring.is_admin(CLIENT.get())  # who else uses it is not everybody's business
    registry.register(Counted(service, by_key=admin))
    if not admin:
        registry.register(Together(service.times.registry))
    text = generate_latest(registry) + (generate_latest(service.times.registry) if admin else b"")
    return Response(text, media_type="text/plain; version=0.0.4")


class Counted(Collector):
    """by_key: with the names of those who asked."""

    def __init__(self, service: Service, *, by_key: bool) -> None:
        self._service, self._by_key = service, by_key

    def collect(self) -> Iterator[Metric]:
        service, admission = self._service, self._service.admission
        yield GaugeMetricFamily("ponder_requests_in_flight", "Requests that run or wait.", len(admission.in_flight))
        yield CounterMetricFamily("ponder_requests_rejected", "Requests refused for want of room.", admission.rejected)
        restored = service.reasoning_cache.restored
        yield CounterMetricFamily("ponder_thoughts_restored", "Thoughts given back to a conversation.", restored)
        yield GaugeMetricFamily("ponder_start_time_seconds", "When the server began, in Unix time.", STARTED)
        if self._by_key and admission.usage is not None:
            requests = CounterMetricFamily("ponder_key_requests", "Requests of a key, by its name.", labels=["key"])
            tokens = CounterMetricFamily("ponder_key_tokens", "Tokens of a key, by its name.", labels=["key", "kind"])
            for name, used in admission.usage.total.items():
                requests.add_metric([name], used.requests)
                tokens.add_metric([name, "prompt"], used.prompt_tokens)
                tokens.add_metric([name, "completion"], used.completion_tokens)
            yield from (requests, tokens)
        kinds: dict[str, list[tuple[dict[str, str], Struct]]] = {"engine": [], "upstream": []}
        for served in service.pool.models.values():
            for kind, labels, numbers in served.llm.metrics() if served.llm else ():
                kinds[kind].append(({"model": served.name} | labels, numbers))
        for kind, found in kinds.items():
            yield from _families(f"ponder_{kind}", found)


def _families(prefix: str, found: list[tuple[dict[str, str], Struct]]) -> Iterator[Metric]:
    """Every number of these structs, with their labels; what it means stands at the field."""
    if not found:
        return
    type_ = type(found[0][1])
    fields = msgspec.json.schema(type_)["$defs"][type_.__name__]["properties"]
    for name, field in fields.items():
        if field["type"] == "string":
            continue
        family = GaugeMetricFamily if name in GAUGES else CounterMetricFamily
        metric = family(f"{prefix}_{name}", field["description"], labels=list(found[0][0]))
        for labels, numbers in found:
            metric.add_metric(list(labels.values()), float(structs.asdict(numbers)[name]))
        yield metric
