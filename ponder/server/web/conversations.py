"""The web chat's conversations in one SQLite file: a tree of messages each, so that edits and new replies are branches.

Every change is one transaction (database.py), and a running reply is written every second. Search is over titles and
texts. Who asks sees only what the same API key has left here; an heir also what was left without a key.
"""

import json
import secrets
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ponder.core.client import CLIENT
from ponder.server.database import Database
from ponder.server.http.errors import ApiError

SCHEMA = """
CREATE TABLE IF NOT EXISTS conversations (
    id TEXT PRIMARY KEY, title TEXT NOT NULL, settings TEXT NOT NULL, leaf TEXT, created REAL NOT NULL,
    changed REAL NOT NULL
);
CREATE TABLE IF NOT EXISTS messages (
    id TEXT PRIMARY KEY, conversation TEXT NOT NULL REFERENCES conversations(id) ON DELETE CASCADE, parent TEXT,
    role TEXT NOT NULL, body TEXT NOT NULL, created REAL NOT NULL, number INTEGER NOT NULL
);
CREATE INDEX IF NOT EXISTS by_conversation ON messages(conversation, number);
UPDATE messages SET body = json_set(body, '$.steps', json_array(
    json_object('kind', 'thought', 'text', COALESCE(json_extract(body, '$.reasoning_content'), '')),
    json_object('kind', 'text', 'text', json_extract(body, '$.content'))
)) WHERE role = 'assistant' AND json_type(body, '$.steps') IS NULL;
"""  # version 1 had no steps
OWNER = "ALTER TABLE conversations ADD COLUMN owner TEXT NOT NULL DEFAULT ''"  # versions 1 and 2 had none
LABELS = ("pinned INTEGER NOT NULL DEFAULT 0", "tags TEXT NOT NULL DEFAULT '[]'")  # nor had version 3
FIELDS = "id, title, settings, leaf, created, changed, pinned, tags"
COLUMNS = ("id", "parent", "role", "created")  # of a message; the rest is its body
Row = dict[str, Any]


