"""GRPO samples an hour beside TRL's GRPOTrainer: the same weights, prompts, lengths, group size and AdamW, float32.

    python bench/grpo_speed.py --trl PYTHON            # PYTHON: of an environment with trl==1.16.0 and torch==2.13.0

A step answers 8 prompts 8 times with 32 ids at most (the weights are random, so that few answers end earlier), rewards
each answer by a rule that costs nothing, and takes one optimiser step. The two programs stay alive and take turns, step
by step, so that other work on the machine meets them alike. With --continuous TRL is asked twice: as it is, and with
the continuous batching of transformers. Numbers are medians over the steps, the first one of each left out.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

PROMPTS, GROUP, NEW, RATE = 8, 8, 32, 1e-5
WORDS = [f"How many r in {' '.join(w)}?" for w in ("rar", "tree", "wry", "berry", "error", "arbor", "mirror", "sir")]
SHAPES = {"0.3m": (96, 3, 3, 1, 32, 256), "1.2m": (128, 6, 4, 2, 32, 384)}


def reward(ids: list[int]) -> float:
    return float(sum(ids) % 2)


def turns() -> Any:
    """One line of stdin, one step: yields, and tells what the step took when it is asked for the next one."""
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        print(json.dumps({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}), flush=True)


def ponder(folder: Path) -> None:
    import torch

    from ponder.core.message import Message
    from ponder.core.params import SamplingParams, Thinking
    from ponder.core.sample import Problem, Rollout, Verdict
    from ponder.core.token_model import TokenRequest
    from ponder.model.load import load
    from ponder.text.tokenizer.tokenizer import Tokenizer
    from ponder.train.rollouts.hand_over import engine_of
    from ponder.train.rollouts.samples import samples_of
    from ponder.train.step import StepSettings, Trainer
    from ponder.train.weights import normalise

    torch.set_num_threads(1)
    tokenizer = Tokenizer.from_path(folder)
    trainer = Trainer(load(folder, dtype="f32", ops="torch"), StepSettings(), folder)
    engine = engine_of(trainer.decoder, tokenizer)
    problems = [Problem(id=w, task="count", split="train", messages=(Message.user(w),)) for w in WORDS[:PROMPTS]]
    prompts = [tuple(tokenizer.encode(w)) for w in WORDS[:PROMPTS]]
    for step, _ in enumerate(turns()):
        sampling = [SamplingParams(temperature=1.0, top_k=0, top_p=1.0, min_p=0.0, presence_penalty=0.0, n=GROUP,
                                   frequency_penalty=0.0, repetition_penalty=1.0, max_tokens=NEW, seed=8 * step + n)
                    for n in range(PROMPTS)]  # fmt: skip
        asked = [
            TokenRequest(prompt_ids=p, sampling=s, thinking=Thinking(enabled=False)) for p, s in zip(prompts, sampling)
        ]
        said = engine.sample(asked)
        groups = [
            [
                Rollout(problem=q, prompt_ids=p, continuation=c).graded(Verdict(reward=reward(list(c.ids)), ok=False))
                for c in group
            ]
            for q, p, group in zip(problems, prompts, said)
        ]
        trainer.step(normalise(samples_of(groups), "token"), RATE)
        engine.weights_changed()


def trl(folder: Path, paged: bool) -> None:
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
    from trl import GRPOConfig, GRPOTrainer

    torch.set_num_threads(1)
    steps = turns()

    class Turn(TrainerCallback):
        def on_step_begin(self, *args: Any, **more: Any) -> None:
            if next(steps, "end") == "end":
                raise SystemExit

    def rewards(completion_ids: list[list[int]], **more: Any) -> list[float]:
        return [reward(ids) for ids in completion_ids]

    config = GRPOConfig(
        output_dir=str(folder / "trl"), per_device_train_batch_size=PROMPTS * GROUP, num_generations=GROUP,
        max_completion_length=NEW, max_steps=1000, learning_rate=RATE, use_cpu=True, bf16=False, report_to=[],
        logging_steps=1000, save_strategy="no", beta=0.0, temperature=1.0, gradient_checkpointing=False,
        shuffle_dataset=False, disable_tqdm=True, use_transformers_continuous_batching=paged, optim="adamw_torch_fused",
    )  # fmt: skip
    trainer = GRPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), reward_funcs=rewards, args=config,
        train_dataset=Dataset.from_list([{"prompt": w} for w in WORDS[:PROMPTS]] * 1000),
        processing_class=AutoTokenizer.from_pretrained(folder), callbacks=[Turn()],
    )  # fmt: skip
    trainer.train()


def make(folder: Path, shape: str) -> None:
    """Random weights and a tokenizer of one id a letter."""
    from ponder.data.tokenizer import train_tokenizer
    from ponder.model.formats.hf_save import save_hf
    from ponder.model.weights.build import random_checkpoint
    from ponder.text import tokenizer_files
    from ponder.train.stages.pretrain import Shape

    tokenizer = train_tokenizer(WORDS, 400, symbols=[f" {c}" for c in "abcdefghijklmnopqrstuvwxyz"])
    names = ("hidden_size", "layers", "heads", "kv_heads", "head_dim", "mlp")
    config = Shape(**dict(zip(names, SHAPES[shape]))).config(tokenizer)
    save_hf(folder, random_checkpoint(config, 0), "f32")
    tokenizer_files.save(tokenizer, folder)


def measure(python: dict[str, str], shape: str, steps: int) -> dict[str, dict[str, float]]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "model"
        make(folder, shape)
        sides = {
            # -P: the folder of this script has a module `kernels`, which transformers would take for another
            side: subprocess.Popen([exe, "-P", __file__, "--side", side, "--folder", str(folder)], text=True,
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            for side, exe in python.items()
        }  # fmt: skip
        took: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
        for _ in range(steps + 1):
            for side, process in sides.items():
                assert process.stdin and process.stdout
                process.stdin.write("\n")
                process.stdin.flush()
                line = process.stdout.readline()
                while line and not line.startswith('{"wall"'):
                    line = process.stdout.readline()
                if not line:
                    raise SystemExit(f"{side} ended")
                took[side].append(json.loads(line))
        for process in sides.values():
            process.communicate()
    hour = PROMPTS * GROUP * 3600
    return {
        side: {f"samples an hour, {clock}": round(hour / statistics.median(t[clock] for t in times[1:]))
               for clock in ("wall", "cpu")}
        for side, times in took.items()
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trl", metavar="PYTHON", help="of the environment with TRL")
    parser.add_argument("--continuous", action="store_true", help="TRL once more, with continuous batching")
    parser.add_argument("--shapes", default=",".join(SHAPES))
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--side", choices=("ponder", "trl", "trl-continuous"), help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side == "ponder":
        ponder(args.folder)
    elif args.side:
        trl(args.folder, args.side == "trl-continuous")
    else:
        python = {"ponder": sys.executable}
        if args.trl:
            python |= {"trl": args.trl} | ({"trl-continuous": args.trl} if args.continuous else {})
        result = {shape: measure(python, shape, args.steps) for shape in args.shapes.split(",")}
        print(json.dumps(result, indent=1))
        if args.json:
            args.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
