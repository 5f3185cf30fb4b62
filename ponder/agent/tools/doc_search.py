"""Search in attached documents: cut into passages, ranked by BM25, and by embeddings where a model gives them.

    DocSearch(files=["report.pdf", "notes/"], embed=llm.embed)

Both rankings are merged by reciprocal rank (Cormack et al., 2009), which needs no common scale.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import Struct

from ponder.agent.tools.bm25 import BM25
from ponder.agent.tools.doc_text import content, pages
from ponder.agent.tools.tool import Output, Tool, ToolContext
from ponder.core.errors import UserError

CHARS, OVERLAP = 1200, 200  # of a passage, shared with the next one
KINDS = frozenset(  # of the files that a folder is searched for
    ".pdf .docx .pptx .xlsx .epub .html .htm .txt .md .rst .csv .json .toml .yaml .yml "  # noqa: SIM905
    ".py .js .ts .c .cpp .h .java .go .rs".split()
)
Embed = Callable[[Sequence[str]], Any]


class Passage(Struct, frozen=True):
    file: str
    where: str
    text: str

    @property
    def source(self) -> str:
        return f"{self.file}, {self.where}" if self.where else self.file


class DocSearch(Tool):
    name = "doc_search"

    def __init__(self, *, files: Sequence[str] = (), embed: Embed | None = None, top: int = 5) -> None:
        """files: documents and folders; the workspace's own are searched as well. embed: texts -> vectors of length 1
        [texts, D], as `LLM.embed`. top: passages in a result."""
        self._given = [Path(f) for f in files]
        if missing := [str(f) for f in self._given if not f.exists()]:
            raise UserError(f"there is no file or folder {', '.join(missing)}", param="files")
        self._embed, self._top = embed, top
        known = ", ".join(p.name for p in self._given) or "the files of the workspace"
        self.description = f"Search the attached documents ({known}) and return the passages that fit best."
        query = {"type": "string", "description": "words to look for, or a question"}
        self.parameters = {"type": "object", "properties": {"query": query}, "required": ["query"]}
        self.timeout = 300.0
        self._index: dict[tuple[tuple[str, int, int], ...], tuple[list[Passage], BM25, Any]] = {}

    async def call(self, arguments: dict[str, Any], context: ToolContext) -> Output:
        return await asyncio.to_thread(self.search, str(arguments["query"]), context.workspace)

    def search(self, query: str, workspace: Path) -> Output:
        copies = {workspace / f.name for f in self._given}  # an agent puts them there; the original is read
        own = (f for f in _documents([workspace] if workspace.is_dir() else []) if f not in copies)
        files = list({f.resolve(): f for f in [*_documents(self._given), *own]}.values())
        if not files:
            raise UserError("there are no documents to search; attach some first")
        passages, bm25, vectors = self._read(files, workspace)
        ranked = _merge(self._rankings(query, passages, bm25, vectors))[: self._top]
        if not ranked:
            return Output(f"Nothing in {len(files)} documents has a word of {query!r}.")
        found = [passages[i] for i in ranked]
        return Output(
            "\n\n".join(f"[{n}] {p.file}{', ' + p.where if p.where else ''}\n{p.text}" for n, p in enumerate(found, 1))
        )

    def _read(self, files: list[Path], workspace: Path) -> tuple[list[Passage], BM25, Any]:
        """Of these files as they are now; read again only when one of them has changed."""
        key = tuple((str(f), f.stat().st_mtime_ns, f.stat().st_size) for f in files)
        if key not in self._index:
            passages = [p for f in files for p in _passages(f, workspace if f.is_relative_to(workspace) else None)]
            texts = [p.text for p in passages]
            vectors = self._embed(texts) if self._embed and texts else None
            self._index = {key: (passages, BM25(texts), vectors)}
        return self._index[key]

    def _rankings(self, query: str, passages: list[Passage], bm25: BM25, vectors: Any) -> Iterator[list[int]]:
        scores = bm25.scores(query)
        yield sorted((i for i in range(len(passages)) if scores[i] > 0), key=lambda i: -scores[i])
        if self._embed is not None and vectors is not None:
            near = np.asarray(vectors) @ np.asarray(self._embed([query]))[0]
            yield np.argsort(-near, kind="stable")[: 4 * self._top].tolist()


def _documents(roots: Sequence[Path]) -> Iterator[Path]:
    for root in roots:
        if root.is_dir():
            yield from sorted(
                p for p in root.rglob("*") if p.suffix.lower() in KINDS and p.is_file() and not p.is_symlink()
            )
        elif root.exists():
            yield root
        else:
            raise UserError(f"{root}: there is no such file", param="files")


def _passages(path: Path, workspace: Path | None) -> Iterator[Passage]:
    try:
        data = content(path, workspace)
    except UserError:
        if workspace is None:
            raise
        return  # sandboxed code gave it a name or made it a thing that we do not open
    for where, text in pages(path, data):
        for start in range(0, max(1, len(text) - OVERLAP), CHARS - OVERLAP):
            if part := text[start : start + CHARS].strip():
                yield Passage(path.name, where, part)


def _merge(rankings: Iterator[list[int]]) -> list[int]:
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, i in enumerate(ranking):
            scores[i] = scores.get(i, 0.0) + 1 / (60 + rank)
    return sorted(scores, key=lambda i: (-scores[i], i))
