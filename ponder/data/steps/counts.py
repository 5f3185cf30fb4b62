"""What went into a step and what came out, of a lot, a source, or a whole run."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from msgspec import Struct, field

SHOWN = 3  # of what each step left out
SHOWN_CHARACTERS = 300
SHOWN_OF_MODELS = 2_000


class Work(Struct):
    """Of a step."""

    documents: int = 0
    bytes: int = 0
    seconds: float = 0.0
    """CPU time."""


class Counts(Struct, kw_only=True):
    files: int = 0
    read_bytes: int = 0
    documents: int = 0
    """That came out of the readers whole."""
    kept: int = 0
    kept_bytes: int = 0
    mended: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    """By the rule that they broke."""
    scrubbed: dict[str, int] = field(default_factory=dict)
    unreadable: dict[str, str] = field(default_factory=dict)
    """File -> why."""
    samples: dict[str, list[str]] = field(default_factory=dict)
    """Some of what each rule dropped."""
    work: dict[str, Work] = field(default_factory=dict)
    """By step, in their order."""

    models: dict[str, int] = field(default_factory=dict)
    """What models did for extraction: pages read, corrections taken and refused."""

    def by_model(self, what: str, shown: str) -> None:
        self.models[what] = self.models.get(what, 0) + 1
        samples = self.samples.setdefault(what, [])
        if len(samples) < SHOWN:
            samples.append(shown[:SHOWN_OF_MODELS])

    def drop(self, rule: str, shown: str) -> None:
        self.dropped[rule] = self.dropped.get(rule, 0) + 1
        samples = self.samples.setdefault(rule, [])
        if len(samples) < SHOWN:
            samples.append(shown[:SHOWN_CHARACTERS])

    @contextmanager
    def step(self, name: str, size: int) -> Iterator[None]:
        """One document of `size` bytes goes through a step."""
        work = self.work.setdefault(name, Work())
        work.documents += 1
        work.bytes += size
        began = time.thread_time()
        yield
        work.seconds += time.thread_time() - began

    def add(self, other: "Counts") -> None:
        for name in ("files", "read_bytes", "documents", "kept", "kept_bytes", "mended"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.unreadable |= other.unreadable
        for rule, texts in other.samples.items():
            self.samples[rule] = [*self.samples.get(rule, []), *texts][:SHOWN]
        add(self.dropped, other.dropped)
        add(self.scrubbed, other.scrubbed)
        add(self.models, other.models)
        for step, more in other.work.items():
            work = self.work.setdefault(step, Work())
            work.documents += more.documents
            work.bytes += more.bytes
            work.seconds += more.seconds


N = TypeVar("N", int, float)


def add(to: dict[str, N], more: Mapping[str, N]) -> None:
    for key, number in more.items():
        to[key] = to.get(key, 0) + number
