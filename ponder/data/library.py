"""Text that lies on every machine: Python's standard library, its code and its prose. No download.

    for document in code(): ...        # modules as they are, label field: code
    for document in prose(): ...       # the language's manual and the docstrings of each module, field: general

The source of a document is its package (`asyncio`, `email`), so that whole packages can be held out.
"""

import ast
import sys
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path

from ponder.data.document import Document

LICENCE = "PSF-2.0"
SKIPPED = {"test", "tests", "idle_test", "site-packages", "dist-packages", "pydoc_data", "encodings", "__pycache__"}
SHORTEST = 400  # characters of prose in a document


def code(every: int = 1) -> Iterator[Document]:
    """every: only one in so many modules."""
    for path in modules()[::every]:
        yield _document(path, path.read_text("utf-8", "replace"), "code")


def prose(every: int = 1) -> Iterator[Document]:
    """every: only one in so many topics of the manual, and modules."""
    from pydoc_data.topics import topics

    for name, text in sorted(topics.items())[::every]:
        yield Document(text=text.strip(), source="manual", origin=name, licence=LICENCE, language="eng_Latn",
                       labels={"field": "general"})  # fmt: skip
    for path in modules()[::every]:
        text = docstrings(path.read_text("utf-8", "replace"))
        if len(text) >= SHORTEST:
            yield _document(path, text, "general")


def modules() -> list[Path]:
    """Files of the standard library, without its tests, in order of their names."""
    root = _root()
    found = (path for path in root.rglob("*.py") if not SKIPPED & set(path.relative_to(root).parts))
    return sorted(path for path in found if path.stat().st_size)


def docstrings(source: str) -> str:
    """Of a module, its classes and functions, a blank line between; empty for what this Python cannot read."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tree = ast.parse(source)
        except SyntaxError:
            return ""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    found = (ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, kinds))
    return "\n\n".join(text for text in found if text)


def version() -> str:
    return sys.version.split()[0]


def _root() -> Path:
    return Path(sysconfig.get_path("stdlib"))


def _document(path: Path, text: str, field: str) -> Document:
    inside = path.relative_to(_root())
    source = inside.parts[0] if len(inside.parts) > 1 else "modules"
    return Document(text=text, source=source, origin=inside.as_posix(), licence=LICENCE, language="eng_Latn",
                    labels={"field": field})  # fmt: skip
