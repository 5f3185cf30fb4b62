"""What the suites of all clients share. Each module has a `base`, the URL of its server."""

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="module")
def drivers(base: str) -> Iterator[dict[str, Any]]:
    made: dict[str, Any] = {}
    yield made
    for one in made.values():
        if hasattr(one, "close"):
            one.close()
