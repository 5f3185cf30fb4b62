"""A server that works and whose author forgot where logs go."""

import sys

from wire import serve, text, tool


def call(name, params, number):
    print("INFO called", name, flush=True)
    print(flush=True)
    print('{"level": "info", "msg": "a structured log"}', flush=True)
    return text("fine")


print("INFO starting", flush=True)
print("[2026-01-01] listening", file=sys.stdout, flush=True)
serve(lambda: [tool("work")], call)
