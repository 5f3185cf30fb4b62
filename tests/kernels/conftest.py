"""Every kernel test can run on each instruction set of this CPU: take the `isa` fixture. AMX is emulated where the CPU
lacks it, which is slow: by default only tests made for it do that (`parametrize("isa", ["amx"], indirect=True)`)."""

from collections.abc import Iterator

import pytest
from amx import CPU_CAN_EMULATE, install

from ponder.kernels import _native, native

EMULATED = ["amx"] if CPU_CAN_EMULATE else []


@pytest.fixture(params=[*native.available_isas(), *(pytest.param(name, marks=pytest.mark.slow) for name in EMULATED)])
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    before, emulated = native.isa(), request.param in EMULATED
    if emulated:
        install()
        _native.emulate_amx(True)
    assert native.set_isa(request.param) == request.param
    yield request.param
    native.set_isa(before)
    if emulated:
        _native.emulate_amx(False)


@pytest.fixture(autouse=True)
def same_threads() -> Iterator[None]:
    before = native.threads()
    yield
    native.set_threads(before)
