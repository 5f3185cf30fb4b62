"""Read a Hugging Face folder: config.json, safetensors (one file or shards with an index), generation_config.json.

    checkpoint = read_hf("Qwen3-0.6B")

A folder that Ponder quantised has `X.weight` as I8 [N, K] (int8) or U8 [N, K/2] (int4) beside `X.weight_scale`
F16 [N, K/group] and, for int4, `X.weight_grid` I8 [16], and says so in config.json's quantization_config. A tied head
that was packed is stored of its own.
"""

import re
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from ponder.core.errors import LoadError
from ponder.core.fingerprint import stand_in
from ponder.model.config import ModelConfig
from ponder.model.decoder import HEAD
from ponder.model.formats.folder import read_file
from ponder.model.formats.gguf_read import alike
from ponder.model.formats.hf_names import hub_names, is_flat
from ponder.model.formats.hf_tensors import plain_sources
from ponder.model.formats.quantised.mlx import unstacked
from ponder.model.formats.quantised.read import read_quantised
from ponder.model.formats.safetensors_file import StoredTensor, map_file
from ponder.model.quantisation_config import Form, Mlx, stored_form
from ponder.model.weights.checkpoint import Checkpoint, Source

INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"
_MAX_JSON = 64 << 20


def read_hf(folder: str | Path) -> Checkpoint:
    """Map a folder; nothing big is read yet. Raises LoadError that names the file."""
    folder = Path(folder)
    raw = _json(folder / "config.json")
    config = ModelConfig.from_hf(raw, str(folder / "config.json"))
    stored: dict[str, StoredTensor] = {}
    files = _weight_files(folder)
    for file in files:
        part = map_file(file)
        if twice := stored.keys() & part.keys():
            raise LoadError(f"{file}: tensor {min(twice)!r} is in another file of the folder too")
        stored |= part
    if (folder / INDEX).exists():
        indexed = _json(folder / INDEX)["weight_map"].keys()
        if lost := sorted(indexed - stored.keys()):
            raise LoadError(f"{folder / INDEX}: no file has {', '.join(lost[:5])}")
    form = stored_form(raw.get("quantization_config"), raw.get("quantization"))
    tensors = hub_names(stored, str(folder))
    warnings: tuple[str, ...] = ()
    if is_flat(stored) and HEAD not in tensors and not config.tie_word_embeddings:
        config = replace(config, tie_word_embeddings=True)
        warnings = ("the folder has a model without its head, as embedding models are: what it writes means nothing",)
    sources = _sources(tensors, form, config, str(folder))
    generation_config = _generation(folder / "generation_config.json")
    files_ = (folder / "config.json", *files)
    return Checkpoint(config, sources, str(folder), generation_config, files=files_, warnings=warnings)


def _sources(tensors: dict[str, StoredTensor], form: Form | None, config: ModelConfig, where: str) -> dict[str, Source]:
    if form is None:
        return dict(plain_sources(tensors, config, where))
    if isinstance(form, Mlx):
        tensors = dict(unstacked(tensors))
    sources, rest = read_quantised(tensors, form, where)
    return alike(sources) | dict(plain_sources(rest, config, where))


def _generation(path: Path) -> dict[str, Any]:
    """{} when there is none. What it may hold is looked at where it is used, but for the ids that end a turn."""
    found = _json(path) if path.exists() else {}
    ends = found.get("eos_token_id")
    if not all(id_ is None or type(id_) is int for id_ in (ends if isinstance(ends, list) else [ends])):
        raise LoadError(f"{path}: eos_token_id {str(ends)[:100]} is neither an id nor a list of ids")
    return found


def _json(path: Path) -> dict[str, Any]:
    try:
        raw = read_file(path, _MAX_JSON)
    except FileNotFoundError as e:
        if (path.parent / "adapter_config.json").exists():
            raise LoadError(f"{path.parent}: a LoRA adapter, not a model: open the model it was made for") from e
        raise LoadError(f"{path}: no such file; a model folder has config.json and *.safetensors") from e
    except OSError as e:
        raise LoadError(f"{path}: {e}") from e
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as e:
        raise LoadError(f"{path}: {f'not JSON, but {other}' if (other := stand_in(raw)) else e}") from e


def _weight_files(folder: Path) -> list[Path]:
    if (folder / INDEX).exists():
        weight_map = _json(folder / INDEX).get("weight_map")
        if not isinstance(weight_map, dict) or not all(isinstance(f, str) for f in weight_map.values()):
            raise LoadError(f"{folder / INDEX}: weight_map is missing or not a map from tensor to file")
        for name in weight_map.values():
            if not re.fullmatch(r"[\w.-]+\.safetensors", name):  # no path may lead out of the folder
                raise LoadError(f"{folder / INDEX}: {name[:100]!r} is not the name of a safetensors file")
        return [folder / name for name in sorted(set(weight_map.values()))]
    if (folder / SINGLE).exists():
        return [folder / SINGLE]
    if found := _without_index(folder):
        return found
    pickles = [p.name for p in folder.glob("*.bin")] + [p.name for p in folder.glob("*.pt*")]
    hint = f"; {pickles[0]} is a pickle, which can run code: convert it to safetensors" if pickles else ""
    raise LoadError(f"{folder}: has neither {SINGLE} nor {INDEX}{hint}")


def _without_index(folder: Path) -> list[Path]:
    """Shards that are all there, or one file of another name; [] where it is not plain what the model is."""
    files = sorted(path for path in folder.glob("*.safetensors") if not path.name.startswith("adapter_"))
    parts = [re.fullmatch(r"(.+)-(\d+)-of-(\d+)\.safetensors", path.name) for path in files]
    if len({(part[1], part[3]) for part in parts if part}) == 1 and all(parts):
        numbers = [int(part[2]) for part in parts if part]
        count = next(int(part[3]) for part in parts if part)
        return files if numbers == list(range(1, count + 1)) else []
    return files if len(files) == 1 else []
