"""The roofline of this machine: how fast memory is read and numbers are multiplied, by native loops (csrc/runtime/peak.cpp).

read_bandwidth(), compute_peak("int8")      # bytes a second, operations a second
"""

from ponder.kernels.extension import _native


def read_bandwidth(nbytes: int = 512 << 20, tries: int = 8) -> float:
    """Bytes a second that all threads read from memory together, the best of several tries. nbytes: far above any
    cache."""
    return float(_native.read_bandwidth(nbytes, tries))


def compute_peak(kind: str, tries: int = 8) -> float:
    """Operations a second (a multiplication and an addition are two) of all threads with the best instruction of this
    CPU for weights of this kind: "f32", "bf16", "int8" or "int4" (which is multiplied as int8)."""
    return float(_native.compute_peak(kind, tries))
