"""Tables of columns, as data sets are published: one document a row. By pyarrow, an extra of its own (170 MB)."""

from pathlib import Path

from ponder.data.document import UNREADABLE, Left, Unreadable
from ponder.data.read.reading import Reading, Texts

ROWS = 256  # at a time


def parquet(path: Path, how: Reading) -> Texts:
    import pyarrow
    from pyarrow.parquet import ParquetFile

    try:
        with ParquetFile(path) as table:
            names = table.schema_arrow.names
            if how.field not in names:
                raise Unreadable(f"has no column {how.field}; there are {', '.join(names)[:200]}")
            for batch in table.iter_batches(ROWS, columns=[how.field]):
                for value in batch.column(0):
                    text = value.as_py()
                    yield text if isinstance(text, str) else Left(UNREADABLE, f"a row whose {how.field} is no text")
    except (pyarrow.ArrowException, UnicodeDecodeError) as e:
        raise Unreadable(f"is no table: {e}") from e
