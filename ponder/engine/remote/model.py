"""A model behind one URL or several, as one `ChatModel`.

    model = RemoteModel("http://127.0.0.1:8000/v1", model="Qwen/Qwen3-8B")
    for event in model.stream(ChatRequest(messages=(Message.user("Hello"),))): ...

Every URL is a server with OpenAI's protocol: Ponder, vLLM, SGLang, llama.cpp, Ollama or a cloud. Which it is says its
list of models (`dialect="auto"`), and decides what a request may ask for. Several URLs are a fleet (upstream.py).
"""

import asyncio
import threading
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, NoReturn, Unpack

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from ponder.core.errors import UpstreamError, UserError
from ponder.core.event import Event
from ponder.core.params import Grammar, SamplingParams, Thinking
from ponder.core.protocol import Abilities, Health
from ponder.core.request import ChatRequest
from ponder.engine.decoding.settings import Ceiling, ModelProfile
from ponder.engine.options import SamplingFields, sampling_of, thinking_of
from ponder.engine.remote.call import RemoteCall, RemoteChoice
from ponder.engine.remote.client import Client
from ponder.engine.remote.dialects import Dialect, dialect_named
from ponder.engine.remote.reply import TokenNames
from ponder.engine.remote.request import Outgoing, chat_body, completion_body
from ponder.engine.remote.upstream import Upstream, UpstreamStats, beginning_of, choose, upstreams_of
from ponder.engine.result import Result, choice_of
from ponder.engine.scheduling.handle import Handle
from ponder.engine.scoring.embedding import Pooling
from ponder.text.chat.spans import Rendered
from ponder.text.fill_in import SourceFile

WATCH_SECONDS = 2.0
Build = Callable[[Dialect, str], Outgoing]  # dialect, the model's name there


