"""The book of accounts: named keys in a file that `ponder key` writes and a running server reads again when it changed.

    book = KeyBook(Path("keys.json"))
    key = book.create("alice", tokens_per_day=200_000)   # the only time that the key itself is seen
    book.revoke("alice")

Only hashes are kept. A name outlives its key: what alice has left here is hers again when she gets a new one.
"""

import hashlib
import json
import os
import re
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec
from filelock import FileLock
from msgspec import Struct, structs

from ponder.core.atomic import replacing
from ponder.core.errors import UserError

Role = Literal["user", "admin"]
NAME = re.compile(r"[\w.@-]{1,64}")


class Account(Struct, frozen=True, kw_only=True):
    name: str
    sha256: str
    """Of the key, in hexadecimal."""
    role: Role = "user"
    """An admin may also pull and delete models, and see what everybody has used."""
    created: str = ""
    """The day, in ISO form."""
    requests_per_day: int | None = None
    """None: as many as there is time for. Days are those of UTC."""
    tokens_per_day: int | None = None
    """Of prompts and replies together."""


class KeyBook:
    """path: its file, which need not be there yet."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, int, int] | None = None
        self._accounts: dict[str, Account] = {}

    def accounts(self) -> dict[str, Account] | None:
        """By name, as the file is now; None where there has been no book. Raises UserError when it becomes damaged;
        after that, and when it disappears, those that were known stay: a lost file must not open a server."""
        try:
            stat = os.stat(self.path)
        except FileNotFoundError:
            return None if self._seen is None else self._accounts
        if (seen := (stat.st_mtime_ns, stat.st_size, stat.st_ino)) != self._seen:
            self._seen = seen
            self._accounts = {account.name: account for account in _read(self.path)}
        return self._accounts

    def create(
        self, name: str, *, role: Role = "user", requests_per_day: int | None = None, tokens_per_day: int | None = None
    ) -> str:
        """-> the key. Raises UserError for a name that has one."""
        if not NAME.fullmatch(name):
            raise UserError(f"{name!r} is no name for a key: letters, digits, . _ @ and -, at most 64", param="name")
        key = f"pk-{secrets.token_urlsafe(32)}"
        with self._writing() as accounts:
            if name in accounts.found:
                raise UserError(f"{name} has a key; `ponder key revoke {name}` takes it away first", param="name")
            new = Account(name=name, sha256=digest(key), role=role, created=datetime.now(UTC).date().isoformat())
            accounts.found[name] = _limited(new, requests_per_day, tokens_per_day)
        return key

    def limit(self, name: str, requests_per_day: int | None, tokens_per_day: int | None) -> None:
        """What a name may use in a day; None is no limit. Raises UserError for an unknown name."""
        with self._writing() as accounts:
            account = self._known(accounts.found, name)
            accounts.found[name] = _limited(account, requests_per_day, tokens_per_day)

    def revoke(self, name: str) -> None:
        """The key opens nothing from now on. Raises UserError for an unknown name."""
        with self._writing() as accounts:
            del accounts.found[self._known(accounts.found, name).name]

    def _known(self, accounts: dict[str, Account], name: str) -> Account:
        if name not in accounts:
            there = ", ".join(accounts) or "there are none"
            raise UserError(f"there is no key of {name}; known: {there}", param="name")
        return accounts[name]

    def _writing(self) -> "_Writing":
        return _Writing(self.path)


class _Writing:
    """The accounts, to be changed by one process at a time and written at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.found: dict[str, Account] = {}

    def __enter__(self) -> "_Writing":
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(f"{self._path}.lock", timeout=30)
        self._lock.acquire()
        try:
            self.found = {account.name: account for account in _read(self._path)} if self._path.exists() else {}
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        try:
            if kind is None:
                text = json.dumps({"keys": msgspec.to_builtins(list(self.found.values()))}, indent=1)
                with replacing(self._path) as file:
                    file.write(f"{text}\n".encode())
                self._path.chmod(0o600)
        finally:
            self._lock.release()


class _File(Struct, frozen=True):
    keys: tuple[Account, ...]


def _read(path: Path) -> tuple[Account, ...]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=_File).keys
    except msgspec.MsgspecError as e:
        raise UserError(f"{path} is no book of keys: {e}; put it right, or move it away", param="keys") from e


def _limited(account: Account, requests: int | None, tokens: int | None) -> Account:
    for what, value in (("requests", requests), ("tokens", tokens)):
        if value is not None and value < 1:
            raise UserError(f"{what} a day must be at least 1, got {value}", param=what)
    return structs.replace(account, requests_per_day=requests, tokens_per_day=tokens)


def digest(key: str) -> str:
    """Keys are long and random: a plain hash cannot be guessed back."""
    return hashlib.sha256(key.encode()).hexdigest()
