"""The step loop on a scripted model whose cache remembers ids: concurrency, cancels, preemption, failures, readers."""

import asyncio
import gc
import random
import threading
import time
from typing import Any

import pytest
from engine_tools import (
    HANDOVER,
    TOKENIZER,
    RememberingRunner,
    assert_all_back,
    run_all,
    scripted,
    texts,
)

from ponder.core.errors import ContextLengthExceeded, UserError
from ponder.core.event import Event, Finish
from ponder.engine.llm import LLM
from ponder.engine.scheduling import engine as engine_module
from ponder.engine.scheduling.handle import Handle

THINK, END = TOKENIZER.think, TOKENIZER.end_think
BREAK = TOKENIZER.encode("\n\n")
REPLY = "<think>\nLet me see what this is about, slowly.\n</think>\n\nIt is about nothing much."
ANSWER = "It is about nothing much."


def runner_of(llm: LLM) -> RememberingRunner:
    runner = llm.engine.runner
    assert isinstance(runner, RememberingRunner)
    return runner


def endless(seed: int, length: int = 1500) -> dict[str, Any]:
    """Thinks without end and without a loop, then answers when it must."""
    rng = random.Random(seed)
    ids = [rng.randrange(1000, 20000) for _ in range(length)]
    return {"ids": [THINK, 198, *ids], "answer": f"Answer {seed}."}


# -- TB-1: exact budgets ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 32])
@pytest.mark.parametrize("temperature", [0, 0.6])
def test_exact_budget_in_any_batch_cold_and_warm(batch: int, temperature: float) -> None:
    budgets = [0, 1, 16, 1024] if batch == 1 else [0, 1, 16, 1024, 7, 33, 64, 100] * 4
    with scripted([endless(i) for i in range(4)], background=False, max_batch=32) as llm:
        for _round in ("cold", "warm"):
            before = llm.stats().cached_ids
            handles = []
            for n, budget in enumerate(budgets):
                request = llm.request(f"Question {n}", budget=budget, temperature=temperature)
                handles.append((budget, llm.stream(request)))
                if batch == 1:
                    run_all(llm)
            run_all(llm)
            for budget, handle in handles:
                check_budget(llm, budget, handle)
            if _round == "warm":
                assert llm.stats().cached_ids - before >= 10 * len(budgets), "the second round hit the cache"
        assert_all_back(llm)


def check_budget(llm: LLM, budget: int, handle: Any) -> None:
    sequence = handle._sequences[0]
    reasoning, answer, finish = texts(list(handle))
    ids = list(handle.ids())
    end = ids.index(END)
    sampled = [i for p, i in enumerate(ids[:end]) if sequence.prompt + p not in sequence.forced]
    assert sampled[0] == THINK and len(sampled) == 1 + budget, "exactly B sampled ids inside the block"
    assert ids[1 + budget : end] == HANDOVER and ids[end + 1 : end + 2] == BREAK
    assert finish.handover == "budget" and answer.startswith("Answer")
    assert finish.usage.reasoning_tokens == budget + len(HANDOVER) and finish.usage.handover_tokens == 24
    # RememberingRunner has checked in every step that the cache holds exactly the sequence's ids, hand-over included
    assert ids.count(END) == 1 and "Considering" not in answer and "Considering" in reasoning


def test_the_hand_over_is_in_the_cache() -> None:
    """The runner saw the hand-over ids, and a prompt that continues there finds them computed."""
    with scripted([endless(1), "Next."], background=False) as llm:
        handle = llm.chat_stream("x", budget=5)
        run_all(llm)
        before = runner_of(llm).fed
        ids = [*handle.prompt_ids(), *handle.ids(), 198]
        following = llm.generate_stream(ids, max_tokens=1)
        run_all(llm)
        assert len(list(following)) == 2
        assert runner_of(llm).fed - before == 2, "only the end id, which was never fed, and the new one"


def test_answer_now() -> None:
    with scripted([{**endless(3), "delay_ms": 2}]) as llm:
        handle = llm.chat_stream("x")
        events = []
        for event in handle:
            events.append(event)
            if len(events) == 5:
                handle.answer_now()
        _, answer, finish = texts(events)
        assert (answer, finish.handover) == ("Answer 3.", "answer_now")
        assert finish.usage.reasoning_tokens < 200
        handle.answer_now()  # after the end: nothing happens


# -- batches ---------------------------------------------------------------------------------------------------------


def test_many_threads_at_once_get_their_own_answers() -> None:
    with scripted([REPLY], max_batch=8, blocks=64) as llm:
        results: dict[int, str] = {}

        def ask(n: int) -> None:
            results[n] = llm.chat(f"Question {n}: " + "why " * n).text

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(40)]
        for t in threads:
            t.start()
        for t in threads:
            t.join(30)
        assert results == dict.fromkeys(range(40), ANSWER)
        assert_all_back(llm)