class RemoteModel:
    """Thread-safe. Implements `ponder.core.protocol.ChatModel`; a server holds it like an `LLM`."""

    info = None
    ceiling = Ceiling()
    note = ""
    warnings: tuple[str, ...] = ()

    def __init__(
        self,
        url: str | Sequence[str],
        *,
        model: str | None = None,
        api_key: str | None = None,
        dialect: str = "auto",
        silence: float = 600.0,
        watch: bool | None = None,
    ) -> None:
        """model: the name that the servers know; None is the first they offer. dialect: "auto", or one of DIALECTS.
        silence: seconds without a byte after which a stream counts as broken. watch: ask the servers every few
        seconds how they are; None does so for a fleet.

        Nothing is sent before the first request. Raises UserError for what is no URL.
        """
        given = None if dialect == "auto" else dialect_named(dialect)
        self._upstreams = upstreams_of([url] if isinstance(url, str) else url, given)
        self._model = model
        self._client = Client(api_key, silence)
        self._watch = len(self._upstreams) > 1 if watch is None else watch
        self._lock = threading.Lock()
        self._closed = self._watching = False
        self.tokenizer = TokenNames()

    # -- what it is -------------------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """Raises UpstreamError when nobody can be asked."""
        return self._model or self._known()[0].models[0]

    @property
    def profile(self) -> ModelProfile:
        """As far as the servers tell: a context of 0 is one that they do not."""
        known = [u for u in self._upstreams if u.dialect is not None]
        capability = next((u.capability for u in known if u.capability), "hybrid")
        context = max((u.context for u in known), default=0)
        return ModelProfile(name=self.name, capability=capability, eos_ids=(), context=context, vocab=0)  # type: ignore[arg-type]

    def offered(self) -> tuple[str, ...]:
        """The models that the servers list. Raises UpstreamError when none can be reached."""
        return tuple(dict.fromkeys(name for u in self._known() for name in u.models))

    def stats(self) -> tuple[UpstreamStats, ...]:
        return tuple(u.stats() for u in self._upstreams)

    def metrics(self) -> Iterator[tuple[str, dict[str, str], Struct]]:
        """(what is counted, its labels, numbers)"""
        yield from (("upstream", {"upstream": s.url}, s) for s in self.stats())

    @property
    def abilities(self) -> Abilities:
        """The defaults: the server that gets a request decides."""
        return Abilities()

    def health(self) -> Health:
        """No trouble while at least one server is up."""
        if any(u.up for u in self._upstreams):
            return Health()
        return Health("; ".join(f"{u.root}: {u.reason}" for u in self._upstreams))

    def in_process(self, what: str) -> NoReturn:
        """Raises UserError for what needs ids. what: begins the sentence."""
        raise UserError(f"{what} needs the model's tokenizer, and this model is computed by another server")

    def prepare(self) -> None:
        """There is nothing to do before the first request."""

    # -- requests ---------------------------------------------------------------------------------------------------

    def stream(self, request: ChatRequest) -> Handle:
        """Start a chat request. Raises UserError for what no server here can do, UpstreamError when none answers."""

        def build(dialect: Dialect, model: str) -> Outgoing:
            return chat_body(request, model, dialect)

        first = next((n for n, m in enumerate(request.messages) if m.role == "user"), 0)
        beginning = [m.text for m in request.messages[: first + 1]]
        return self._start(build, beginning, request.sampling.n)

    def generate_stream(
        self,
        prompt: str | Sequence[int],
        sampling: SamplingParams | None = None,
        *,
        thinking: bool | int | Thinking | None = None,
        grammar: Grammar | None = None,
        allow_control: bool = False,
        raw: bool = False,
        suffix: str | None = None,
        files: Sequence[SourceFile] = (),
        **shorthand: Unpack[SamplingFields],
    ) -> Handle:
        """Continue a raw prompt, text or ids. The options are those of `LLM.generate_stream`; raw: the other server
        says what its text is. Raises UserError for a suffix, whose form is made of ids."""
        if suffix is not None:
            self.in_process("suffix")
        switches, wanted = thinking_of(thinking, None), sampling_of(sampling, {**shorthand})
        given = prompt if isinstance(prompt, str) else list(prompt)

        def build(dialect: Dialect, model: str) -> Outgoing:
            return completion_body(given, wanted, switches, grammar, model, dialect, allow_control=allow_control)

        return self._start(build, [str(given)[:1000]], wanted.n)

    def rendered(self, request: ChatRequest) -> Rendered:
        """Raises UserError: prompts are rendered where the model is."""
        raise UserError("the prompt is rendered by the other server; this one cannot know its ids", param="messages")

    def count_tokens(self, request: ChatRequest) -> int:
        """How many ids the prompt of a request has, where the other server can tell."""
        upstream = self._known()[0]
        if upstream.dialect is None or upstream.dialect.name not in ("ponder", "vllm"):
            raise UserError("the other server does not count the tokens of a prompt", param="messages")
        sent = chat_body(request, self._name_at(upstream), upstream.dialect).body
        body = {key: sent[key] for key in ("model", "messages", "tools", "chat_template_kwargs") if key in sent}
        return int(self._client.run(self._client.json("POST", upstream.root + "/tokenize", body))["count"])

    def embed_with_usage(
        self,
        texts: Sequence[str | Sequence[int]],
        *,
        pooling: Pooling = "last",
        dimensions: int | None = None,
        cut: bool = False,
    ) -> tuple[NDArray[np.float32], int]:
        """Vectors [texts, D] and the number of ids, by the servers' /v1/embeddings. cut: is up to the server."""
        upstream = choose(self._known(), beginning_of(map(str, texts[:1])))
        assert upstream is not None and upstream.dialect is not None
        body: dict[str, Any] = {"model": self._name_at(upstream), "input": list(texts)}
        if dimensions is not None:
            body["dimensions"] = dimensions
        if upstream.dialect.name == "ponder":
            body["pooling"] = pooling
        elif pooling != "last":
            raise UserError(f"pooling: {upstream.dialect.name} pools as its model says", param="pooling")
        reply = self._client.run(self._client.json("POST", upstream.url + "/embeddings", body))
        rows = sorted(reply["data"], key=lambda row: row["index"])
        vectors = np.array([row["embedding"] for row in rows], np.float32)
        return vectors, int((reply.get("usage") or {}).get("prompt_tokens") or 0)

    def result(self, handle: Handle, events: list[list[Event]]) -> Result:
        """What a stream said, gathered. The messages have no ids: a next turn is rendered again."""
        return Result(tuple(choice_of(found, None, ()) for found in events), ())

    def close(self) -> None:
        """Cancel what runs and close the connections. Idempotent."""
        with self._lock:
            self._closed = True
        self._client.close()

    def __enter__(self) -> "RemoteModel":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -- inside -----------------------------------------------------------------------------------------------------

    def _start(self, build: Build, beginning: list[str], choices: int) -> Handle:
        first = self._first(build, self._known())
        hashed = beginning_of([self._model or "", *beginning])

        def choose_next(tried: set[Upstream]) -> Upstream | None:
            return choose((u for u in self._upstreams if u not in tried), hashed)

        def build_for(upstream: Upstream) -> Outgoing:
            assert upstream.dialect is not None
            return build(upstream.dialect, self._name_at(upstream))

        call = RemoteCall(self._client, choose_next, build_for, self.tokenizer, first, choices)

        def cancel(choice: RemoteChoice) -> None:
            self._client.soon(call.cancel, choice)

        def answer_now(choice: RemoteChoice) -> None:
            self._client.soon(call.answer_now)

        self._client.start(call.run())
        return Handle(call.choices, call.channel, cancel, answer_now)

    def _first(self, build: Build, known: list[Upstream]) -> Outgoing:
        """The body for a server that is known. What none of them can do is refused before anything is sent."""
        refused: UserError | None = None
        for upstream in known:
            assert upstream.dialect is not None
            try:
                return build(upstream.dialect, self._name_at(upstream))
            except UserError as e:
                refused = e
        assert refused is not None
        raise refused

    def _known(self) -> list[Upstream]:
        """The servers that have been reached at least once; asks all when there are none. Raises UpstreamError."""
        with self._lock:
            if self._closed:
                raise UserError("this model is closed; make a new RemoteModel")
            if not any(u.dialect for u in self._upstreams):
                self._client.run(self._ask_all())
            if self._watch and not self._watching:
                self._watching = True
                self._client.start(self._look_after())
        if known := [u for u in self._upstreams if u.dialect is not None]:
            return known
        raise UpstreamError("; ".join(f"{u.root}: {u.reason}" for u in self._upstreams))

    async def _ask_all(self) -> None:
        await asyncio.gather(*(self._ask(u) for u in self._upstreams))

    async def _ask(self, upstream: Upstream) -> None:
        """How is it? Who does not answer is left alone for a while."""
        try:
            await self._client.describe(upstream)
            upstream.worked()
        except (UpstreamError, UserError) as e:
            upstream.failed(str(e), at_once=True)

    async def _look_after(self) -> None:
        """For ever: servers that rest are asked when their time has come, the others every few seconds."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            await asyncio.gather(*(self._ask(u) for u in self._upstreams if u.up or u.due))

    def _name_at(self, upstream: Upstream) -> str:
        return self._model or (upstream.models[0] if upstream.models else "default")
