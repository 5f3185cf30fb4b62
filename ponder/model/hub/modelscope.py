"""Download a model from ModelScope by plain HTTPS: the same repositories as on the hub, reachable where it is not.

API: GET /api/v1/models/{id}/repo/files lists names, sizes and sha256; /models/{id}/resolve/master/{file} is the file.
A file grows as `name.part` and is resumed with a Range request.
"""

import hashlib
import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

from ponder.core.errors import LoadError
from ponder.model.hub.huggingface import choose
from ponder.model.hub.store import Progress

ENDPOINT = "https://modelscope.cn"
_TRIES = 5
_CHUNK = 1 << 20
_NETWORK = (OSError, http.client.HTTPException)  # URLError, timeouts and resets are OSErrors


def download(
    repository: str, file: str, folder: Path, progress: Progress | None, timeout: float, endpoint: str = ENDPOINT
) -> list[str]:
    """Fetch into `folder`; -> the file names. Raises LoadError, with the reason, when ModelScope cannot be reached."""
    url = f"{endpoint}/api/v1/models/{repository}/repo/files?Revision=master&Recursive=true"
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            listed = json.loads(answer.read(16 << 20))
        entries = {str(f["Path"]): f for f in listed["Data"]["Files"] if f.get("Type") != "tree"}
        sizes = {name: int(f["Size"]) for name, f in entries.items()}
    except (*_NETWORK, ValueError, KeyError, TypeError) as e:
        raise LoadError(f"ModelScope did not list {repository}: {type(e).__name__}: {e}") from e
    files = choose(sizes, repository, file)
    total, done = sum(files.values()), 0
    folder.mkdir(parents=True, exist_ok=True)
    for name, size in files.items():
        address = f"{endpoint}/models/{repository}/resolve/master/{urllib.parse.quote(name)}"
        before = done

        def report(here: int, before: int = before) -> None:
            if progress:
                progress(before + here, total)

        _file(address, folder / name, size, entries[name].get("Sha256"), report, timeout)
        done += size
    return list(files)


def _file(url: str, path: Path, size: int, sha256: Any, report: Any, timeout: float) -> None:
    if path.is_file() and path.stat().st_size == size:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    for attempt in range(_TRIES):
        try:
            _resume(url, part, size, report, timeout)
            break
        except _NETWORK as e:
            if attempt == _TRIES - 1 or (isinstance(e, urllib.error.HTTPError) and e.code < 500):
                raise LoadError(f"{url}: {e}; what has arrived is kept, so fetching again goes on from there") from e
            time.sleep(2**attempt * 0.2)
    if part.stat().st_size != size or (sha256 and _digest(part) != sha256):
        part.unlink()
        raise LoadError(f"{url}: what arrived is not the listed file ({size} bytes, sha256 {sha256}); fetch it again")
    part.replace(path)


def _resume(url: str, part: Path, size: int, report: Any, timeout: float) -> None:
    """Append what is missing. Raises OSError or HTTPException when the connection breaks."""
    have = part.stat().st_size if part.exists() else 0
    if have >= size:
        return
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urllib.request.urlopen(request, timeout=max(timeout, 30)) as answer:
        if answer.status != 206:  # the server ignored the range: from the start
            have = 0
        with part.open("ab" if have else "wb") as out:
            while chunk := answer.read(_CHUNK):
                out.write(chunk)
                have += len(chunk)
                report(have)
    if have < size:
        raise ConnectionError(f"the connection ended after {have} of {size} bytes")


def _digest(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
