"""Files of a data set of the Hugging Face hub: fetched once, for the patterns of the source."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

from ponder.core.atomic import replacing
from ponder.core.errors import UserError
from ponder.data.patterns import meaning

DataSet = Callable[[str, Callable[[str], bool], Path], str]
"""(owner/name, which files, into which folder) -> the commit. Raises UserError where the hub cannot be reached."""
MARKER = "fetched.json"


def data_set(name: str, patterns: tuple[str, ...], store: Path, fetch: DataSet | None) -> dict[str, tuple[Path, str]]:
    """By the name, the folder with the files, and the commit. What an interrupted run fetched is not fetched again."""
    if name.count("/") != 1 or not all(
        part.replace("-", "").replace("_", "").replace(".", "") for part in name.split("/")
    ):
        raise UserError(f"a data set is owner/name, not {name!r}", param="hub")
    if fetch is None:
        raise UserError(f"{name}: no hub was given to fetch it from", param="hub")
    kind = hashlib.sha256(json.dumps(patterns).encode()).hexdigest()[:8]
    folder = store / f"hub-{name.replace('/', '--')}-{kind}"
    marker = folder / MARKER
    if not marker.is_file():
        wanted = [meaning(pattern) for pattern in patterns]
        folder.mkdir(parents=True, exist_ok=True)
        commit = fetch(name, lambda path: any(pattern.fullmatch(path) for pattern in wanted), folder)
        with replacing(marker) as file:
            file.write(json.dumps({"commit": commit, "files": patterns}).encode())
    return {name: (folder, str(json.loads(marker.read_bytes())["commit"]))}
