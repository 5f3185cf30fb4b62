"""A picture as a PNG file, for models that read pages."""

import struct
import zlib

import numpy as np
from numpy.typing import NDArray


def png(values: NDArray[np.uint8]) -> bytes:
    """values: rows of grey values, or of red, green and blue."""
    grey = values if values.ndim == 2 else values[..., 0] if values.shape[-1] == 1 else None
    pixels = grey if grey is not None else values[..., :3]
    height, width = pixels.shape[:2]
    lines = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)
    head = struct.pack(">2I5B", width, height, 8, 0 if grey is not None else 2, 0, 0, 0)
    parts = ((b"IHDR", head), (b"IDAT", zlib.compress(lines.tobytes(), 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    )
