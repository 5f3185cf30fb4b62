"""Helpers of the engine tests: a scripted model whose cache has a memory, and one with random weights."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from ponder.core.event import Event, Finish, ReasoningDelta, TextDelta
from ponder.core.params import Capability
from ponder.engine.decoding.settings import ModelProfile
from ponder.engine.llm import LLM
from ponder.engine.loaded import Loaded
from ponder.engine.scheduling.drafter import Drafter
from ponder.engine.scheduling.engine import BURST, Engine
from ponder.engine.scheduling.runner import ModelRunner
from ponder.engine.scheduling.scheduler import Work
from ponder.engine.scripted import Script, ScriptedModel, ScriptedReply, ScriptedRunner
from ponder.kernels.native import NativeOps
from ponder.model.config import PRESETS
from ponder.model.model import Model
from ponder.model.weights.build import build, random_checkpoint
from ponder.text.tokenizer.tokenizer import Tokenizer

TOKENIZER = Tokenizer.packaged()
HANDOVER = TOKENIZER.encode(
    "\n\nConsidering the limited time by the user, I have to give the solution based on the thinking directly now.\n"
)
ReplyLike = str | list[int] | dict[str, Any]


class RememberingRunner(ScriptedRunner):
    """Writes each id where its keys would be, and reads the whole sequence back before each logits: what attention
    does. `refuse(sequence)` makes a step that holds this sequence raise."""

    refuse: Callable[[Any], bool] = staticmethod(lambda sequence: False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.memory: NDArray[np.int64] = np.full((self.blocks, self.block_size), -1)

    def run(self, work: list[Work]) -> NDArray[np.float32]:
        for item in work:
            if self.refuse(item.sequence):
                raise RuntimeError(f"poisoned: {item.sequence.serial}")
        for item in work:
            table = np.array(item.sequence.table.blocks)
            at = np.arange(item.start, item.end)
            self.memory[table[at // self.block_size], at % self.block_size] = item.ids
            fed = [*item.sequence.ids, *item.draft][: item.end]
            assert self.held(item.sequence, item.end) == fed, "the cache holds other ids"
        return super().run(work)

    def held(self, sequence: Any, count: int) -> list[int]:
        flat = self.memory[sequence.table.blocks].reshape(-1)
        return [int(i) for i in flat[:count]]

    def copy_block(self, source: int, target: int) -> None:
        self.memory[target] = self.memory[source]


def scripted(
    replies: Sequence[ReplyLike],
    *,
    blocks: int = 2048,
    block_size: int = 16,
    max_batch: int = 32,
    chunk: int = 256,
    burst: float = BURST,
    background: bool = True,
    model: dict[str, Any] | None = None,
    drafter: Drafter | None = None,
) -> LLM:
    """An LLM that says these replies in order."""

    def reply(raw: ReplyLike) -> ScriptedReply:
        if isinstance(raw, dict):
            return msgspec.convert(raw, ScriptedReply)
        return ScriptedReply(text=raw) if isinstance(raw, str) else ScriptedReply(ids=tuple(raw))

    script = Script(msgspec.convert(model or {}, ScriptedModel), tuple(map(reply, replies)))
    runner = RememberingRunner(script, TOKENIZER, blocks, block_size)
    engine = Engine(runner, max_batch=max_batch, chunk=chunk, drafter=drafter, burst=burst, background=background)
    return _llm(engine, drafter, "scripted", script.model.capability)


def _llm(engine: Engine, drafter: Drafter | None, name: str, capability: Capability) -> LLM:
    context, vocab = engine.runner.context, TOKENIZER.vocab_size
    profile = ModelProfile(name=name, capability=capability, eos_ids=TOKENIZER.eos_ids, context=context, vocab=vocab)
    llm = LLM(Loaded(engine.runner, TOKENIZER, profile, "qwen3", drafter=drafter))
    llm.engine = engine
    return llm


def tiny_model(context: int = 512, dtype: str = "f32") -> Model:
    """Random weights, Qwen's vocabulary: small enough for hundreds of steps a second."""
    config = msgspec.structs.replace(
        PRESETS["tiny"], vocab_size=151936, max_position_embeddings=context, initializer_range=0.5
    )
    return build(random_checkpoint(config), NativeOps(), dtype)


def tiny(
    model: Model,
    *,
    blocks: int = 256,
    max_batch: int = 32,
    chunk: int = 256,
    block_size: int = 16,
    kv: str = "f32",
    drafter: Drafter | None = None,
    background: bool = True,
    burst: float = BURST,
) -> LLM:
    runner = ModelRunner(model, max_batch=max_batch, blocks=blocks, kv_dtype=kv, block_size=block_size)
    engine = Engine(runner, max_batch=max_batch, chunk=chunk, drafter=drafter, burst=burst, background=background)
    return _llm(engine, drafter, "tiny", "hybrid")


def run_all(llm: LLM) -> None:
    """Drive an engine without a thread until it is idle."""
    while llm.engine.step():
        pass


def texts(events: Sequence[Event]) -> tuple[str, str, Finish]:
    """(reasoning, answer, finish)"""
    finish = events[-1]
    assert isinstance(finish, Finish)
    return (
        "".join(e.text for e in events if isinstance(e, ReasoningDelta)),
        "".join(e.text for e in events if isinstance(e, TextDelta)),
        finish,
    )


def assert_all_back(llm: LLM) -> None:
    """No slot and no block is held by anybody."""
    scheduler, pool = llm.engine.scheduler, llm.engine.pool
    pool.check()
    assert not scheduler.running and not scheduler.waiting
    assert pool.available == pool.count and not any(pool.refs)
