"""Which ids of a conversation are learned, and how a cut thought looks."""

import random

import pytest

from ponder.core.sample import Problem
from ponder.engine.decoding.thinking_budget import handover_ids
from ponder.tasks.table import TASKS
from ponder.text.chat.render import render
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.train.recipe.inspect import parts
from ponder.train.stages.conversation import conversation, cut_short, sample_of

COUNT = TASKS["count"]
QUESTION = "<|im_start|>user\nHow many r in r a r?{}<|im_end|>\n<|im_start|>assistant\n"


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return Tokenizer.packaged()


@pytest.fixture(scope="module")
def problem() -> Problem:
    return COUNT.problem("r in rar", 1, "train")


@pytest.mark.parametrize(
    ("mode", "switch", "read", "learned"),
    [
        ("think", False, QUESTION.format(""), "<think>\nr: r1 a1 r2\n</think>\n\n2<|im_end|>"),
        ("think", True, QUESTION.format(" /think"), "<think>\nr: r1 a1 r2\n</think>\n\n2<|im_end|>"),
        ("no_think", False, QUESTION.format("") + "<think>\n\n</think>\n\n", "2<|im_end|>"),
        ("no_think", True, QUESTION.format(" /no_think"), "<think>\n\n</think>\n\n2<|im_end|>"),
    ],
)
def test_what_is_learned_of_each_mode(tokenizer, problem, mode, switch, read, learned):
    sample = sample_of(*conversation(problem, COUNT, tokenizer, mode, switch=switch))
    assert list(parts(sample, tokenizer)) == [(read, False), (learned, True), ("\n", False)]


@pytest.mark.parametrize("mode", ["think", "no_think"])
def test_a_prompt_of_the_engine_is_the_beginning_of_what_was_learned(tokenizer, problem, mode):
    ids, counts = conversation(problem, COUNT, tokenizer, mode)
    prompt = render(problem.messages, tokenizer, enable_thinking=mode == "think").ids
    assert ids[: len(prompt)] == prompt
    assert counts[len(prompt)] and not any(counts[: len(prompt)])


def test_a_cut_thought_is_a_beginning_of_the_whole_one_and_the_hand_over_is_only_read(tokenizer, problem):
    ids, counts = conversation(problem, COUNT, tokenizer, "think")
    forced = list(handover_ids(tokenizer, "docs"))
    begin, end = ids.index(tokenizer.think) + 1, ids.index(tokenizer.end_think)
    lengths = set()
    for seed in range(200):
        short, learned = cut_short(ids, counts, tokenizer, random.Random(seed))
        at = len(short) - len(forced) - len(ids[end + 2 :])
        assert short[:at] == ids[:at] and begin <= at < end
        assert short[at : at + len(forced)] == forced and not any(learned[at : at + len(forced)])
        assert short[at + len(forced) :] == ids[end + 2 :]
        assert tokenizer.decode(s for s, c in zip(short[at:], learned[at:], strict=True) if c) == "2"
        lengths.add(at - begin)
    assert lengths == set(range(end - begin))  # none, and all but one, too
