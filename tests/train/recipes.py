"""Recipes for tests: every kind of stage, with steps that take no time."""

from typing import Any

TASKS = ["count", "reverse"]
LEVELS = {"count": [0, 1, 2], "reverse": [0, 1]}
SHAPE = {"hidden_size": 32, "layers": 2, "heads": 2, "kv_heads": 1, "head_dim": 16, "mlp": 64, "positions": 256}


def text(**more: Any) -> dict[str, Any]:
    return {"name": "text", "kind": "text", "tasks": TASKS, "levels": LEVELS, "documents": 200} | more


def tokenizer(**more: Any) -> dict[str, Any]:
    return {"name": "tokenizer", "kind": "tokenizer", "from": "text", "tasks": TASKS, "vocab_size": 400} | more


def base(**more: Any) -> dict[str, Any]:
    own = {"name": "base", "kind": "pretrain", "text": "text", "tokenizer": "tokenizer", "model": SHAPE}
    return own | {"steps": 8, "batch_tokens": 300, "checkpoint_every": 3} | more


def tuned(**more: Any) -> dict[str, Any]:
    own = {"name": "tuned", "kind": "sft", "from": "base", "tasks": TASKS, "levels": LEVELS}
    return own | {"steps": 4, "batch": 8, "checkpoint_every": 3} | more


def distilled(**more: Any) -> dict[str, Any]:
    own = {"name": "distilled", "kind": "distill", "from": "base", "teacher": "tuned", "tasks": TASKS}
    return own | {"levels": LEVELS, "steps": 2, "problems": 4, "max_new_tokens": 24} | more


def evaluated(**more: Any) -> dict[str, Any]:
    own = {"name": "eval", "kind": "eval", "from": "tuned", "tasks": TASKS, "levels": [0], "n": 2}
    return own | {"budgets": [0, "none"], "max_tokens": 64} | more


def export(**more: Any) -> dict[str, Any]:
    return {"name": "export", "kind": "export", "from": "tuned"} | more


def recipe(*stages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "test", "seed": 3, "stage": list(stages)} | more
