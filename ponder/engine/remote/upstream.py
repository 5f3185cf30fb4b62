"""One server of a fleet as it is seen from here: what it is, how busy, how well; and which one gets a request.

The choice keeps the beginnings of conversations together, since their prefix is in that server's cache: servers are
ranked by a hash of the beginning and their URL (rendezvous hashing: when one goes, only its share moves), and the first
that is at most SLACK requests busier than the idlest one is taken.

A server that cannot be reached, or fails FAILURES times in a row, is left alone for a while and comes back when its
health check answers. One that says 429 gets no requests until the time it named, as long as others take them.
"""

import hashlib
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Annotated
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from ponder.core.errors import UserError
from ponder.engine.remote.dialects import Dialect

SLACK = 4
FAILURES = 3
FIRST_REST, LONGEST_REST = 1.0, 30.0  # seconds


class UpstreamStats(Struct, frozen=True):
    """Since the start. The descriptions are those of /metrics."""

    url: str
    up: Annotated[bool, Meta(description="1 unless it is left alone now.")]
    in_flight: Annotated[int, Meta(description="Requests that it works on.")]
    requests: Annotated[int, Meta(description="Requests that it was given.")]
    failures: Annotated[int, Meta(description="Requests that it failed.")]
    busy: Annotated[int, Meta(description="Requests that it refused for want of room.")]
    retried: Annotated[int, Meta(description="Requests that it failed and another server took.")]
    ejections: Annotated[int, Meta(description="Times that it was left alone for a while.")]
    first_tokens: Annotated[int, Meta(description="Replies of which the first token came.")]
    first_token_seconds: Annotated[float, Meta(description="Time to the first token, summed over first_tokens.")]


@dataclass(eq=False)
class Upstream:
    """url: of its /v1. given: its dialect, when somebody said so. dialect: None until it has been reached once.
    models: their names. context: its model's, 0 when it does not say. retried: requests that it failed and that were
    given to another one."""

    url: str
    given: Dialect | None = None
    dialect: Dialect | None = None
    models: tuple[str, ...] = ()
    context: int = 0
    capability: str | None = None
    in_flight: int = 0
    requests: int = 0
    failures: int = 0
    busy: int = 0
    retried: int = 0
    ejections: int = 0
    first_tokens: int = 0
    first_token_seconds: float = 0.0
    reason: str = ""
    _in_a_row: int = 0
    _rest: float = 0.0
    _ejected_until: float | None = None
    _busy_until: float = field(default=0.0)

    @property
    def root(self) -> str:
        """Without /v1: where /health is."""
        return self.url.removesuffix("/v1")

    @property
    def up(self) -> bool:
        return self._ejected_until is None

    @property
    def due(self) -> bool:
        """An ejected one whose rest is over: it may be asked how it is."""
        return self._ejected_until is not None and time.monotonic() >= self._ejected_until

    @property
    def resting(self) -> bool:
        return time.monotonic() < self._busy_until

    def worked(self) -> None:
        self._in_a_row, self._rest, self._ejected_until = 0, 0.0, None

    def failed(self, reason: str, *, at_once: bool) -> None:
        """at_once: it cannot even be reached."""
        self.reason = reason
        self._in_a_row += 1
        if not self.up and not self.due:
            return  # its other requests fail too; that says nothing new
        if at_once or self._in_a_row >= FAILURES or not self.up:
            self.ejections += self.up
            self._rest = min(LONGEST_REST, self._rest * 2 or FIRST_REST)
            self._ejected_until = time.monotonic() + self._rest

    def is_busy(self, seconds: float | None) -> None:
        self.busy += 1
        self._busy_until = time.monotonic() + (1.0 if seconds is None else min(seconds, LONGEST_REST))

    def stats(self) -> UpstreamStats:
        return UpstreamStats(
            self.url, self.up, self.in_flight, self.requests, self.failures, self.busy, self.retried, self.ejections,
            self.first_tokens, self.first_token_seconds,
        )  # fmt: skip


def upstreams_of(urls: Iterable[str], given: Dialect | None) -> list[Upstream]:
    """Raises UserError for what is no http address, or one given twice. `/v1` is added where it is missing."""
    found: dict[str, Upstream] = {}
    for text in urls:
        url = text.rstrip("/")
        if not url.startswith(("http://", "https://")) or not urlsplit(url).hostname:
            raise UserError(f"{text!r} is no URL such as http://127.0.0.1:8000/v1", param="url")
        url = url if url.rpartition("/")[2].startswith("v") else url + "/v1"
        if url in found:
            raise UserError(f"{text} is given twice", param="url")
        found[url] = Upstream(url, given)
    if not found:
        raise UserError("give the URL of at least one server", param="url")
    return list(found.values())


def choose(upstreams: Iterable[Upstream], beginning: bytes) -> Upstream | None:
    """The one that takes a request with this beginning. Those that rest are taken when nobody else is left."""
    left = list(upstreams)
    able = [u for u in left if u.up and not u.resting] or [u for u in left if u.up] or left
    if not able:
        return None
    idlest = min(u.in_flight for u in able)
    ranked = sorted(able, key=lambda u: hashlib.blake2b(u.url.encode(), key=beginning[:64], digest_size=8).digest())
    return next(u for u in ranked if u.in_flight <= idlest + SLACK)


def beginning_of(texts: Iterable[str]) -> bytes:
    """What requests of one conversation have in common."""
    return hashlib.blake2b("\0".join(texts).encode("utf-8", "replace"), digest_size=16).digest()
