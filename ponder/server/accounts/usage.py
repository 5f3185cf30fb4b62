"""What each name has used, day by day, and whether that is all it may.

Counted in memory and written every few seconds; a process that is killed forgets the last of them. Days are those of
UTC. Names that a key was given for at the start have counts, but no limits of a day.
"""

import contextlib
import threading
import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

from msgspec import Struct

from ponder.server.accounts.keyring import Keyring
from ponder.server.database import Database
from ponder.server.http.errors import ApiError

SCHEMA = """
CREATE TABLE IF NOT EXISTS usage (
    day TEXT NOT NULL, name TEXT NOT NULL, requests INTEGER NOT NULL, prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL, PRIMARY KEY (day, name)
)
"""
ADD = """
INSERT INTO usage VALUES (?, ?, ?, ?, ?) ON CONFLICT (day, name) DO UPDATE SET
    requests = requests + excluded.requests, prompt_tokens = prompt_tokens + excluded.prompt_tokens,
    completion_tokens = completion_tokens + excluded.completion_tokens
"""


class Used(Struct, kw_only=True):
    """Of one name on one day."""

    day: str
    name: str
    requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


class Usage:
    """Thread-safe."""

    def __init__(self, path: Path, keyring: Keyring) -> None:
        self.keyring, self._path = keyring, path
        self._database: Database | None = None  # made when there is something to write
        self._lock = threading.Lock()
        self._unwritten: dict[tuple[str, str], Used] = {}
        self._batches: list[dict[tuple[str, str], Used]] = []  # that are being written, or could not be
        self._today: dict[str, Used] = {}
        self.total: dict[str, Used] = defaultdict(lambda: Used(day="", name=""))
        """Since the start, by name: for metrics."""

    def add(self, name: str, *, requests: int = 0, prompt_tokens: int = 0, completion_tokens: int = 0) -> None:
        """name: "" is nobody's, and is not counted."""
        if not name:
            return
        day = _day()
        today = self.today(name)
        with self._lock:
            new = self._unwritten.setdefault((day, name), Used(day=day, name=name))
            for each in (new, today, self.total[name]):
                each.requests += requests
                each.prompt_tokens += prompt_tokens
                each.completion_tokens += completion_tokens

    def today(self, name: str) -> Used:
        """What a name has used today, not yet written or not."""
        day = _day()
        with self._lock:
            known = self._today.get(name)
            if known is None or known.day != day:
                rows = self._rows("day = ? AND name = ?", (day, name))
                known = self._today[name] = rows[0] if rows else Used(day=day, name=name)
            return known

    def refusal(self, name: str) -> ApiError | None:
        """Why this name gets no more today."""
        account = self.keyring.account(name)
        if account is None:
            return None
        today = self.today(name)
        for what, limit, used in (
            ("requests", account.requests_per_day, today.requests),
            ("tokens", account.tokens_per_day, today.tokens),
        ):
            if limit is not None and used >= limit:
                text = f"{name} has used {used} of {limit} {what} of this day (UTC); there are more tomorrow"
                wait = _seconds_to_midnight()
                return ApiError(429, text, kind="rate_limit_error", code="daily_limit", retry_after=wait)
        return None

    def days(self, name: str | None = None, count: int = 30) -> list[Used]:
        """The last days, newest first; of everybody without a name."""
        self.write()
        since = (datetime.now(UTC).date() - timedelta(days=count - 1)).isoformat()
        if name is None:
            return self._rows("day >= ?", (since,))
        return self._rows("day >= ? AND name = ?", (since, name))

    def write(self) -> None:
        """What is not yet in the file. One thread at a time. Raises ApiError; nothing is lost then."""
        with self._lock:
            if self._unwritten:
                self._batches.append(self._unwritten)
                self._unwritten = {}
            batches = list(self._batches)
        if not batches:
            return
        with self._file().writing() as db:
            for each in (used for batch in batches for used in batch.values()):
                db.execute(ADD, (each.day, each.name, each.requests, each.prompt_tokens, each.completion_tokens))
        with self._lock:
            del self._batches[: len(batches)]

    def close(self) -> None:
        with contextlib.suppress(ApiError):
            self.write()
        if self._database is not None:
            self._database.close()

    def _file(self) -> Database:
        if self._database is None:
            self._database = Database(self._path, SCHEMA)
        return self._database

    def _rows(self, where: str, values: tuple[str, ...]) -> list[Used]:
        if self._database is None and not self._path.exists():
            return []
        with self._file().reading() as db:
            found = db.execute(f"SELECT * FROM usage WHERE {where} ORDER BY day DESC, name", values).fetchall()
        return [Used(**dict(row)) for row in found]


def _day() -> str:
    return datetime.now(UTC).date().isoformat()


def _seconds_to_midnight() -> int:
    return 86400 - int(time.time()) % 86400
