"""The published Qwen-Agent example: real time and fetch servers, a page on localhost, a chart from what it says."""

import http.server
import json
import sys
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from saying import call, thought

from ponder.agent import Assistant
from ponder.agent.loop.event import CallDone

PAGE = "<h1>Downloads</h1><table><tr><td>May<td>10</tr><tr><td>June<td>40</tr><tr><td>July<td>25</tr></table>"
CHART = """
import matplotlib.pyplot as plt
plt.bar(["May", "June", "July"], [10, 40, 25])
plt.title("Downloads")
plt.show()
print(sum([10, 40, 25]))
"""


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(PAGE.encode())

    def log_message(self, *args: object) -> None: ...


@pytest.fixture
def page() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


BIN = Path(sys.executable).parent
TOOLS = [
    {
        "mcpServers": {
            "time": {"command": str(BIN / "mcp-server-time"), "args": ["--local-timezone=Asia/Shanghai"]},
            "fetch": {"command": str(BIN / "mcp-server-fetch"), "args": ["--allow-private-ips", "--ignore-robots-txt"]},
        }
    },
    "code_interpreter",
]


@pytest.mark.timeout(120)
def test_time_fetch_and_a_chart(scripted, page: str, tmp_path) -> None:
    pytest.importorskip("matplotlib")
    llm = scripted(
        thought("First the time and the page.")
        + call("time-get_current_time", timezone="Asia/Shanghai")
        + "\n"
        + call("fetch-fetch", url=page),
        thought("Now the chart.") + call("code_interpreter", code=CHART),
        thought("Done.") + "June had the most downloads, 40 of 75.",
    )
    with Assistant(llm=llm, function_list=TOOLS, workspace=tmp_path) as bot:
        events = list(bot.events([{"role": "user", "content": f"Introduce {page} with a chart."}]))
    time, fetched, chart = sorted((e.output for e in events if isinstance(e, CallDone)), key=_order)
    today = datetime.now(ZoneInfo("Asia/Shanghai")).date().isoformat()
    assert today in json.loads(time.text)["datetime"] and not time.error
    assert "June" in fetched.text and "40" in fetched.text and not fetched.error
    assert "75" in chart.text and not chart.error
    (image,) = chart.images
    assert image.media_type == "image/png" and image.data.startswith(b"\x89PNG") and len(image.data) > 3000
    assert bot.last.end.text == "June had the most downloads, 40 of 75." and bot.last.end.steps == 3


def _order(output) -> int:
    return 2 if output.images else 1 if "June" in output.text else 0
