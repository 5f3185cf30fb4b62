"""The `location` of docs/operate.md in a real nginx, with the nginx.conf of docs/first-answers.md."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import httpx
import pytest
from listening import free_port
from live import server

from ponder.engine.llm import LLM
from ponder.server.config import ServerConfig

DOCS = Path(__file__).parents[2] / "docs"
NGINX = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(NGINX is None, reason="nginx is not installed"),
]


def block(page: str, name: str) -> str:
    return re.search(rf"^```text\n# {re.escape(name)}\n(.*?)^```$", (DOCS / page).read_text(), re.M | re.S)[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """-> the server's own address, and that behind nginx."""
    folder, port = tmp_path_factory.mktemp("nginx"), free_port()
    # all of it is less than a buffer of nginx
    slow = {"model": {"capability": "instruct"}}, {"text": "on and on and on and on", "delay_ms": 300}
    (folder / "slow").write_text("".join(json.dumps(line) + "\n" for line in (*slow, slow[1])))
    with server({"slow": partial(LLM, f"scripted:{folder / 'slow'}")}, ServerConfig(root_path="/ponder")) as base:
        location = block("operate.md", "nginx").replace("http://127.0.0.1:11435", base)
        (folder / "ponder.conf").write_text(location)
        config = block("first-answers.md", "nginx.conf").replace("8080", str(port))
        if os.geteuid() == 0:  # its workers are nobody otherwise, who may not enter folders of tests
            config = "user root;\n" + config
        (folder / "nginx.conf").write_text(config)
        with subprocess.Popen([NGINX, "-p", folder, "-c", "nginx.conf"]) as nginx:
            front = f"http://127.0.0.1:{port}/ponder"
            with httpx.Client(transport=httpx.HTTPTransport(retries=6)) as client:
                assert client.get(f"{front}/health").json()["status"] == "ok"
            yield base, front
            nginx.terminate()


def test_a_reply_is_read_as_it_is_written(site: tuple[str, str]) -> None:
    base, front = site
    ask = {"messages": [{"role": "user", "content": "Go on."}], "stream": True}
    with httpx.stream("POST", f"{front}/v1/chat/completions", json=ask, timeout=60) as reply:
        lines = reply.iter_lines()
        while '"content":"on' not in next(lines):
            pass
        assert httpx.get(f"{base}/health").json()["in_flight"] == 1, "it is still being written"
    with httpx.stream("POST", f"{front}/api/chat", json=ask | {"model": "slow"}, timeout=60) as reply:
        lines = reply.iter_lines()
        assert '"content":"on' in next(lines)
        assert httpx.get(f"{base}/health").json()["in_flight"] == 1


def test_the_page_and_what_it_asks_for(site: tuple[str, str]) -> None:
    _, front = site
    page = httpx.get(f"{front}/", timeout=60).text
    wanted = re.findall(r'(?:href|src)="(web/static/[^"]+)"', page)
    assert len(wanted) >= 4
    for path in wanted:
        assert httpx.get(f"{front}/{path}").status_code == 200, path
    made = httpx.post(f"{front}/web/conversations", json={"title": "t"})
    assert httpx.get(f"{front}/web/conversations/{made.json()['id']}").json()["title"] == "t"


def test_a_body_of_the_size_that_the_server_takes(site: tuple[str, str]) -> None:
    """nginx alone would refuse more than one MiB."""
    _, front = site
    long = httpx.post(f"{front}/tokenize", json={"content": "word " * 600_000}, timeout=120)
    assert long.status_code == 200 and long.json()["count"] >= 600_000
