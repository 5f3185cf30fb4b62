"""While a model talks: Ctrl-C stops it, and in a chat Enter means "answer now".

A signal handler must not call into the engine (it may interrupt the engine's own locks), so it only writes a byte to
a pipe; a small thread reads that pipe and the keyboard and makes the calls, which are allowed from any thread.
"""

import os
import select
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from ponder.core.protocol import ChatStream

HINT = "thinking ... (Enter: answer now, Ctrl-C: stop)"


@contextmanager
def watch_keys(stream: ChatStream, *, keys: bool) -> Iterator[list[str]]:
    """Within this block Ctrl-C cancels `stream`; a second Ctrl-C raises KeyboardInterrupt as usual.

    keys: also read the keyboard, where stdin is a terminal that belongs to us. Yields what is typed meanwhile: the
    beginning of the next message.
    """
    reader, writer = os.pipe()

    def on_interrupt(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.write(writer, b"c")

    before = signal.signal(signal.SIGINT, on_interrupt)
    typed: list[str] = []
    with _cbreak(keys) as keyboard:
        thread = threading.Thread(target=_watch, args=(stream, reader, keyboard, typed), daemon=True)
        thread.start()
        try:
            yield typed
        finally:
            os.write(writer, b"q")
            thread.join()
            signal.signal(signal.SIGINT, before)
            os.close(reader)
            os.close(writer)


def _watch(stream: ChatStream, reader: int, keyboard: int | None, typed: list[str]) -> None:
    sources = [reader] if keyboard is None else [reader, keyboard]
    while True:
        # Windows can select among sockets only, and has no keyboard here: reading the pipe is waiting for it
        ready = sources if sources == [reader] else select.select(sources, [], [])[0]
        if reader in ready:
            if os.read(reader, 1) == b"q":
                return
            stream.cancel()
        elif keyboard is not None:
            pressed = os.read(keyboard, 1024)
            if not pressed:  # the terminal is gone
                sources.remove(keyboard)
            if b"\n" in pressed or b"\r" in pressed:
                stream.answer_now()
            if b"\x1b" not in pressed:  # arrows and the like
                typed.extend(c for c in pressed.decode("utf-8", "ignore") if c.isprintable())


@contextmanager
def _cbreak(wanted: bool) -> Iterator[int | None]:
    """Keys arrive one by one and unseen; Ctrl-C and Ctrl-Z stay signals. Yields the terminal's descriptor, or None."""
    if not wanted or not sys.stdin.isatty():
        yield None
        return
    import termios
    import tty

    fd = sys.stdin.fileno()
    if os.tcgetpgrp(fd) != os.getpgrp():  # a background job that touches its terminal is stopped by the kernel
        yield None
        return
    saved = termios.tcgetattr(fd)
    tty.setcbreak(fd, termios.TCSADRAIN)
    try:
        yield fd
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, saved)
