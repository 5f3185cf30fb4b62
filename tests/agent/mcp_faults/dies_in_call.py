"""Dies of every call."""

import os
import sys

from wire import serve, tool


def call(name, params, number):
    print("out of cheese", file=sys.stderr, flush=True)
    os._exit(3)


serve(lambda: [tool("die")], call)
