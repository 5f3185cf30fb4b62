"""Write a file so that its name appears only when it is complete, whatever interrupts the writing."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: str | Path) -> Iterator[BinaryIO]:
    """An open file in the same folder that takes the name `path` at the end, or is deleted if the body raises."""
    path = Path(path)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(handle)
        os.chmod(temporary, 0o644)  # temporary files are private, this one is not
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
