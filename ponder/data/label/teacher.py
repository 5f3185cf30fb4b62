"""A teacher labels documents, each once: what it said is kept by the hash of the text before the next is asked for."""

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from msgspec import Struct

from ponder.core.params import SamplingParams
from ponder.core.protocol import ChatModel
from ponder.data.document import Document
from ponder.data.label.labels import INSTRUCTIONS, Labels, question, read_labels
from ponder.data.label.replies import ask_all, keep, kept_replies, reply

TRIES = 3
"""Replies that make no sense after which a document stays without labels."""
LONGEST_REPLY = 300  # ids

Ask = Callable[[str, int], str]
"""(question, number of the try) -> reply"""


class Reply(Struct, kw_only=True):
    """A line of the file that is kept."""

    id: str
    """Hash of the document's text."""
    teacher: str
    labels: Labels | None
    """None for a reply that makes no sense; it was paid for all the same."""


class Labelled(Struct):
    labels: dict[str, Labels]
    """By the document's id."""
    unlabelled: list[str]
    """Documents about which the teacher said nothing that makes sense."""
    asked: int
    """Questions that were put to the teacher this time."""


def labeller(model: ChatModel) -> Ask:
    def ask(text: str, attempt: int) -> str:
        sampling = SamplingParams(temperature=0.7 if attempt else 0.0, seed=attempt, max_tokens=LONGEST_REPLY)
        return reply(model, INSTRUCTIONS, text, sampling)

    return ask


def label(
    documents: Iterable[Document],
    ask: Ask,
    *,
    teacher: str,
    kept: Path,
    in_flight: int = 8,
    tick: Callable[[int, int], None] = lambda done, total: None,
) -> Labelled:
    """kept: file of what teachers have said; a document that it knows is not asked about again.

    An error of the teacher ends the run. What it had said by then is kept, and the next run goes on after it.
    """
    texts = {document.id: document.text for document in documents}
    labels: dict[str, Labels] = {}
    tries: Counter[str] = Counter()
    for line in kept_replies(kept, Reply):
        if line.teacher == teacher and line.id in texts:
            tries[line.id] += 1
            if line.labels is not None:
                labels[line.id] = line.labels
    todo = [id_ for id_ in texts if id_ not in labels and tries[id_] < TRIES]
    lock, asked = threading.Lock(), Counter[str]()

    def one(id_: str, stop: threading.Event) -> None:
        while not stop.is_set() and tries[id_] < TRIES and id_ not in labels:
            asked[id_] += 1
            found = read_labels(ask(question(texts[id_]), tries[id_]))
            with lock:
                keep(kept, Reply(id=id_, teacher=teacher, labels=found))
            tries[id_] += 1
            if found is not None:
                labels[id_] = found

    ask_all(one, todo, in_flight, lambda n: tick(len(texts) - len(todo) + n, len(texts)))
    found_ids = {id_: labels[id_] for id_ in texts if id_ in labels}
    return Labelled(found_ids, [id_ for id_ in texts if id_ not in labels], asked.total())
