"""What a call changed in the workspace: a snapshot before, one after, and the difference.

before = snapshot(workspace)
...
for change in diff(before, snapshot(workspace, before)):
    print(change.kind, change.name, change.diff)
"""

import difflib
import os
from pathlib import Path
from typing import Literal

from msgspec import Struct

from ponder.core.errors import UserError
from ponder.sandbox import workspace
from ponder.sandbox.output import clean

MAX_FILES = 5000
MAX_TEXT = 64 * 1024  # bytes of one file that is compared line by line
MAX_TEXTS = 4 * 2**20  # bytes of all
MAX_DIFF = 200  # lines


class FileState(Struct, frozen=True):
    size: int
    stamp: tuple[int, int, int]  # inode, change time, size: different after every write
    text: str | None  # None: large, or not text


class Change(Struct, frozen=True):
    """name: inside the workspace. size: bytes now, 0 if removed. diff: unified, "" for what is not small text."""

    name: str
    kind: Literal["added", "changed", "removed"]
    size: int
    diff: str


def snapshot(root: Path, earlier: dict[str, FileState] | None = None) -> dict[str, FileState]:
    """earlier: a snapshot whose texts are taken over where a file has not been touched since."""
    found: dict[str, FileState] = {}
    room = MAX_TEXTS
    for name, status in workspace.files(root, MAX_FILES):
        stamp = (status.st_ino, status.st_ctime_ns, status.st_size)
        known = (earlier or {}).get(name)
        text = None
        if known is not None and known.stamp == stamp:
            text = known.text
        elif status.st_size <= min(MAX_TEXT, room):
            text = small_text(root, name)
        room -= status.st_size if text is not None else 0
        found[name] = FileState(status.st_size, stamp, text)
    return found


def small_text(root: Path, name: str) -> str | None:
    try:
        raw = workspace.read(root, name, MAX_TEXT)
        return None if b"\0" in raw else raw.decode()
    except (UserError, UnicodeDecodeError):  # gone or replaced meanwhile; not text
        return None


def diff(before: dict[str, FileState], after: dict[str, FileState]) -> list[Change]:
    out = []
    for path in sorted(before.keys() | after.keys()):
        old, new, name = before.get(path), after.get(path), clean(os.fsencode(path)).replace("\n", "?")
        if old is None and new is not None:
            out.append(Change(name, "added", new.size, unified_diff(name, "", new.text)))
        elif new is None and old is not None:
            out.append(Change(name, "removed", 0, unified_diff(name, old.text, "")))
        elif old is not None and new is not None and rewritten(old, new):
            out.append(Change(name, "changed", new.size, unified_diff(name, old.text, new.text)))
    return out


def rewritten(old: FileState, new: FileState) -> bool:
    """The time changes even if the same was written again; where the text is known, it decides."""
    return old.stamp != new.stamp and (old.text is None or old.text != new.text)


def unified_diff(name: str, old: str | None, new: str | None) -> str:
    if old is None or new is None:
        return ""
    lines = list(difflib.unified_diff(old.splitlines(), new.splitlines(), f"a/{name}", f"b/{name}", lineterm="", n=2))
    if len(lines) > MAX_DIFF:
        lines = [*lines[:MAX_DIFF], f"... {len(lines) - MAX_DIFF} more lines"]
    return "\n".join(lines)
