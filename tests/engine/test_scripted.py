"""The scripted model: the file's forms, its errors, and where it goes on after what was really sampled."""

from pathlib import Path

import pytest
from engine_tools import HANDOVER, TOKENIZER, scripted

from ponder.core.errors import LoadError
from ponder.engine.llm import LLM

THINK, END = TOKENIZER.think, TOKENIZER.end_think


def write(tmp_path: Path, *lines: str) -> str:
    path = tmp_path / "script.jsonl"
    path.write_text("\n".join(lines), "utf-8")
    return f"scripted:{path}"


def test_every_form_of_a_line_in_order_and_over_again(tmp_path: Path) -> None:
    name = write(tmp_path, '"one\u2028"', '{"text": "two"}', "[27856]", '{"ids": [34024]}', "", '{"text": "five 👋"}')
    with LLM(name) as llm:
        said = [llm.chat("x").text for _ in range(6)]
    assert said == ["one\u2028", "two", TOKENIZER.decode([27856]), TOKENIZER.decode([34024]), "five 👋", "one\u2028"]


def test_each_choice_takes_a_reply(tmp_path: Path) -> None:
    with LLM(write(tmp_path, '"a"', '"b"', '"c"')) as llm:
        assert [c.text for c in llm.chat("x", n=2).choices] == ["a", "b"]
        assert llm.chat("x").text == "c"


def test_model_line(tmp_path: Path) -> None:
    name = write(tmp_path, '{"model": {"capability": "instruct", "context": 99, "vocab": "qwen2.5"}}', '"hi"')
    with LLM(name) as llm:
        assert (llm.profile.capability, llm.profile.context) == ("instruct", 99)
        assert llm.chat("x").message.ids == (*TOKENIZER.encode("hi"), TOKENIZER.im_end)
        assert llm.tokenizer.think is None


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 2"),
        ('{"txt": "a"}', "txt"),
        ('{"text": "a", "ids": [1]}', "either"),
        ("{}", "either"),
        ("3", "line 2"),
        ("[999999]", "999999"),
        ('{"ids": ["a"]}', "line 2"),
        ('{"text": "", "eos": false}', "repeat"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(LoadError, match=message):
        LLM(write(tmp_path, '"fine"', line))


def test_no_file_and_no_replies(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"nowhere\.jsonl"):
        LLM(f"scripted:{tmp_path}/nowhere.jsonl")
    with pytest.raises(LoadError, match="no replies"):
        LLM(write(tmp_path, ""))


@pytest.mark.parametrize(
    "sampling",
    [
        {},
        {"temperature": 0},
        {"temperature": 2.0, "top_k": 0, "top_p": 1.0},
        {"presence_penalty": 2.0, "frequency_penalty": 2.0, "repetition_penalty": 1.5},
    ],
    ids=str,
)
def test_any_sampling_follows_the_script(sampling: dict[str, float]) -> None:
    text = "no no no no, " * 3 + "yes."
    with scripted([text]) as llm:
        assert llm.chat("x", seed=3, **sampling).text == text


def test_a_masked_id_falls_through_to_the_next() -> None:
    with scripted([[THINK, *TOKENIZER.encode("Hi")]]) as llm:
        assert llm.chat("x", thinking=False).text == "Hi"  # <think> is masked in the answer


def test_a_model_that_may_not_think_answers() -> None:
    """Its thought is not its answer."""
    with scripted(["<think>\nHm.\n</think>\n\nYes."]) as llm:
        off, on = llm.chat("x", thinking=False), llm.chat("x")
        assert (off.reasoning, off.text) == (None, "Yes.") and (on.reasoning, on.text) == ("Hm.", "Yes.")


def test_goes_on_behind_its_own_end_of_thought_after_a_hand_over() -> None:
    with scripted(["<think>\na b c d e f g h\n</think>\n\nThe answer."]) as llm:
        result = llm.chat("x", budget=3)
    assert result.text == "The answer."
    assert result.ids == (
        *(THINK, *TOKENIZER.encode("\na b")),
        *(*HANDOVER, END, *TOKENIZER.encode("\n\n")),
        *(*TOKENIZER.encode("The answer."), TOKENIZER.im_end),
    )


def test_answer_key_and_plain_going_on_after_a_hand_over() -> None:
    endless = {"text": "<think>\nI see a dog", "eos": False}
    with scripted([{**endless, "answer": "42"}, endless]) as llm:
        assert llm.chat("x", budget=40).text == "42"
        assert llm.chat("x", budget=3, max_tokens=60).text.startswith(" a dog\nI see a dog\nI see")


def test_end_id_replaced_by_a_hand_over_is_skipped() -> None:
    script = [THINK, *TOKENIZER.encode("\nhm"), TOKENIZER.im_end, *TOKENIZER.encode("Late.")]
    with scripted([script]) as llm:
        result = llm.chat("x")
    assert (result.text, result.finish.handover) == ("Late.", "eos")


@pytest.mark.flaky(reruns=2)  # judges time
def test_delay(tmp_path: Path) -> None:
    with LLM(write(tmp_path, '{"text": "a b c", "delay_ms": 30}')) as llm:
        handle = llm.chat_stream("x")
        assert len(list(handle)) == 4
    assert 0.03 <= handle.timings().per_id_s < 0.2
