"""How long requests took, as histograms for /metrics: what a reader of it cannot compute from counters."""

from collections import defaultdict
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Histogram
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from ponder.core.event import Usage
from ponder.engine.scheduling.sequence import Timings

SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
BETWEEN = (0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1)
RATE = (1, 2, 5, 10, 20, 30, 50, 75, 100, 150, 200, 500, 1000)
TOKENS = (16, 64, 256, 1024, 4096, 16384, 65536, 262144)


class RequestTimes:
    """One observation a request that has ended, by model and the name of its key ("" for none)."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()

        def histogram(name: str, words: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(f"ponder_request_{name}", words, ["model", "key"], registry=self.registry, buckets=buckets)

        self._queue = histogram("queue_seconds", "From submission to the first step.", SECONDS)
        self._first = histogram("first_token_seconds", "From submission to the first token.", SECONDS)
        self._between = histogram("between_tokens_seconds", "Mean time between the tokens of a reply.", BETWEEN)
        self._rate = histogram("tokens_per_second", "Tokens a second of a reply, after its first one.", RATE)
        self._seconds = histogram("seconds", "From admission to the end.", SECONDS)
        self._prompt = histogram("prompt_tokens", "Length of the prompt.", TOKENS)
        self._reply = histogram("completion_tokens", "Length of the reply.", TOKENS)

    def observe(self, model: str, key: str, timings: Timings, usage: Usage, seconds: float) -> None:
        """seconds: from admission to the end."""
        self._seconds.labels(model, key).observe(seconds)
        self._prompt.labels(model, key).observe(usage.prompt_tokens)
        self._reply.labels(model, key).observe(usage.completion_tokens)
        if timings.admitted:
            self._queue.labels(model, key).observe(timings.queue_s)
        if timings.first_id:
            self._first.labels(model, key).observe(timings.first_id_s)
        if between := timings.per_id_s:
            self._between.labels(model, key).observe(between)
            self._rate.labels(model, key).observe(1 / between)


class Together(Collector):
    """The same histograms without the names of keys: who else asks is not everybody's business."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Metric]:
        for metric in self._registry.collect():
            sums: dict[tuple[str, tuple[tuple[str, str], ...]], float] = defaultdict(float)
            for sample in metric.samples:
                if not sample.name.endswith("_created"):  # a time
                    sums[sample.name, tuple(pair for pair in sample.labels.items() if pair[0] != "key")] += sample.value
            metric.samples.clear()
            for (name, labels), value in sums.items():
                metric.add_sample(name, dict(labels), value)
            yield metric
