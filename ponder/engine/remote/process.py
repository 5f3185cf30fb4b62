"""vLLM or SGLang as a child process: started, waited for, kept alive, and never left behind.

    with EngineProcess("vllm", "Qwen/Qwen3-8B", python="/opt/vllm/bin/python") as engine:
        model = RemoteModel(engine.url, dialect="vllm")

They need an environment of their own, so `python` names its interpreter. What the child prints goes into a file; the
end of it is shown when it does not come up. A child that dies later is started again, a few times. It runs under a
supervisor (`ponder/sandbox/supervisor.py`), which ends it and all its workers when we close or are gone.
"""

import importlib.util
import os
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal

from ponder.core.errors import LoadError, UserError
from ponder.sandbox.supervisor import exit_code, supervised

Kind = Literal["vllm", "sglang"]
TAIL, NAMED = 15, 5  # lines of its output that an error shows: at the end, and above that those with an error's name
ERROR = re.compile(r"\b\w*(?:Error|Exception): ")
RESTARTS = 3  # in a row, each of which lived less than STABLE seconds
STABLE = 300.0
STOP_SECONDS = 15.0


def command(kind: Kind, model: str, python: str, port: int, name: str, extra: Sequence[str]) -> list[str]:
    """Thoughts and calls are taken apart by the engine itself, which its thinking budget needs, too."""
    where = ["--host", "127.0.0.1", "--port", str(port), "--served-model-name", name, "--reasoning-parser", "qwen3"]
    if kind == "vllm":
        serve = ["-m", "vllm.entrypoints.openai.api_server", "--model", model, "--enable-auto-tool-choice"]
        return [python, *serve, *where, "--tool-call-parser", "hermes", *extra]
    return [python, "-m", "sglang.launch_server", "--model-path", model, *where, "--tool-call-parser", "qwen25", *extra]


class EngineProcess:
    """url: of its /v1. name: the model's name there."""

    def __init__(
        self,
        kind: Kind,
        model: str,
        *,
        name: str | None = None,
        python: str | None = None,
        extra: Sequence[str] = (),
        patience: float = 900.0,
        said: Callable[[str], None] = lambda text: None,
    ) -> None:
        """python: the interpreter of the environment that has the engine; None is this one. extra: further flags for
        it. patience: seconds that it may take to come up. said: told what happens.

        Returns when it answers. Raises UserError when it is not installed, LoadError with the end of its output when
        it does not come up.
        """
        if python is None and importlib.util.find_spec(kind) is None:
            raise UserError(
                f"{kind} is not installed beside Ponder. It wants an environment of its own: pip install {kind} there "
                "and give --engine-python /there/bin/python, or start it yourself and give --url",
                param="engine-python",
            )
        self.name = name or Path(model).name
        self._said = said
        self._port = _free_port()
        self._command = command(kind, model, python or sys.executable, self._port, self.name, extra)
        self._output = Path(tempfile.mkstemp(prefix=f"ponder-{kind}-", suffix=".log")[1])
        self._closed = threading.Event()
        self._lock = threading.Lock()  # no start after the end
        self._owner = -1  # our end of the pipe to the supervisor; closing it ends the engine
        self._process = self._start()
        try:
            self._wait(patience)
        except BaseException:  # also Ctrl-C: nothing may be left behind
            self.close()
            raise
        threading.Thread(target=self._keep_alive, args=[patience], name=f"ponder-{kind}", daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def pid(self) -> int:
        """The supervisor's; the engine and its workers are below it."""
        return self._process.pid

    def close(self) -> None:
        """End it, and whatever it started. Idempotent."""
        with self._lock:
            self._closed.set()
            self._let_go()
        try:
            self._process.wait(2 * STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._output.unlink(missing_ok=True)

    def __enter__(self) -> "EngineProcess":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start(self) -> "subprocess.Popen[bytes]":
        """In a session of its own: Ctrl-C in the terminal is ours to deal with."""
        if sys.platform == "win32":
            raise UserError("Starting another engine needs Linux or macOS: on Windows use WSL 2, or --engine openai.")
        theirs, self._owner = os.pipe()
        try:
            with self._output.open("ab") as output:
                return subprocess.Popen(
                    supervised(self._command, theirs, grace=STOP_SECONDS), pass_fds=[theirs], start_new_session=True,
                    stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                    env={"VLLM_NO_USAGE_STATS": "1", **os.environ},
                )  # fmt: skip
        finally:
            os.close(theirs)

    def _let_go(self) -> None:
        """Close our end of the pipe to the supervisor, once."""
        if self._owner >= 0:
            os.close(self._owner)
            self._owner = -1

    def _wait(self, patience: float) -> None:
        deadline = time.monotonic() + patience
        while not self._answers():
            if (code := self._process.poll()) is not None:
                raise LoadError(f"{self._command[2]} ended with code {exit_code(code)}:\n{self.tail()}")
            if time.monotonic() > deadline:
                raise LoadError(f"{self._command[2]} did not come up within {patience:.0f} s:\n{self.tail()}")
            if self._closed.wait(0.5):
                return

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/health", timeout=5) as reply:
                return bool(reply.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def tail(self) -> str:
        """The errors that it named (the cause is often far above the end), and the end of what it printed."""
        lines = self._output.read_text("utf-8", "replace").splitlines()
        named = dict.fromkeys(line for line in lines[:-TAIL] if ERROR.search(line))
        return "\n".join([*list(named)[-NAMED:], *lines[-TAIL:]])

    def _keep_alive(self, patience: float) -> None:
        """The fleet sees that it is away and that it is back; here it is only started again."""
        left = RESTARTS
        while True:
            began = time.monotonic()
            code = self._process.wait()
            if self._closed.is_set():
                return
            self._let_go()
            left = RESTARTS if time.monotonic() - began > STABLE else left - 1
            self._said(f"{self.name}: the engine ended with code {exit_code(code)}:\n{self.tail()}")
            if left < 0:
                self._said(f"{self.name}: it is not started again, it ended too often")
                return
            with self._lock:
                if self._closed.is_set():
                    return
                self._process = self._start()
            try:
                self._wait(patience)
            except LoadError as e:
                self._said(str(e))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
