"""Dialogues of both modes: the newest flag holds, and what is learned of each turn is what it asks for."""

import io
from pathlib import Path
from typing import Any

import pytest
from msgspec import convert

from ponder.core.errors import UserError
from ponder.core.message import Message
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.train.select import conversations
from ponder.train.select.conversations import CONVERSATIONS, Conversation
from ponder.train.select.fuse import Fuse
from ponder.train.stage import Context

THOUGHTS = [Conversation((Message.user(f"t{n}"), Message.assistant(f"a{n}", reasoning=f"r{n}"))) for n in range(9)]
PLAIN = [Conversation((Message.user(f"p{n}"), Message.assistant(f"b{n}"))) for n in range(9)]


def fused(folder: Path, thoughts: list[Conversation], plain: list[Conversation], **fields: Any) -> list[Conversation]:
    parents = {}
    for name, made in (("t", thoughts), ("p", plain)):
        (folder / name).mkdir(parents=True)
        conversations.write(folder / name / CONVERSATIONS, made)
        parents[name] = folder / name
    (folder / "out").mkdir()
    stage = convert({"kind": "fuse", "name": "f", "thinking": ["t"], "plain": ["p"], "count": 400} | fields, Fuse)
    stage.run(Context(folder=folder / "out", parents=parents, identity={}, seed=1, out=io.StringIO()))
    return conversations.read(folder / "out" / CONVERSATIONS)


def test_the_newest_flag_says_what_each_answer_is(tmp_path: Path) -> None:
    made = fused(tmp_path, THOUGHTS, PLAIN)
    flags = {"/think": 0, "/no_think": 0, "system": 0, "none": 0, "hard": 0, "several": 0}
    for dialogue in made:
        thinks = True
        asked = [m for m in dialogue.messages if m.role == "user"]
        flags["several"] += len({m.text.partition(" ")[2] for m in asked}) > 1
        if dialogue.messages[-1].reasoning is None:  # the hard switch
            assert len(dialogue.messages) == 2 and "/" not in asked[0].text
            flags["hard"] += 1
            continue
        for message in dialogue.messages:
            flag = message.text.partition("/")[2] if message.role != "assistant" else ""
            thinks = flag == "think" if flag else thinks
            if message.role == "assistant":
                assert bool(message.reasoning) == thinks and message.reasoning is not None
            elif message.role == "system":
                flags["system"] += 1
            else:
                flags[f"/{flag}" if flag else "none"] += 1
    assert len(made) == 400 and min(flags.values()) > 15, flags


def test_the_empty_block_is_learned_behind_a_flag_and_read_without_one(tmp_path: Path) -> None:
    tokenizer = Tokenizer.packaged()
    learned = set()
    for dialogue in fused(tmp_path, THOUGHTS[:1], PLAIN[:1], several=0.0, system=0.0):
        [(ids, counts)] = conversations.samples(dialogue, tokenizer)
        text = tokenizer.decode([i for i, c in zip(ids, counts, strict=True) if c], skip_special=False)
        learned.add((dialogue.messages[0].text, text))
    assert learned == {
        ("t0", "<think>\nr0\n</think>\n\na0<|im_end|>"),
        ("t0 /think", "<think>\nr0\n</think>\n\na0<|im_end|>"),
        ("p0 /no_think", "<think>\n\n</think>\n\nb0<|im_end|>"),
        ("p0", "b0<|im_end|>"),
    }


def test_longer_conversations_stay_as_they_are(tmp_path: Path) -> None:
    long = Conversation((*PLAIN[0].messages, *PLAIN[1].messages))
    made = fused(tmp_path, THOUGHTS, [long], count=60)
    assert long in made and all(long == c or "p0" not in c.messages[0].text for c in made)


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="among t has no thoughts"):
        fused(tmp_path / "a", PLAIN, PLAIN)
    with pytest.raises(UserError, match="among p has thoughts"):
        fused(tmp_path / "b", THOUGHTS, THOUGHTS)
    with pytest.raises(ValueError, match="shares: 0 to 1"):
        fused(tmp_path / "c", THOUGHTS, PLAIN, hard=2)
    with pytest.raises(ValueError, match="one dialogue or more"):
        fused(tmp_path / "d", THOUGHTS, PLAIN, count=0)
