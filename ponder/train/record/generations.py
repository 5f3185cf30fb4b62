"""What a model says while it learns: a few answers at every `checkpoint_every`-th step, a file a step.

    generations/step-000100.jsonl       one answer a line: question, prompt and answer with all tags, reward

A step that is computed again writes the same file again, so that a run that goes on leaves nothing twice.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from ponder.core.atomic import replacing
from ponder.core.sample import Rollout
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.train.record.metrics import by_step

FOLDER = "generations"
Generation = dict[str, str | int | float]


def write(folder: Path, step: int, rollouts: Iterable[Rollout], tokenizer: Tokenizer) -> None:
    """folder: of the stage."""
    lines = [json.dumps(generation_of(r, tokenizer), ensure_ascii=False) for r in rollouts]
    if not lines:
        return
    (folder / FOLDER).mkdir(exist_ok=True)
    with replacing(folder / FOLDER / f"step-{step:06d}.jsonl") as file:
        file.write("\n".join([*lines, ""]).encode())


def generation_of(rollout: Rollout, tokenizer: Tokenizer) -> Generation:
    verdict = rollout.verdict
    assert verdict is not None
    return {
        "task": rollout.problem.task, "level": rollout.problem.level, "question": rollout.problem.messages[-1].text,
        "prompt": tokenizer.decode(rollout.prompt_ids, skip_special=False),
        "said": tokenizer.decode(rollout.continuation.ids, skip_special=False),
        "reward": verdict.reward, "status": verdict.status,
    }  # fmt: skip


def newest(folder: Path) -> tuple[str, list[Generation]] | None:
    """(name of the step, what was said), of a stage's folder."""
    files = by_step((folder / FOLDER).glob("step-*.jsonl"))
    if not files:
        return None
    return files[-1].stem, [json.loads(line) for line in files[-1].read_text("utf-8").splitlines()]
