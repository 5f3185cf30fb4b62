"""What a little of a file tells: one state of it from another, for what is kept on disk because making it took time;
and what people have in place of a model's file: the note of Git's large files, a web page that a download brought."""

import hashlib
import os
from pathlib import Path

_SAMPLES, _SAMPLE = 64, 4096
LOOK = 64  # bytes that show what a file is not


def fingerprint(path: Path) -> str:
    """A digest of name, size, time of change and a sample of the bytes (beginning, end, 63 places between).

    The time catches a change of a few bytes in place, the sample a file replaced by another of the same size and time
    (cp -p, rsync). A change in place that sets the time back and misses every sample goes unseen. Raises OSError.
    """
    digest = hashlib.sha256()
    with path.open("rb") as f:
        info = os.fstat(f.fileno())
        digest.update(f"{path.name}\0{info.st_size}\0{info.st_mtime_ns}\0".encode())
        for i in range(_SAMPLES + 1):
            f.seek(max(0, info.st_size - _SAMPLE) * i // _SAMPLES)
            digest.update(f.read(_SAMPLE))
    return digest.hexdigest()


def stand_in(start: bytes) -> str:
    """What a file is that begins so, and what to do; "" where it is none of these."""
    start = start[:LOOK].lstrip().lower()
    if start.startswith(b"version https://git-lfs"):
        return "the note that Git keeps in place of a large file: fetch the file itself (`git lfs pull`)"
    if start.startswith((b"<!doctype html", b"<html")):
        return "a web page: the download was refused, or its address is that of a page"
    return ""


def is_stand_in(path: Path) -> str:
    """The same of a regular file."""
    with path.open("rb") as file:
        return stand_in(file.read(LOOK))