def test_preemption_is_invisible() -> None:
    replies = [f"<think>\nThought {i}, " + "and so on, " * i + f"\n</think>\n\nAnswer {i}." for i in range(12)]

    def ask(blocks: int) -> tuple[list[Any], int]:
        with scripted(replies, blocks=blocks, block_size=4, background=False) as llm:
            handles = [llm.chat_stream(f"Question {i}", seed=1, max_tokens=130) for i in range(12)]
            run_all(llm)
            assert_all_back(llm)
            return [list(handle) for handle in handles], llm.stats().preemptions

    roomy, none = ask(blocks=1000)
    tight, some = ask(blocks=37)  # one sequence fits at its longest
    assert none == 0 and some > 5
    assert tight == roomy  # events, delta by delta, usage included
    assert texts(tight[5])[1] == "Answer 5."


def test_choices_share_their_prompt_and_are_followed_one_by_one_or_together() -> None:
    with scripted(["one", "two", "three"]) as llm:
        handle = llm.chat_stream("A prompt of some length. " * 20, n=3)
        assert len(handle) == 3
        with pytest.raises(UserError, match="choice"):
            iter(handle)
        merged = list(handle.merged())
        assert [texts([e for c, e in merged if c == i])[1] for i in range(3)] == ["one", "two", "three"]
        usage = [e.usage for _, e in merged if hasattr(e, "usage")]
        assert sorted(u.cached_tokens > 90 for u in usage) == [False, True, True]
        handle = llm.chat_stream("x", n=2)
        assert [texts(list(handle.choice(i)))[1] for i in (1, 0)] == ["two", "one"]


# -- leaving ---------------------------------------------------------------------------------------------------------


def test_a_thousand_aborts_at_random_moments_leak_nothing() -> None:
    rng = random.Random(5)
    with scripted([REPLY, endless(2), "Short."], blocks=40, max_batch=6, chunk=12, background=False) as llm:
        running: list[Any] = []
        aborted, met, moments = 0, set(), 0
        while aborted < 1000:
            while len(running) < 10:
                text = "word " * rng.randrange(1, 40)
                running.append(llm.chat_stream(text, budget=rng.choice([None, 3]), n=rng.choice([1, 1, 2])))
            for _ in range(rng.randrange(0, 4)):
                llm.engine.step()
            handle = running.pop(rng.randrange(len(running)))
            met |= {moment(s) for s in handle._sequences}
            handle.cancel()
            handle.cancel()  # idempotent
            llm.engine.step()
            assert all(s.finished for s in handle._sequences), "gone within one step"
            for choice in range(len(handle)):
                *_, finish = handle.choice(choice)
                assert finish.reason in ("cancelled", "stop")
                aborted += finish.reason == "cancelled"
            moments += 1
        for handle in running:
            handle.cancel()
        run_all(llm)
        assert_all_back(llm)
        assert met >= {"queued", "prefill", "thinking", "answer"}, met
        assert llm.stats().failed == 0


def moment(sequence: Any) -> str:
    if sequence.finished:
        return "finished"
    if sequence.cached is None:
        return "queued"
    if len(sequence.ids) == sequence.prompt:
        return "prefill"
    return "thinking" if sequence.state.phase == "reasoning" else "answer"


@pytest.mark.parametrize("way", ["break", "close", "forget", "never read", "error in the loop"])
def test_readers_that_leave_cancel(way: str) -> None:
    with scripted([{**endless(1), "delay_ms": 1}]) as llm:
        handle = llm.chat_stream("x")
        if way == "break":
            for _ in handle:
                break
        elif way == "close":
            events = iter(handle)
            next(events)
            events.close()  # type: ignore[attr-defined]
        elif way == "error in the loop":
            with pytest.raises(KeyError):
                for _ in handle:
                    raise KeyError
        elif way == "forget":
            next(iter(handle))
        del handle
        gc.collect()
        wait_until(lambda: llm.stats().cancelled == 1)
        assert_all_back(llm)


def test_cancelled_task_cancels_the_request() -> None:
    async def main(llm: LLM) -> None:
        task = asyncio.create_task(llm.achat("x"))
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with scripted([{**endless(1), "delay_ms": 1}]) as llm:
        asyncio.run(main(llm))
        wait_until(lambda: llm.stats().cancelled == 1)
        assert_all_back(llm)


def test_a_slow_reader_blocks_nobody() -> None:
    with scripted([REPLY]) as llm:
        slow = iter(llm.chat_stream("slow"))
        next(slow)
        assert llm.chat("quick").text == ANSWER
        assert texts(list(slow))[1] == ANSWER


def test_close_ends_every_stream_and_refuses_new_ones() -> None:
    llm = scripted([{**endless(1), "delay_ms": 1}])
    handles = [llm.chat_stream(f"{i}") for i in range(3)]
    time.sleep(0.05)
    llm.close()
    llm.close()
    assert [texts(list(h))[2].reason for h in handles] == ["cancelled"] * 3
    with pytest.raises(UserError, match="closed"):
        llm.chat("x")
    assert_all_back(llm)


