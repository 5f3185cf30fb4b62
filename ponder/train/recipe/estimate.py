"""What a recipe will take, before it is begun: parameters, ids, memory and minutes of every stage.

    for line in estimate(recipe, nodes, seconds=20): print(line)

Each stage that learns is measured: an untrained model of its shape takes steps on the samples of its first step, and
an engine answers its problems with answers as long as the tasks' own. Text and tokenizer are made, of fewer documents.
Early in training answers are longer than that, and a stage that finds them right sooner has less to do.
"""

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from msgspec.structs import replace

from ponder.engine.token_model import TokenEngine
from ponder.eval.settings import Settings
from ponder.model.config import ModelConfig
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.train.base.join import Join
from ponder.train.base.shards import MakeShards
from ponder.train.batch import micro_batches
from ponder.train.memory import Need, need_of, resident
from ponder.train.recipe.graph import Node
from ponder.train.record.metrics import duration, short
from ponder.train.rollouts.collect import Ask, request_of
from ponder.train.rollouts.hand_over import engine_of
from ponder.train.select.fuse import Fuse
from ponder.train.select.traces import Traces
from ponder.train.stage import Dtype, TextStage
from ponder.train.stages.conversation import likely_said
from ponder.train.stages.evaluate import Evaluate
from ponder.train.stages.model import TakeModel
from ponder.train.stages.pretrain import Pretrain, fresh
from ponder.train.stages.sft import Tune
from ponder.train.stages.text import Levels
from ponder.train.stages.tokenizer import MakeTokenizer, QwenTokenizer, trained
from ponder.train.stages.training import Likely, TrainingStage
from ponder.train.step import StepSettings, Trainer

DOCUMENTS = 2000  # of a text, at most: enough for a tokenizer like the real one
DECODED = 16  # ids of an answer that are timed, at most


class Line(NamedTuple):
    stage: str
    kind: str
    parameters: int | None
    ids: int
    """Computed in all its steps, or answered."""
    memory: int | None
    """Bytes of the process at the peak of a step."""
    seconds: float | None
    """None for what takes no time worth telling."""
    finished: bool

    def cells(self) -> list[str]:
        parameters = "" if self.parameters is None else short(self.parameters)
        memory = "" if self.memory is None else f"{self.memory / 1e9:.2g} GB"
        time = "finished" if self.finished else "" if self.seconds is None else duration(self.seconds)
        return [self.stage, self.kind, parameters, short(self.ids) if self.ids else "", memory, time]


@dataclass
class _Known:
    """What earlier stages have told, by their names."""

    begun: int
    """Bytes of the process before there was a model."""
    texts: dict[str, list[str]] = field(default_factory=dict)
    tokenizers: dict[str, Tokenizer] = field(default_factory=dict)
    shapes: dict[str, ModelConfig] = field(default_factory=dict)
    asked: dict[str, tuple[tuple[str, ...], Levels]] = field(default_factory=dict)
    """Tasks that conversations are about."""


def estimate(nodes: Sequence[Node], seconds: float = 20.0) -> list[Line]:
    """seconds: of measuring, shared by the stages that are not finished."""
    known = _Known(begun=resident())
    timed = [n for n in nodes if isinstance(n.stage, TrainingStage | Evaluate) and not n.finished]
    return [_line(node, known, seconds / max(1, len(timed))) for node in nodes]


