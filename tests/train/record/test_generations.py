"""What a model says while it learns, kept so that people can read it."""

import json

from ponder.core.message import Message
from ponder.core.sample import Continuation, Problem, Rollout, Verdict
from ponder.train.record import generations
from tests.train.thinker import TOKENIZER


def rollout(said: str, reward: float) -> Rollout:
    ids = tuple(TOKENIZER.encode(said))
    problem = Problem(id="1", task="digit", split="train", level=2, messages=(Message.user("Which?"),))
    one = Continuation(ids=ids, writers=("model",) * len(ids), finish="stop")
    verdict = Verdict(reward=reward, ok=reward == 1)
    return Rollout(problem=problem, prompt_ids=(TOKENIZER.think or 0,), continuation=one, verdict=verdict)


def test_answers_are_kept_with_their_tags_a_file_a_step(tmp_path):
    assert generations.newest(tmp_path) is None
    generations.write(tmp_path, 5, [rollout("7", 1.0)], TOKENIZER)
    generations.write(tmp_path, 10, [rollout("é7", 0.5), rollout("8", 0.0)], TOKENIZER)
    generations.write(tmp_path, 10, [rollout("é7", 0.5)], TOKENIZER)  # the step was computed again
    generations.write(tmp_path, 15, [], TOKENIZER)
    step, [told] = generations.newest(tmp_path) or ("", [])
    assert step == "step-000010"
    assert told == {"task": "digit", "level": 2, "question": "Which?", "prompt": "<think>", "said": "é7",
                    "reward": 0.5, "status": "graded"}  # fmt: skip
    first = (tmp_path / "generations" / "step-000005.jsonl").read_text()
    assert json.loads(first)["said"] == "7"
