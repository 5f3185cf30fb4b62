"""Few sizes of bfloat16 products, where every batch would have one of its own.

oneDNN compiles each bfloat16 product for its exact size and keeps it: where every step is of another size, that takes
as long as the products of a small model, and gigabytes in an hour (docs/performance.md). Float32 has no such cache.
"""


def filler(rows: int) -> int:
    """Rows that are missing to the next of sixteen sizes an octave: a sixteenth at most."""
    return -rows % (1 << max(0, rows.bit_length() - 5))
