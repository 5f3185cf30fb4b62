"""The published agent example with a real model: how often does it manage?

    python bench/agent_example.py --model MODEL --runs 20 runs/agent-example [--json FILE]
    ponder agent --replay runs/agent-example/run-3.jsonl           # what it did, and where it went wrong

Real mcp-server-time and mcp-server-fetch, a page on localhost, the code interpreter in its sandbox. Each run has a seed
and a folder of its own; finished runs are kept, so a stopped measurement goes on. Counted: a call without an error of
each tool, a picture, a picture made by code that holds the fetched numbers, an answer, an answer that names the right
month, and all of it: page fetched, chart of its numbers, right answer.
"""

import argparse
import http.server
import json
import re
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ponder.agent import Assistant, Limits
from ponder.agent.loop.event import CallDone, CallStarted, Note
from ponder.agent.loop.models import chat_model
from ponder.agent.loop.session import Session
from ponder.core.message import ToolCall
from ponder.core.params import SamplingParams
from ponder.core.protocol import ChatModel

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
NUMBERS = ("10", "40", "25")
FENCE = re.compile(r"```.*?(```|$)", re.S)  # of code or data in the answer
ALL = {"fetch-fetch worked", "chart of the page", "answered", "right month"}


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(PAGE.encode())

    def log_message(self, *args: object) -> None: ...


def one(bot: Assistant, url: str, session: Session) -> set[str]:
    """What this run managed."""
    found: set[str] = set()
    calls: dict[str, ToolCall] = {}
    for event in bot.events([{"role": "user", "content": ASK.format(url=url)}], session=session):
        if isinstance(event, Note) and event.text.startswith("MCP server"):
            raise SystemExit(event.text)
        if isinstance(event, CallStarted):
            calls[event.call.id] = event.call
        elif isinstance(event, CallDone) and not event.output.error and event.call_id in calls:
            call = calls[event.call_id]
            found.add(f"{call.name} worked")
            if event.output.images:
                found.add("picture")
                found |= {"chart of the page"} if all(n in call.arguments for n in NUMBERS) else set()
    assert bot.last and bot.last.end
    found |= {"answered"} if bot.last.end.reason == "answered" else {f"ended by {bot.last.end.reason}"}
    found |= {"right month"} if "June" in FENCE.sub("", bot.last.end.text) else set()
    return found | ({"ALL"} if found >= ALL else set())


def runs(model: ChatModel, folder: Path, count: int) -> Iterator[dict[str, Any]]:
    """The rows of all runs: those of before, then the missing ones as they are made."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    folder.mkdir(parents=True, exist_ok=True)
    for seed in range(count):
        done, log = folder / f"run-{seed}.json", folder / f"run-{seed}.jsonl"
        if not done.exists():
            log.unlink(missing_ok=True)
            bot = Assistant(llm=model, function_list=TOOLS, workspace=folder, limits=Limits(steps=8))
            bot.agent.sampling = SamplingParams(seed=seed, max_tokens=1024)
            began = time.monotonic()
            with bot, Session(log) as session:
                managed = one(bot, f"http://127.0.0.1:{server.server_port}/", session)
            row = {"seed": seed, "managed": sorted(managed), "seconds": round(time.monotonic() - began, 1)}
            done.write_text(json.dumps(row) + "\n")
        yield json.loads(done.read_text())


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    counts: Counter[str] = Counter()
    seconds = []
    for row in runs(chat_model(args.model), args.folder, args.runs):
        print(row, flush=True)
        counts.update(row["managed"])
        seconds.append(row["seconds"])
    result = {"model": Path(args.model).stem, "runs": args.runs, "counts": dict(counts), "seconds": seconds}
    print(json.dumps(result))
    if args.json:
        args.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
