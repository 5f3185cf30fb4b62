"""Patterns of files, in which `{language}` stands for the part of a path that names its language."""

import re
from collections.abc import Iterator
from pathlib import Path

from ponder.core.errors import UserError
from ponder.data.sections import unknown

LANGUAGE = "{language}"
_PARTS = re.compile(r"(\*\*/|\*|\?|\[[^\]]*\]|\{language\})")
_MEANING = {"**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]", LANGUAGE: "([^/]+?)"}


def check_pattern(pattern: str) -> None:
    for name in re.findall(r"\{[^{}/]*\}", pattern):
        if name != LANGUAGE:
            raise UserError(unknown("part of a pattern", name, (LANGUAGE,)), param="files")
    if pattern.count(LANGUAGE) > 1:
        raise UserError(f"{pattern}: {LANGUAGE} stands once in a pattern", param="files")


def meaning(pattern: str) -> re.Pattern[str]:
    """What a whole path must look like; its group is what stands for {language}."""
    parts = (_MEANING.get(part) or (part if part[:1] == "[" else re.escape(part)) for part in _PARTS.split(pattern))
    return re.compile("".join(parts))


def matches(pattern: str, root: Path) -> Iterator[tuple[Path, str | None]]:
    """Paths below root, and what stands for {language} in each; None without it."""
    start = Path(Path(pattern).anchor) if Path(pattern).is_absolute() else root
    pattern = pattern.lstrip("/")
    if LANGUAGE not in pattern:
        yield from ((path, None) for path in start.glob(pattern))
        return
    whole = meaning(pattern)
    for path in start.glob(pattern.replace(LANGUAGE, "*")):
        if found := whole.fullmatch(path.relative_to(start).as_posix()):
            yield path, found[1]
