"""Every kernel test can run on each instruction set of this CPU: take the `isa` fixture."""

from collections.abc import Iterator

import pytest

from ponder.kernels import native


@pytest.fixture(params=native.available_isas())
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    before = native.isa()
    assert native.set_isa(request.param) == request.param
    yield request.param
    native.set_isa(before)


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    before = native.threads()
    yield
    native.set_threads(before)
