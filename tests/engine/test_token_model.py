"""Ids in, ids out: who wrote each, with which log-prob, and what happens when the weights change."""

from collections.abc import Callable

import numpy as np
import pytest

from ponder.core.errors import UserError
from ponder.core.params import SamplingParams, Thinking
from ponder.core.sample import Continuation
from ponder.core.token_model import TokenModel, TokenRequest
from ponder.engine.llm import LLM
from ponder.engine.scoring.prompt_logprobs import prompt_logprobs
from ponder.engine.token_model import TokenEngine
from ponder.model.model import Model
from tests.engine.engine_tools import HANDOVER, TOKENIZER, scripted, tiny, tiny_model

WHOLE = SamplingParams(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, max_tokens=24, seed=7)
OPEN = TOKENIZER.encode("<|im_start|>assistant\n<think>\n", allow_control=True)
PLAIN = TOKENIZER.encode("<|im_start|>assistant\n<think>\n\n</think>\n\n", allow_control=True)


def tokens(llm: LLM) -> TokenModel:
    return TokenEngine(llm.engine, llm.tokenizer, llm.profile)


@pytest.fixture(scope="module")
def model() -> Model:
    return tiny_model(256)


@pytest.fixture(params=[True, False], ids=["thread", "driven"])
def engine(request: pytest.FixtureRequest, model: Model) -> Callable[[], LLM]:
    return lambda: tiny(model, background=request.param)


def request(ids: list[int], **sampling: object) -> TokenRequest:
    values = {**{f: getattr(WHOLE, f) for f in WHOLE.__struct_fields__}, **sampling}
    return TokenRequest(prompt_ids=tuple(ids), sampling=SamplingParams(**values), thinking=Thinking(loop_guard=False))


def test_ids_and_log_probs_are_those_of_the_model(engine: Callable[[], LLM], model: Model) -> None:
    with engine() as llm:
        asked = [request(PLAIN), request([*TOKENIZER.encode("a longer prompt "), *PLAIN], n=3)]
        said = tokens(llm).sample(asked)
    assert [len(choices) for choices in said] == [1, 3]
    assert len({c.ids for c in said[1]}) == 3, "each choice has random numbers of its own"
    for question, choices in zip(asked, said, strict=True):
        for c in choices:
            assert set(c.writers) == {"model"} and c.handover is None and c.logprobs is not None
            known = prompt_logprobs(model, [*question.prompt_ids, *c.ids], 0, model.config.vocab_size)
            expected = [p for p, _ in known[-len(c.ids) :]]
            np.testing.assert_allclose(c.logprobs, expected, atol=1e-5)


def test_the_same_seed_gives_the_same_ids_whatever_else_runs(engine: Callable[[], LLM]) -> None:
    with engine() as llm:
        model = tokens(llm)
        alone = model.sample([request(PLAIN, n=2)])[0]
        beside = model.sample([request(OPEN, seed=1), request(PLAIN, n=2), request(PLAIN, seed=2)])[1]
    assert [c.ids for c in alone] == [c.ids for c in beside]


def test_a_hand_over_is_told_from_what_the_model_wrote() -> None:
    with scripted(["<think>\none two three four five\n</think>\n\nsix"]) as llm:
        thinking = Thinking(budget=2, loop_guard=False)
        asked = TokenRequest(prompt_ids=tuple(OPEN[:-2]), thinking=thinking, sampling=SamplingParams(max_tokens=200))
        [[c]] = tokens(llm).sample([asked])
    fed = [i for i, w in zip(c.ids, c.writers, strict=True) if w == "hand_over"]
    assert c.handover == "budget" and c.finish == "stop"
    assert fed[: len(HANDOVER)] == HANDOVER and fed[len(HANDOVER)] == TOKENIZER.end_think
    assert c.thinking_tokens == 2 + len(HANDOVER)
    assert set(c.writers) == {"model", "hand_over"}


def test_forced_ids_have_the_log_prob_zero(engine: Callable[[], LLM]) -> None:
    with engine() as llm:
        asked = TokenRequest(
            prompt_ids=tuple(OPEN), sampling=SamplingParams(**{**vars_of(WHOLE), "max_tokens": 120}),
            thinking=Thinking(budget=3, loop_guard=False),
        )  # fmt: skip
        [[c]] = tokens(llm).sample([asked])
    assert c.handover == "budget" and c.logprobs is not None
    assert c.writers[:3] == ("model",) * 3 and c.writers[3] == "hand_over" and c.writers[-1] == "model"
    for writer, logprob in zip(c.writers, c.logprobs, strict=True):
        assert (logprob == 0.0) == (writer == "hand_over")


def vars_of(sampling: SamplingParams) -> dict[str, object]:
    return {f: getattr(sampling, f) for f in sampling.__struct_fields__}


@pytest.mark.parametrize(
    "bent",
    [{"temperature": 0.7}, {"top_k": 20}, {"top_p": 0.9}, {"min_p": 0.1}, {"presence_penalty": 0.5},
     {"repetition_penalty": 1.1}, {"logit_bias": {5: 1.0}}],
)  # fmt: skip
def test_a_distribution_that_is_not_the_models_own_reports_no_log_probs(
    engine: Callable[[], LLM], bent: dict[str, object]
) -> None:
    with engine() as llm:
        [[c]] = tokens(llm).sample([request(PLAIN, max_tokens=4, **bent)])
    assert c.logprobs is None and len(c.ids) == 4


def test_what_cannot_hold_is_refused_before_anything_runs(engine: Callable[[], LLM]) -> None:
    with engine() as llm:
        for bad in (request(PLAIN * 40), request([TOKENIZER.vocab_size])):
            with pytest.raises(UserError):
                tokens(llm).sample([request(PLAIN), bad])
        assert llm.stats().finished == 0


def test_changed_weights_are_seen_and_the_old_cache_is_not() -> None:
    model = tiny_model(256)
    norm = model.weights["model.norm.weight"]
    with tiny(model, background=False) as llm:
        engine = tokens(llm)
        asked = [request([*TOKENIZER.encode("the prompt of which much is known by now " * 4), *PLAIN], n=4)]

        def wrong() -> float:
            found = max(_difference(model, asked[0], c) for c in engine.sample(asked)[0])
            return found

        assert wrong() <= 1e-5 and engine.weights_version == 0
        scale = model.weights["model.layers.0.input_layernorm.weight"]
        scale *= 1.5
        norm *= 0.5
        assert wrong() > 1e-3, "keys and values of the old weights were used"
        assert engine.weights_changed() == 1 == llm.weights_version
        assert wrong() <= 1e-5
        assert engine.sample(asked)[0][0].weights_version == 1
        assert llm.engine.pool.available == llm.engine.pool.count


def _difference(model: Model, asked: TokenRequest, c: Continuation) -> float:
    assert c.logprobs is not None
    known = prompt_logprobs(model, [*asked.prompt_ids, *c.ids], 0, model.config.vocab_size)
    return float(np.abs(np.array(c.logprobs) - [p for p, _ in known[-len(c.ids) :]]).max())


def test_weights_do_not_change_under_a_request(engine: Callable[[], LLM]) -> None:
    with engine() as llm:
        handle = llm.generate_stream(PLAIN, WHOLE, max_tokens=150)
        with pytest.raises(UserError, match="1 sequences run or wait"):
            llm.weights_changed()
        handle.cancel()
        while not llm.engine.has_thread and llm.engine.step():
            pass
        list(handle) if llm.engine.has_thread else None
        assert llm.weights_changed() == 1
