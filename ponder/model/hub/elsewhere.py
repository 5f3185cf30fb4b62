"""Models that other programs have downloaded already: the Hugging Face cache, ModelScope's, LM Studio's and Ollama's
folders. They are opened where they are; nothing there is ever written.

    find("Qwen/Qwen3-4B-GGUF", "Qwen3-4B-Q4_K_M.gguf")      # a repository, or one file of it
    in_ollama("qwen3:4b")                                   # what `ollama run qwen3:4b` would open

Each program's own variables hold: HF_HUB_CACHE, HF_HOME, MODELSCOPE_CACHE, OLLAMA_MODELS.
"""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ponder.core.errors import LoadError
from ponder.model.hub.place import parts_of

_OLLAMA_MODEL = "application/vnd.ollama.image.model"
_OLLAMA_ADAPTER = "application/vnd.ollama.image.adapter"


def find(repository: str, file: str) -> Path | None:
    """file: "" for the repository as a folder. None where no program has all of it."""
    for folder in _folders(repository):
        if file:
            if (folder / file).is_file() and _whole(folder / file):
                return parts_of(folder / file)[0]
        elif is_complete(folder):
            return folder
    return None


def is_complete(folder: Path) -> bool:
    """Whether a model folder has its config, its tokenizer and every file of weights."""
    if not ((folder / "config.json").is_file() and (folder / "tokenizer.json").is_file()):
        return False
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return (folder / "model.safetensors").is_file()
    weights = _json(index).get("weight_map")
    return isinstance(weights, dict) and all((folder / str(name)).is_file() for name in set(weights.values()))


def is_foreign(path: Path) -> bool:
    """Whether another program keeps this folder, so that nothing of ours may lie in it."""
    path = path.absolute()
    if path.parent.name == "snapshots" or (path.name == "blobs" and (path.parent / "manifests").is_dir()):
        return True
    roots = [_hugging_face(), *_model_scope(), *_lm_studio(), *_ollama_stores()]
    return any(path.is_relative_to(root) for root in roots)


def in_ollama(name: str) -> Path | None:
    """name: as Ollama's, `qwen3:4b`, `owner/model:tag`, without a tag `latest`; None where it is not there.
    Raises LoadError for a model that is more than a file."""
    model, _, tag = name.partition(":")
    owner, _, model = model.rpartition("/")
    place = Path("manifests", "registry.ollama.ai", owner or "library", model, tag or "latest")
    if not re.fullmatch(r"[\w.-]+(/[\w.-]+)*", place.as_posix()) or ".." in place.parts:
        return None
    for store in _ollama_stores():
        if (store / place).is_file():
            return _blob(store, _json(store / place), name)
    return None


def ollama_names() -> list[str]:
    """Every model in Ollama's store, as Ollama calls them."""
    names = set()
    for store in _ollama_stores():
        for manifest in (store / "manifests").glob("*/*/*/*"):
            owner, model, tag = manifest.parts[-3:]
            names.add(f"{model}:{tag}" if owner == "library" else f"{owner}/{model}:{tag}")
    return sorted(names)


def _blob(store: Path, manifest: dict[str, Any], name: str) -> Path | None:
    layers = [layer for layer in manifest.get("layers", ()) if isinstance(layer, dict)]
    if any(layer.get("mediaType") == _OLLAMA_ADAPTER for layer in layers):
        raise LoadError(f"ollama:{name} is a model with an adapter beside it; open the model it was made from")
    for layer in layers:
        if layer.get("mediaType") == _OLLAMA_MODEL:
            digest = str(layer.get("digest", "")).replace(":", "-")
            blob = store / "blobs" / digest
            return blob if re.fullmatch(r"sha256-[0-9a-f]{64}", digest) and blob.is_file() else None
    return None


def _ollama_stores() -> Iterator[Path]:
    """Where the user said; else the user's own, and the one of the service that Linux packages set up."""
    if named := os.environ.get("OLLAMA_MODELS"):
        yield Path(named).expanduser()
        return
    yield Path.home() / ".ollama" / "models"
    yield Path("/usr/share/ollama/.ollama/models")


def _folders(repository: str) -> Iterator[Path]:
    """Where programs may keep a repository's files, versions that are there first."""
    owner, _, name = repository.partition("/")
    cached = _hugging_face() / f"models--{owner}--{name}"
    if (cached / "snapshots").is_dir():
        yield from _versions(cached)
    for scope in _model_scope():
        yield scope / owner / name.replace(".", "___")
    for studio in _lm_studio():
        yield studio / owner / name
        yield from sorted(studio.glob(f"*/{name}"))  # the same files under another publisher's name


def _versions(cached: Path) -> Iterator[Path]:
    main = cached / "refs" / "main"
    if main.is_file():
        yield cached / "snapshots" / main.read_text().strip()
    yield from sorted((cached / "snapshots").iterdir(), key=lambda f: f.stat().st_mtime, reverse=True)


def hugging_face_home() -> Path:
    """Where its programs keep what they keep."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("HF_HOME") or cache / "huggingface").expanduser()


def _hugging_face() -> Path:
    named = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    return Path(named).expanduser() if named else hugging_face_home() / "hub"


def _model_scope() -> Iterator[Path]:
    """Three versions of its client have kept models in three places."""
    base = Path(os.environ.get("MODELSCOPE_CACHE") or Path.home() / ".cache" / "modelscope")
    yield base / "hub" / "models"
    yield base / "models"
    yield base / "hub"


def _lm_studio() -> Iterator[Path]:
    pointer = Path.home() / ".lmstudio-home-pointer"
    if pointer.is_file():
        yield Path(pointer.read_text().strip()) / "models"
    yield Path.home() / ".lmstudio" / "models"
    yield Path.home() / ".cache" / "lm-studio" / "models"


def _whole(file: Path) -> bool:
    try:
        return bool(parts_of(file))
    except LoadError:
        return False


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}  # as good as not there
    return value if isinstance(value, dict) else {}
