"""Download a model from the Hugging Face hub by plain HTTPS. Its usual environment holds: HF_TOKEN (or the file that
`hf auth login` writes), HF_ENDPOINT for a mirror, HF_HUB_OFFLINE, proxies.

API: GET /api/models/{id}?blobs=true lists names, sizes, sha256 of large files and the commit;
/{id}/resolve/{commit}/{file} is the file. Data sets have /api/datasets/ and
/datasets/. (The hub's own client begins a broken file again, and leaves its notes.)
"""

import json
import os
import urllib.error
import urllib.parse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec import Struct

from ponder.core.errors import LoadError
from ponder.model.hub.choice import Choice, choose
from ponder.model.hub.elsewhere import hugging_face_home
from ponder.model.hub.store import Progress
from ponder.model.hub.transfer import NETWORK, Begin, Check, RemoteFile, fetch_files, opened

PATIENCE = 10.0  # seconds for the hub's first answer about a data set


def download(
    repository: str, file: str, folder: Path, progress: Progress | None, timeout: float, check: Check | None = None,
    begin: Begin | None = None,
) -> Choice:  # fmt: skip
    """Fetch into `folder`; -> what was fetched. timeout: seconds to wait for the hub's first answer.

    Raises LoadError, with the reason, when the hub cannot be reached or refuses; and what `check` raises, which sees
    the small files before the large ones come. begin(bytes in all) is called before the first of them.
    """
    listed, endpoint = _listed("models", repository, timeout)
    try:
        choice = choose({name: size for name, (size, _) in listed.files.items()}, repository, file)
    except ValueError as e:
        raise LoadError(f"the Hugging Face hub did not give {repository}: {_reason(e)}") from e
    base = f"{endpoint}/{repository}/resolve/{listed.commit}/"
    files = [
        RemoteFile(name, base + urllib.parse.quote(name), size, listed.files[name][1])
        for name, size in choice.files.items()
    ]
    fetch_files(files, folder, progress, timeout, _credentials(), check, begin)
    return choice


def data_set(repository: str, wanted: Callable[[str], bool], folder: Path) -> str:
    """Fetch the files of a data set whose names are wanted into `folder`; -> the commit. Raises LoadError."""
    listed, endpoint = _listed("datasets", repository, PATIENCE)
    base = f"{endpoint}/datasets/{repository}/resolve/{listed.commit}/"
    files = [
        RemoteFile(name, base + urllib.parse.quote(name), size, sha256)
        for name, (size, sha256) in listed.files.items()
        if wanted(name) and ".." not in Path(name).parts and not Path(name).is_absolute()
    ]
    if not files:
        raise LoadError(f"{repository} has no such file; there are {', '.join(sorted(listed.files)[:10])}")
    fetch_files(files, folder, None, PATIENCE, _credentials())
    return listed.commit


class _Listed(Struct, frozen=True):
    commit: str
    files: dict[str, tuple[int, str | None]]
    """name -> (bytes, sha256)"""


def _listed(kind: str, repository: str, timeout: float) -> tuple[_Listed, str]:
    """What a repository holds, and the address of the hub."""
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise LoadError("the Hugging Face hub was not asked, because HF_HUB_OFFLINE is set")
    endpoint = (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
    try:
        with opened(f"{endpoint}/api/{kind}/{repository}?blobs=true", timeout, _credentials()) as answer:
            listed = json.loads(answer.read(16 << 20))
        files = {str(s["rfilename"]): (int(s.get("size") or 0), _sha256(s)) for s in listed["siblings"]}
        return _Listed(str(listed["sha"]), files), endpoint
    except (*NETWORK, ValueError, KeyError, TypeError) as e:
        raise LoadError(f"the Hugging Face hub did not give {repository}: {_reason(e)}") from e


def _credentials() -> dict[str, str]:
    token = os.environ.get("HF_TOKEN")
    kept = hugging_face_home() / "token"
    if not token and kept.is_file():
        token = kept.read_text().strip()
    return {"Authorization": f"Bearer {token}"} if token else {}


def _sha256(sibling: dict[str, Any]) -> str | None:
    large = sibling.get("lfs")
    return str(large["sha256"]) if isinstance(large, dict) and "sha256" in large else None


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError) and error.code in (401, 403):
        return f"{error}: it is private, gated, or not there; HF_TOKEN may open it"
    return str(error).strip().split("\n")[0] or type(error).__name__
