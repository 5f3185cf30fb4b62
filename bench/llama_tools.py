"""llama.cpp's tool calling (llama-cpp-python's "chatml-function-calling") on the questions of bench/bfcl.py.

    LLAMA_PYTHON bench/llama_tools.py FILE.gguf questions.jsonl out.jsonl [--threads 2]

Needs llama-cpp-python alone. Resumable.
"""

import argparse
import json
from pathlib import Path
from typing import Any

from llama_cpp import Llama


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("questions", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    done = {json.loads(line)["id"] for line in args.out.read_text().splitlines()} if args.out.exists() else set()
    llama = Llama(args.model, n_ctx=2048, n_threads=args.threads, chat_format="chatml-function-calling", verbose=False)
    with args.out.open("a") as sink:
        for question in map(json.loads, args.questions.open()):
            if question["id"] in done:
                continue
            print(json.dumps(answer(llama, question)), file=sink, flush=True)


def answer(llama: Llama, question: dict[str, Any]) -> dict[str, Any]:
    try:
        reply = llama.create_chat_completion(
            question["messages"], tools=question["tools"], tool_choice="auto", temperature=0.0, max_tokens=512
        )
    except (ValueError, RuntimeError) as e:  # it made calls until the context was full; counts as wrong
        return {"id": question["id"], "calls": [{"none": {}}], "text": str(e)}
    message = reply["choices"][0]["message"]
    calls = []
    for call in message.get("tool_calls") or []:
        try:
            calls.append({call["function"]["name"]: json.loads(call["function"]["arguments"])})
        except ValueError:  # cut off; counts as wrong
            calls.append({call["function"]["name"]: {}})
    return {"id": question["id"], "calls": calls, "text": message.get("content") or ""}


if __name__ == "__main__":
    main()
