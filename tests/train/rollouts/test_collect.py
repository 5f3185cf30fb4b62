"""Problems are rendered, answered and graded; what a verifier fails on is kept."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from ponder.core.errors import UserError
from ponder.core.sample import Continuation, Problem, Verdict
from ponder.core.token_model import TokenRequest
from ponder.tasks.labelled import VerifierError
from ponder.train.rollouts.collect import FAILED, Ask, request_of, roll_out
from tests.train.thinker import TOKENIZER, Digit

TASK = Digit()
PROBLEM = TASK.problem("0001", 0, "train")
HAND_OVER = "out of time\n</think>\n\n"


class Says:
    """A model that says these texts, one for each choice of every request; `~` begins and ends a hand-over."""

    weights_version = 3

    def __init__(self, *texts: str, finish: str = "stop") -> None:
        self.texts, self.finish = texts, finish
        self.asked: list[TokenRequest] = []

    def weights_changed(self) -> int:
        return self.weights_version

    def sample(self, requests: Sequence[TokenRequest]) -> list[tuple[Continuation, ...]]:
        self.asked += requests
        return [tuple(self.said(text) for text in self.texts) for _ in requests]

    def said(self, text: str) -> Continuation:
        ids, writers = [], []
        for n, part in enumerate(text.split("~")):
            new = TOKENIZER.encode(part, allow_control=True)
            ids += new
            writers += ["hand_over" if n % 2 else "model"] * len(new)
        return Continuation(ids=tuple(ids), writers=tuple(writers), finish=self.finish)  # type: ignore[arg-type]


def statuses(model: Says, folder: Path, *, thinking: bool = True) -> list[tuple[str, float]]:
    ask = Ask(task=TASK, problem=PROBLEM, seed=1, thinking=thinking)
    [group] = roll_out(model, TOKENIZER, [ask], group=len(model.texts), max_new_tokens=9, folder=folder)
    return [(r.verdict.status, r.verdict.reward) for r in group if r.verdict is not None]


def test_only_the_answer_phase_is_graded(tmp_path: Path) -> None:
    model = Says("<think>\n3\n</think>\n\n7<|im_end|>", "<think>\n7\n</think>\n\n3<|im_end|>", "7<|im_end|>",
                 "<think>\n7\n</think>\n\nseven<|im_end|>", f"<think>\n3~{HAND_OVER}~7<|im_end|>")  # fmt: skip
    assert statuses(model, tmp_path) == [
        ("graded", 1.0), ("graded", 0.0), ("graded", 1.0), ("unparsed", 0.0), ("graded", 1.0)
    ]  # fmt: skip
    assert statuses(Says("7<|im_end|>"), tmp_path, thinking=False) == [("graded", 1.0)]


def test_thoughts_without_an_end_and_cut_answers_are_truncated(tmp_path: Path) -> None:
    for model in (Says("<think>\n7"), Says("<think>\n7\n</think>\n\n<|im_end|>"), Says("7", finish="length"),
                  Says("<think>\n7", finish="length")):  # fmt: skip
        assert statuses(model, tmp_path) == [("truncated", 0.0)]


def test_requests_are_drawn_from_the_whole_distribution_in_the_wanted_mode() -> None:
    thought = request_of(Ask(task=TASK, problem=PROBLEM, seed=5, budget=4), TOKENIZER, group=8, max_new_tokens=9)
    plain = request_of(Ask(task=TASK, problem=PROBLEM, seed=5, thinking=False), TOKENIZER, group=2, max_new_tokens=9)
    sampling = thought.sampling
    assert (sampling.temperature, sampling.top_k, sampling.top_p, sampling.min_p) == (1, 0, 1, 0)
    assert (sampling.n, sampling.seed, sampling.max_tokens, thought.thinking.budget) == (8, 5, 9, 4)
    assert TOKENIZER.decode(thought.prompt_ids).endswith("assistant\n")
    assert TOKENIZER.decode(plain.prompt_ids).endswith("<think>\n\n</think>\n\n") and plain.thinking.enabled is False
    with pytest.raises(UserError, match="budget belongs"):
        Ask(task=TASK, problem=PROBLEM, seed=5, thinking=False, budget=4)


class Broken(Digit):
    def verify(self, problem: Problem, text: str) -> Verdict:
        raise ValueError("no such thing")


def test_a_verifier_that_raises_stops_the_run_and_the_problem_is_kept(tmp_path: Path) -> None:
    ask = Ask(task=Broken(), problem=PROBLEM, seed=1)
    with pytest.raises(VerifierError, match=FAILED):
        roll_out(Says("7<|im_end|>"), TOKENIZER, [ask], group=1, max_new_tokens=9, folder=tmp_path / "new")
    kept = json.loads((tmp_path / "new" / FAILED).read_text())
    assert kept["problem"] == "0001" and kept["answer"] == "7" and "no such thing" in kept["error"]
    assert kept["ids"] == TOKENIZER.encode("7<|im_end|>", allow_control=True)
