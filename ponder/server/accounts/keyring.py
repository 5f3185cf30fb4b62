"""Whose key it is: those that the operator gave at the start, and those of the book, as it is now."""

import hmac
from dataclasses import dataclass
from functools import cached_property

from ponder.core.errors import UserError
from ponder.server.accounts.book import Account, KeyBook, digest
from ponder.server.accounts.keys import client_names
from ponder.server.config import ServerConfig
from ponder.server.http.log import log


@dataclass(frozen=True)
class Keyring:
    """book: None where keys are only those of the config."""

    config: ServerConfig
    book: KeyBook | None = None

    def closed(self) -> bool:
        """Whether a key is needed. A book that is there and empty lets nobody in."""
        return bool(self.config.api_keys or self.config.admin_keys) or self._book() is not None

    def name_of(self, sent: str) -> str | None:
        """The name of a key; None for none of ours. Every key is compared, in constant time."""
        matches = [name for key, name in self._given.items() if hmac.compare_digest(sent.encode(), key.encode())]
        if accounts := self._accounts():
            hashed = digest(sent)
            matches += [a.name for a in accounts.values() if hmac.compare_digest(a.sha256, hashed)]
        return matches[0] if matches else None

    def is_admin(self, name: str | None) -> bool:
        if name is None:
            return False
        given = self._given
        account = self._accounts().get(name)
        booked = account is not None and account.role == "admin"
        return booked or name in {given[key] for key in self.config.admin_keys}

    def account(self, name: str) -> Account | None:
        """What the book says of a name."""
        return self._accounts().get(name)

    def size(self) -> int:
        return len({*self.config.api_keys, *self.config.admin_keys}) + len(self._accounts())

    def heirs(self) -> frozenset[str]:
        """Who also gets what was left here while there were no keys: the admins, or the only one there is."""
        everybody = {*self._given.values(), *self._accounts()}
        admins = {name for name in everybody if self.is_admin(name)}
        return frozenset(admins or (everybody if len(everybody) == 1 else ()))

    @cached_property
    def _given(self) -> dict[str, str]:
        """Once: a request asks for it several times, and a key without a name is hashed."""
        return client_names((*self.config.api_keys, *self.config.admin_keys), self.config.key_names)

    def _accounts(self) -> dict[str, Account]:
        return self._book() or {}

    def _book(self) -> dict[str, Account] | None:
        try:
            return None if self.book is None else self.book.accounts()
        except UserError as e:
            log.error(str(e))  # once: what was known holds until the file is right again
            return self.book.accounts() if self.book is not None else None
