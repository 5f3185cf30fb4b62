"""Connections without a key: silence, slowness, endless headers and many of them; nobody else is kept out."""

import logging
import socket
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import httpx
import pytest
from listening import listening
from live import saying
from starlette.types import ASGIApp

from ponder.server.app import build
from ponder.server.config import ServerConfig
from ponder.server.http import connections
from ponder.server.http.connections import HEADERS, guarded
from ponder.server.http.log import Throttled
from ponder.server.runtime.admission import Admission
from ponder.server.runtime.pool import Pool
from ponder.server.runtime.service import Service

LIMIT, BODY = 8, 1 << 20
HALVES = {
    "silent": b"",
    "half of the headers": b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ",
    "half of the body": b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{",
}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> ASGIApp:
    folder, config = tmp_path_factory.mktemp("s"), ServerConfig()
    return build(Service(config, Pool(saying(folder, {"s": "Yes."})), Admission(config, 4)), folder / "chat.sqlite")


@pytest.fixture
def base(app: ASGIApp, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    for name, seconds in (("HEADER", 1.0), ("SILENT", 1.0), ("LOOK", 0.1)):
        monkeypatch.setattr(connections, f"{name}_SECONDS", seconds)
    with listening(app, http=guarded(LIMIT, BODY), lifespan="off") as base:
        yield base


def connected(base: str, data: bytes) -> socket.socket:
    where = urlsplit(base)
    connection = socket.create_connection((where.hostname or "", where.port or 0), timeout=30)
    connection.sendall(data)
    return connection


def everything(connection: socket.socket) -> bytes:
    """What comes until the server closes."""
    said = b""
    try:
        while data := connection.recv(65536):
            said += data
    except ConnectionError:
        pass
    return said


def one_reply(connection: socket.socket) -> bytes:
    said = b""
    while not said.endswith(b"}"):
        said += connection.recv(65536)
    return said


@pytest.mark.parametrize("half", HALVES)
def test_who_does_not_go_on_is_let_go(base: str, half: str) -> None:
    with connected(base, HALVES[half]) as connection:
        assert b" 408 " in everything(connection)
    assert httpx.get(base + "/health").status_code == 200


def test_who_is_slow_and_goes_on_is_answered(base: str) -> None:
    body = b'{"content": "Ponder reads slowly."}'
    head = b"POST /tokenize HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    with connected(base, head) as connection:
        for at in range(0, len(body), 5):
            time.sleep(0.25)  # in all longer than each of the limits
            connection.sendall(body[at : at + 5])
        assert b" 200 OK" in everything(connection)


def test_a_connection_that_is_kept_has_the_limits_for_each_request(base: str) -> None:
    request = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with connected(base, request) as connection:
        assert b" 200 OK" in one_reply(connection)
        time.sleep(1.5)  # longer than headers may take, and nothing was begun
        connection.sendall(request)
        assert b" 200 OK" in one_reply(connection)
        connection.sendall(b"GET /hea")
        assert b" 408 " in everything(connection)


def test_many_silent_connections_keep_nobody_out(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEADER_SECONDS", 60.0)
    many = [connected(base, list(HALVES.values())[n % 2]) for n in range(4 * LIMIT)]
    try:
        for _ in range(3):
            assert httpx.get(base + "/health", timeout=30).status_code == 200
        alive = 0
        for connection in many:
            connection.settimeout(0.05)
            try:
                alive += connection.recv(10) != b""
            except TimeoutError:
                alive += 1
            except ConnectionError:
                pass
        assert alive <= LIMIT
    finally:
        for connection in many:
            connection.close()


def test_endless_header_lines_end(base: str) -> None:
    sent = 0
    with connected(base, b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n") as connection:
        connection.settimeout(30)
        try:
            while sent < 64 * HEADERS:
                connection.sendall(b"X-Line: " + b"a" * 8000 + b"\r\n")
                sent += 8010
        except ConnectionError:
            pass
        assert sent < 64 * HEADERS, "the connection was closed"


def test_headers_that_are_too_large_are_refused_by_name(base: str) -> None:
    assert httpx.get(base + "/health", headers={"X-Large": "a" * (HEADERS + 1)}).status_code == 431
    assert httpx.get(base + "/health?q=" + "a" * 60_000).status_code == 200
    assert httpx.get(base + "/health", headers={"X-Usual": "a" * 30_000}).status_code == 200


def test_endless_trailers_end(base: str) -> None:
    head = b"POST /tokenize HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
    sent = 0
    with connected(base, head) as connection:
        try:
            while sent < 16 * BODY:
                connection.sendall(b"X-Line: " + b"a" * 8000 + b"\r\n")
                sent += 8010
        except ConnectionError:
            pass
    assert sent < 16 * BODY


def test_a_full_table_of_descriptors_is_told_once_a_minute() -> None:
    filter_ = Throttled()

    def told(message: str, when: float) -> bool:
        record = logging.LogRecord("asyncio", logging.ERROR, "", 0, message, None, None)
        record.created = when
        return filter_.filter(record)

    full = "socket.accept() out of system resource\nsocket: <...>"
    assert [told(full, at) for at in (1000, 1001, 1059, 1060, 1061)] == [True, False, False, True, False]
    assert told("something else", 1002) and told("something else", 1002)


def test_the_bound_follows_the_descriptors() -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (300, hard))
        assert 100 < connections.most_connections() < 250
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
