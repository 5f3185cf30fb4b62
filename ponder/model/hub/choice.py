"""Which files of a repository are the model: what a folder needs to run, or one GGUF file with all its parts."""

import re
from fnmatch import fnmatch

from msgspec import Struct

from ponder.core.errors import LoadError
from ponder.model.hub.place import ggufs, part_names

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
_USUAL = ("Q4_K_M", "UD-Q4_K_XL", "Q4_K_S", "Q5_K_M", "Q4_0", "Q8_0")  # of several GGUF files, the first that is there


class Choice(Struct, frozen=True):
    """files: name -> size. load: what of them the loader opens, "" for the folder."""

    files: dict[str, int]
    load: str = ""


def choose(files: dict[str, int], repository: str, file: str) -> Choice:
    """The files to fetch of a repository's name -> size. file: the GGUF file that was named, or "".
    Raises LoadError when what is needed is not there."""
    models = ggufs(list(files))
    if file:
        if missing := [part for part in part_names(file) if part not in files]:
            raise LoadError(f"{repository} has no file {missing[0]!r}; its .gguf files: {', '.join(models) or 'none'}")
        return _gguf(files, file)
    chosen = {f: n for f, n in files.items() if "/" not in f and any(fnmatch(f, w) for w in PATTERNS)}
    if "config.json" in chosen and any(f.endswith(".safetensors") for f in chosen):
        return Choice(chosen)
    if usual := _usual(models):
        return _gguf(files, usual)
    hint = f"; name one of its files: hf:{repository}/{models[0]}" if models else ""
    raise LoadError(f"{repository} has no config.json with safetensors weights{hint}")


def _gguf(files: dict[str, int], file: str) -> Choice:
    parts = part_names(file)
    return Choice({part: files[part] for part in parts}, parts[0])


def _usual(models: list[str]) -> str | None:
    if len(models) == 1:
        return models[0]
    for type_ in _USUAL:
        fitting = [m for m in models if re.search(rf"[-._]{type_}(-\d{{5}}-of-\d{{5}})?\.gguf$", m, re.IGNORECASE)]
        if len(fitting) == 1:
            return fitting[0]
    return None
