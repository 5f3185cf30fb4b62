"""The replies of /v1/responses that are kept, so that a later request may go on from one (`previous_response_id`).

A reply is kept with the items that were new in its request; what came before is the reply that it continues. The whole
is bounded: when it has more than `limit` bytes, those go whose conversations were not used for longest. Who asks sees
only what the same API key has left here.
"""

import json
import re
import sqlite3
import time
from pathlib import Path
from typing import Any

from ponder.core.client import CLIENT
from ponder.server.database import Database
from ponder.server.http.errors import ApiError

SCHEMA = """
CREATE TABLE IF NOT EXISTS responses (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, previous TEXT, reply TEXT NOT NULL, items TEXT NOT NULL,
    size INTEGER NOT NULL, used REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS responses_by_use ON responses(used, size);
"""
CHAIN = """
WITH RECURSIVE chain(id, previous, depth) AS (
    SELECT id, previous, 0 FROM responses WHERE id = ? AND owner = ?
    UNION ALL
    SELECT r.id, r.previous, depth + 1 FROM responses r JOIN chain c ON r.id = c.previous WHERE r.owner = ?
) SELECT r.id, r.previous, r.reply, r.items FROM chain JOIN responses r USING (id) ORDER BY depth DESC
"""
EVICT = """
DELETE FROM responses WHERE id IN (
    SELECT id FROM (SELECT id, SUM(size) OVER (ORDER BY used DESC, id) AS upto FROM responses) WHERE upto > ?
)
"""
Item = dict[str, Any]
Reply = dict[str, Any]
OUTPUT_ID = re.compile(r"(?:msg|rs|fc|ctc)_(\w+)_(\d+)")  # of the items of a reply: responses.Items makes them


class ResponseStore:
    """Thread-safe. limit: bytes that all of them may take; 0 keeps none."""

    def __init__(self, path: Path, limit: int) -> None:
        self.limit = limit
        self._file = Database(path, SCHEMA)

    def put(self, reply: Reply, items: list[Item]) -> bool:
        """items: what was new in the request, each with an id. False when it alone has more bytes than all may take."""
        values = (reply["id"], CLIENT.get(), reply["previous_response_id"], _json(reply), _json(items))
        if (size := sum(len(text.encode()) for text in values if text)) > self.limit:
            return False
        with self._file.writing() as db:
            db.execute("INSERT INTO responses VALUES (?, ?, ?, ?, ?, ?, ?)", (*values, size, time.time()))
            if db.execute("SELECT SUM(size) FROM responses").fetchone()[0] > self.limit:
                db.execute(EVICT, (self.limit,))
        return True

    def get(self, id_: str) -> tuple[Reply, list[Item]]:
        """A reply and the items of its own request. Raises ApiError 404."""
        if (found := self._find(id_)) is None:
            raise _missing(id_, "response_not_found", "id")
        return found

    def delete(self, id_: str) -> None:
        sql, values = "DELETE FROM responses WHERE id = ? AND owner = ?", (id_, CLIENT.get())
        if not self._file.freeing(lambda db: db.execute(sql, values).rowcount):
            raise _missing(id_, "response_not_found", "id")

    def history(self, id_: str) -> list[Item]:
        """All items up to the end of this reply, in order: what a request that goes on from it continues. Raises
        ApiError 404 when one of them is not there any more."""
        code, param = "previous_response_not_found", "previous_response_id"
        with self._file.writing() as db:
            rows: list[sqlite3.Row] = db.execute(CHAIN, (id_, CLIENT.get(), CLIENT.get())).fetchall()
            db.executemany("UPDATE responses SET used = ? WHERE id = ?", [(time.time(), row["id"]) for row in rows])
        if not rows:
            raise _missing(id_, code, param)
        if (before := rows[0]["previous"]) is not None:
            raise _missing(before, code, param, f", and {id_} continues it")
        return [item for row in rows for item in (*json.loads(row["items"]), *json.loads(row["reply"])["output"])]

    def resolve_references(self, items: list[Any]) -> list[Any]:
        """With the items themselves in the place of references to items of kept replies. Raises ApiError 404."""
        return [self._item(i) if isinstance(i, dict) and i.get("type") == "item_reference" else i for i in items]

    def _item(self, reference: Item) -> Item:
        id_ = str(reference.get("id", ""))
        made = OUTPUT_ID.fullmatch(id_)
        found = self._find(f"resp_{made[1]}") if made else None
        for item in found[0]["output"] if found else ():
            if item["id"] == id_:
                return dict(item)
        text = f"input: there is no item {id_!r} in a reply that is kept here"
        raise ApiError(404, text, code="item_not_found", param="input")

    def _find(self, id_: str) -> tuple[Reply, list[Item]] | None:
        sql = "SELECT reply, items FROM responses WHERE id = ? AND owner = ?"
        with self._file.reading() as db:
            row = db.execute(sql, (id_, CLIENT.get())).fetchone()
        return None if row is None else (json.loads(row["reply"]), json.loads(row["items"]))

    def close(self) -> None:
        self._file.close()


def _missing(id_: str, code: str, param: str, why: str = "") -> ApiError:
    text = f"there is no response {id_!r} here (any more){why}: it was deleted, not stored, or gave way to newer ones"
    return ApiError(404, text, code=code, param=param)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
