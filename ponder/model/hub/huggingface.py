"""Download a model from the Hugging Face hub, with huggingface_hub: resumable, and its usual environment holds
(HF_TOKEN, HF_ENDPOINT for a mirror, HF_HUB_OFFLINE, proxies).
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from ponder.core.errors import LoadError
from ponder.model.hub.store import Progress, size_of

# What a folder needs to run, nothing else: repositories also hold pickles, images and other formats.
PATTERNS = (
    "*.safetensors",
    "model.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "LICENSE*",
)


def choose(files: dict[str, int], repository: str, file: str) -> dict[str, int]:
    """The files to fetch of a repository's name -> size. Raises LoadError when what is needed is not there."""
    if file:
        if file not in files:
            there = ", ".join(f for f in files if f.endswith(".gguf")) or "none"
            raise LoadError(f"{repository} has no file {file!r}; its .gguf files: {there}")
        return {file: files[file]}
    chosen = {f: n for f, n in files.items() if "/" not in f and any(fnmatch(f, w) for w in PATTERNS)}
    if "config.json" not in chosen or not any(f.endswith(".safetensors") for f in chosen):
        ggufs = [f for f in files if f.endswith(".gguf")]
        hint = f"; name one of its files: hf:{repository}/{ggufs[0]}" if ggufs else ""
        raise LoadError(f"{repository} has no config.json with safetensors weights{hint}")
    return chosen


def download(repository: str, file: str, folder: Path, progress: Progress | None, timeout: float) -> list[str]:
    """Fetch into `folder`; -> the file names. timeout: seconds to wait for the hub's first answer.

    Raises LoadError, with the reason, when the hub cannot be reached or refuses.
    """
    from huggingface_hub import HfApi, errors, snapshot_download
    from tqdm.auto import tqdm  # type: ignore[import-untyped]

    class Silent(tqdm):  # type: ignore[misc]
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **{**kwargs, "disable": True})

    try:
        info = HfApi().model_info(repository, files_metadata=True, timeout=timeout)
        files = choose({s.rfilename: s.size or 0 for s in info.siblings or ()}, repository, file)
        with _watched(folder, sum(files.values()), progress):
            snapshot_download(
                repository, revision=info.sha, local_dir=folder, allow_patterns=list(files), tqdm_class=Silent
            )
    # HTTPError: the base of whichever HTTP library the hub client uses
    except (errors.HTTPError, OSError) as e:  # type: ignore[attr-defined]
        reason = str(e).strip().split("\n")[0] or type(e).__name__
        raise LoadError(f"the Hugging Face hub did not give {repository}: {reason}") from e
    for name, size in files.items():
        if (folder / name).stat().st_size != size:
            raise LoadError(
                f"{folder / name}: does not have the size that the hub lists ({size} bytes); fetch it again"
            )
    return list(files)


@contextmanager
def _watched(folder: Path, total: int, progress: Progress | None) -> Iterator[None]:
    """Report the bytes that are in the folder, twice a second: the same for every version of the hub client."""
    if progress is None:
        yield
        return
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.5):
            progress(min(total, size_of(folder)), total)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    progress(total, total)
