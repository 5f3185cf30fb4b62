"""The HTTP server as a process: starts, drains on the first SIGTERM or Ctrl-C, stops at once on the second (SR-6)."""

import signal
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from ponder.server.config import ServerConfig
from ponder.server.log import log, tell
from ponder.server.running import Running


class Server(uvicorn.Server):
    """While it drains, no new request is admitted and those that run have config.drain seconds to end."""

    def __init__(self, app: ASGIApp, config: ServerConfig, running: Running) -> None:
        super().__init__(
            uvicorn.Config(
                app, host=config.host, port=config.port, log_config=None, access_log=False,
                timeout_graceful_shutdown=config.drain,
            )
        )  # fmt: skip
        self._running = running

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        name = signal.Signals(sig).name
        if self.should_exit:
            log.warning("%s again: stopping at once", name)
            self._running.cancel_all()
            self.force_exit = True
            return
        self._running.draining = self.should_exit = True  # the signal is dealt with: the process ends with code 0
        tell("draining", signal=name, in_flight=len(self._running.runs), seconds=self.config.timeout_graceful_shutdown)
