"""The Python API: chat, streams, async and completion agree; history, options, and the same text in any batch."""

import asyncio
import json
import random
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from engine_tools import TOKENIZER, assert_all_back, scripted, texts, tiny, tiny_model

from ponder import LLM, Message, SamplingParams, Thinking, UserError
from ponder.core.errors import ContextLengthExceeded
from ponder.core.event import Event, ToolCallDone
from ponder.core.params import Grammar
from ponder.core.protocol import ChatModel
from ponder.engine.decoding.prompt import LONGEST_TOKEN
from ponder.model.formats.hf_save import save_hf
from ponder.model.model import Model
from ponder.model.weights.build import random_checkpoint
from ponder.text.tokenizer_files import save as save_tokenizer

CALL = '<tool_call>\n{"name": "add", "arguments": {"a": 2, "b": 3}}\n</tool_call>'
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Add two numbers.",
        "parameters": {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}}},
    },
}
REPLIES = [
    "<think>\nWell… 🤔 let me see.\n</think>\n\nGrüße 你好 👋🏽!",
    f"<think>\nI should add.\n</think>\n\nOne moment.\n{CALL}",
    "No thoughts at all.",
]


# -- the same events on every way ------------------------------------------------------------------------------------


def test_stream_chat_and_async_agree() -> None:
    async def over_async(llm: LLM) -> tuple[list[Event], Any]:
        handle = await llm.achat_stream("x", tools=[TOOL], seed=1)
        return [event async for event in handle], await llm.achat("x", tools=[TOOL], seed=1)

    for reply in REPLIES:
        with scripted([reply]) as llm:
            streamed = list(llm.chat_stream("x", tools=[TOOL], seed=1))
            result = llm.chat("x", tools=[TOOL], seed=1)
            events, aresult = asyncio.run(over_async(llm))
        assert streamed[:-1] == events[:-1]
        assert aresult.choices[0].message == result.message
        reasoning, text, finish = texts(streamed)
        assert (result.reasoning or "", result.text) == (reasoning, text)
        assert result.tool_calls == tuple(e.call for e in streamed if isinstance(e, ToolCallDone))
        assert result.finish.reason == finish.reason
        assert TOKENIZER.decode(result.ids) == reply.replace("<|im_end|>", "")


def test_parts_of_a_reply() -> None:
    with scripted(REPLIES) as llm:
        first, second, third = (llm.chat("x", tools=[TOOL]) for _ in REPLIES)
    assert (first.reasoning, first.text) == ("Well… 🤔 let me see.", "Grüße 你好 👋🏽!")
    assert second.text == "One moment." and second.finish.reason == "tool_calls"
    assert json.loads(second.tool_calls[0].arguments) == {"a": 2, "b": 3}
    assert third.reasoning is None and third.text == REPLIES[2]


def test_hundred_requests_in_one_event_loop() -> None:
    async def main(llm: LLM) -> list[str]:
        return [r.text for r in await asyncio.gather(*(llm.achat(f"{i}") for i in range(100)))]

    with scripted(["<think>\nhm\n</think>\n\nFine."]) as llm:
        assert asyncio.run(main(llm)) == ["Fine."] * 100
        assert_all_back(llm)


def test_is_a_chat_model() -> None:
    with scripted(["Hi."]) as llm:
        model: ChatModel = llm
        assert texts(list(model.stream(llm.request("x"))))[1] == "Hi."


# -- history ---------------------------------------------------------------------------------------------------------


def test_a_tool_loop_with_exact_history_computes_new_ids_only() -> None:
    """HC-2, on counters: prompt(n+1) = prompt(n) + output(n) + the tool's result."""
    replies = [f"<think>\nStep {i}.\n</think>\n\n{CALL}" for i in range(4)] + ["<think>\nDone.\n</think>\n\nIt is 5."]
    with scripted(replies) as llm:
        messages = [Message.system("You add."), Message.user("What is 2 + 3?")]
        before: tuple[int, ...] = ()
        for _ in range(5):
            start = llm.stats().prefill_ids
            result = llm.chat(messages, tools=[TOOL], history="exact")
            prompt = result.prompt_ids
            assert prompt[: len(before)] == before, "the prompt extends the last one id by id"
            usage = result.finish.usage
            if before:
                # all but the last generated id went through the model already
                assert usage.cached_tokens == len(before) - 1
                assert llm.stats().prefill_ids - start == len(prompt) - len(before) + 1
            assert usage.prompt_tokens == len(prompt) == llm.stats().prefill_ids - start + usage.cached_tokens
            before = prompt + result.ids
            messages += [result.message, *(Message.tool("5", call_id=c.id) for c in result.tool_calls)]
        assert result.text == "It is 5."


