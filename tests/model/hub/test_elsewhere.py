"""Models of other programs are found by name and by path, and nothing is written beside them."""

import json
import shutil
from pathlib import Path

import gguf
import numpy as np
import pytest
from gguf_tiny import CONFIGS, random_checkpoint, tiny_tokenizer

from ponder.core.errors import LoadError, UserError
from ponder.kernels.tensor import Tensor
from ponder.model.formats.gguf_write import write_gguf
from ponder.model.hub.elsewhere import is_foreign, ollama_names
from ponder.model.hub.fetch import locate
from ponder.model.hub.place import opened, parts_of
from ponder.model.hub.registry import is_path, resolve
from ponder.model.hub.store import here
from ponder.model.info import describe
from ponder.model.load import open_checkpoint
from ponder.model.weights.cache import folders

VARIABLES = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME", "MODELSCOPE_CACHE", "OLLAMA_MODELS")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PONDER_HOME", str(tmp_path / "ponder"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


def folder_model(at: Path) -> Path:
    at.mkdir(parents=True)
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (at / name).write_text("{}")
    return at


def hub_repository(cache: Path, name: str, *versions: str) -> Path:
    repository = cache / f"models--{name.replace('/', '--')}"
    for version in versions:
        folder_model(repository / "snapshots" / version)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(versions[0])
    return repository


@pytest.mark.parametrize(
    ("variable", "below"), [("HF_HUB_CACHE", ""), ("HF_HOME", "hub"), ("XDG_CACHE_HOME", "huggingface/hub"), ("", "")]
)
def test_the_hub_cache(variable: str, below: str, tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "elsewhere" / below if variable else home / ".cache" / "huggingface" / "hub"
    if variable:
        monkeypatch.setenv(variable, str(tmp_path / "elsewhere"))
    repository = hub_repository(cache, "Qwen/Qwen3-0.6B", "new", "old")
    (repository / "snapshots" / "old" / "only.gguf").write_bytes(b"GGUF")
    assert here(resolve("hf:Qwen/Qwen3-0.6B")) == repository / "snapshots" / "new"
    assert locate("Qwen/Qwen3-0.6B").path == repository / "snapshots" / "new"
    assert here(resolve("Qwen/Qwen3-0.6B/only.gguf")) == repository / "snapshots" / "old" / "only.gguf"
    assert here(resolve("hf:Qwen/Qwen3-8B")) is None
    assert resolve(str(repository)).path == repository / "snapshots" / "new"
    assert is_foreign(repository / "snapshots" / "new")


def test_a_half_fetched_repository_is_not_there(home: Path) -> None:
    new = hub_repository(home / ".cache/huggingface/hub", "Qwen/Qwen3-8B", "v") / "snapshots" / "v"
    (new / "model.safetensors").unlink()
    index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    (new / "model.safetensors.index.json").write_text(json.dumps(index))
    (new / "model-00001-of-00002.safetensors").touch()
    assert here(resolve("hf:Qwen/Qwen3-8B")) is None
    (new / "model-00002-of-00002.safetensors").touch()
    assert here(resolve("hf:Qwen/Qwen3-8B")) == new


def test_model_scope_writes_dots_as_underlines(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = folder_model(home / ".cache/modelscope/hub/models/Qwen/Qwen3-0___6B")
    assert here(resolve("ms:Qwen/Qwen3-0.6B")) == at
    monkeypatch.setenv("MODELSCOPE_CACHE", str(home / "other"))
    assert here(resolve("ms:Qwen/Qwen3-0.6B")) is None
    assert here(resolve("ms:Qwen/Qwen3-1.7B")) is None


def test_lm_studio(home: Path) -> None:
    repository = home / ".lmstudio/models/lmstudio-community/Qwen3-4B-GGUF"
    repository.mkdir(parents=True)
    file = repository / "Qwen3-4B-Q4_K_M.gguf"
    file.write_bytes(b"GGUF")
    assert here(resolve("Qwen/Qwen3-4B-GGUF/Qwen3-4B-Q4_K_M.gguf")) == file  # whoever published it
    assert resolve(str(repository)).path == file and resolve(str(repository)).kind == "gguf"
    (repository / "Qwen3-4B-Q8_0.GGUF").write_bytes(b"GGUF")
    with pytest.raises(UserError, match=r"holds 2 models: Qwen3-4B-Q4_K_M\.gguf, Qwen3-4B-Q8_0\.GGUF"):
        resolve(str(repository))


def ollama_store(at: Path, name: str, tag: str, content: Path, *more: str) -> Path:
    digest = "ab" * 32
    blob = at / "blobs" / f"sha256-{digest}"
    blob.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(content, blob)
    layers = [{"mediaType": "application/vnd.ollama.image.template", "digest": "sha256:" + "cd" * 32}]
    layers += [
        {"mediaType": "application/vnd.ollama.image." + kind, "digest": f"sha256:{digest}"} for kind in ("model", *more)
    ]
    manifest = at / "manifests" / "registry.ollama.ai" / name / tag
    manifest.parent.mkdir(parents=True, exist_ok=True)
    manifest.write_text(json.dumps({"schemaVersion": 2, "layers": layers}))
    return blob


def test_ollama(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_gguf(tmp_path / "m.gguf", random_checkpoint(CONFIGS["tied"]), tiny_tokenizer(tmp_path), "Q8_0")
    blob = ollama_store(home / ".ollama/models", "library/qwen3", "4b", tmp_path / "m.gguf")
    ollama_store(home / ".ollama/models", "library/with-adapter", "latest", tmp_path / "m.gguf", "adapter")
    ollama_store(home / ".ollama/models", "someone/qwen3", "latest", tmp_path / "m.gguf")
    name = resolve("ollama:qwen3:4b")
    assert (name.kind, name.path, here(name)) == ("ollama", blob, blob)
    assert resolve("ollama:someone/qwen3").path == blob
    assert ollama_names() == ["qwen3:4b", "someone/qwen3:latest", "with-adapter:latest"]
    with pytest.raises(LoadError, match="with an adapter"):
        resolve("ollama:with-adapter")
    with pytest.raises(UserError, match=r"has no 'qwen3:8b'.*it has qwen3:4b"):
        resolve("ollama:qwen3:8b")
    with pytest.raises(UserError, match="has no"):
        resolve("ollama:../../../secret:x")
    assert resolve(str(blob)).path == blob and open_checkpoint(blob).config == CONFIGS["tied"]
    assert describe(blob).name == "m"  # its general.name
    [where] = folders(blob)  # the packed weights do not lie among Ollama's blobs
    assert where.is_relative_to(tmp_path / "ponder")
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "none"))
    assert ollama_names() == []


def test_endings_and_none(tmp_path: Path) -> None:
    for name, content in {"M.GGUF": b"GGUF", "blob": b"GGUF", "notes.txt": b"GG"}.items():
        (tmp_path / name).write_bytes(content)
    assert opened(tmp_path / "M.GGUF") == tmp_path / "M.GGUF" and is_path(str(tmp_path / "M.GGUF"))
    assert opened(tmp_path / "blob") == tmp_path / "blob"
    assert opened(tmp_path / "notes.txt") is None and not is_path(str(tmp_path / "notes.txt"))
    assert folders(tmp_path / "M.GGUF")[0] == tmp_path / ".ponder"


# --- split files ---


def split(folder: Path, config: str = "untied", each: int = 10) -> list[Path]:
    """The gguf package's own splitting of one of our files."""
    whole = folder / "whole.gguf"
    write_gguf(whole, random_checkpoint(CONFIGS[config]), tiny_tokenizer(folder), "Q8_0")
    reader, out = gguf.GGUFReader(whole), folder / "parts"
    out.mkdir()
    writer = gguf.GGUFWriter(out / "m.gguf", "qwen3", split_max_tensors=each)
    for name, field in reader.fields.items():
        if not name.startswith(("GGUF.", "general.architecture", "split.")):
            kind = field.types[0]
            sub = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), kind, sub_type=sub)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return sorted(out.iterdir())


