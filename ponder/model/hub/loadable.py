"""Whether a model can be loaded, by its small files: looked at before gigabytes are fetched, and before one is taken
that nobody named."""

import json
from pathlib import Path

from ponder.core.errors import LoadError
from ponder.core.gguf import GGUF
from ponder.model.config import ModelConfig
from ponder.model.hf_config import ARCHITECTURES

_IN_GGUF = {name.replace("_", "") for name in ARCHITECTURES}  # as llama.cpp writes them: qwen3moe


class Unloadable(LoadError):
    """No other server has it better."""


def check_folder(folder: Path) -> None:
    """Raises Unloadable for a config.json of a model that Ponder does not have. A folder without one is fine."""
    path = folder / "config.json"
    if not path.is_file():
        return
    try:
        ModelConfig.from_hf(json.loads(path.read_bytes()), "config.json")
    except (OSError, ValueError, LoadError) as e:
        raise Unloadable(f"nothing large was downloaded, because Ponder cannot load this model: {e}") from e


def loads(path: Path) -> bool:
    """path: what the loader would open. By its config alone: a damaged file is only seen when it is read."""
    try:
        if path.is_dir():
            check_folder(path)
        else:
            return GGUF(path).metadata.get("general.architecture") in _IN_GGUF
    except LoadError:
        return False
    return True
