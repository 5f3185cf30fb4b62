"""A Python kernel inside the sandbox: ipykernel without its sockets, because here there are none.

    python -P kernel.py DESCRIPTOR

Commands come on standard input, messages leave on DESCRIPTOR; both are frames of a 4-byte big-endian length and JSON.
What code prints goes to stdout and stderr as ever; results and displays are printed there too, in order, so only
pictures and the end of a call are messages:

    in   {"id": 1, "code": "1 + 1"}     {"interrupt": 1}
    out  {"kind": "ready"}    {"kind": "image", "id": 1, "type": "image/png", "data": "<base64>"}
         {"kind": "done", "id": 1, "error": null}

Nothing here protects anything: the code can do to this process what it likes, and the host takes every message for a
claim.
"""

import base64
import contextlib
import errno
import json
import os
import queue
import signal
import socket
import struct
import sys
import threading
import traceback
from typing import Any

os.environ.update(MPLBACKEND="module://matplotlib_inline.backend_inline")
sys.modules["debugpy"] = None  # type: ignore[assignment]  # ipykernel does without; half of its start-up time otherwise

from ipykernel.ipkernel import IPythonKernel  # noqa: E402
from ipykernel.zmqshell import ZMQInteractiveShell  # noqa: E402
from jupyter_client.session import Session  # noqa: E402
from traitlets import Type  # noqa: E402
from traitlets.config import Config  # noqa: E402

PICTURES = ("image/png", "image/jpeg")
LARGEST = 7 * 2**20  # characters of a picture in base64; the host takes frames of 8 MB
LIBRARY = "/lib/python"  # in the path of every module of Python and of what pip installs
WORKSPACE = os.getcwd()
LISTED = 10  # files that are named when one is missing
FRAMES = 8  # of a traceback that are shown


class HostChannel:
    """Frames to the host."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.lock = threading.Lock()
        self.running = 0

    def send(self, **message: Any) -> None:
        content = json.dumps(message).encode()
        content = struct.pack(">I", len(content)) + content
        with self.lock:
            while content:
                content = content[os.write(self.descriptor, content) :]


class PrintedSession(Session):
    """Takes what the shell would publish: text is printed, pictures are sent."""

    link: HostChannel

    def send(self, stream: Any, msg_or_type: Any, content: Any = None, *args: Any, **kwargs: Any) -> None:
        content = msg_or_type["content"] if isinstance(msg_or_type, dict) else content
        data = (content or {}).get("data") or {}
        for kind in PICTURES:
            if kind in data:
                picture = data[kind]
                if isinstance(picture, bytes):
                    picture = base64.b64encode(picture).decode()
                if len(picture) > LARGEST:
                    print(f"[a picture of {len(picture) * 3 // 4:,} bytes is too large to be shown]")
                else:
                    self.link.send(kind="image", id=self.link.running, type=kind, data=picture)
                return
        if "text/plain" in data:
            print(data["text/plain"])


class KernelShell(ZMQInteractiveShell):
    """Errors in a few lines, with the cell's own source and without the machinery around it."""

    error: str | None = None
    number = 0  # of the running call, as IPython counts

    def showtraceback(self, *args: Any, **kwargs: Any) -> None:
        self.show(sys.exc_info()[1])

    def showsyntaxerror(self, *args: Any, **kwargs: Any) -> None:
        self.show(sys.exc_info()[1])

    def showindentationerror(self) -> None:
        self.show(sys.exc_info()[1])

    def show(self, error: BaseException | None) -> None:
        if error is not None:
            sys.stdout.flush()
            print(self.short(error), file=sys.stderr, flush=True)
            self.error = f"{type(error).__name__}: {error}"

    def short(self, error: BaseException) -> str:
        told = traceback.TracebackException.from_exception(error)
        offline = wants_network(error)
        if offline:  # how the libraries found out is a page that helps nobody
            told.__cause__ = told.__context__ = None
        link: traceback.TracebackException | None = told
        while link is not None:
            frames = told_frames([frame for frame in link.stack if not machinery(frame.filename)], outer=link is told)
            if len(frames) > FRAMES:
                frames = [*frames[:2], *frames[2 - FRAMES :]]
            for frame in frames:
                frame.filename = self.cell(frame.filename)
            link.stack = traceback.StackSummary.from_list(frames)
            if isinstance(getattr(link, "filename", None), str):  # of a SyntaxError
                link.filename = self.cell(link.filename)
            cause = link.__cause__ or link.__context__
            if cause is not None and str(cause) == str(link) and not any(own(frame) for frame in cause.stack):
                link.__cause__ = link.__context__ = cause = None  # a library that raises the same once more
            link = cause
        text = "".join(told.format()).rstrip()
        if isinstance(error, ModuleNotFoundError) and error.name:
            text += (
                f"\n{error.name} is not installed, and there is no network here to install it. Work without it, or ask "
                "the user to install it in Ponder's Python environment."
            )
        elif isinstance(error, FileNotFoundError):
            here = ", ".join(sorted(os.listdir(WORKSPACE))[:LISTED]) or "no files"
            text += (
                f"\nThere is no such file: the workspace holds {here}. Data that you have, or get from another tool, "
                "has to be written into the code itself."
            )
        elif isinstance(error, NameError):
            text += "\nCode knows what it has defined itself. What another tool gave has to be written into it."
        elif isinstance(error, SyntaxError) and not told.stack:
            text += "\nNo line of this code was run. Send all of it again, corrected."
        elif offline:
            text += (
                "\nThere is no network here, and no other code will reach it either. Data that you have, or get from "
                "another tool, has to be written into the code itself."
            )
        return text

    def cell(self, filename: str) -> str:
        """Of this call just "Cell": the same error twice reads the same, and who repeats a call can be told so."""
        name = self.compile.format_code_name(filename)
        if name is None:
            return filename
        return "Cell" if name[1] == f"In[{self.number}]" else " ".join(name)