class Conversations:
    """Thread-safe. A message is {"id", "parent", "role", "content", ...}; what else it has is kept as it came: a user's
    "attachments", an assistant's "steps" (core/turn.py), "model", "facts", "stopped", "error". heirs: the clients
    that, at the moment, also see what was left while there were no keys."""

    def __init__(self, path: Path, heirs: Callable[[], frozenset[str]] = frozenset) -> None:
        self._heirs = heirs
        self._file = Database(path, SCHEMA)
        with self._file.writing() as db:
            columns = [column["name"] for column in db.execute("PRAGMA table_info(conversations)")]
            if "owner" not in columns:
                db.execute(OWNER)
            for label in LABELS:
                if label.split()[0] not in columns:
                    db.execute(f"ALTER TABLE conversations ADD COLUMN {label}")

    def all(self, query: str = "") -> list[Row]:
        """Newest first; with a query, those whose title, tags or texts hold it."""
        like = "%" + query.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        sql = """SELECT id, title, created, changed, pinned, tags FROM conversations c
                 WHERE owner IN (?, ?) AND (? = '%%' OR title LIKE ? ESCAPE '\\' OR tags LIKE ? ESCAPE '\\'
                     OR EXISTS (SELECT 1 FROM messages m WHERE m.conversation = c.id
                         AND json_extract(m.body, '$.content') LIKE ? ESCAPE '\\'))
                 ORDER BY changed DESC"""
        with self._file.reading() as db:
            return [_labelled(row) for row in db.execute(sql, (*self._owners(), like, like, like, like))]

    def create(self, title: str = "", settings: Row | None = None) -> Row:
        id_, now = secrets.token_hex(8), time.time()
        with self._file.writing() as db:
            values = (id_, title, json.dumps(settings or {}), now, now, CLIENT.get())
            db.execute(f"INSERT INTO conversations ({FIELDS}, owner) VALUES (?, ?, ?, NULL, ?, ?, 0, '[]', ?)", values)
        return self.get(id_)

    def put(self, found: Sequence[Row]) -> list[Row]:
        """Whole conversations, as `get` gives them and import_chats.py checked them, under new ids: all or none.
        -> what `all` says of each."""
        rows = []
        with self._file.writing() as db:
            for each in found:
                new: dict[str | None, str | None] = {m["id"]: secrets.token_hex(8) for m in each["messages"]}
                new[None] = None
                row = {"id": secrets.token_hex(8)} | {k: each[k] for k in ("title", "created", "changed")}
                values = (row["id"], row["title"], json.dumps(each["settings"]), new[each["leaf"]], row["created"])
                labels = (int(each["pinned"]), json.dumps(each["tags"], ensure_ascii=False))
                sql = f"INSERT INTO conversations ({FIELDS}, owner) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
                db.execute(sql, (*values, row["changed"], *labels, CLIENT.get()))
                for n, m in enumerate(each["messages"], 1):
                    body = json.dumps({k: v for k, v in m.items() if k not in COLUMNS}, ensure_ascii=False)
                    fields = (new[m["id"]], row["id"], new[m["parent"]], m["role"], body, m["created"], n)
                    db.execute("INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?)", fields)
                rows.append(row)
        return rows

    def get(self, id_: str) -> Row:
        """With all its messages, in the order they were made. Raises ApiError 404."""
        with self._file.reading() as db:
            sql = f"SELECT {FIELDS} FROM conversations WHERE id = ? AND owner IN (?, ?)"
            row = db.execute(sql, (id_, *self._owners())).fetchone()
            if row is None:
                raise missing(id_)
            messages = db.execute("SELECT * FROM messages WHERE conversation = ? ORDER BY number", (id_,)).fetchall()
        more = {"settings": json.loads(row["settings"]), "messages": [_message(m) for m in messages]}
        return _labelled(row) | more

    def has(self, id_: str) -> bool:
        """Whether the client has such a conversation."""
        sql = "SELECT 1 FROM conversations WHERE id = ? AND owner IN (?, ?)"
        with self._file.reading() as db:
            return db.execute(sql, (id_, *self._owners())).fetchone() is not None

    def change(
        self,
        id_: str,
        *,
        title: str | None = None,
        settings: Row | None = None,
        leaf: str | None = None,
        pinned: bool | None = None,
        tags: Sequence[str] | None = None,
    ) -> None:
        known = {message["id"] for message in self.get(id_)["messages"]}
        if leaf is not None and leaf not in known:
            raise ApiError(400, f"leaf: there is no message {leaf!r:.80} in this conversation", param="leaf")
        new = {
            "title": title, "settings": None if settings is None else json.dumps(settings), "leaf": leaf,
            "pinned": pinned, "tags": None if tags is None else json.dumps(tags, ensure_ascii=False),
        }  # fmt: skip
        with self._file.writing() as db:
            for column, value in new.items():
                if value is not None:
                    db.execute(f"UPDATE conversations SET {column} = ? WHERE id = ?", (value, id_))

    def delete(self, id_: str) -> None:
        if not self.has(id_):
            raise missing(id_)
        self._file.freeing(lambda db: db.execute("DELETE FROM conversations WHERE id = ?", (id_,)))

    def add(self, conversation: str, parent: str | None, role: str, body: Row) -> Row:
        """A new message below `parent` (None: at the top), which becomes the end of what is shown."""
        known = {m["id"] for m in self.get(conversation)["messages"]}
        if parent is not None and parent not in known:
            raise ApiError(404, f"there is no message {parent} in this conversation", param="parent")
        id_, now = secrets.token_hex(8), time.time()
        with self._file.writing() as db:
            values = (id_, conversation, parent, role, json.dumps(body, ensure_ascii=False), now, conversation)
            db.execute("INSERT INTO messages SELECT ?, ?, ?, ?, ?, ?, COALESCE(MAX(number), 0) + 1 FROM messages "
                       "WHERE conversation = ?", values)  # fmt: skip
            db.execute("UPDATE conversations SET leaf = ?, changed = ? WHERE id = ?", (id_, now, conversation))
        return {"id": id_, "parent": parent, "role": role, "created": now} | body

    def remove(self, conversation: str, message: str) -> None:
        """A message, and all that was said after it; what is shown then ends above it, if it was shown."""
        whole = self.get(conversation)
        by_id = {m["id"]: m for m in whole["messages"]}
        if message not in by_id:
            raise ApiError(404, f"there is no message {message} in this conversation", param="id")
        gone = {message}
        for each in whole["messages"]:  # in the order they were made: parents first
            if each["parent"] in gone:
                gone.add(each["id"])
        parent = by_id[message]["parent"]
        beside = [m["id"] for m in whole["messages"] if m["parent"] == parent and m["id"] not in gone]
        leaf = beside[-1] if beside else parent
        with self._file.writing() as db:
            db.executemany("DELETE FROM messages WHERE id = ?", [(id_,) for id_ in gone])
            if whole["leaf"] in gone:
                db.execute("UPDATE conversations SET leaf = ? WHERE id = ?", (leaf, conversation))

    def write(self, message: str, body: Row) -> None:
        """The new body of a message that exists."""
        with self._file.writing() as db:
            db.execute("UPDATE messages SET body = ? WHERE id = ?", (json.dumps(body, ensure_ascii=False), message))

    def path_to(self, conversation: str, message: str | None) -> list[Row]:
        """The messages from the top down to this one: what the model reads."""
        by_id = {m["id"]: m for m in self.get(conversation)["messages"]}
        path = []
        while message is not None:
            if message not in by_id:
                raise ApiError(404, f"there is no message {message} in this conversation", param="parent")
            path.append(by_id[message])
            message = by_id[message]["parent"]
        return path[::-1]

    def close(self) -> None:
        self._file.close()

    def _owners(self) -> tuple[str, str]:
        """Whose conversations the client sees."""
        client = CLIENT.get()
        return client, "" if client in self._heirs() else client


def missing(id_: str) -> ApiError:
    return ApiError(404, f"there is no conversation {id_}", param="id")


def _labelled(row: sqlite3.Row) -> Row:
    return dict(row) | {"pinned": bool(row["pinned"]), "tags": json.loads(row["tags"])}


def _message(row: sqlite3.Row) -> Row:
    body: Row = json.loads(row["body"])
    return {key: row[key] for key in COLUMNS} | body
