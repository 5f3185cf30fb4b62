"""HTTP to other servers, in an event loop of its own in one thread, so that hundreds of streams need no more.

Everything that goes wrong becomes UpstreamError (the server's fault) or UserError (the request's).
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import msgspec

from ponder.core.errors import ContextLengthExceeded, UpstreamError, UserError
from ponder.core.params import Capability
from ponder.engine.remote.dialects import dialect_of
from ponder.engine.remote.upstream import Upstream

if TYPE_CHECKING:
    import httpx2

Result = TypeVar("Result")
CONNECT_SECONDS = 5.0
ERROR_BYTES = 100_000  # of an error's body
HEALTH = frozenset(("ponder", "vllm", "sglang", "llama.cpp"))  # who has a /health that means more than a list of models
CAPABILITIES = get_args(Capability)
MAX_EVENT = 64 << 20  # one event: a tool call or log-probabilities can be long, memory has an end


class Unreachable(UpstreamError):
    """Not even a connection."""


class Client:
    """silence: seconds without a byte after which a stream counts as broken."""

    def __init__(self, api_key: str | None, silence: float) -> None:
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._silence = silence
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._http: httpx2.AsyncClient | None = None
        self._tasks: set[asyncio.Task[Any]] = set()

    # -- from any thread --------------------------------------------------------------------------------------------

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it in the loop; it must deal with its own errors."""
        loop = self._running()
        loop.call_soon_threadsafe(self.keep, work)

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run it in the loop and wait. Not from the loop itself."""
        return asyncio.run_coroutine_threadsafe(work, self._running()).result()

    def soon(self, action: Any, *args: Any) -> None:
        """Call it in the loop, if that still runs. Safe in destructors."""
        loop = self._loop
        if loop is not None and not loop.is_closed():
            try:
                loop.call_soon_threadsafe(action, *args)
            except RuntimeError:  # it was closed at this moment: nothing is left to act on
                return

    def close(self) -> None:
        """Cancel what runs and end the thread. Idempotent."""
        with self._lock:
            thread, loop, self._thread = self._thread, self._loop, None
        if thread is not None and loop is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._thread is None or self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(
                    target=self._serve, args=[self._loop], name="ponder-remote", daemon=True
                )
                self._thread.start()
            return self._loop

    def _serve(self, loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        loop.run_forever()
        for task in self._tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*self._tasks, return_exceptions=True))
        if self._http is not None:
            loop.run_until_complete(self._http.aclose())
            self._http = None
        loop.close()

    # -- in the loop ------------------------------------------------------------------------------------------------

    def keep(self, work: Coroutine[Any, Any, None]) -> None:
        """Run it beside. The loop itself holds tasks only weakly."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def describe(self, upstream: Upstream) -> None:
        """Ask a server what it is and offers, which also shows that it lives. Raises UpstreamError."""
        if upstream.dialect is not None and upstream.dialect.name in HEALTH and upstream.context:
            await self.json("GET", upstream.root + "/health", seconds=CONNECT_SECONDS)
            return
        listed = (await self.json("GET", upstream.url + "/models", seconds=CONNECT_SECONDS)).get("data") or ()
        cards = [card for card in listed if isinstance(card, dict) and isinstance(card.get("id"), str)]
        upstream.models = tuple(card["id"] for card in cards)
        first: dict[str, Any] = cards[0] if cards else {}
        context = (
            first.get("context_length") or first.get("max_model_len") or (first.get("meta") or {}).get("n_ctx_train")
        )
        upstream.context = context if isinstance(context, int) else 0
        told = first.get("capability")
        upstream.capability = told if told in CAPABILITIES else None
        upstream.dialect = upstream.given or dialect_of(str(first.get("owned_by")))

    async def events(self, url: str, body: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """The data of a stream's events, decoded; ends with `[DONE]` or the stream."""
        import httpx2

        http = self._client()
        raw = msgspec.json.encode(body)
        try:
            async with http.stream("POST", url, content=raw, headers={"Content-Type": "application/json"}) as response:
                if response.status_code != 200:
                    await _refuse(response)
                async for event in httpx2.EventSource(response, max_event_size=MAX_EVENT):
                    if event.data == "[DONE]":
                        return
                    yield _object(event.data)
        except httpx2.RequestError as e:
            raise _broken(e) from e

    async def json(self, method: str, url: str, body: Any = None, *, seconds: float | None = None) -> dict[str, Any]:
        """One request with a JSON answer. seconds: for all of it; None is `silence`."""
        import httpx2

        http = self._client()
        content = None if body is None else msgspec.json.encode(body)
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            async with asyncio.timeout(seconds or self._silence):
                async with http.stream(method, url, content=content, headers=headers) as response:
                    if response.status_code != 200:
                        await _refuse(response)
                    return _object(await response.aread() or b"{}")
        except httpx2.RequestError as e:
            raise _broken(e) from e
        except TimeoutError as e:
            raise UpstreamError(f"no answer within {seconds or self._silence:.0f} s") from e

    def _client(self) -> "httpx2.AsyncClient":
        if self._http is None:
            import httpx2

            self._http = httpx2.AsyncClient(
                headers=self._headers,
                timeout=httpx2.Timeout(self._silence, connect=CONNECT_SECONDS, pool=None),
                limits=httpx2.Limits(max_connections=None, max_keepalive_connections=100),
                mounts=dict.fromkeys(("all://127.0.0.1", "all://localhost", "all://[::1]")),  # no proxy to ourselves
            )
        return self._http


def _broken(error: "httpx2.RequestError") -> UpstreamError:
    import httpx2

    kind = Unreachable if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout) else UpstreamError
    return kind(f"{type(error).__name__}: {error}".rstrip(": "))


async def _refuse(response: "httpx2.Response") -> None:
    """Raises what the server's error means for us."""
    raw = b""
    async for piece in response.aiter_bytes():
        raw += piece
        if len(raw) > ERROR_BYTES:
            break
    error = _error_of(raw)
    status, text = response.status_code, str(error.get("message") or f"HTTP {response.status_code}")
    param, code = (error[k] if isinstance(error.get(k), str) else None for k in ("param", "code"))
    if status == 400 and (code == "context_length_exceeded" or "maximum context length" in text):
        raise ContextLengthExceeded.reported(text)
    if status in (400, 413, 422):
        raise UserError(text, param=param, code=code)
    wait = response.headers.get("retry-after", "")
    raise UpstreamError(text, status=status, retry_after=float(wait) if wait.isdecimal() else None)


def _error_of(raw: bytes) -> dict[str, Any]:
    try:
        body = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return {"message": raw[:300].decode("utf-8", "replace").strip()}
    error = body.get("error", body) if isinstance(body, dict) else body
    return error if isinstance(error, dict) else {"message": str(error)[:300]}


def _object(raw: str | bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as e:
        raise UpstreamError(f"it sent what is not JSON: {e}") from e