def test_strip_history_recomputes_from_the_first_changed_id() -> None:
    """HC-3: the official template drops the old thoughts; everything before them comes from the cache, to the id."""
    with scripted(["<think>\nLong thoughts here.\n</think>\n\nFirst.", "Second."]) as llm:
        one = llm.chat("A question of several words")
        two = llm.chat([Message.user("A question of several words"), one.message, Message.user("And now?")])
        old, new = one.prompt_ids + one.ids, two.prompt_ids
        same = next(i for i, (a, b) in enumerate(zip(old, new)) if a != b)
        assert two.finish.usage.cached_tokens == same


def test_thinking_off_keeps_the_empty_block_in_exact_history() -> None:
    with scripted(["Yes.", "No."]) as llm:
        one = llm.chat("x", thinking=False)
        two = llm.chat([Message.user("x"), one.message, Message.user("y")], thinking=False, history="exact")
        assert two.prompt_ids[: len(one.prompt_ids) + len(one.ids)] == one.prompt_ids + one.ids


# -- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temprature": 1}, "did you mean temperature"),
        ({"foo": 1}, "unknown option 'foo'"),
        ({"temperature": -1}, "temperature must be"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"logit_bias": {151_900: 1.0}}, "logit_bias"),
        ({"thinking": 5, "budget": 6}, "two budgets"),
        ({"thinking": -3}, "budget must be 0 or more"),
        ({"json_schema": {}, "grammar": Grammar("json_object")}, "either"),
        ({"json_schema": "{"}, "not valid JSON"),
        ({"tool_choice": "add"}, "tool_choice"),
    ],
    ids=str,
)
def test_wrong_options_are_refused_by_name(options: dict[str, Any], message: str) -> None:
    with scripted(["x"]) as llm:
        with pytest.raises(UserError, match=message):
            llm.chat("x", **options)
        assert llm.stats().steps == 0


def test_what_the_renderer_dropped_is_told() -> None:
    messages = [{"role": "developer", "content": "be brief"}, {"role": "user", "content": "hi"}]
    with scripted(["hello"]) as llm:
        assert "be brief" not in llm.render(messages).text
        assert any("'developer'" in warning for warning in llm.chat(messages).finish.warnings)


def test_options_reach_the_request() -> None:
    with scripted(["one two three"]) as llm:
        base = SamplingParams(temperature=0.3, top_k=5)
        request = llm.request("x", sampling=base, top_k=7, stop="END", thinking=Thinking(budget=9), seed=4)
        assert (request.sampling.temperature, request.sampling.top_k, request.sampling.stop) == (0.3, 7, ("END",))
        assert request.thinking.budget == 9
        effective = llm.chat("x", sampling=base, thinking=False, seed=4).finish.effective
        assert (effective.temperature, effective.top_k, effective.thinking, effective.seed) == (0.3, 5, False, 4)
        assert llm.chat("x", stop="two").text == "one "
        assert llm.chat([{"role": "user", "content": "x"}], max_tokens=2).finish.reason == "length"


def test_json_schema_after_free_thoughts() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    with scripted(['<think>\nAny text } { here.\n</think>\n\n{"n": 4}']) as llm:
        result = llm.chat("x", json_schema=schema)
        assert json.loads(result.text) == {"n": 4} and "}" in (result.reasoning or "")


