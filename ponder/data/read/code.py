"""Source code as people wrote it: what a program made, and what was squeezed for browsers, is left out."""

import re
from pathlib import Path

from ponder.data.document import Left
from ponder.data.read.plain import bounded, decoded
from ponder.data.read.reading import Reading, Texts

SUFFIXES = frozenset((
    ".py", ".pyi", ".c", ".h", ".cc", ".cpp", ".cxx", ".hh", ".hpp", ".cu", ".m", ".mm", ".java", ".kt",
    ".scala", ".go", ".rs", ".js", ".mjs", ".jsx", ".ts", ".tsx", ".rb", ".pl", ".pm", ".php", ".sh", ".bash",
    ".lua", ".r", ".jl", ".hs", ".ml", ".mli", ".fs", ".ex", ".exs", ".erl", ".clj", ".lisp", ".el", ".scm",
    ".sql", ".swift", ".cs", ".f90", ".f", ".zig", ".nim", ".d", ".v", ".sv", ".vhd", ".tex", ".css", ".scss",
    ".cmake", ".toml", ".proto",
))  # fmt: skip
GENERATED = re.compile(
    r"@generated|\b(auto-?(matically )?)?generated (automatically|by|from|with|using)\b|\bdo not (edit|modify)\b",
    re.IGNORECASE,
)
HEAD = 10  # lines in which a program says that it wrote the file
LONGEST_LINE, MEAN_LINE = 2_000, 120


def code(path: Path, how: Reading) -> Texts:
    text = decoded(bounded(path))
    why = fault(text)
    yield text if why is None else Left(why, path.name)


def fault(text: str) -> str | None:
    lines = text.splitlines()
    if GENERATED.search("\n".join(lines[:HEAD])):
        return "generated"
    if lines and (max(map(len, lines)) > LONGEST_LINE or len(text) > MEAN_LINE * len(lines)):
        return "minified"
    return None


def is_code(path: Path) -> bool:
    return path.suffix.lower() in SUFFIXES and ".min." not in path.name
