"""How each benchmark is put to a base model: as the report counts shots, in the words that lm-eval uses.

| form | shots | what is compared |
|---|---|---|
| `mmlu` | 5 | the log-likelihoods of " A", " B", " C", " D" after "Answer:" |
| `gsm8k` | 4 | the number after #### of what is generated |
| `math` | 4 | the box, or what "the final answer is" |
| `mgsm` | 8 | the last number |
| `mbpp` | 3 | the tests of the program |
| `cruxeval` | 1 | the value that a function gives back |

A form turns a row into text, the same for a question and for a shot.
"""

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ponder.tasks.published.mathematics import normal, same
from ponder.tasks.published.programs import HEADER, passes
from ponder.tasks.published.rows import Row
from ponder.tasks.read import BOXED

STRICT = re.compile(r"#### (\-?[0-9\.\,]+)")
NUMBERS = re.compile(r"(-?[$0-9.,]{2,})|(-?[0-9]+)")


@dataclass(frozen=True)
class Form:
    """asks: a row up to where the answer begins. says: the rest of it, in a shot. choices: answers whose
    log-likelihoods are compared; none for generation. until: where a continuation ends. right: whether a continuation
    is. opens: what stands before all of it."""

    name: str
    shots: int
    asks: Callable[[Row], str]
    says: Callable[[Row], str]
    right: Callable[[Row, str], bool]
    choices: tuple[str, ...] = ()
    until: tuple[str, ...] = ()
    tokens: int = 512
    between: str = "\n\n"
    opens: Callable[[Row], str] = lambda row: ""

    def prompt(self, row: Row, shots: Sequence[Row]) -> str:
        return self.opens(row) + "".join(f"{self.asks(s)}{self.says(s)}{self.between}" for s in shots) + self.asks(row)


def right_choice(row: Row) -> int:
    answer = str(row["answer"]).strip()
    return int(answer) if answer.isdigit() else "ABCD".index(answer.upper())


def _mmlu(row: Row) -> str:
    choices = row.get("choices") or [row[letter] for letter in "ABCD"]
    lines = "".join(f"\n{letter}. {choice}" for letter, choice in zip("ABCD", choices))
    return f"{row['question'].strip()}{lines}\nAnswer:"


def _subject(row: Row) -> str:
    subject = str(row.get("subject") or "").replace("_", " ")
    return f"The following are multiple choice questions (with answers) about {subject}.\n\n" if subject else ""


def _number(text: str) -> str:
    return re.sub(r"[,$]", "", text).rstrip(".").strip()


def _gsm8k(row: Row, text: str) -> bool:
    found = STRICT.search(text)
    return found is not None and _number(found[1]) == _number(row["answer"].rpartition("####")[2])


def _mgsm(row: Row, text: str) -> bool:
    found = [a or b for a, b in NUMBERS.findall(text)]
    return bool(found) and _number(found[-1]) == _number(str(row.get("answer_number", row["answer"])))


def _math(row: Row, text: str) -> bool:
    called = re.search(r"[Ff]inal answer is:? ?(.*?)\.? I hope it is correct", text)
    found = BOXED.findall(text)[-1:] or ([called[1]] if called else [])
    key = row.get("answer") or (BOXED.findall(row["solution"]) or [""])[-1]
    return bool(found and key) and same(normal(found[0]), normal(str(key)))


def _mbpp(row: Row) -> str:
    tests = "\n".join(row["test_list"][:3])
    return (
        f"You are an expert Python programmer, and here is your task: {row['text']} "
        f"Your code should pass these tests:\n\n{tests}\n[BEGIN]\n"
    )


def _mbpp_right(row: Row, text: str) -> bool:
    return passes("\n".join([HEADER, text, str(row.get("test_setup_code") or ""), *row["test_list"]]))


def _crux(row: Row) -> str:
    return f"[PYTHON]\n{row['code']}\nassert f({row['input']}) == ??\n[/PYTHON]\n[ANSWER]\nassert f({row['input']}) =="


def _crux_right(row: Row, text: str) -> bool:
    """As values; a text that is none is wrong."""
    try:
        return bool(ast.literal_eval(text.strip()) == ast.literal_eval(row["output"]))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text.strip() == str(row["output"]).strip()


def _never(row: Row, text: str) -> bool:
    raise AssertionError("choices are compared, not read")


FORMS: Mapping[str, Form] = {
    form.name: form
    for form in (
        Form(
            "mmlu",
            5,
            _mmlu,
            lambda row: " " + "ABCD"[right_choice(row)],
            _never,
            (" A", " B", " C", " D"),
            opens=_subject,
        ),
        Form(
            "gsm8k",
            4,
            lambda row: f"Question: {row['question']}\nAnswer:",
            lambda row: f" {row['answer']}",
            _gsm8k,
            until=("Question:", "</s>", "<|im_end|>"),
        ),
        Form(
            "math",
            4,
            lambda row: f"Problem:\n{row['problem']}\n\nSolution:",
            lambda row: f" {row['solution']}",
            _math,
            until=("Problem:",),
            tokens=1024,
        ),
        Form(
            "mgsm",
            8,
            lambda row: f"Question: {row['question']}\nStep-by-Step Answer:",
            lambda row: f" {row['answer']}",
            _mgsm,
            until=("Question:", "</s>", "<|im_end|>"),
        ),
        Form("mbpp", 3, _mbpp, lambda row: f"{row['code']}\n[DONE]", _mbpp_right, until=("[DONE]",)),
        Form(
            "cruxeval",
            1,
            _crux,
            lambda row: f" {row['output']}\n[/ANSWER]",
            _crux_right,
            until=("[/ANSWER]", "\n"),
            tokens=128,
        ),
    )
}