@pytest.mark.flaky(reruns=2)  # judges time
def test_what_no_tokenisation_could_fit_is_refused_at_once() -> None:
    """LC-1: 30 MB would take a minute and gigabytes to tokenise. What might fit is counted as always."""
    longest = max(range(151643), key=lambda i: len(TOKENIZER.token_bytes(i)))
    assert len(TOKENIZER.token_bytes(longest)) == LONGEST_TOKEN
    with scripted(["Yes."], model={"context": 1000}) as llm:
        start = time.perf_counter()
        for text in ("a" * 30_000_000, "漢字" * 5_000_000):
            with pytest.raises(ContextLengthExceeded, match="at least"):
                llm.chat(text)
            with pytest.raises(ContextLengthExceeded, match="at least"):
                llm.generate(text)
        assert time.perf_counter() - start < 3
        assert llm.chat(" " * (900 * LONGEST_TOKEN)).text == "Yes."
        with pytest.raises(ContextLengthExceeded, match="has 1008 tokens"):
            llm.chat(" " * (1000 * LONGEST_TOKEN))
        assert llm.generate("α\u0313\u0301\u0345" * 300).text == "Yes.", "four characters that become one"


def test_completion_of_text_ids_and_lists() -> None:
    with scripted([" there"]) as llm:
        assert llm.generate("Hello").text == " there"
        assert llm.generate([9707, 1052]).prompt_ids == (9707, 1052)
        assert [r.text for r in llm.generate(["a", "b", "c"], max_tokens=5)] == [" there"] * 3
        assert [r.prompt_ids for r in llm.generate([[1, 2], [3]])] == [(1, 2), (3,)]
        assert llm.generate("<|im_end|>").prompt_ids == tuple(TOKENIZER.encode("<|im_end|>"))
        assert llm.generate("<|im_end|>", allow_control=True).prompt_ids == (TOKENIZER.im_end,)
        with pytest.raises(UserError, match="151670"):
            llm.generate([151670])


# -- a real forward pass ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model() -> Model:
    return tiny_model()


PROMPTS = [TOKENIZER.encode(text) for text in ("Once upon a time", "The", "def f(x):\n    return", "你好" * 30)]


def generated(llm: LLM, **options: Any) -> list[tuple[int, ...]]:
    return [r.ids for r in llm.generate(PROMPTS, max_tokens=24, **options)]


def test_same_text_alone_in_any_batch_at_any_chunk_and_cache_state(model: Model) -> None:
    """DT-1, DT-2, HC-5 with an f32 model: greedy and seeded."""
    sampled = {"temperature": 0.9, "top_k": 0, "top_p": 1.0, "seed": 11}
    with tiny(model) as llm:
        for options in ({"temperature": 0}, sampled):
            alone = [llm.generate(p, max_tokens=24, **options).ids for p in PROMPTS]
            assert len(set(alone)) == len(alone) and len(alone[0]) == 24
            assert generated(llm, **options) == alone, "in a batch, and from a warm cache"
            for shape in ({"max_batch": 3, "chunk": 5}, {"chunk": 33, "block_size": 4}, {"blocks": 12, "chunk": 40}):
                with tiny(model, **shape) as other:
                    assert generated(other, **options) == alone, shape
                    assert generated(other, **options) == alone, f"warm {shape}"
                    assert_all_back(other)
        again = llm.generate(PROMPTS[0], max_tokens=24, **{**sampled, "seed": 12}).ids
        assert again != llm.generate(PROMPTS[0], max_tokens=24, **sampled).ids


def test_same_text_beside_changing_neighbours_and_preemptions(model: Model) -> None:
    rng = random.Random(3)
    with tiny(model) as quiet:
        expected = quiet.generate(PROMPTS[0], max_tokens=40, temperature=1.0, seed=5).ids
    with tiny(model, blocks=9, max_batch=4, chunk=9) as llm:  # tiny pool: somebody is preempted
        handles = [
            llm.generate_stream([rng.randrange(20000) for _ in range(rng.randrange(1, 40))], max_tokens=30, seed=i)
            for i in range(6)
        ]
        mine = llm.generate_stream(PROMPTS[0], max_tokens=40, temperature=1.0, seed=5)
        more = [llm.generate_stream([7] * 20, max_tokens=40, seed=i) for i in range(3)]
        assert len(list(mine)) > 0 and mine.ids() == expected
        for handle in [*handles, *more]:
            list(handle)
        assert llm.stats().preemptions > 0
        assert_all_back(llm)


