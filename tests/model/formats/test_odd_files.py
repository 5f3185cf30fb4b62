"""Files of a model folder that are something else than a model's: a pipe, a folder, a number where a text belongs."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from gguf_tiny import CONFIGS, random_checkpoint, tiny_tokenizer

from ponder.core.errors import LoadError
from ponder.core.gguf import GGUF
from ponder.engine.load_options import load_options
from ponder.engine.loaded import read_files
from ponder.model.formats.gguf_write import write_gguf
from ponder.model.formats.hf_save import save_hf
from ponder.model.hub.fetch import locate
from ponder.model.load import load

FILES = ["config.json", "generation_config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_hf(tmp_path / "m", random_checkpoint(CONFIGS["untied"]), "f32", copy_from=tiny_tokenizer(tmp_path))
    (tmp_path / "m" / "generation_config.json").write_text('{"eos_token_id": [257]}')
    _open(tmp_path / "m")
    return tmp_path / "m"


def _open(path: Path) -> None:
    read_files(locate(path), load_options())
    load(path)


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [_pipe, Path.mkdir, _device])
@pytest.mark.parametrize("name", [*FILES, "model.safetensors.index.json"])
def test_a_file_that_is_none(name: str, make: Callable[[Path], None], folder: Path) -> None:
    (folder / name).unlink(missing_ok=True)
    make(folder / name)
    if name == "tokenizer_config.json":  # optional: as if it were not there
        _open(folder)
        return
    with pytest.raises(LoadError, match=name.partition(".")[0]):
        _open(folder)


@pytest.mark.parametrize(
    "template", [5, {"a": 1}, [1, 2], [{"name": ["default"]}], [{"name": "default", "template": 1}]]
)
def test_a_chat_template_that_is_no_text(template: Any, folder: Path) -> None:
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": template}))
    if template == [{"name": ["default"]}]:  # no template of that name: as if there were none
        _open(folder)
        return
    with pytest.raises(LoadError, match=r"tokenizer_config\.json: the chat template is not a text"):
        _open(folder)


@pytest.mark.parametrize("ends", ["<|im_end|>", {"a": 1}, [[1]], [None, "x"], 2.5, True])
def test_ends_that_are_no_ids(ends: Any, folder: Path) -> None:
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}))
    with pytest.raises(LoadError, match=r"generation_config\.json: eos_token_id"):
        _open(folder)


def test_a_shard_with_an_endless_name_is_not_repeated_whole(folder: Path) -> None:
    index = {"weight_map": {"x": "a/" * 2500}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(LoadError, match="is not the name of a safetensors file") as error:
        _open(folder)
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize("key", ["general.architecture", "tokenizer.chat_template"])
def test_gguf_keys_of_another_type(key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "m.gguf"
    write_gguf(path, random_checkpoint(CONFIGS["untied"]), tiny_tokenizer(tmp_path))
    real = GGUF.__init__

    def odd(self: GGUF, file: str | Path) -> None:
        real(self, file)
        self.metadata[key] = [1, 2]

    monkeypatch.setattr(GGUF, "__init__", odd)
    with pytest.raises(LoadError, match=r"m\.gguf: "):
        _open(path)


def test_a_pipe_instead_of_a_model(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "m.gguf")
    with pytest.raises(LoadError, match=r"m\.gguf"):
        load(tmp_path / "m.gguf")


def test_a_folder_without_its_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").unlink()
    shutil.copytree(folder, folder / "tokenizer.json")
    with pytest.raises(LoadError, match=r"no tokenizer\.json there"):
        _open(folder)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "raw, what",
    [(b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 46830739\n", "the note that Git .*lfs pull"),
     (b"<!DOCTYPE html><html><body>Access denied</body></html>", "a web page")],
)  # fmt: skip
def test_what_people_have_in_place_of_a_file(name: str, raw: bytes, what: str, folder: Path) -> None:
    (folder / name).write_bytes(raw)
    with pytest.raises(LoadError, match=f"{name.partition('.')[0]}.*{what}"):
        _open(folder)


def test_the_folder_of_an_adapter_is_no_model(folder: Path) -> None:
    (folder / "config.json").rename(folder / "adapter_config.json")
    with pytest.raises(LoadError, match="a LoRA adapter, not a model"):
        _open(folder)
