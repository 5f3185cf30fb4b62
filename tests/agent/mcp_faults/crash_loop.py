"""Comes up and falls over, again and again; with an argument it does not even come up."""

import os
import sys
import threading

from wire import serve, text, tool

print(f"start {os.getpid()}", file=sys.stderr, flush=True)
if sys.argv[1:]:
    sys.exit("no license found")


threading.Timer(0.4, os._exit, (1,)).start()
serve(lambda: [tool("work")], lambda name, params, number: text("fine"))
