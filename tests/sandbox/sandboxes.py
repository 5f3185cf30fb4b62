"""What the tests of the sandbox share."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from ponder.sandbox.isolation import probe

T = TypeVar("T")
needs_sandbox = pytest.mark.skipif(probe()[0] is None, reason=" ".join(probe()[1]))


def go(coroutine: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(coroutine)


def processes_of(marker: str) -> list[int]:
    """Processes anywhere whose command line contains the marker."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if marker.encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found
