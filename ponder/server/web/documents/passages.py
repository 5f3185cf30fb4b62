"""The passages of long files that fit a question best, by BM25, with the page that each is on."""

from collections.abc import Iterator, Sequence

from ponder.agent.tools.bm25 import BM25
from ponder.agent.tools.doc_search import CHARS, OVERLAP
from ponder.server.web.documents.reading import MARK

Passage = tuple[str, str, str]  # file, where, text


def best_passages(files: Sequence[tuple[str, str]], question: str, chars: int) -> list[Passage]:
    """files: name and text. chars: that they may have together, at least one. In the order of the files; where no word
    of the question stands, their beginnings."""
    passages = [passage for name, text in files for passage in cut(name, text)]
    scores = BM25([text for _, _, text in passages]).scores(question)
    fitting = [n for n, score in enumerate(scores) if score > 0]
    ranked = sorted(fitting or range(len(passages)), key=lambda n: -scores[n])
    chosen: list[int] = []
    for n in ranked:
        chars -= len(passages[n][2])
        if chosen and chars < 0:
            break
        chosen.append(n)
    return [passages[n] for n in sorted(chosen)]


def cut(name: str, text: str) -> Iterator[Passage]:
    starts = [(0, 0, ""), *((found.start(), found.end(), found[1]) for found in MARK.finditer(text))]
    for (_, begin, where), end in zip(starts, [start for start, _, _ in starts[1:]] + [len(text)]):
        part = text[begin:end].strip()
        for at in range(0, max(1, len(part) - OVERLAP), CHARS - OVERLAP):
            if piece := part[at : at + CHARS].strip():
                yield name, where, piece
