"""`ponder data write FOLDER`: documents that a teacher writes from those of a finished folder.

OUT/replies.jsonl    what the teacher said, by document and form; nothing that stands here is asked again
OUT/text.jsonl       what passed the filters, in the order of the documents
OUT/manifest.json    teacher, forms, counts, hash of the text: a recipe of training takes it as `ponder data`'s own
"""

import hashlib
import json
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from msgspec import Struct

from ponder.core.atomic import replacing
from ponder.core.errors import UserError
from ponder.core.params import SamplingParams
from ponder.core.protocol import ChatModel
from ponder.data.document import Document
from ponder.data.identify.identifier import Identifier
from ponder.data.label.make import sample
from ponder.data.label.replies import ask_all, keep, kept_replies, reply
from ponder.data.run import MANIFEST, TEXT
from ponder.data.steps.duplicates import Duplicates
from ponder.data.steps.language import Languages
from ponder.data.write.forms import FORMS, Form, Wrong, question

REPLIES = "replies.jsonl"
LONGEST = 2048  # ids of a reply
SIMILAR = 0.7  # from which Jaccard similarity a document was there before
SOURCE = "written"
Ask = Callable[[Form, str], str]
"""(form, question) -> reply"""
Tick = Callable[[int, int], None]


class Reply(Struct, kw_only=True):
    """A line of the file that is kept."""

    id: str
    """Hash of the document's text."""
    form: str
    teacher: str
    text: str


class Written(Struct, frozen=True, kw_only=True):
    documents: int
    asked: int
    """Questions that were put to the teacher this time."""
    dropped: dict[str, int]
    """Replies that became no document, by the reason."""
    sha256: str


def writer(model: ChatModel) -> Ask:
    sampling = SamplingParams(temperature=0.7, seed=0, max_tokens=LONGEST)
    return lambda form, text: reply(model, form.instructions, text, sampling)


def write(
    folder: Path, out: Path, ask: Ask, *, teacher: str, forms: Sequence[str], count: int, in_flight: int = 8,
    tick: Tick = lambda done, total: None,
) -> Written:  # fmt: skip
    """From `count` documents of a folder that `ponder data` made. An error of the teacher ends the run; what it had
    said by then is kept, and the next run goes on after it."""
    for name in forms:
        if name not in FORMS:
            raise UserError(f"no form is called {name!r}; there are {', '.join(FORMS)}", param="form")
    documents = sample(_read(folder / TEXT), count)
    if not documents:
        raise UserError(f"{folder} has no documents to write from", param="folder")
    out.mkdir(parents=True, exist_ok=True)
    replies, asked = _ask(documents, out / REPLIES, ask, teacher, forms, in_flight, tick)
    dropped: Counter[str] = Counter()
    filters = _Filters(dropped)
    digest, kept = hashlib.sha256(), 0
    with replacing(out / TEXT) as file:
        for document in documents:
            for name in forms:
                made = filters.document(document, FORMS[name], replies[document.id, name])
                if made is not None:
                    line = msgspec.json.encode(made) + b"\n"
                    digest.update(line)
                    file.write(line)
                    kept += 1
    done = Written(documents=kept, asked=asked, dropped=dict(sorted(dropped.items())), sha256=digest.hexdigest())
    manifest = {
        "name": SOURCE, "teacher": teacher, "forms": list(forms), "from": str(folder), "read": len(documents),
        "dropped": done.dropped, "text": {"documents": kept, "sha256": done.sha256},
    }  # fmt: skip
    with replacing(out / MANIFEST) as file:
        file.write(json.dumps(manifest, indent=1).encode() + b"\n")
    return done


class _Filters:
    def __init__(self, dropped: Counter[str]) -> None:
        self._dropped, self._languages = dropped, Languages()
        self._identifier, self._seen = Identifier.packaged(), Duplicates(SIMILAR)

    def document(self, source: Document, form: Form, reply: str) -> Document | None:
        """What passes: it can be read and verified, is in the language of its source, and was not there before."""
        try:
            text = form.read(reply)
        except Wrong as why:
            self._dropped[f"{form.name}: {why}"] += 1
            return None
        language = self._languages.language(source.language, text, self._identifier) if form.name != "code" else ""
        if language is None:
            self._dropped[f"{form.name}: another language"] += 1
            return None
        if self._seen.earlier(source.id, text) is not None:
            self._dropped[f"{form.name}: written before"] += 1
            return None
        labels: dict[str, str | float] = {"form": form.field}
        return Document(text=text, source=SOURCE, origin=f"{source.source}/{source.origin}", licence=source.licence,
                        language=language, labels=labels)  # fmt: skip


def _ask(
    documents: Sequence[Document], kept: Path, ask: Ask, teacher: str, forms: Sequence[str], in_flight: int, tick: Tick
) -> tuple[dict[tuple[str, str], str], int]:
    replies = {(r.id, r.form): r.text for r in kept_replies(kept, Reply) if r.teacher == teacher}
    every = [(document, name) for document in documents for name in forms]
    todo = [(document, name) for document, name in every if (document.id, name) not in replies]
    lock = threading.Lock()

    def one(job: tuple[Document, str], stop: threading.Event) -> None:
        document, name = job
        if stop.is_set():
            return
        text = ask(FORMS[name], question(document.text))
        with lock:
            keep(kept, Reply(id=document.id, form=name, teacher=teacher, text=text))
            replies[document.id, name] = text

    ask_all(one, todo, in_flight, lambda n: tick(len(every) - len(todo) + n, len(every)))
    return replies, len(todo)


def _read(path: Path) -> list[Document]:
    try:
        lines = path.read_bytes().splitlines()
    except OSError as e:
        raise UserError(f"{path.parent} holds no finished text of `ponder data`: {e.strerror}", param="folder") from e
    return [msgspec.json.decode(line, type=Document) for line in lines]
