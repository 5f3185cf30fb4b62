"""Learning from use: only what is named and was not rated down, tried beside the old model, used only when agreed."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from ponder.agent.loop.session import Session
from ponder.core.errors import UserError
from ponder.core.message import Message
from ponder.model.formats.adapter import with_adapter
from ponder.model.load import open_checkpoint
from ponder.train.learn.adapter import BEFORE, Tried, learn
from ponder.train.learn.sessions import taken
from ponder.train.lora.adapter import ADAPTER
from tests.train.thinker import tuned


def said(n: int, answer: str = "9", **more: Any) -> str:
    raw = [
        {"role": "user", "content": f"{n:04d}?"},
        {"role": "assistant", "reasoning_content": "hm", "content": answer},
    ]
    return json.dumps({"messages": raw, **more})


def test_what_is_taken_of_a_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "notes.jsonl"
    path.write_text("\n".join([said(1), said(2, rating="down"), said(3, rating="up"), said(4, "8", edited="better")]))
    found, told = taken(path)
    assert [c.messages[0].text for c in found] == ["0001?", "0003?", "0004?"]
    assert found[-1].messages[-1] == Message.assistant("better")
    assert "3 conversations, 1 of them edited; 1 rated down" in told
    with Session(tmp_path / "trip.jsonl") as session:
        session.begin([Message.user("hi"), Message.assistant("hello", ids=(1, 2, 3)), Message.user("and?")])
    found, told = taken(tmp_path / "trip.jsonl")
    assert [m.text for m in found[0].messages] == ["hi", "hello"] and "1 answers, 1 with their own ids" in told


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (said(1, rating=5), 'a rating is "up" or "down", not 5'),
        (said(1, edited=" "), "must be the better answer"),
        ("{", "line 1: Expecting"),
        ('{"messages": []}', "line 1: no message is the assistant's"),
    ],
)
def test_bad_lines_are_named(line: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text(line)
    with pytest.raises(UserError, match=why):
        taken(tmp_path / "bad.jsonl")


def test_an_adapter_is_tried_and_used_only_when_agreed(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    tuned(tmp_path / "base", digits="357", steps=60)
    path, base = tmp_path / "notes.jsonl", str(tmp_path / "base" / "model")
    path.write_text("\n".join(said(n) for n in range(30)))
    log, seen = io.StringIO(), list[Tried]()

    def again(agree: bool, steps: int) -> Path | None:
        def agreed(tried: Tried) -> bool:
            seen.append(tried)
            return agree

        return learn(base, [path], tmp_path / "out", steps=steps, rank=4, rate=0.02, log=log, agreed=agreed)

    assert again(False, 12) is None and not (tmp_path / "out" / ADAPTER).exists()
    assert seen[0].after < seen[0].before - 0.2 and seen[0].answers == 6
    assert f"{path}: 30 conversations" in log.getvalue()
    used = again(True, 4)
    assert used == tmp_path / "out" / ADAPTER and not (tmp_path / "out" / BEFORE).exists()
    assert with_adapter(open_checkpoint(base), used).adapter == ADAPTER
    before = (used / "adapter_model.safetensors").read_bytes()
    assert again(True, 5) == used
    assert (tmp_path / "out" / BEFORE / "adapter_model.safetensors").read_bytes() == before
    path.write_text(said(1))
    with pytest.raises(UserError, match="1 conversations are too few"):
        again(True, 1)
