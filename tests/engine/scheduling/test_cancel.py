"""A long step is left when somebody in it cancels: soon, to the same texts for the others, and never twice in a row."""

import random
import statistics
import time
from typing import Any

import msgspec
import pytest
from engine_tools import TOKENIZER, assert_all_back, run_all, tiny

from ponder.core.event import Finish
from ponder.engine.llm import LLM
from ponder.engine.scheduling.handle import Handle
from ponder.engine.speculation.speculation import Speculation
from ponder.kernels.native import NativeOps
from ponder.model.config import PRESETS
from ponder.model.model import Model
from ponder.model.weights.build import build, random_checkpoint

LENGTH = 1200
NEVER_ENDS = dict.fromkeys(TOKENIZER.eos_ids, -100.0)


@pytest.fixture(scope="module")
def model() -> Model:
    """Many layers, so that a step has many instructions."""
    config = msgspec.structs.replace(
        PRESETS["tiny"], num_hidden_layers=24, vocab_size=151936, max_position_embeddings=4096, initializer_range=0.2
    )
    return build(random_checkpoint(config), NativeOps(), "int8")


def prompt(rng: random.Random, length: int) -> list[int]:
    return [rng.randrange(1000, 20000) for _ in range(length)]


def end(handle: Handle) -> Finish:
    *_, finish = handle
    assert isinstance(finish, Finish)
    return finish


def wait_for_step(llm: LLM, handle: Handle) -> None:
    while handle.timings().admitted == 0:
        time.sleep(0.0005)


@pytest.mark.flaky(reruns=2)  # judges time
def test_a_cancel_does_not_wait_for_the_step(model: Model) -> None:
    rng, waits = random.Random(1), []
    with tiny(model, chunk=2048, max_batch=4, blocks=300) as llm:
        for _ in range(2):
            begun = time.monotonic()
            llm.generate(prompt(rng, LENGTH), max_tokens=1)
            step = time.monotonic() - begun
        for _ in range(12):
            handle = llm.generate_stream(prompt(rng, LENGTH), max_tokens=1)
            wait_for_step(llm, handle)
            time.sleep(step * rng.uniform(0, 0.4))
            asked = time.monotonic()
            handle.cancel()
            if end(handle).reason == "cancelled":  # else another program had let this step go faster
                waits.append(handle.timings().finished - asked)
        assert len(waits) >= 4 and statistics.median(waits) < step / 5, (waits, step)
        assert llm.stats().abandoned >= 4 and llm.stats().failed == 0
        assert_all_back(llm)


@pytest.mark.flaky(reruns=2)  # judges time
def test_closing_does_not_wait_for_the_step(model: Model) -> None:
    rng, took = random.Random(2), []
    for way in ("read", "close", "close", "close"):
        llm = tiny(model, chunk=2048, max_batch=4, blocks=300)
        handle = llm.generate_stream(prompt(rng, LENGTH), max_tokens=1)
        wait_for_step(llm, handle)
        begun = time.monotonic()
        if way == "read":
            assert end(handle).reason == "length"
        else:
            llm.close()
            assert end(handle).reason == "cancelled"
        took.append(time.monotonic() - begun)
        assert_all_back(llm)
        llm.close()
    assert statistics.median(took[1:]) < took[0] / 2, took


def test_the_others_get_the_same_texts(model: Model) -> None:
    """Prompts that begin like theirs are cancelled at any moment; the cache has few blocks to spare."""
    rng = random.Random(3)
    prompts = [prompt(rng, n) for n in (3, 200, 350, 40)]
    options: dict[str, Any] = {"max_tokens": 80, "seed": 1, "logit_bias": NEVER_ENDS}
    with tiny(model, burst=0) as llm:
        wanted = [llm.generate(p, **options).ids for p in prompts]
    cancelled, abandoned = 0, 0
    for drafter in (None, Speculation()):
        with tiny(model, chunk=384, max_batch=8, blocks=90, drafter=drafter) as llm:
            handles = [llm.generate_stream(p, **options) for p in prompts]
            deadline = time.monotonic() + 30
            while not all(handle._sequences[0].finished for handle in handles):
                assert time.monotonic() < deadline, "somebody is forgotten"
                head = rng.choice(prompts)
                noise = llm.generate_stream(head[: rng.randrange(1, len(head))] + prompt(rng, 300), max_tokens=1)
                time.sleep(rng.uniform(0, 0.05))
                noise.cancel()
                cancelled += end(noise).reason == "cancelled"
            assert [end(handle).reason for handle in handles] == ["length"] * 4
            assert [handle.ids() for handle in handles] == wanted
            assert llm.stats().failed == 0
            abandoned += llm.stats().abandoned
            assert [llm.generate(p, **options).ids for p in prompts] == wanted, "what the cache holds is right"
            assert_all_back(llm)
    assert cancelled >= 4 and abandoned >= 2, (cancelled, abandoned)


def test_cancelling_all_the_time_stops_nobody(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every step holds a long prompt that is cancelled as it begins; another one comes at once."""
    rng, steps = random.Random(4), 0
    with tiny(model, chunk=128, max_batch=4, background=False) as llm:
        decode = llm.engine.runner.decode
        victim = llm.generate_stream(prompt(rng, 5), max_tokens=20, seed=1, logit_bias=NEVER_ENDS)
        attacks = [llm.generate_stream(prompt(rng, 1000), max_tokens=1)]

        def attacked(*args: Any) -> Any:
            attacks[-1].cancel()
            attacks.append(llm.generate_stream(prompt(rng, 1000), max_tokens=1))
            return decode(*args)

        with monkeypatch.context() as patch:
            patch.setattr(llm.engine.runner, "decode", attacked)
            while not victim._sequences[0].finished and steps < 100:
                llm.engine.step()
                steps += 1
        assert victim._sequences[0].finished and len(victim.ids()) == 20
        assert llm.stats().abandoned == steps // 2 and steps <= 2 * 20, "every second step at most"
        attacks[-1].cancel()
        run_all(llm)
        assert_all_back(llm)


def test_who_is_alone_may_leave_again_and_again(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(5)
    with tiny(model, chunk=128, max_batch=4, background=False) as llm:
        decode = llm.engine.runner.decode
        for n in range(1, 5):
            handle = llm.generate_stream(prompt(rng, 1000), max_tokens=1)

            def leaving(*args: Any, handle: Handle = handle) -> Any:
                handle.cancel()
                return decode(*args)

            with monkeypatch.context() as patch:
                patch.setattr(llm.engine.runner, "decode", leaving)
                run_all(llm)
            assert end(handle).reason == "cancelled"
            assert (llm.stats().abandoned, llm.stats().prefill_ids) == (n, 0)
        assert_all_back(llm)


def test_a_step_of_decodes_is_computed_to_its_end(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = random.Random(6)
    with tiny(model, chunk=128, max_batch=4, background=False, burst=0) as llm:
        handles = [llm.generate_stream(prompt(rng, 1), max_tokens=9, logit_bias=NEVER_ENDS) for _ in range(4)]
        llm.engine.step()
        decode, before = llm.engine.runner.decode, llm.stats().decode_ids

        def leaving(*args: Any) -> Any:
            handles[0].cancel()
            return decode(*args)

        monkeypatch.setattr(llm.engine.runner, "decode", leaving)
        llm.engine.step()
        assert (llm.stats().abandoned, llm.stats().decode_ids) == (0, before + 4)
        llm.close()
