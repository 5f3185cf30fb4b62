"""What every handler begins and ends with: its checked body, the server it speaks for, a struct that becomes JSON."""

import functools
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from ponder.server.http.body import json_object, parse, read_body
from ponder.server.http.reply import json_response
from ponder.server.http.stream import cancel_on_disconnect
from ponder.server.runtime.service import Service

Body = TypeVar("Body", bound=Struct)
Result = TypeVar("Result")
Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Incoming(Generic[Body]):
    """A request whose body was read. warnings: one for every field that the body's struct does not know, and one where
    another model answers than was asked for."""

    request: Request
    service: Service
    body: Body
    warnings: tuple[str, ...]

    async def until_disconnect(self, work: Callable[[], Awaitable[Result]]) -> Result:
        """Await what is not streamed; a client that hangs up cancels it (SR-1)."""
        return await cancel_on_disconnect(self.request, work)

    async def in_thread(self, work: Callable[[], Result]) -> Result:
        """Work that is the whole answer, such as counting a prompt; it is left when the client hangs up."""
        return await self.until_disconnect(lambda: self.service.in_thread(work))


def endpoint(
    type_: type[Body], *, strict: bool = False
) -> Callable[[Callable[[Incoming[Body]], Awaitable[Any]]], Handler]:
    """A route with a JSON body. strict: unknown fields are an error here, whatever the operator says.
    The handler gives a Response, or a body that becomes one."""

    def decorate(handler: Callable[[Incoming[Body]], Awaitable[Any]]) -> Handler:
        @functools.wraps(handler)
        async def handle(request: Request) -> Response:
            service: Service = request.app.state.service
            with service.bodies.room() as take:
                raw = json_object(await read_body(request, service.config, take))
                body, warnings = parse(raw, type_, strict=strict or service.config.strict)
                warnings = (*warnings, *service.pool.stand_in(raw.get("model")))
                return _response(await handler(Incoming(request, service, body, warnings)))

        return handle

    return decorate


def bodyless(handler: Callable[[Request, Service], Awaitable[Any]]) -> Handler:
    """A route that takes no body."""

    @functools.wraps(handler)
    async def handle(request: Request) -> Response:
        return _response(await handler(request, request.app.state.service))

    return handle


def _response(value: Any) -> Response:
    return value if isinstance(value, Response) else json_response(value)
