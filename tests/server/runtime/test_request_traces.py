"""Spans of requests, as OpenTelemetry's own SDK collects them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from live import server

from ponder.engine.llm import LLM
from ponder.server.config import ServerConfig

sdk = pytest.importorskip("opentelemetry.sdk.trace", reason="needs opentelemetry-sdk: pip install ponder-llm[dev]")
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.fixture
def spans(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    from opentelemetry import trace
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), sdk.TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    yield exporter
    provider.shutdown()


@pytest.mark.parametrize("stream", [False, True])
def test_a_request_is_a_span_below_its_caller(spans: Any, tmp_path: Path, stream: bool) -> None:
    (tmp_path / "s").write_text(json.dumps("<think>\n\n</think>\n\nHello there.") + "\n")
    ask = {"messages": [{"role": "user", "content": "my password is hunter2"}], "stream": stream}
    headers = {"Authorization": "Bearer key-of-anna", "traceparent": f"00-{TRACE}-{SPAN}-01"}
    with server({"m": lambda: LLM(f"scripted:{tmp_path / 's'}")}, ServerConfig(api_keys=("key-of-anna",))) as base:
        reply = httpx.post(f"{base}/v1/chat/completions", json=ask, headers=headers, timeout=60)
        assert reply.status_code == 200
        httpx.post(f"{base}/v1/chat/completions", json=ask, headers=headers | {"traceparent": "x"}, timeout=60)
    below, alone = spans.get_finished_spans()
    assert (below.name, below.kind.name) == ("chat m", "SERVER")
    assert f"{below.context.trace_id:032x}" == TRACE and f"{below.parent.span_id:016x}" == SPAN
    assert alone.parent is None, "what is no traceparent is nobody's"
    told = dict(below.attributes)
    assert told["gen_ai.response.finish_reasons"] == ("stop",) and told["gen_ai.request.model"] == "m"
    assert told["gen_ai.usage.input_tokens"] > 5 and told["gen_ai.usage.output_tokens"] > 2
    assert stream or told["gen_ai.response.id"] == reply.json()["id"]
    assert "hunter2" not in below.to_json() and told["user.name"] and "key-of-anna" not in below.to_json()
    assert below.status.status_code.name == "UNSET"
    moments = [below.start_time, *(event.timestamp for event in below.events), below.end_time]
    assert [event.name for event in below.events] == ["first step", "first token"] and moments == sorted(moments)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_engine_that_fails_is_an_error(spans: Any, tmp_path: Path) -> None:
    (tmp_path / "s").write_text(json.dumps("<think>\n\n</think>\n\nHello there.") + "\n")
    opened: list[LLM] = []

    def opener() -> LLM:
        opened.append(LLM(f"scripted:{tmp_path / 's'}"))
        return opened[-1]

    ask = {"messages": [{"role": "user", "content": "Hi"}]}
    with server({"m": opener}) as base:
        assert httpx.post(f"{base}/v1/chat/completions", json=ask, timeout=60).status_code == 200
        scheduler = opened[0].engine.scheduler
        plan = scheduler.plan

        def broken() -> Any:
            if scheduler.waiting:  # an idle engine that breaks takes no request, and what is not taken has no span
                raise RuntimeError("a bug of ours")
            return plan()

        scheduler.plan = broken  # type: ignore[method-assign]
        assert httpx.post(f"{base}/v1/chat/completions", json=ask, timeout=60).status_code >= 500
    assert [span.status.status_code.name for span in spans.get_finished_spans()] == ["UNSET", "ERROR"]