def test_the_thread_goes_away_when_idle_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_module, "IDLE_SECONDS", 0.05)
    with scripted([REPLY]) as llm:
        for _ in range(3):
            assert llm.chat("x").text == ANSWER
            thread = llm.engine._thread
            wait_until(lambda: llm.engine._thread is None)
            assert thread is not None
            thread.join(1)
            assert not thread.is_alive()


def test_prepare_waits_for_memory_between_requests_and_never_after_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    left = 0

    def touch(used: int) -> bool:
        nonlocal left
        left -= left > 0
        return left > 0

    with scripted([REPLY]) as llm:
        monkeypatch.setattr(llm.engine.runner, "touch", touch)
        for left in (5, 3):  # the second time the thread waits for wishes
            llm.engine.prepare(wait=True)
            assert left == 0
            assert llm.chat("x").text == ANSWER
    left = 3
    llm.engine.prepare(wait=True)
    assert left == 3, "nobody is there to do it"


# -- failures --------------------------------------------------------------------------------------------------------


def test_a_poisoned_request_ends_alone() -> None:
    with scripted([REPLY]) as llm:
        runner_of(llm).refuse = lambda sequence: sequence.serial == 3 and len(sequence.ids) > sequence.prompt + 4
        handles = [llm.chat_stream(f"Question {i}") for i in range(8)]
        for i, handle in enumerate(handles):
            if i == 3:
                with pytest.raises(RuntimeError, match="poisoned: 3"):
                    list(handle)
            else:
                assert texts(list(handle))[1] == ANSWER
        assert llm.stats().failed == 1
        assert llm.chat("still alive?").text == ANSWER
        assert_all_back(llm)


def test_a_failure_in_control_ends_its_request_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted([REPLY]) as llm:
        good, bad = llm.chat_stream("good"), llm.request("bad")
        broken = llm.stream(bad)

        def explode(*args: Any, **kwargs: Any) -> None:
            raise FloatingPointError("no")

        monkeypatch.setattr(broken._sequences[0].state, "rule", explode)
        with pytest.raises(FloatingPointError):
            list(broken)
        assert texts(list(good))[1] == ANSWER
        assert_all_back(llm)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bug_of_the_engine_leaves_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    llm = scripted([{**endless(1), "delay_ms": 1}])
    handle = llm.chat_stream("x")
    next(iter_ := iter(handle))

    def broken() -> None:
        raise AssertionError("a bug")

    monkeypatch.setattr(llm.engine.scheduler, "plan", broken)
    with pytest.raises(AssertionError, match="a bug"):
        list(iter_)
    with pytest.raises(AssertionError, match="a bug"):
        llm.chat("y")
    llm.close()


def test_what_can_never_fit_is_refused_at_once() -> None:
    with scripted(["word " * 40], blocks=4, block_size=8) as llm:
        with pytest.raises(ContextLengthExceeded, match="limit is 32") as error:
            llm.chat("word " * 40)
        assert error.value.limit == 32 and error.value.prompt_tokens > 40
        with pytest.raises(UserError, match="empty"):
            llm.generate("")
        assert llm.stats().steps == 0
        finish = llm.chat("hi").finish  # fits, and ends where the cache ends
        assert finish.reason == "length"
        assert finish.usage.prompt_tokens + finish.usage.completion_tokens == 32


@pytest.mark.flaky(reruns=2)  # judges time
def test_timings_and_counters() -> None:
    with scripted([{"text": "a b c d", "delay_ms": 5}], background=False) as llm:
        handle = llm.chat_stream("x")
        run_all(llm)
        t = handle.timings()
        assert 0 <= t.queue_s < t.first_id_s < 1 and 0.005 <= t.per_id_s < 0.5 and t.generated == 5
        stats = llm.stats()
        usage = texts(list(handle))[2].usage
        assert stats.prefill_ids == usage.prompt_tokens and stats.decode_ids == usage.completion_tokens - 1
        assert stats.steps == usage.completion_tokens and stats.finished == 1
        assert stats.seconds_since_step == 0
        time.sleep(0.3)
        waiting = llm.chat_stream("y")
        llm.engine._process_commands(block=False)
        assert len(waiting) and 0 < llm.stats().seconds_since_step < 0.2, "idle time is no delay"


def wait_until(condition: Any, seconds: float = 5) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.005)


def test_a_finished_handle_can_be_read_again() -> None:
    """A second loop, or a second reader, gets the end once more; nobody waits for what has gone."""
    with scripted(["Hi"]) as llm:
        handle = llm.chat_stream("x", n=2)
        first = dict(handle.merged())
        assert dict(handle.merged()) == first and all(isinstance(e, Finish) for e in first.values())
        assert list(handle.choice(1)) == [first[1]]
        assert asyncio.run(_last(handle)) == first[0]


async def _last(handle: Handle) -> Event:
    return [event async for event in handle.achoice(0)][-1]
