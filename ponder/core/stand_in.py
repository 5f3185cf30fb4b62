"""What people have in place of a model's file: the note of Git's large files, a web page that a download brought."""

from pathlib import Path

LOOK = 64  # bytes


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
