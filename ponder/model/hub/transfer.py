"""Files over HTTPS into a folder: resumed with Range, checked, small ones first.

A file grows as `name.part` and takes its name when it is whole. A connection that breaks is taken up again where it
stopped, now or the next time somebody asks; what arrived is kept until then. Before any large file comes, `check` may
look at the small ones: it is a pity to fetch gigabytes of a model that cannot be loaded.
"""

import hashlib
import http.client
import shutil
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from ponder.core.errors import LoadError
from ponder.model.hub.store import Progress

NETWORK = (OSError, http.client.HTTPException)  # URLError, timeouts and resets are OSErrors
SMALL = 32 << 20  # bytes of files that are fetched before the check: a tokenizer has 11 MB
_TRIES = 5  # in a row without a single new byte
_CHUNK = 1 << 20
_ROOM = 256 << 20  # of the disk that is left to others

Check = Callable[[Path], None]
Begin = Callable[[int], None]


class RemoteFile(Struct, frozen=True):
    """name: in the folder. sha256: None where the server does not say."""

    name: str
    url: str
    size: int
    sha256: str | None = None


def fetch_files(
    files: list[RemoteFile], folder: Path, progress: Progress | None, timeout: float,
    headers: Mapping[str, str] | None = None, check: Check | None = None, begin: Begin | None = None,
) -> None:  # fmt: skip
    """begin(bytes in all) is called first. Raises LoadError, with the reason, when one does not come; and what `check`
    raises, after removing the folder."""
    total, done = sum(file.size for file in files), 0
    if begin is not None:
        begin(total)
    folder.mkdir(parents=True, exist_ok=True)
    _check_room(folder, total - sum(_here(folder / file.name) for file in files))
    small = [file for file in files if file.size <= SMALL and not file.name.endswith((".safetensors", ".gguf"))]
    for batch in (small, [file for file in files if file not in small]):
        if batch is not small and check is not None:
            try:
                check(folder)
            except LoadError:
                shutil.rmtree(folder)
                raise
        for file in batch:
            before = done

            def report(here: int, before: int = before) -> None:
                if progress:
                    progress(before + here, total)

            _fetch(file, folder / file.name, report, timeout, headers or {})
            done += file.size


def opened(url: str, timeout: float, headers: Mapping[str, str] | None = None) -> http.client.HTTPResponse:
    """The answer to a GET. Credentials stay with the host that they are for. Raises one of NETWORK."""
    request = urllib.request.Request(url, headers=dict(headers or {}))
    answer: http.client.HTTPResponse = _OPENER.open(request, timeout=timeout)
    return answer


class _Redirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        new = super().redirect_request(req, fp, code, msg, headers, newurl)
        if new is not None and urllib.parse.urlsplit(newurl).netloc != urllib.parse.urlsplit(req.full_url).netloc:
            new.remove_header("Authorization")
        return new


_OPENER = urllib.request.build_opener(_Redirects)


def _here(path: Path) -> int:
    part = _part(path)
    return sum(p.stat().st_size for p in (path, part) if p.is_file())


def _part(path: Path) -> Path:
    return path.with_name(path.name + ".part")


def _check_room(folder: Path, needed: int) -> None:
    if (free := shutil.disk_usage(folder).free) < needed + _ROOM and needed > 0:
        raise LoadError(
            f"{folder} has {free / 1e9:.1f} GB free, and {needed / 1e9:.1f} GB are to come. "
            "Make room, or let PONDER_HOME name a folder on another disk."
        )


def _fetch(
    file: RemoteFile, path: Path, report: Callable[[int], None], timeout: float, headers: Mapping[str, str]
) -> None:
    if path.is_file() and path.stat().st_size == file.size:
        return report(file.size)
    path.parent.mkdir(parents=True, exist_ok=True)
    part, failures = _part(path), 0
    while True:
        before = part.stat().st_size if part.exists() else 0
        try:
            _resume(file, part, report, timeout, headers)
            break
        except NETWORK as e:
            grown = part.exists() and part.stat().st_size > before
            failures = 1 if grown else failures + 1
            if failures == _TRIES or (isinstance(e, urllib.error.HTTPError) and e.code < 500):
                kept = "what has arrived is kept, so fetching again goes on from there"
                raise LoadError(f"{file.url}: {e}; {kept}") from e
            time.sleep(2**failures * 0.1)
    if part.stat().st_size != file.size or (file.sha256 and _digest(part) != file.sha256):
        part.unlink()
        raise LoadError(
            f"{file.url}: what arrived is not the listed file ({file.size} bytes, sha256 {file.sha256}); fetch it again"
        )
    part.replace(path)


def _resume(
    file: RemoteFile, part: Path, report: Callable[[int], None], timeout: float, headers: Mapping[str, str]
) -> None:
    """Append what is missing. Raises one of NETWORK when the connection breaks."""
    have = part.stat().st_size if part.exists() else 0
    if have >= file.size > 0:
        return
    wanted = {"Range": f"bytes={have}-"} if have else {}
    with opened(file.url, max(timeout, 30), {**headers, **wanted}) as answer:
        if have and answer.status != 206:  # the server ignored the range: from the start
            have = 0
        with part.open("ab" if have else "wb") as out:
            while chunk := answer.read(_CHUNK):
                out.write(chunk)
                have += len(chunk)
                report(have)
    if have < file.size:
        raise ConnectionError(f"the connection ended after {have} of {file.size} bytes")


def _digest(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
