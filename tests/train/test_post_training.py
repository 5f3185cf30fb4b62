"""The four stages of post-training and a student, at the size of a toy: recipes/mini.toml after its base."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import torch

import recipes
from ponder import LLM
from ponder.train.recipe.graph import run
from ponder.train.recipe.read import recipe_of
from ponder.train.recipe.report import write_report
from ponder.train.record.metrics import read
from ponder.train.select import conversations

LEVELS = {"count": [0, 1, 2], "reverse": [0]}
ASKED = {"tasks": recipes.TASKS, "levels": LEVELS}
ROLLS = {**ASKED, "problems": 12, "group": 8, "max_new_tokens": 64, "rate": 3e-4}
SHAPE = {"hidden_size": 64, "layers": 3, "heads": 2, "kv_heads": 1, "head_dim": 32, "mlp": 192, "positions": 512}


def stage(name: str, kind: str, **fields: Any) -> dict[str, Any]:
    return {"name": name, "kind": kind, **fields}


def whole() -> dict[str, Any]:
    return recipes.recipe(
        recipes.text(documents=800, levels=LEVELS),
        recipes.tokenizer(),
        recipes.base(model=SHAPE, steps=40, batch_tokens=2500, rate=3e-3),
        stage("written", "traces", **ASKED, count=300),
        stage("cold", "sft", **{"from": "base"}, data=["written"], steps=110, batch=48, rate=3e-3, decay=50),
        stage("rl", "rl", **{"from": "cold"}, **ROLLS, modes=["think"], steps=4, minibatches=2, no_signal="refill",
              pass_rate=[0.05, 0.95], entropy_target=0.2, overlong=8, measure_every=2, measure_problems=2,
              measure_samples=4),
        stage("thoughts", "traces", **ASKED, teacher="rl", count=40, candidates=4, max_new_tokens=64),
        stage("answers", "traces", **ASKED, mode="no_think", count=300),
        stage("fused", "fuse", thinking=["thoughts", "written"], plain=["answers"], count=600),
        stage("hybrid", "sft", **{"from": "rl"}, data=["fused"], cut=0.3, steps=80, batch=48, rate=3e-3, decay=40),
        stage("general", "rl", **{"from": "hybrid"}, **ROLLS, budgets=[0, 4], steps=2),
        stage("small", "distill", **{"from": "cold"}, teacher="general", **{**ROLLS, "group": 1}, steps=2, top=16,
              teachers={"count": "rl"}, lora={"rank": 4}),
        recipes.evaluated(**{"from": "general"}, levels=[0, 1], n=8, max_tokens=96),
        recipes.export(**{"from": "small"}),
    )  # fmt: skip


@pytest.mark.slow
def test_from_written_thoughts_to_a_student(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    recipe = recipe_of(whole(), "whole")
    nodes = {node.stage.name: node for node in run(recipe, tmp_path, log=io.StringIO())}
    assert all(node.finished for node in nodes.values())
    kept = json.loads((nodes["thoughts"].folder / "selection.json").read_text())
    assert kept["responses"]["kept"] > 0 and kept["responses"]["candidates"] > kept["responses"]["kept"]
    dialogues = conversations.read(nodes["fused"].folder / conversations.CONVERSATIONS)
    assert len(dialogues) == 600 and {len(d.messages) for d in dialogues} >= {2, 4, 6}
    lines = read(nodes["rl"].folder / "metrics.jsonl")
    assert len(lines) == 4 and "validation pass@4" in lines[0] and all("rate count 1" in line for line in lines[::2])
    assert (nodes["small"].folder / "adapter" / "adapter_config.json").exists()
    page = write_report(recipe, list(nodes.values()), tmp_path).read_text()
    assert "accuracy, by TFLOP" in page and "pass at group, by step" in page
    with LLM(nodes["general"].folder / "model") as llm:
        thought = llm.chat("How many r in r a r?", max_tokens=64, temperature=0)
        plain = llm.chat("How many r in r a r? /no_think", max_tokens=64, temperature=0)
    assert thought.message.reasoning and not (plain.message.reasoning or "").strip()