def table(lines: Sequence[Line]) -> str:
    head = ["stage", "kind", "parameters", "ids", "memory", "time"]
    rows = [head, *(line.cells() for line in lines)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    text = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    left = sum(line.seconds or 0 for line in lines if not line.finished)
    return "\n".join([*text, f"{duration(left)} in all on this machine as it is now"])


def _line(node: Node, known: _Known, seconds: float) -> Line:
    stage, kind = node.stage, str(node.stage.fields()["kind"])
    parents = stage.parents()
    if isinstance(stage, TextStage):
        known.texts[stage.name] = stage.some(node.seed, DOCUMENTS)
    elif isinstance(stage, Join):
        known.texts[stage.name] = [text for name in stage.from_ for text in known.texts[name]]
    elif isinstance(stage, MakeTokenizer):
        known.tokenizers[stage.name] = trained(known.texts[stage.from_], stage.vocab_size, stage.tasks)
    elif isinstance(stage, QwenTokenizer):
        known.tokenizers[stage.name] = Tokenizer.packaged()
    elif isinstance(stage, MakeShards):
        known.texts[stage.name] = known.texts[stage.from_]
        known.tokenizers[stage.name] = known.tokenizers[stage.tokenizer]
    elif isinstance(stage, TakeModel):
        checkpoint, known.tokenizers[stage.name] = stage.opened()
        known.shapes[stage.name] = checkpoint.config
    elif isinstance(stage, Traces):
        known.asked[stage.name] = stage.tasks, stage.levels
    elif isinstance(stage, Fuse):
        known.asked[stage.name] = _joined([known.asked.get(name, ((), {})) for name in stage.parents()])
    if not isinstance(stage, TrainingStage | Evaluate):
        return Line(stage.name, kind, None, 0, None, None, node.finished)
    source = parents.get("from", stage.name)
    tokenizer = known.tokenizers[parents.get("tokenizer") or parents.get("shards") or source]
    new = stage.model if isinstance(stage, Pretrain) else None
    shape = new.config(tokenizer) if new else known.shapes[source]
    if isinstance(stage, Pretrain) and stage.positions:
        shape = replace(shape, max_position_embeddings=stage.positions)
    known.tokenizers[stage.name], known.shapes[stage.name] = tokenizer, shape
    if isinstance(stage, Tune) and stage.data:  # not there yet: what the tasks themselves would say
        tasks, levels = _joined([known.asked.get(name, ((), {})) for name in stage.data])
        if not tasks:
            return Line(stage.name, kind, shape.parameter_counts().total, 0, None, None, node.finished)
        stage = replace(stage, data=(), tasks=tasks, levels=levels)
    texts = known.texts.get(parents.get("shards") or parents.get("text", ""), [])
    measured = _Measured(shape, tokenizer, node.seed, node.dtype)
    if isinstance(stage, Evaluate):
        ids, time_ = (0, None) if node.finished else measured.evaluation(stage.settings(0))
        return Line(stage.name, kind, measured.parameters, ids, None, time_, node.finished)
    likely = stage.likely(tokenizer, texts, node.seed, shape.max_position_embeddings)
    teacher = known.shapes[parents["teacher"]] if "teacher" in parents else None
    need, step = measured.step(stage, likely, teacher, 0.0 if node.finished else seconds)
    ids = max(sum(map(len, micro)) for micro in micro_batches(likely.samples, stage.max_tokens))
    tokens = stage.steps * sum(map(len, likely.samples))
    return Line(
        stage.name, kind, measured.parameters, tokens, known.begun + need.of(ids), stage.steps * step, node.finished
    )


def _joined(several: Sequence[tuple[tuple[str, ...], Levels]]) -> tuple[tuple[str, ...], Levels]:
    levels: Levels = {}
    for _, more in several:
        levels |= more
    return tuple(dict.fromkeys(name for names, _ in several for name in names)), levels


class _Measured:
    """An untrained model of one shape."""

    def __init__(self, shape: ModelConfig, tokenizer: Tokenizer, seed: int, dtype: Dtype) -> None:
        self._tokenizer, self._seed, self._dtype = tokenizer, seed, dtype
        self._model = fresh(shape, seed, tokenizer, dtype)
        self.parameters = self._model.config.parameter_counts().total

    def step(
        self, stage: TrainingStage, likely: Likely, teacher: ModelConfig | None, seconds: float
    ) -> tuple[Need, float]:
        """Memory, and seconds of a step. seconds: to spend on steps; with 0 none is taken."""
        teaching = None if teacher is None else fresh(teacher, self._seed, self._tokenizer, self._dtype)
        settings = StepSettings(max_tokens=stage.max_tokens, lora=stage.factors())
        trainer = Trainer(self._model, settings, Path(tempfile.gettempdir()), teacher=teaching)
        need = need_of(trainer, likely.samples)
        if not seconds:
            return need, 0.0
        micro = micro_batches(likely.samples, stage.max_tokens)
        trainer.step(micro[0], 0.0)  # the first one makes room
        share = sum(map(len, micro[0])) / sum(map(len, likely.samples))  # the last one is often a small rest
        learning = timed(lambda: trainer.step(micro[0], 0.0), seconds) / share
        if not likely.asks:
            return need, learning
        engine = engine_of(trainer.decoder, self._tokenizer)
        answering = self._answering(engine, likely.asks, likely.answers // len(likely.asks), likely.new_tokens)
        return need, learning + answering

    def evaluation(self, settings: Settings) -> tuple[int, float]:
        """Ids of all answers, and seconds."""
        asks = [
            Ask(task=task, problem=problem, seed=0, thinking=cell.mode == "think")
            for task in settings.found() for problem in settings.problems(task) for cell in settings.cells(task)
        ]  # fmt: skip
        own = [
            sum(likely_said(a.problem, a.task, self._tokenizer, "think" if a.thinking else "no_think")[1])
            for a in asks
        ]  # fmt: skip
        trainer = Trainer(self._model, StepSettings(), Path(tempfile.gettempdir()))
        engine, some = engine_of(trainer.decoder, self._tokenizer), asks[:128]
        time_ = self._answering(engine, some, 1, max(1, sum(own) // len(own)))
        return sum(own) * settings.samples, time_ * len(asks) / len(some) * settings.samples

    def _answering(self, engine: TokenEngine, asks: Sequence[Ask], group: int, new_tokens: int) -> float:
        """Seconds for answers of so many ids."""
        shown = min(DECODED, new_tokens)
        requests = [request_of(ask, self._tokenizer, group=group, max_new_tokens=shown) for ask in asks]
        began = time.monotonic()
        with torch.no_grad():
            engine.sample(requests)
        return (time.monotonic() - began) * new_tokens / shown


def timed(act: Callable[[], object], seconds: float) -> float:
    """Seconds of one, the median of as many as fit, one at least."""
    found: list[float] = []
    while not found or sum(found) + found[-1] < seconds:
        began = time.monotonic()
        act()
        found.append(time.monotonic() - began)
    return sorted(found)[len(found) // 2]
