"""Download a model from the Hugging Face hub by plain HTTPS. Its usual environment holds: HF_TOKEN (or the file that
`hf auth login` writes), HF_ENDPOINT for a mirror, HF_HUB_OFFLINE, proxies.

API: GET /api/models/{id}?blobs=true lists names, sizes, sha256 of large files and the commit;
/{id}/resolve/{commit}/{file} is the file. (The hub's own client begins a broken file anew, and leaves its notes.)
"""

import json
import os
import urllib.error
import urllib.parse
from pathlib import Path
from typing import Any

from ponder.core.errors import LoadError
from ponder.model.hub.choice import Choice, choose
from ponder.model.hub.elsewhere import hugging_face_home
from ponder.model.hub.store import Progress
from ponder.model.hub.transfer import NETWORK, Begin, Check, RemoteFile, fetch_files, opened


def download(
    repository: str, file: str, folder: Path, progress: Progress | None, timeout: float, check: Check | None = None,
    begin: Begin | None = None,
) -> Choice:  # fmt: skip
    """Fetch into `folder`; -> what was fetched. timeout: seconds to wait for the hub's first answer.

    Raises LoadError, with the reason, when the hub cannot be reached or refuses; and what `check` raises, which sees
    the small files before the large ones come. begin(bytes in all) is called before the first of them.
    """
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise LoadError("the Hugging Face hub was not asked, because HF_HUB_OFFLINE is set")
    endpoint = (os.environ.get("HF_ENDPOINT") or "https://huggingface.co").rstrip("/")
    headers = _credentials()
    try:
        with opened(f"{endpoint}/api/models/{repository}?blobs=true", timeout, headers) as answer:
            listed = json.loads(answer.read(16 << 20))
        siblings = {str(s["rfilename"]): s for s in listed["siblings"]}
        choice = choose({name: int(s.get("size") or 0) for name, s in siblings.items()}, repository, file)
        commit = str(listed["sha"])
    except (*NETWORK, ValueError, KeyError, TypeError) as e:
        raise LoadError(f"the Hugging Face hub did not give {repository}: {_reason(e)}") from e
    base = f"{endpoint}/{repository}/resolve/{commit}/"
    files = [
        RemoteFile(name, base + urllib.parse.quote(name), size, _sha256(siblings[name]))
        for name, size in choice.files.items()
    ]
    fetch_files(files, folder, progress, timeout, headers, check, begin)
    return choice


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
