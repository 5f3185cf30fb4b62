"""Which attached files a model reads whole, and which it is told passages of: what leaves no room for an answer."""

from collections.abc import Sequence
from typing import Any

from ponder.server.runtime.service import Service
from ponder.server.web.documents.passages import Passage
from ponder.server.web.page_helpers import PageHelpers

Row = dict[str, Any]

SHARE = 0.6  # of a model's context that files may take; the rest is for the conversation, thoughts and the answer
SMALL = 2000  # tokens that every model has room for
PASSAGES = 6000  # tokens of passages at most: a processor reads a few hundred a second


async def fitted(service: Service, helpers: PageHelpers, model: str, path: list[Row]) -> tuple[list[Row], str]:
    """-> the messages with the files that fit and passages of the others, and what to tell about those ("" if none)."""
    files = [file for row in path for file in row.get("attachments", ())]
    if sum(map(tokens_of, files)) <= SMALL:
        return path, ""
    async with service.pool.use(model) as llm:
        room = int(SHARE * llm.profile.context)
    long = _too_long(files, room)
    if not long:
        return path, ""
    question = next((str(row.get("content", "")) for row in reversed(path) if row["role"] == "user"), "")
    chars = 3 * min(PASSAGES, room // 2)  # a token of Chinese has fewer characters, one of English more
    found = await helpers.passages([(file["name"], file["text"]) for file in long], question, chars)
    replaced = {id(file): file | {"text": _told(file, found)} for file in long}
    rows = [
        row | {"attachments": [replaced.get(id(f), f) for f in row["attachments"]]} if "attachments" in row else row
        for row in path
    ]
    return rows, _note(long, room, found)


def tokens_of(file: Row) -> int:
    return int(file.get("tokens") or len(file["text"]) // 3)


def _too_long(files: Sequence[Row], room: int) -> list[Row]:
    """The longest, until the others fit beside passages of them."""
    if sum(map(tokens_of, files)) <= room:
        return []
    left = room - min(PASSAGES, room // 2)
    long = []
    for file in sorted(files, key=tokens_of):
        left -= tokens_of(file)
        if left < 0:
            long.append(file)
    return long


def _told(file: Row, found: Sequence[Passage]) -> str:
    own = [f"[{where}]\n{text}" if where else text for name, where, text in found if name == file["name"]]
    head = f"(This file has {tokens_of(file)} tokens, too many to be read whole. "
    if not own:
        return head + "No passage of it fits the question.)"
    return head + "These passages fit the question; name the page of what you use.)\n\n" + "\n\n[...]\n\n".join(own)


def _note(long: Sequence[Row], room: int, found: Sequence[Passage]) -> str:
    """A line, and below it the passages."""
    files = ", ".join(f"{file['name']} ({tokens_of(file):,} tokens)" for file in long)
    head = f"Too long for this model, which has room for {room:,} tokens of files: {files}. It was told these passages."
    return "\n\n".join([head, *(f"{name}{', ' + where if where else ''}:\n{text}" for name, where, text in found)])
