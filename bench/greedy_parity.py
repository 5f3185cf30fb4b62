"""Greedy text of Ponder beside llama.cpp's on the same GGUF file: 20 prompts of 64 ids, and every first difference.

    python bench/greedy_parity.py prompts --model FILE.gguf runs/parity
    LLAMA_PYTHON bench/llama_greedy.py FILE.gguf runs/parity/prompts.jsonl runs/parity/llama.jsonl --max-tokens 64
    python bench/greedy_parity.py compare --model FILE.gguf --dtype f32 runs/parity

Both sides get token ids, so templates play no part. Where the texts part, the line shows how far apart the two best
logits were on either side at that step: llama.cpp quantises activations to 8 bits, so a gap below its noise decides
by chance. The noise is measured too: Ponder's logits at f32 against the chosen dtype, on the same ids.
"""

import argparse
import json
from pathlib import Path

ASK = [
    "Write a Python function that checks whether a number is prime.",
    "What is the capital of France, and what is it known for?",
    "Explain what a hash table is to a beginner.",
    "Translate into German: The weather is nice today, let us go for a walk.",
    "Write a SQL query that returns the ten customers with the highest total order value.",
    "用中文解释什么是递归。",
    "Write a haiku about the sea.",
    "List five differences between TCP and UDP.",
    "Fix this code: for i in range(10) print(i)",
    "Write a bash one-liner that counts the lines of all .py files below this folder.",
    "What does the keyword `yield` do in Python?",
    "Give me three names for a small bakery.",
    "Write a C function that reverses a string in place.",
    "Summarise the plot of Romeo and Juliet in two sentences.",
    "How do I undo the last commit in git without losing my changes?",
    "Write a regular expression for an ISO date.",
    "Explique la différence entre une liste et un tuple en Python.",
    "What is 17 times 23? Show the steps.",
    "Write a React component with a button that counts clicks.",
    "Напиши функцию на Python, которая сортирует список слов по длине.",
]


def write_prompts(folder: Path, model: str) -> None:
    from ponder import LLM

    with LLM(model) as llm, (folder / "prompts.jsonl").open("w") as sink:
        for number, text in enumerate(ASK):
            print(json.dumps({"id": number, "ids": llm.render(text).ids}), file=sink)


def compare(folder: Path, model: str, dtype: str) -> None:
    from ponder import LLM, SamplingParams

    prompts = [json.loads(line)["ids"] for line in (folder / "prompts.jsonl").open()]
    peer = [json.loads(line) for line in (folder / "llama.jsonl").open()]
    greedy = SamplingParams(temperature=0, repetition_penalty=1, max_tokens=64, logprobs=2)
    with LLM(model, dtype=dtype, kv_dtype="f32") as llm:
        made = llm.generate(prompts, greedy)
        equal = 0
        for number, (ours, theirs) in enumerate(zip(made, peer)):
            ids = list(ours.ids)
            at = next((i for i, (a, b) in enumerate(zip(ids, theirs["ids"])) if a != b), None)
            if at is None:
                assert abs(len(ids) - len(theirs["ids"])) <= 1, "one side stopped early"  # the end id may not be listed
                equal += 1
                continue
            (_, best), (_, second) = ours.logprobs[at].top[:2]
            row = {"prompt": number, "first_difference": at, "our_gap": best - second, "their_gap": theirs["gaps"][at]}
            words = [llm.tokenizer.decode([i]) for i in (ids[at], theirs["ids"][at])]
            print(json.dumps({k: round(v, 4) for k, v in row.items()} | {"ours": words[0], "theirs": words[1]}))
    print(json.dumps({"dtype": dtype, "equal": equal, "of": len(made)}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("step", choices=["prompts", "compare"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", default="qwen2.5-coder:0.5b")
    parser.add_argument("--dtype", default="f32")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    if args.step == "prompts":
        write_prompts(args.folder, args.model)
    else:
        compare(args.folder, args.model, args.dtype)


if __name__ == "__main__":
    main()
