"""The models that a server offers: loaded when first asked for, unloaded by disuse when memory is short.

A model answers to all that clients may call it: `qwen3:0.6b`, `Qwen/Qwen3-0.6B`, `Qwen3-0.6B`, a path's last part,
and what the operator calls it. A model in use is never unloaded. Loading happens in a thread, one at a time; everybody
who asks meanwhile waits for the same load.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from ponder.core.errors import UserError
from ponder.engine.llm import LLM
from ponder.engine.remote import RemoteModel
from ponder.engine.remote.reply import TokenNames
from ponder.model.hub.registry import quoted
from ponder.model.hub.spellings import Answers, answers_to, asked
from ponder.model.info import ModelInfo
from ponder.server.http.errors import ApiError
from ponder.text.tokenizer.tokenizer import Tokenizer

# of this process, or of other servers: asked the same way, what only one can do is refused by the other (a UserError)
Model = LLM | RemoteModel
Tokens = Tokenizer | TokenNames


@dataclass
class Served:
    """One offered model. llm is None while it is not loaded. needs: the bytes that it will take, known without loading
    it. aliases: further names, which are listed as well. known_as: what it was started with and the like, which it
    answers to. users: requests that attach it now. info: what its files say, once it was loaded; None for a script.
    loading: the task that does it now."""

    name: str
    open: Callable[[], Model]
    needs: Callable[[], int] = lambda: 0
    aliases: tuple[str, ...] = ()
    known_as: tuple[str, ...] = ()
    created: int = field(default_factory=lambda: int(time.time()))
    llm: Model | None = None
    users: int = 0
    used_at: float = 0.0
    loading: asyncio.Task[None] | None = None
    info: ModelInfo | None = None
    answers: Answers = field(init=False)

    def __post_init__(self) -> None:
        self.answers = answers_to(self.name, *self.aliases, *self.known_as)

    def load(self) -> None:
        self.attach(self.open())

    def attach(self, llm: Model) -> None:
        llm.prepare()
        self.info, self.llm = llm.info, llm


class Pool:
    """models: by the name that replies give them; the first is the default. keep: how many may be loaded at once.
    memory: bytes that the loaded ones may take together, None for no limit; needs: what each takes, for that. aliases,
    known_as: of `Served`. any_name: the default answers to a name that no model has, too. opens: a further model by its
    name, as this server was started to open them; None where other servers compute."""

    def __init__(
        self,
        models: dict[str, Callable[[], Model]],
        *,
        keep: int = 1,
        memory: int | None = None,
        needs: Mapping[str, Callable[[], int]] | None = None,
        aliases: Mapping[str, Sequence[str]] | None = None,
        known_as: Mapping[str, Sequence[str]] | None = None,
        any_name: bool = False,
        opens: Callable[[str], Model] | None = None,
    ) -> None:
        if not models:
            raise UserError("a server needs at least one model")
        if keep < 1:
            raise UserError(f"--keep must be at least 1, got {keep}", param="keep")
        more, known = aliases or {}, known_as or {}
        self.models = {
            name: Served(name, opener, aliases=tuple(more.get(name, ())), known_as=tuple(known.get(name, ())))
            for name, opener in models.items()
        }
        for name, bytes_needed in (needs or {}).items():
            self.models[name].needs = bytes_needed
        self.keep, self.memory, self.any_name, self.opens = keep, memory, any_name, opens
        self._loading = asyncio.Lock()

    @property
    def default(self) -> str:
        return next(iter(self.models))

    def find(self, name: str | None) -> Served:
        """Raises ApiError 404 for a name that is not offered. None and "default" are the first model."""
        served = self._called(name)
        if served is None and self.any_name:
            served = self.models[self.default]
        if served is None:
            text = f"model {quoted(str(name))} is not offered here; there are: {', '.join(self.listed())}"
            raise ApiError(404, text, code="model_not_found", param="model")
        return served

    def offers(self, name: str) -> Served | None:
        """By a name of its own."""
        spelt = asked(name)
        return next((s for s in self.models.values() if not s.answers.exact.isdisjoint(spelt)), None)

    def offer(self, name: str) -> None:
        """One model more, which is here by now."""
        if self.opens is not None and self.offers(name) is None:
            self.models[name] = Served(name, partial(self.opens, name))

    def listed(self) -> dict[str, Served]:
        """The models by all names that clients are shown."""
        return {name: served for served in self.models.values() for name in (served.name, *served.aliases)}

    def stand_in(self, name: object) -> tuple[str, ...]:
        """What to say to a request for `name` where another model answers for it."""
        if not self.any_name or not isinstance(name, str) or self._called(name) is not None:
            return ()
        return (f"model {quoted(name)} is not offered here: {self.default} answers",)

    def _called(self, name: str | None) -> Served | None:
        """By a name of its own, or else as a form of the model that is asked for: with both here, each has its own."""
        if name in (None, "", "default"):
            return self.models[self.default]
        if (served := self.offers(str(name))) is not None:
            return served
        spelt = asked(str(name))
        return next((s for s in self.models.values() if not s.answers.form_of.isdisjoint(spelt)), None)

    @contextlib.asynccontextmanager
    async def use(self, name: str | None) -> AsyncIterator[Model]:
        """The model, loaded, and not unloaded as long as the caller is inside."""
        served = self.find(name)
        served.users += 1
        try:
            yield await self._loaded(served)
        finally:
            served.users -= 1
            served.used_at = time.monotonic()

    async def _loaded(self, served: Served) -> Model:
        while served.llm is None:
            if served.loading is None:
                served.loading = asyncio.create_task(self._load(served))
            await asyncio.shield(served.loading)  # who leaves meanwhile must not begin a second load
        return served.llm

    async def _load(self, served: Served) -> None:
        try:
            async with self._loading:
                await self._make_room(served)
                await asyncio.to_thread(served.load)
        finally:
            served.loading = None

    async def _make_room(self, wanted: Served) -> None:
        """Unload what was not used for longest, as long as there is too much. Raises ApiError 503 when what is in use
        leaves no memory."""
        loaded = [s for s in self.models.values() if s.llm is not None]
        idle = sorted((s for s in loaded if s.users == 0), key=lambda s: s.used_at)
        need = 0 if self.memory is None else await asyncio.to_thread(wanted.needs)
        while idle and (len(loaded) >= self.keep or self._over(need, loaded)):
            loaded.remove(idle[0])
            await self._unload(idle.pop(0))
        if self._over(need, loaded):
            busy = ", ".join(s.name for s in loaded) or "nothing"
            text = f"{wanted.name} needs {need / 1e9:.1f} GB of the {(self.memory or 0) / 1e9:.1f} GB there are"
            raise ApiError(503, f"{text}; in use: {busy}", kind="server_error", code="no_memory", retry_after=5)

    def _over(self, need: int, loaded: list[Served]) -> bool:
        return self.memory is not None and need + sum(s.needs() for s in loaded) > self.memory

    async def drop(self, served: Served) -> None:
        """Let go of a broken model, whoever uses it; the next request loads it again."""
        await self._unload(served)

    async def unload(self, name: str | None) -> None:
        """Unload now. Raises ApiError 409 while requests use the model."""
        served = self.find(name)
        if served.users:
            raise ApiError(409, f"{served.name} is answering {served.users} requests", code="model_busy", param="model")
        await self._unload(served)

    async def withdraw(self, served: Served) -> None:
        """Unload it and offer it no longer. Raises ApiError 409 while it is used, or when it is the only one."""
        if len(self.models) == 1:
            text = f"{served.name} is the only model of this server: stop the server first"
            raise ApiError(409, text, code="model_busy", param="model")
        await self.unload(served.name)
        del self.models[served.name]

    async def _unload(self, served: Served) -> None:
        llm, served.llm = served.llm, None
        if llm is not None:
            await asyncio.to_thread(llm.close)

    async def close(self) -> None:
        for served in self.models.values():
            await self._unload(served)