def machinery(filename: str) -> bool:
    return filename == __file__ or any(part in filename for part in ("/IPython/", "/ipykernel/", "/traitlets/"))


def told_frames(frames: list[traceback.FrameSummary], *, outer: bool) -> list[traceback.FrameSummary]:
    """The code's own frames, and of the libraries below them the one that raised. outer: the error that reached the
    code, and not one on the way to it."""
    mine = {n for n, frame in enumerate(frames) if own(frame)}
    last = {len(frames) - 1} if mine or outer else set()
    return [frame for n, frame in enumerate(frames) if n in mine | last]


def own(frame: traceback.FrameSummary) -> bool:
    """Compiled libraries name their sources by a path of the machine that built them."""
    built = frame.filename.endswith((".pyx", ".pxi"))
    return not built and frame.filename[:7] != "<frozen" and LIBRARY not in frame.filename


def wants_network(error: BaseException | None) -> bool:
    """No socket can be made in here; libraries wrap what they were told."""
    while error is not None:
        if isinstance(error, socket.gaierror) or (isinstance(error, OSError) and error.errno == errno.EAFNOSUPPORT):
            return True
        error = error.__cause__ or error.__context__
    return False


class GuestKernel(IPythonKernel):
    shell_class = Type(KernelShell)


def receive(inbox: "queue.SimpleQueue[dict[str, Any]]", link: HostChannel, source: int) -> None:
    """Reads commands in a thread of its own, so that an interrupt arrives while code runs."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # it is for the main thread
    with os.fdopen(source, "rb") as stream:
        while len(head := stream.read(4)) == 4:
            command = json.loads(stream.read(struct.unpack(">I", head)[0]))
            if "interrupt" in command:
                if command["interrupt"] == link.running:
                    os.killpg(0, signal.SIGINT)  # to children as well, as Ctrl-C in a terminal
            else:
                inbox.put(command)
    os._exit(0)  # the host is gone


def execute(shell: KernelShell, link: HostChannel, command: dict[str, Any]) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    shell.error, shell.number = None, shell.execution_count
    link.running = command["id"]
    try:
        shell.run_cell(command["code"], store_history=True)  # type: ignore[no-untyped-call]
    except BaseException as error:  # what escapes the shell: SystemExit in a finally, a late interrupt
        shell.show(error)
    link.running = 0
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):  # code may have closed or replaced them
            stream.flush()
    link.send(kind="done", id=command["id"], error=shell.error)


def main() -> None:
    descriptor = int(sys.argv[1])
    source = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    for fd in (descriptor, source):
        os.set_inheritable(fd, False)  # not for the children of the code
    sys.path.append(os.getcwd())  # last: a file called random.py must not break the library
    link = HostChannel(descriptor)
    PrintedSession.link = link
    config = Config()
    config.HistoryManager.enabled = False  # no file, no thread
    kernel = GuestKernel(session=PrintedSession(key=b""), config=config)  # type: ignore[no-untyped-call]
    assert isinstance(kernel.shell, KernelShell)
    del sys.modules["debugpy"]
    inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=receive, args=(inbox, link, source), daemon=True).start()
    link.send(kind="ready")
    while True:
        with contextlib.suppress(KeyboardInterrupt):
            execute(kernel.shell, link, inbox.get())


if __name__ == "__main__":
    main()
