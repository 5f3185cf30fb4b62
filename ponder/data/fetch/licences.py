"""The licence file that stands over a source file: without one, nobody may learn from it."""

import re
from functools import cached_property
from pathlib import Path

NAMES = re.compile(r"(LICEN[CS]E|COPYING|NOTICE|UNLICENSE|copyright)([-_.].*)?", re.IGNORECASE)


class Licences:
    """Those below a folder. package: files may lie apart from their licence, so any that it has stands over all."""

    def __init__(self, root: Path, *, package: bool) -> None:
        self._root, self._package = root, package
        self._known: dict[Path, Path | None] = {}

    def over(self, path: Path) -> Path | None:
        """The nearest, in the folders from the file up to the root."""
        for folder in path.parents:
            if (found := self._in(folder)) is not None:
                return found
            if folder == self._root:
                break
        return self._anywhere if self._package else None

    def _in(self, folder: Path) -> Path | None:
        if folder not in self._known:
            self._known[folder] = min(filter(_is_licence, folder.iterdir()), default=None)
        return self._known[folder]

    @cached_property
    def _anywhere(self) -> Path | None:
        return min(filter(_is_licence, self._root.rglob("*")), key=lambda path: (len(path.parts), path), default=None)


def _is_licence(path: Path) -> bool:
    return NAMES.fullmatch(path.name) is not None and path.is_file()
