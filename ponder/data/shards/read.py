"""Shards that `write` made, mapped into memory: only what is read is loaded."""

from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from ponder.core.errors import UserError
from ponder.data.shards.write import MANIFEST, ROW, Manifest, hash_of, paths
from ponder.text.tokenizer.tokenizer import Tokenizer


class Pieces(NamedTuple):
    """Documents, cut where they are longer than a sequence; a column each."""

    shard: NDArray[np.int64]
    start: NDArray[np.int64]
    length: NDArray[np.int64]
    group: NDArray[np.int64]

    def only(self, which: NDArray[np.bool_]) -> "Pieces":
        return Pieces(*(column[which] for column in self))


class Shards:
    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder, self.groups = folder, manifest.groups
        files = [paths(folder, n) for n in range(manifest.shards)]
        self._ids = [np.memmap(ids, manifest.dtype, "r") for ids, _ in files]
        tables = [np.load(table) for _, table in files]
        self.documents = np.concatenate(tables).astype(ROW)
        self._shard = np.repeat(np.arange(len(tables)), [len(t) for t in tables])

    @classmethod
    def open(cls, folder: Path, tokenizer: Tokenizer) -> "Shards":
        """Raises UserError where the shards are not finished, or of another tokenizer."""
        try:
            manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
        except (OSError, msgspec.DecodeError) as e:
            raise UserError(f"{folder} has no finished shards: {e}", param="shards") from e
        if manifest.tokenizer != hash_of(tokenizer):
            raise UserError(
                f"the shards in {folder} were made with another tokenizer ({manifest.tokenizer[:10]}; this one is "
                f"{hash_of(tokenizer)[:10]}): their ids mean other texts. Make them again with this one",
                param="shards",
            )
        return cls(folder, manifest)

    def pieces(self, longest: int, *, held_out: bool = False) -> Pieces:
        """At most `longest` ids each; a last piece of a single id, which could teach nothing, is left out."""
        which = self.documents["held"] == held_out
        rows, shard = self.documents[which], self._shard[which]
        length = rows["length"].astype(np.int64)
        count = -(-length // longest)
        of = np.repeat(np.arange(len(rows)), count)  # the document of each piece
        within = np.arange(len(of)) - np.repeat(np.cumsum(count) - count, count)
        start = within * longest
        size = np.minimum(length[of] - start, longest)
        whole = Pieces(
            shard[of], rows["start"].astype(np.int64)[of] + start, size, rows["group"].astype(np.int64)[of]
        )  # fmt: skip
        return whole.only(size > 1)

    def ids(self, pieces: Pieces, number: int) -> NDArray[np.int32]:
        """Of one piece."""
        at = int(pieces.start[number])
        found: NDArray[np.int32] = self._ids[pieces.shard[number]][at : at + int(pieces.length[number])]
        return found.astype(np.int32)
