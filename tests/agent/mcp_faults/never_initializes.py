"""Reads everything, answers nothing."""

import sys

print("thinking about it", file=sys.stderr, flush=True)
for _ in sys.stdin:
    pass
