"""The HTTP server as a process: takes its address, drains on the first SIGTERM or Ctrl-C, stops at once on the second
(SR-6)."""

import signal
import socket
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from ponder.core.errors import UserError
from ponder.server.config import ServerConfig
from ponder.server.http.connections import BACKLOG, guarded, most_connections
from ponder.server.http.log import log, log_event
from ponder.server.runtime.admission import Admission


def take_address(config: ServerConfig) -> list[socket.socket]:
    """Sockets that hold host and port but do not listen yet, so that a taken port is reported before a model is loaded.

    Several where a name stands for several addresses (localhost: IPv4 and IPv6). Port 0 is any free one.
    Raises UserError.
    """
    taken: list[socket.socket] = []
    port = config.port
    try:
        for family, kind, proto, _, address in socket.getaddrinfo(config.host, port, type=socket.SOCK_STREAM):
            taken.append(one := socket.socket(family, kind, proto))
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            one.bind((address[0], port, *address[2:]))
            port = one.getsockname()[1]
    except OSError as e:
        for one in taken:
            one.close()
        raise UserError(
            f"cannot listen on {config.host}, port {port}: {e.strerror}; choose another --host or --port", param="port"
        ) from e
    return taken


def url_of(config: ServerConfig, taken: list[socket.socket]) -> str:
    """The address as a person writes it down."""
    host = f"[{config.host}]" if ":" in config.host else config.host
    scheme = "https" if config.ssl_certfile else "http"
    return f"{scheme}://{host}:{taken[0].getsockname()[1]}{config.root_path.rstrip('/')}"


class DrainingServer(uvicorn.Server):
    """While it drains, no new request is admitted and those that run have config.drain seconds to end."""

    def __init__(self, app: ASGIApp, config: ServerConfig, admission: Admission) -> None:
        super().__init__(
            uvicorn.Config(
                app, log_config=None, access_log=False, timeout_graceful_shutdown=config.drain, backlog=BACKLOG,
                http=guarded(most_connections(), config.max_body), ssl_certfile=config.ssl_certfile,
                ssl_keyfile=config.ssl_keyfile, forwarded_allow_ips=config.forwarded_allow_ips,
            )
        )  # fmt: skip
        self._admission = admission

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        name = signal.Signals(sig).name
        if self.should_exit:
            log.warning("%s again: stopping at once", name)
            self._admission.cancel_all()
            self.force_exit = True
            return
        self._admission.draining = self.should_exit = True  # the signal is dealt with: the process ends with code 0
        log_event(
            "draining",
            signal=name,
            in_flight=len(self._admission.in_flight),
            seconds=self.config.timeout_graceful_shutdown,
        )