def test_a_split_file_by_any_part_and_by_its_folder(tmp_path: Path) -> None:
    parts = split(tmp_path)
    assert len(parts) == 3 and parts_of(parts[1]) == parts
    whole = open_checkpoint(tmp_path / "whole.gguf")
    for given in (*parts, parts[0].parent):
        assert resolve(str(given)).path == parts[0]
        checkpoint = open_checkpoint(given)
        assert checkpoint.config == whole.config and checkpoint.files == tuple(parts)
        for name, source in whole.tensors.items():
            ours, theirs = source.read(), checkpoint.tensors[name].read()
            data = [value.data if isinstance(value, Tensor) else value for value in (ours, theirs)]
            np.testing.assert_array_equal(data[0], data[1], err_msg=name)
    assert describe(parts[2].parent).name == "m"


def test_split_files_that_are_not_whole(tmp_path: Path) -> None:
    parts = split(tmp_path)
    kept = parts[1].read_bytes()
    parts[1].unlink()
    with pytest.raises(LoadError, match=r"m-00002-of-00003\.gguf is not beside it"):
        open_checkpoint(parts[0])
    shutil.copy(parts[2], parts[1])
    with pytest.raises(LoadError, match="part 3 of a split file of 3, under the name of part 2 of 3"):
        open_checkpoint(parts[0])
    parts[1].write_bytes(kept)
    renamed = parts[0].with_name("renamed.gguf")
    shutil.copy(parts[0], renamed)
    with pytest.raises(LoadError, match="part 1 of a split file of 3, under the name of part 1 of 1"):
        open_checkpoint(renamed)
