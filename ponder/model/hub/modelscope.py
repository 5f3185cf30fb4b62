"""Download a model from ModelScope by plain HTTPS: the same repositories as on the hub, reachable where it is not.

API: GET /api/v1/models/{id}/repo/files lists names, sizes and sha256; /models/{id}/resolve/master/{file} is the file.
"""

import json
import urllib.parse
from pathlib import Path

from ponder.core.errors import LoadError
from ponder.model.hub.choice import Choice, choose
from ponder.model.hub.store import Progress
from ponder.model.hub.transfer import NETWORK, Begin, Check, RemoteFile, fetch_files, opened

ENDPOINT = "https://modelscope.cn"


def download(
    repository: str, file: str, folder: Path, progress: Progress | None, timeout: float, check: Check | None = None,
    begin: Begin | None = None, endpoint: str = ENDPOINT,
) -> Choice:  # fmt: skip
    """As huggingface.download."""
    url = f"{endpoint}/api/v1/models/{repository}/repo/files?Revision=master&Recursive=true"
    try:
        with opened(url, timeout) as answer:
            listed = json.loads(answer.read(16 << 20))
        entries = {str(f["Path"]): f for f in listed["Data"]["Files"] if f.get("Type") != "tree"}
        sizes = {name: int(f["Size"]) for name, f in entries.items()}
    except (*NETWORK, ValueError, KeyError, TypeError) as e:
        raise LoadError(f"ModelScope did not list {repository}: {type(e).__name__}: {e}") from e
    choice = choose(sizes, repository, file)
    base = f"{endpoint}/models/{repository}/resolve/master/"
    files = [
        RemoteFile(name, base + urllib.parse.quote(name), size, entries[name].get("Sha256"))
        for name, size in choice.files.items()
    ]
    fetch_files(files, folder, progress, timeout, check=check, begin=begin)
    return choice
