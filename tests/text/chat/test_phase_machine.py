"""The phase machine: the table of phase.py, and its start from the prompt's ids (RS-1, RS-2)."""

import random

import pytest

from ponder.text.chat.parse import StreamParser
from ponder.text.chat.phase import PhaseMachine, turn_start
from ponder.text.tokenizer.tokenizer import Tokenizer

THINK, END, CALL, END_CALL, OTHER = 151667, 151668, 151657, 151658, 9707
TABLE = {
    "start": {THINK: "reasoning", END: "answer", CALL: "tool_call", END_CALL: "answer", OTHER: "answer"},
    "reasoning": {THINK: "reasoning", END: "answer", CALL: "reasoning", END_CALL: "reasoning", OTHER: "reasoning"},
    "answer": {THINK: "reasoning", END: "answer", CALL: "tool_call", END_CALL: "answer", OTHER: "answer"},
    "tool_call": {THINK: "reasoning", END: "answer", CALL: "tool_call", END_CALL: "answer", OTHER: "tool_call"},
}
REACH = {"start": [], "reasoning": [THINK], "answer": [OTHER], "tool_call": [CALL]}


@pytest.mark.parametrize("phase", TABLE)
def test_every_transition(tok: Tokenizer, phase: str) -> None:
    for id_, after in TABLE[phase].items():
        machine = PhaseMachine(tok)
        for step in REACH[phase]:
            machine.advance(step)
        assert machine.phase == phase
        assert machine.advance(id_) == after == machine.phase


A = "<|im_start|>assistant\n"
PROMPTS = {
    "": "start",
    "Once upon a time": "start",
    "raw <think> completion": "reasoning",
    f"<|im_start|>user\nq<|im_end|>\n{A}": "start",
    f"{A}<think>\n": "reasoning",
    f"{A}<think>\nhm\n": "reasoning",
    f"{A}<think>\n\n</think>\n\n": "answer",
    f"{A}<think>\n\n</think>\n\n<tool_call>\n": "tool_call",
    f"{A}<tool_call>\nx\n</tool_call>": "answer",
    f"{A}The answer": "start",
    f"{A}<think>\nnever closed<|im_end|>\n{A}": "start",
    f"{A}<think>\nnever closed<|im_end|>\n<|im_start|>user\n": "start",
    f"{A}<think>\nnever closed<|im_end|>\n": "start",
    "<|im_start|>user\n<think>": "start",
}


@pytest.mark.parametrize("prompt", PROMPTS)
def test_started_from_the_prompt(tok: Tokenizer, prompt: str) -> None:
    ids = tok.encode(prompt, allow_control=True)
    assert PhaseMachine(tok, ids).phase == PROMPTS[prompt] == StreamParser(tok, ids).phase


def test_parser_and_machine_never_disagree(tok: Tokenizer) -> None:
    r = random.Random(7)
    for _ in range(2000):
        ids = [r.choice([THINK, END, CALL, END_CALL, OTHER, 198, 1]) for _ in range(12)]
        cut = r.randint(0, 12)
        prompt = tok.encode(A, allow_control=True) + ids[:cut]
        machine, parser = PhaseMachine(tok, prompt), StreamParser(tok, prompt)
        assert parser.phase == machine.phase
        for id_ in ids[cut:]:
            machine.advance(id_)
            parser.feed([id_])
            assert parser.phase == machine.phase


def test_a_vocabulary_without_thinking_never_reasons(tok25: Tokenizer) -> None:
    machine = PhaseMachine(tok25, tok25.encode(A, allow_control=True))
    assert [machine.advance(i) for i in (THINK, END, OTHER, CALL, END_CALL)] == [
        "answer", "answer", "answer", "tool_call", "answer",
    ]  # fmt: skip


def test_turn_start(tok: Tokenizer) -> None:
    assert turn_start(tok, tok.encode(A, allow_control=True)) == 2
    assert turn_start(tok, [9707, 11]) == 0
    assert turn_start(tok, tok.encode("<|im_start|>user\nx", allow_control=True)) == 4
