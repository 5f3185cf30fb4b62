"""Few-shot questions to a base model: prompts by hand, log-likelihoods, continuations, bad files."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ponder.core.errors import UserError
from ponder.core.event import TokenLogprob
from ponder.core.params import SamplingParams
from ponder.eval.base.forms import FORMS
from ponder.eval.base.run import ask, loglikelihood, scores_of, split_ids

MMLU = [
    {"question": f" Which is {n}? ", "subject": "high_school_law", "choices": list("wxyz"), "answer": n % 4}
    for n in range(6)
]
GSM8K = [{"question": f"{n}+1?", "answer": f"{n}+1=<<{n}+1={n + 1}>>{n + 1}\n#### {n + 1}"} for n in range(1005, 1011)]
MATH = [{"problem": "Halve 1.", "solution": "It is $\\boxed{\\frac12}$."}] * 5
MGSM = [{"question": f"{n}+1?", "answer": f"Moja. Jibu ni {n + 1}.", "answer_number": n + 1} for n in range(9)]
MBPP = [
    {
        "text": "Add two numbers.",
        "code": "def add(a, b):\n    return a + b",
        "test_list": ["assert add(1, 2) == 3", "assert add(2, 2) == 4", "assert add(0, 0) == 0"],
    }
] * 4
CRUX = [{"code": "def f(x):\n    return [x, 1]", "input": "3", "output": "[3, 1]"}] * 2
ROWS: dict[str, list[dict[str, Any]]] = {
    "mmlu": MMLU,
    "gsm8k": GSM8K,
    "math": MATH,
    "mgsm": MGSM,
    "mbpp": MBPP,
    "cruxeval": CRUX,
}


class Letters:
    """A model whose ids are code points. Each id has the log-prob -1, a letter of `likes` -0.5; every text goes on with
    `says`."""

    def __init__(self, likes: str = "", says: str = "") -> None:
        self.likes, self.says = likes, says
        self.prompts: list[str] = []
        self.sampling: SamplingParams | None = None

    def tokenize(self, text: str) -> list[int]:
        return list(map(ord, text))

    def prompt_logprobs(self, ids: list[int], top: int = 0) -> tuple[TokenLogprob, ...]:
        self.prompts.append("".join(map(chr, ids)))
        return tuple(TokenLogprob(i, b"", -0.5 if chr(i) in self.likes else -1.0) for i in ids[1:])

    def complete(self, prompts: Sequence[str], sampling: SamplingParams) -> list[str]:
        self.prompts += prompts
        self.sampling = sampling
        return [self.says] * len(prompts)


def files(folder: Path, rows: dict[str, list[dict[str, Any]]] = ROWS) -> dict[str, Path]:
    for name, some in rows.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in some))
    return {name: folder / f"{name}.jsonl" for name in rows}


def test_prompts_by_hand() -> None:
    mmlu = FORMS["mmlu"].prompt(MMLU[1], MMLU[:1])
    assert mmlu == (
        "The following are multiple choice questions (with answers) about high school law.\n\n"
        "Which is 0?\nA. w\nB. x\nC. y\nD. z\nAnswer: A\n\nWhich is 1?\nA. w\nB. x\nC. y\nD. z\nAnswer:"
    )
    assert FORMS["gsm8k"].prompt(GSM8K[1], GSM8K[:1]) == (
        "Question: 1005+1?\nAnswer: 1005+1=<<1005+1=1006>>1006\n#### 1006\n\nQuestion: 1006+1?\nAnswer:"
    )
    assert FORMS["mbpp"].prompt(MBPP[0], ()).endswith("assert add(0, 0) == 0\n[BEGIN]\n")
    assert {name: form.shots for name, form in FORMS.items()} == {
        "mmlu": 5,
        "gsm8k": 4,
        "math": 4,
        "mgsm": 8,
        "mbpp": 3,
        "cruxeval": 1,
    }


@pytest.mark.parametrize(
    ("name", "text", "right"),
    [
        ("gsm8k", " 1005+1 is\n#### 1,006.\n", True),
        ("gsm8k", " It is 1006.", False),
        ("gsm8k", " #### 1007", False),
        ("math", " So \\boxed{0.5}.", True),
        ("math", " Final Answer: The final answer is 1/2. I hope it is correct.", True),
        ("math", " So \\boxed{2}.", False),
        ("math", " half", False),
        ("mgsm", " Jibu ni 1.", True),
        ("mgsm", " 1 na 2", False),
        ("mgsm", "", False),
        ("cruxeval", " [3,1]", True),
        ("cruxeval", " [3, 2]", False),
        ("cruxeval", " __import__('os')", False),
    ],
)
def test_what_is_right(name: str, text: str, right: bool) -> None:
    assert FORMS[name].right(ROWS[name][0], text) == right


def test_programs_are_run() -> None:
    assert FORMS["mbpp"].right(MBPP[0], MBPP[0]["code"]) and not FORMS["mbpp"].right(
        MBPP[0], "def add(a, b): return 3\n"
    )


def test_log_likelihoods() -> None:
    model = Letters("B")
    assert split_ids(model, "ab ", "c") == (list(map(ord, "ab")), list(map(ord, " c")))  # blanks belong to the answer
    assert loglikelihood(model, "xyz", " AB") == -2.5
    assert model.prompts[-1] == "xyz AB"


def test_a_model_that_likes_b(tmp_path: Path) -> None:
    found = files(tmp_path)
    answers = ask(Letters("B"), ["mmlu"], found, found, n=4)
    assert [a.ok for a in answers] == [False, True, False, False] and answers[0].logprobs == (-2, -1.5, -2, -2)
    assert scores_of(answers)[0].accuracy.value == 0.25 and scores_of(answers)[0].shots == 5


def test_greedy_continuations(tmp_path: Path) -> None:
    found, model = files(tmp_path), Letters(says=" #### 1006")
    answers = ask(model, ["gsm8k", "cruxeval"], found, found, n=2)
    assert [a.ok for a in answers] == [True, False, False, False]
    assert model.sampling is not None and model.sampling.temperature == 0 and model.sampling.stop == ("[/ANSWER]", "\n")
    assert model.prompts[0].count("Question:") == 5


def test_bad_files(tmp_path: Path) -> None:
    found = files(tmp_path)
    with pytest.raises(UserError, match=r"mmlu, gsm8k.*'arc' is none"):
        ask(Letters(), ["arc"], found, found)
    with pytest.raises(UserError, match="name the file of its shots with --shots gsm8k=FILE"):
        ask(Letters(), ["gsm8k"], found, {})
    with pytest.raises(UserError, match="needs 8 shots, the file has 2"):
        ask(Letters(), ["mgsm"], found, files(tmp_path, {"mgsm": MGSM[:2]}))
    with pytest.raises(UserError, match=r"a row of its data is of another form \(KeyError"):
        ask(Letters(), ["math"], {"math": found["gsm8k"]}, found)
