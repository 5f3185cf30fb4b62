"""Ignores SIGTERM and the end of stdin; so do a child, and a grandchild that made itself a daemon."""

import os
import signal
import time

from wire import serve, text, tool

signal.signal(signal.SIGTERM, signal.SIG_IGN)
signal.signal(signal.SIGHUP, signal.SIG_IGN)
if os.fork() == 0:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for fd in range(3):
                os.close(fd)
    time.sleep(1000)
    os._exit(0)
serve(lambda: [tool("work")], lambda name, params, number: text("fine"))
time.sleep(1000)
