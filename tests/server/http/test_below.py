"""The server below a path, whether the proxy takes it off or not; the page asks for everything from where it is."""

from pathlib import Path

import httpx
import pytest
from live import saying, server

from ponder.core.errors import UserError
from ponder.server.config import ServerConfig

STATIC = Path(__file__).parents[3] / "ponder/server/web/static"


def test_below_a_path(tmp_path: Path) -> None:
    with server(saying(tmp_path, {"s": "Hi."}), ServerConfig(root_path="/ponder/")) as base:
        chat = {"messages": [{"role": "user", "content": "Hi"}]}
        for prefix in ("/ponder", ""):  # kept by the proxy, and taken off
            assert httpx.get(f"{base}{prefix}/v1/models", timeout=60).status_code == 200
            assert httpx.post(f"{base}{prefix}/v1/chat/completions", json=chat, timeout=60).status_code == 200
            assert "<title>" in httpx.get(f"{base}{prefix}/", timeout=60).text
            assert httpx.get(f"{base}{prefix}/web/static/app.js", timeout=60).status_code == 200
        assert httpx.get(f"{base}/ponderous/v1/models", timeout=60).status_code == 404


def test_the_page_names_nothing_from_the_top() -> None:
    page = (STATIC / "index.html").read_text()
    assert 'href="/' not in page and 'src="/' not in page
    assert 'fetch("/' not in "".join(f.read_text() for f in STATIC.glob("*.js"))


@pytest.mark.parametrize("path", ["ponder", "/", "//"])
def test_what_is_no_path(path: str) -> None:
    with pytest.raises(UserError, match="root-path"):
        ServerConfig(root_path=path)
