"""What the engine adds to the forward pass: decode through `LLM.generate_stream` beside `model.forward` alone.

    python bench/engine_overhead.py qwen3:0.6b --dtype int8 --streams 1,16
    python bench/engine_overhead.py tiny:layers=8,hidden=256,intermediate=768,vocab=8192 --dtype int8

Raw: the same batch of decode steps, one call after the other, nothing drawn. Engine: scheduler, sampler, rules, parser,
and a reader in another thread that takes every event. Both in turns, several rounds; a step of each is compared.
--cpu: processor time of the whole process instead of wall time, for a machine with other work; use --threads 1 then.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ponder import LLM, SamplingParams, Thinking
from ponder.cli.benchmark.random_model import random_model
from ponder.cli.options import add_load_flags
from ponder.core.batch import Batch
from ponder.core.params import Grammar
from ponder.engine.scheduling.runner import ModelRunner

PROMPT = 16
PERSON = {"type": "object", "properties": {"name": {"type": "string"}, "n": {"type": "integer"}}, "required": ["name"]}
SCHEMA = {"type": "array", "items": PERSON, "minItems": 500}
KINDS: dict[str, dict[str, Any]] = {
    "default": {},
    "greedy": {"temperature": 0.0},
    "logprobs": {"logprobs": 5},
    "penalties": {"presence_penalty": 1.5},
    "schema": {"grammar": Grammar("json_schema", json.dumps(SCHEMA))},
}
Clock = Callable[[], float]


@dataclass(frozen=True)
class Overhead:
    """Seconds of a step in each round."""

    streams: int
    raw: list[float]
    engine: list[float]

    def __str__(self) -> str:
        parts = []
        for name, of in (("median", statistics.median), ("least", min)):
            raw, engine = of(self.raw), of(self.engine)
            parts.append(
                f"{name}: raw {raw * 1e6:6.0f} us, engine {engine * 1e6:6.0f} us (+{(engine - raw) * 1e6:4.0f}, "
                f"{raw / engine:4.0%}), {self.streams / engine:5.0f} ids/s"
            )
        return f"{self.streams:3} streams  " + "   ".join(parts)


def overhead(
    llm: LLM, streams: int, *, ids: int = 64, rounds: int = 5, clock: Clock = time.perf_counter, **options: Any
) -> Overhead:
    """Measure a loaded model (not a scripted one). options: of generate_stream."""
    raw, engine = [], []
    for seed in range(rounds + 1):
        raw.append(raw_step(llm, streams, ids, clock))
        engine.append(engine_step(llm, streams, ids, seed, clock, options))
    return Overhead(streams, raw[1:], engine[1:])  # the first round warms up


def raw_step(llm: LLM, streams: int, ids: int, clock: Clock) -> float:
    """Seconds of a forward pass in a loop of them. The engine must forget the blocks it uses."""
    llm.engine.pool.clear()
    runner = llm.engine.runner
    assert isinstance(runner, ModelRunner)
    width = -(-(PROMPT + ids) // runner.block_size)
    tables = np.arange(streams * width, dtype=np.int32).reshape(streams, width)
    rows = np.arange(streams + 1, dtype=np.int32)
    last = np.arange(streams, dtype=np.int32) + 100
    start = clock()
    for position in range(PROMPT, PROMPT + ids):
        batch = Batch(np.full(streams, position, np.int32), rows, rows[:-1], np.ones(streams, np.float32), tables)
        runner.model.forward(last, batch, runner.cache)
    return (clock() - start) / ids


def engine_step(llm: LLM, streams: int, ids: int, seed: int, clock: Clock, options: dict[str, Any]) -> float:
    """Seconds between two ids of a stream, prefill left out: the time of long answers less that of short ones."""
    rng = np.random.default_rng(seed)
    prompts = rng.integers(min(llm.profile.eos_ids) - 1, size=(streams, PROMPT)).tolist()

    def run(length: int) -> float:
        llm.engine.pool.clear()
        never = dict.fromkeys(llm.profile.eos_ids, -100.0)
        sampling = {"max_tokens": length, "seed": seed, "logit_bias": never}
        grammar = options.get("grammar")
        sampling |= {k: v for k, v in options.items() if k != "grammar"}
        start = clock()
        handles = [
            llm.generate_stream(p, SamplingParams(**sampling), thinking=Thinking(loop_guard=False), grammar=grammar)
            for p in prompts
        ]
        for handle in handles:
            for _ in handle:
                pass
        assert all(handle.timings().generated == length for handle in handles), "a stream ended early"
        return clock() - start

    short = 2
    return (run(ids + short) - run(short)) / ids


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="as in ponder bench --random")
    add_load_flags(parser)
    parser.set_defaults(dtype="int8", speculation="off")
    parser.add_argument("--streams", default="1,16")
    parser.add_argument("--ids", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--kinds", default="default", help=f"of {', '.join(KINDS)}")
    parser.add_argument("--cpu", action="store_true")
    args = parser.parse_args()
    clock = time.process_time if args.cpu else time.perf_counter
    with LLM(random_model(args.model, args)) as llm:
        for kind in args.kinds.split(","):
            for streams in map(int, args.streams.split(",")):
                found = overhead(llm, streams, ids=args.ids, rounds=args.rounds, clock=clock, **KINDS[kind])
                print(f"{args.dtype} {kind:9} {found}", flush=True)


if __name__ == "__main__":
    main()
