"""How much memory this machine has, whatever the system.

total_memory()    # bytes
"""

import ctypes
import os
import sys


def total_memory() -> int:
    """Bytes; 8 GB where the system does not say."""
    if sys.platform == "win32":
        return _windows()
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):  # a name that this system does not know
        return 8 << 30


class _MemoryStatus(ctypes.Structure):  # MEMORYSTATUSEX
    _fields_ = (
        ("length", ctypes.c_uint32), ("load", ctypes.c_uint32), ("total", ctypes.c_uint64), ("free", ctypes.c_uint64),
        *((name, ctypes.c_uint64) for name in ("total_page", "free_page", "total_virtual", "free_virtual", "more")),
    )  # fmt: skip


def _windows() -> int:
    status = _MemoryStatus(length=ctypes.sizeof(_MemoryStatus))
    ctypes.CDLL("kernel32").GlobalMemoryStatusEx(ctypes.byref(status))
    return int(status.total)
