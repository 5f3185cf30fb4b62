"""llama.cpp's tool calling, of its own server built for this CPU, on the questions of bench/bfcl.py.

    python bench/llama_tools.py FILE.gguf runs/bfcl/questions.jsonl runs/bfcl/llama-server.jsonl [--slots 8]

The file's own template (--jinja), so the prompts are those that Ponder renders. Resumable.
"""

import argparse
import json
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import httpx2
from bfcl import MAX_TOKENS
from peers import install
from serving import serving

CONTEXT = 4096  # of each slot


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("questions", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--slots", type=int, default=8)
    args = parser.parse_args()
    done = {json.loads(line)["id"] for line in args.out.read_text().splitlines()} if args.out.exists() else set()
    todo = [q for q in map(json.loads, args.questions.open()) if q["id"] not in done]
    size = ["-np", str(args.slots), "-c", str(CONTEXT * args.slots), "-t", "2"]
    command = [str(install.llama_server(install.ROOT)), "-m", args.model, "--jinja", *size]
    with (
        serving(lambda port: [*command, "--port", str(port)]) as (url, _),
        httpx2.Client(base_url=url, timeout=1800) as http,
        args.out.open("a") as sink,
        ThreadPoolExecutor(args.slots) as pool,
    ):
        for row in as_completed([pool.submit(answer, http, question) for question in todo]):
            print(json.dumps(row.result()), file=sink, flush=True)


def answer(http: httpx2.Client, question: dict[str, Any]) -> dict[str, Any]:
    wish = {"temperature": 0.0, "max_tokens": MAX_TOKENS, "cache_prompt": False}
    reply = http.post(
        "/v1/chat/completions", json={"messages": question["messages"], "tools": question["tools"], **wish}
    ).json()
    if "error" in reply:  # counts as wrong
        return {"id": question["id"], "calls": [{"none": {}}], "text": str(reply["error"])}
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
