"""Helper processes: a document that takes for ever is ended, whoever left it, and holds up neither chats nor others."""

import asyncio
import contextlib
import select
import socket
import zlib
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from live import saying, server

from ponder.server.config import ServerConfig
from ponder.server.http.errors import ApiError
from ponder.server.runtime.helpers import Helpers
from ponder.server.web import page_helpers
from ponder.server.web.markdown.html import to_html

ALICE, BOB = "alice" * 4, "bob" * 6
TABLE = "|a" * 60_000 + "\n" + "|-" * 60_000 + "\n" + ("|b" * 10 + "\n") * 2000


def pdf(stream: bytes) -> bytes:
    """One page with this content."""
    packed = zlib.compress(stream, 9)
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>",
        b"<</Length %d/Filter/FlateDecode>>stream\n" % len(packed) + packed + b"\nendstream",
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    ]
    out, offsets = b"%PDF-1.4\n", []
    for number, each in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj" % number + each + b"endobj\n"
    table = b"xref\n0 6\n0000000000 65535 f \n" + b"".join(b"%010d 00000 n \n" % at for at in offsets)
    return out + table + b"trailer<</Size 6/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % len(out)


ENDLESS = pdf(b"BT /F 1 Tf " + b"(a) Tj " * 3_000_000 + b"ET")  # 25 kB
SHORT = pdf(b"BT /F 1 Tf (Some words.) Tj ET")


def test_a_job_that_takes_too_long_is_ended_and_the_next_one_runs() -> None:
    async def main() -> None:
        helpers = Helpers(1, 0.5)
        with pytest.raises(ApiError, match="was stopped") as e:
            await helpers.run("read", "x.pdf", ENDLESS)
        assert e.value.status == 422 and not helpers._idle
        helpers._seconds = 30
        assert "Some words." in (await helpers.run("read", "x.pdf", SHORT))[0]
        with pytest.raises(ApiError, match="cannot be read") as e:
            await helpers.run("read", "x.pdf", b"%PDF-nonsense")
        assert e.value.status == 400 and len(helpers._idle) == 1, "an error that the job tells costs no process"
        await helpers.close()

    asyncio.run(main())


def test_who_leaves_takes_the_process_along() -> None:
    async def main() -> None:
        helpers = Helpers(1, 60)
        assert await helpers.run("to_html", "a") == "<p>a</p>\n"
        (process,) = helpers._idle
        task = asyncio.create_task(helpers.run("read", "x.pdf", ENDLESS))
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled() and process.returncode is not None
        assert await helpers.run("to_html", "b") == "<p>b</p>\n"
        await helpers.close()

    asyncio.run(main())


def test_one_client_leaves_the_others_a_process_and_is_refused_beyond_its_queue() -> None:
    from ponder.core.client import CLIENT

    async def main() -> None:
        helpers, order = Helpers(2, 60), []

        async def job(client: str, name: str, raw: bytes) -> None:
            CLIENT.set(client)
            try:
                await helpers.run("read", name, raw)
            finally:
                order.append(client)

        bobs = [asyncio.create_task(job("bob", "x.pdf", ENDLESS)) for _ in range(66)]
        await asyncio.sleep(0.1)
        await job("alice", "x.pdf", SHORT)
        assert order == ["bob", "alice"], "one of bob's was refused at once, the others wait"
        for task in bobs:
            task.cancel()
        results = await asyncio.gather(*bobs, return_exceptions=True)
        assert sum(isinstance(r, ApiError) and r.status == 429 for r in results) == 1
        await helpers.close()

    asyncio.run(main())


def test_a_table_that_markdown_would_fill_up_is_shown_as_it_is() -> None:
    assert to_html(TABLE).startswith("<pre>|a|a")
    usual = "|a|b|\n|-|-|\n" + "|1|2|\n" * 2000
    assert to_html(usual).count("<td>") == 4000


def test_a_text_that_cannot_be_rendered_in_time_is_shown_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_helpers, "RENDERING", 1e-6)

    async def main() -> None:
        page = page_helpers.PageHelpers()
        assert await page.rendered(["**a** <b>"]) == ["<pre>**a** &lt;b&gt;</pre>"]
        await page.close()

    asyncio.run(main())


def test_a_chat_begins_while_documents_are_read(tmp_path: Path) -> None:
    config = ServerConfig(api_keys=(ALICE, BOB))
    head = f"POST /web/extract?name=x.pdf HTTP/1.1\r\nHost: 127.0.0.1\r\nx-api-key: {BOB}\r\n"
    with server(saying(tmp_path, {"s": "Yes."}), config) as base, contextlib.ExitStack() as stack:
        port = urlsplit(base).port or 0
        bobs = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(7)]
        for connection in bobs:
            connection.sendall(f"{head}Content-Length: {len(ENDLESS)}\r\n\r\n".encode() + ENDLESS)
        with httpx.Client(base_url=base, headers={"x-api-key": ALICE}, timeout=60) as alice:
            chat = {"messages": [{"role": "user", "content": "hi"}]}
            assert alice.post("/v1/chat/completions", json=chat).status_code == 200
            assert alice.post("/web/render", json={"texts": ["*a*"]}).json() == {"html": ["<p><em>a</em></p>\n"]}
            assert "Some words." in alice.post("/web/extract?name=x.pdf", content=SHORT).json()["text"]
        answered, _, _ = select.select(bobs, [], [], 0)
        assert len(answered) < 2, "all of this happened while bob's documents were read"