def test_choices_differ_and_the_first_is_the_only_one(model: Model) -> None:
    with tiny(model) as llm:
        options = {"max_tokens": 16, "temperature": 1.0, "seed": 9}
        three = llm.generate(PROMPTS[0], n=3, **options)
        assert len({c.ids for c in three.choices}) == 3
        assert llm.generate(PROMPTS[0], **options).ids == three.ids


def test_budget_holds_for_a_real_forward_pass(model: Model) -> None:
    """The random model is led into its thoughts by the prompt; batch of mixed budgets, two rounds."""
    prompt = TOKENIZER.encode("<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n<think>\n", allow_control=True)
    with tiny(model) as llm:
        for _ in range(2):
            handles = [(b, llm.generate_stream(prompt, budget=b, max_tokens=100, seed=b)) for b in (0, 1, 5, 16)]
            for budget, handle in handles:
                events = list(handle)
                assert handle.ids().index(TOKENIZER.end_think) >= budget
                if texts(events)[2].handover == "budget":
                    assert texts(events)[2].usage.reasoning_tokens == budget + 22


def test_logprobs_are_those_of_a_plain_forward_pass(model: Model) -> None:
    from ponder.core.batch import Batch

    with tiny(model) as llm:
        result = llm.generate(PROMPTS[2], max_tokens=8, temperature=0.8, seed=1, logprobs=3)
    ids = np.array(result.prompt_ids + result.ids, np.int32)
    logits = np.asarray(model.forward(ids, Batch.packed([len(ids)])), np.float64)[len(result.prompt_ids) - 1 : -1]
    expected = logits - np.log(np.exp(logits - logits.max(1, keepdims=True)).sum(1, keepdims=True))
    expected -= logits.max(1, keepdims=True)
    assert len(result.logprobs) == len(result.ids) == 8
    for row, lp in zip(expected, result.logprobs):
        assert abs(row[lp.id] - lp.logprob) < 1e-4
        assert [i for i, _ in lp.top] == list(np.argsort(-row)[:3])


def test_a_saved_folder_opens_by_path_and_long_context_by_itself(model: Model, tmp_path: Path) -> None:
    """The public way in: LLM(path), with the model's own files deciding capability, ends and defaults; YaRN factors
    per request beyond the native length (LC-4), restarts included."""
    config = msgspec.structs.replace(model.config, max_position_embeddings=64, eos_token_ids=(151645,))
    save_hf(tmp_path, random_checkpoint(config), "f32")
    save_tokenizer(TOKENIZER, tmp_path)
    with LLM(tmp_path, dtype="f32", kv_dtype="f32", kv_blocks=20) as plain:
        assert plain.profile.capability == "hybrid" and plain.profile.context == 64
        short = plain.generate([5, 6, 7], temperature=0, max_tokens=50).ids
        with pytest.raises(UserError, match="limit is 64"):
            plain.generate([5] * 64)
    with LLM(tmp_path, dtype="f32", kv_dtype="f32", kv_blocks=20, max_context=200) as long:
        result = long.generate([5, 6, 7], temperature=0, max_tokens=150)
        assert result.ids[:50] == short, "short requests compute what they do without long context"
        assert long.stats().restarts == 2 and len(result.ids) == 150  # at 65 ids, factor 2; at 129, factor 3.125
        again = long.generate([*result.prompt_ids, *result.ids[:100]], temperature=0, max_tokens=50)
        assert again.ids == result.ids[100:], "a restart is what the longer prompt would have computed"


def test_a_tokenizer_that_is_too_large_is_refused(model: Model, tmp_path: Path) -> None:
    save_hf(tmp_path, random_checkpoint(msgspec.structs.replace(model.config, vocab_size=1000), 1))
    save_tokenizer(TOKENIZER, tmp_path)
    with pytest.raises(UserError, match="do not belong together"):
        LLM(tmp_path)
