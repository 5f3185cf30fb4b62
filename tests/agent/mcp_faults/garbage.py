"""Answers calls with what is no answer."""

import os
import sys

from wire import send, serve, text, tool

NAMES = ["binary", "half", "wrong_shape", "wrong_id", "no_content", "twice", "nul", "null_result"]


def call(name, params, number):
    if name == "binary":
        os.write(1, os.urandom(4096) + b"\n")
    elif name == "half":
        os.write(1, b'{"jsonrpc": "2.0", "id": ' + str(number).encode() + b', "result": {"cont\n')
    elif name == "wrong_shape":
        send({"id": number, "result": "nonsense"})
    elif name == "wrong_id":
        send({"id": 987654, "result": text("for somebody else")})
    elif name == "no_content":
        send({"id": number, "result": {"content": [{"type": "smell", "data": 7}]}})
    elif name == "twice":
        send({"id": number, "result": text("first")})
        send({"id": number, "result": text("second")})
    elif name == "nul":
        os.write(1, b"\0\0\0\n\xff\xfe\n")
        return text("after the noise")
    elif name == "null_result":
        send({"id": number, "result": None})
    return None


print("\x1b[31mnot\x00json\x1b[0m", flush=True)
sys.stdout.flush()
serve(lambda: [tool(name) for name in NAMES], call)
