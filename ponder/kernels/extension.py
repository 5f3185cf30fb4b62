"""The C++ extension, or a UserError that says how to build it; nothing falls back silently."""

from ponder.core.errors import UserError

try:
    from ponder.kernels import _native  # type: ignore[attr-defined,unused-ignore]  # made by the build
except ImportError as e:
    raise UserError(
        f"Ponder's native kernels are not built for this Python ({e}). Install a C++17 compiler "
        "(Debian, Ubuntu: apt-get install g++) and run `pip install .` in the checkout, "
        "or `pip install -e . --no-build-isolation` to develop."
    ) from e

__all__ = ["_native"]
