"""Tuning on conversations of a file: they are learned, and a model that thinks goes on thinking (FT-2)."""

import io
from pathlib import Path
from typing import Any

import pytest
import torch
from msgspec import convert
from msgspec.structs import replace

from ponder.core.errors import UserError
from ponder.core.message import Message
from ponder.train.lora.adapter import ADAPTER
from ponder.train.lora.settings import Lora
from ponder.train.record.metrics import read
from ponder.train.rollouts.hand_over import engine_of
from ponder.train.select import conversations, keep
from ponder.train.select.conversations import CONVERSATIONS, Conversation, write
from ponder.train.stage import Context
from ponder.train.stages.conversations import Conversations
from ponder.train.stages.sft import Tune
from ponder.train.step import StepSettings, Trainer
from tests.train.thinker import THINKER, TOKENIZER, request, tuned

ASKED = 60


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A model of both modes, and 200 answers without thoughts."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("stages")
    tuned(folder / "base", digits="357", steps=90, config=replace(THINKER, hidden_size=32, intermediate_size=64))
    (folder / "plain").mkdir()
    told = [Conversation((Message.user(f"{n:04d}?"), Message.assistant("9"))) for n in range(200)]
    write(folder / "plain" / CONVERSATIONS, told)
    return {"from": folder / "base", "plain": folder / "plain"}


def context(folder: Path, stages: dict[str, Path]) -> Context:
    folder.mkdir(exist_ok=True)
    return Context(folder=folder, parents=stages, identity={}, seed=1, out=io.StringIO())


def more(folder: Path, stages: dict[str, Path], **fields: Any) -> Path:
    """200 samples are learned."""
    own = {"name": "more", "from_": "base", "data": ("plain",), "steps": 25, "batch": 8, "rate": 0.003}
    Tune(**{**own, "weight_decay": 0.0, **fields}).run(context(folder, stages))
    return folder


def said(folder: Path, thinking: bool) -> list[str]:
    model = context(folder / "x", {"from": folder}).model()
    engine = engine_of(Trainer(model, StepSettings(), folder).decoder, TOKENIZER)
    [answers] = engine.sample([request("1234?", thinking=thinking, n=ASKED)])
    return [TOKENIZER.decode(c.ids, skip_special=False) for c in answers]


def opened(folder: Path) -> float:
    return sum(s.startswith("<think>") for s in said(folder, True)) / ASKED


def test_thinking_survives_plain_data(stages: dict[str, Path], tmp_path: Path) -> None:
    before = opened(stages["from"])
    assert before > 0.9
    after = more(tmp_path / "more", stages)
    assert opened(after) >= before - 0.05
    nines = [sum(s.startswith("9") for s in said(folder, False)) / ASKED for folder in (stages["from"], after)]
    assert nines[0] == 0 and nines[1] > 0.8, "and what it was told is learned"
    kept = keep.load(after / keep.KEPT)
    assert len(kept) > 150 and all(TOKENIZER.think in ids and not all(counts) for ids, counts in kept)
    assert opened(more(tmp_path / "without", stages, keep=0.0)) < 0.5, "else this test shows nothing"


def test_a_few_conversations_stand_in_it_several_times(stages: dict[str, Path], tmp_path: Path) -> None:
    few = [Conversation((Message.user(f"{n}?"), Message.assistant("9"))) for n in range(2)]
    write(tmp_path / "few.jsonl", few)
    Conversations(name="few", file=str(tmp_path / "few.jsonl"), times=3).run(context(tmp_path / "out", {}))
    assert conversations.read(tmp_path / "out" / CONVERSATIONS) == few * 3
    with pytest.raises(UserError, match="1 or more"):
        Conversations(name="few", file="few.jsonl", times=0)


@pytest.mark.slow
def test_factors_learn_it_too_and_leave_an_adapter(stages: dict[str, Path], tmp_path: Path) -> None:
    folder = more(tmp_path / "more", stages, lora=Lora(rank=4), rate=0.01, steps=30)
    assert (folder / ADAPTER / "adapter_config.json").exists()
    assert opened(folder) >= 0.9 and sum(s.startswith("9") for s in said(folder, False)) / ASKED > 0.5


def test_every_answer_once_in_a_round(stages: dict[str, Path], tmp_path: Path) -> None:
    folder = more(tmp_path / "more", stages, steps=2, keep=0.0)
    assert len(read(folder / "metrics.jsonl")) == 2
    stage = Tune(name="more", from_="base", data=("plain",), steps=50, batch=8)
    told = [([n, n], [False, True]) for n in range(200)]
    rounds = stage._rounds(told, 1, TOKENIZER)
    seen = [int(sample.ids[0]) for step in range(25) for sample in rounds(step).samples]
    assert sorted(seen) == list(range(200)) and seen != sorted(seen)


def test_a_conversation_longer_than_the_model_is_named(stages: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "long").mkdir()
    write(tmp_path / "long" / CONVERSATIONS, [Conversation((Message.user("a" * 600), Message.assistant("b")))])
    with pytest.raises(UserError, match=r"conversation 1 of plain has 6\d\d ids, the model 512 positions"):
        more(tmp_path / "more", stages | {"plain": tmp_path / "long"})


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({}, "name the one"),
        ({"tasks": ["count"], "data": ["a"]}, "name the one"),
        ({"data": ["a"], "keep": 2}, "shares"),
    ],
)
def test_what_cannot_be_is_refused(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        convert({"kind": "sft", "name": "x", "from": "base", "steps": 1, **fields}, Tune)
