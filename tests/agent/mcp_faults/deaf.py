"""Stops reading stdin after the first call: the pipe to it fills up."""

import time

from wire import serve, tool


def call(name, params, number):
    time.sleep(1000)


serve(lambda: [tool("work", schema={"type": "object", "properties": {"words": {"type": "string"}}})], call)
