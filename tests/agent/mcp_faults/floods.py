"""Once called, writes to stdout for ever: lines, one endless line, or messages that are valid."""

import os

from wire import serve, tool


def call(name, params, number):
    piece = {
        "lines": b"spam spam spam spam\n" * 500,
        "endless": b"x" * 65536,
        "valid": b'{"jsonrpc": "2.0", "method": "notifications/message", "params": {"level": "info", "data": "x"}}\n'
        * 50,
    }[name]
    while True:
        os.write(1, piece)


serve(lambda: [tool("lines"), tool("endless"), tool("valid")], call)
