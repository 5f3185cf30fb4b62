"""The published agent example with a real model: how often does it manage?

    python bench/agent_example.py --model MODEL --runs 10 [--json bench/results/agent-example.json]

Real mcp-server-time and mcp-server-fetch, a page on localhost, the code interpreter in its sandbox. Each run has a seed
of its own. Counted: a call without an error of each tool, a picture, an answer, an answer that names the right month.
"""

import argparse
import http.server
import json
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from ponder.agent import Assistant, Limits
from ponder.agent.event import CallDone, CallStarted
from ponder.agent.models import chat_model
from ponder.core.params import SamplingParams

PAGE = (
    "<h1>Downloads of Ponder</h1><table><tr><th>Month<th>Downloads</tr>"
    "<tr><td>May<td>10</tr><tr><td>June<td>40</tr><tr><td>July<td>25</tr></table>"
)
BIN = Path(sys.executable).parent
TOOLS = [
    {
        "mcpServers": {
            "time": {"command": str(BIN / "mcp-server-time"), "args": ["--local-timezone=Asia/Shanghai"]},
            "fetch": {
                "command": str(BIN / "mcp-server-fetch"),
                "args": ["--allow-private-ips", "--ignore-robots-txt"],
            },
        }
    },
    "code_interpreter",
]
ASK = (
    "Fetch {url}, then draw a bar chart of the downloads with matplotlib in the code interpreter. "
    "Which month had the most downloads?"
)


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(PAGE.encode())

    def log_message(self, *args: object) -> None: ...


def one(bot: Assistant, url: str) -> set[str]:
    """What this run managed."""
    found: set[str] = set()
    names: dict[str, str] = {}
    for event in bot.events([{"role": "user", "content": ASK.format(url=url)}]):
        if isinstance(event, CallStarted):
            names[event.call.id] = event.call.name
        elif isinstance(event, CallDone) and not event.output.error:
            found.add(f"{names.get(event.call_id, '?')} worked")
            found |= (
                {"picture"} if event.output.images or any(f.endswith(".png") for f in event.output.files) else set()
            )
    assert bot.last and bot.last.end
    found |= {"answered"} if bot.last.end.reason == "answered" else {f"ended by {bot.last.end.reason}"}
    return found | ({"right month"} if "June" in bot.last.end.text else set())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    counts: Counter[str] = Counter()
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        model = chat_model(args.model)
        for seed in range(args.runs):
            bot = Assistant(llm=model, function_list=TOOLS, workspace=folder, limits=Limits(steps=8))
            bot.agent.sampling = SamplingParams(seed=seed, max_tokens=1024)
            began = time.monotonic()
            with bot:
                managed = one(bot, f"http://127.0.0.1:{server.server_port}/")
            seconds.append(round(time.monotonic() - began, 1))
            counts.update(managed)
            print(seed, sorted(managed), seconds[-1], flush=True)
    row = {"model": Path(args.model).stem, "runs": args.runs, "counts": dict(counts), "seconds": seconds}
    print(json.dumps(row))
    if args.json:
        args.json.write_text(json.dumps(row, indent=1) + "\n")


if __name__ == "__main__":
    main()
