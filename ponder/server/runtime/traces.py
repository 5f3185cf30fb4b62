"""A span for each request that has ended, where OpenTelemetry is installed: its beginning, first token and numbers.

Attributes are named as in OpenTelemetry's conventions for generative AI; nothing that people wrote is in them. Where
spans go is set up from outside (`opentelemetry-instrument ponder serve ...`, docs/operate.md): here is asked for the
API only, which does nothing without that.
"""

import time
from importlib.util import find_spec

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from ponder.core.event import Usage
from ponder.server.runtime.admission import InFlight

INSTALLED = find_spec("opentelemetry") is not None


class Traced:
    """ASGI middleware: what a caller's `traceparent` names is the parent of what is done for it."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from opentelemetry import context, propagate

        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        token = context.attach(propagate.extract(Headers(scope=scope)))
        try:
            await self.app(scope, receive, send)
        finally:
            context.detach(token)


def trace_end(run: InFlight, model: str, usage: Usage, reason: str) -> None:
    """The span of a request that ends now."""
    if not INSTALLED:
        return
    from opentelemetry import trace

    assert run.handle is not None
    timings, ended, now = run.handle.timings(), time.monotonic(), time.time_ns()

    def unix(moment: float) -> int:
        return now - int((ended - moment) * 1e9)

    attributes: dict[str, str | int | tuple[str, ...]] = {
        "gen_ai.provider.name": "ponder",
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": model,
        "gen_ai.response.id": run.id,
        "gen_ai.response.finish_reasons": (reason,),
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.output_tokens": usage.completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens,
    }
    if run.client:
        attributes["user.name"] = run.client
    kind = trace.SpanKind.SERVER
    span = trace.get_tracer("ponder").start_span(
        f"chat {model}", kind=kind, attributes=attributes, start_time=unix(run.admitted)
    )
    for name, moment in (("first step", timings.admitted), ("first token", timings.first_id)):
        if moment:
            span.add_event(name, timestamp=unix(moment))
    if reason == "failed":
        span.set_status(trace.StatusCode.ERROR)
    span.end(now)
