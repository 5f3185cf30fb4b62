"""min_tokens, ignore_eos and stop_token_ids: when a reply may end, and when it must."""

from pathlib import Path
from typing import Any

import pytest

from ponder.core.errors import UserError
from ponder.core.params import Grammar
from ponder.engine.llm import LLM
from ponder.engine.result import Result
from ponder.text.tokenizer.tokenizer import Tokenizer

TOKENIZER = Tokenizer.packaged()
SHORT = "Yes."


def say(folder: Path, text: str = SHORT, *, raw: bool = True, **options: Any) -> Result:
    script = folder / "s.jsonl"
    script.write_text(f'"{text}"\n')
    with LLM(f"scripted:{script}") as llm:
        return llm.generate("x", raw=raw, **options)


def test_no_end_before_min_tokens(tmp_path: Path) -> None:
    usual = say(tmp_path)
    assert (usual.text, usual.finish.reason) == (SHORT, "stop")
    for least in (1, 2, 3, 7, 40):
        result = say(tmp_path, min_tokens=least, max_tokens=50)
        assert len(result.ids) == max(least + 1 if least > 2 else 0, len(usual.ids)), "then it ends at once"
        assert result.text.startswith(SHORT) and result.finish.reason == "stop"


def test_ignore_eos_goes_on_to_max_tokens(tmp_path: Path) -> None:
    for text in (SHORT, "<think>Hm.</think>Yes."):
        result = say(tmp_path, text, ignore_eos=True, max_tokens=30, raw=False)
        assert (len(result.ids), result.finish.reason) == (30, "length")
        assert not set(result.ids) & set(TOKENIZER.eos_ids)


def test_a_grammar_that_is_complete_ends_all_the_same(tmp_path: Path) -> None:
    for more in ({"ignore_eos": True}, {"min_tokens": 20}):
        result = say(tmp_path, grammar=Grammar("choice", '["Yes.", "No."]'), max_tokens=30, **more)
        assert (result.text, result.finish.reason) == (SHORT, "stop")


def test_ids_that_stop_are_no_text_and_leave_thoughts_alone(tmp_path: Path) -> None:
    pad = TOKENIZER.control["<|fim_pad|>"]
    result = say(tmp_path, "a<|fim_pad|>b", stop_token_ids=[pad])
    assert (result.text, result.finish.reason) == ("a", "stop") and result.ids[-1] == pad
    thought = say(tmp_path, "<think>a<|fim_pad|>b</think>Yes<|fim_pad|>No", stop_token_ids=[pad], raw=False)
    assert thought.reasoning is not None and thought.reasoning.endswith("b") and thought.text == "Yes"


@pytest.mark.parametrize(
    ("options", "param"),
    [
        ({"min_tokens": 5, "max_tokens": 3}, "min_tokens"),
        ({"min_tokens": -1}, "min_tokens"),
        ({"stop_token_ids": [10**7]}, "stop_token_ids"),
        ({"stop_token_ids": list(range(65))}, "stop_token_ids"),
    ],
)
def test_what_cannot_be_is_named(tmp_path: Path, options: dict[str, Any], param: str) -> None:
    with pytest.raises(UserError) as error:
        say(tmp_path, **options)
    assert error.value.param == param
