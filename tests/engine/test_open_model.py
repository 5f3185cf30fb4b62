"""Options of opening a model: each holds or is refused by name, also by the scripted model, which has no weights."""

import argparse
import inspect
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace

from ponder.agent.loop.models import chat_model
from ponder.cli.loading import open_llm
from ponder.cli.options import add_load_flags
from ponder.core.errors import UserError
from ponder.core.params import SamplingParams
from ponder.engine.llm import LLM
from ponder.engine.load_options import LoadFields, LoadOptions
from ponder.engine.options import ChatFields, GenerateFields, SamplingFields
from ponder.model.config import PRESETS
from ponder.model.formats.hf_save import save_hf
from ponder.model.hub import fetch
from ponder.model.hub.registry import ModelName, resolve
from ponder.model.hub.store import finish, slot
from ponder.model.weights.build import memory_checkpoint, random_checkpoint
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.text.tokenizer_files import save


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny"
    config = replace(PRESETS["tiny"], vocab_size=151936, max_position_embeddings=256)
    save_hf(path, random_checkpoint(config), "bf16")
    save(Tokenizer.packaged(), path)
    return path


@pytest.fixture
def script(tmp_path: Path) -> str:
    (tmp_path / "s.jsonl").write_text('{"model": {"context": 512}}\n"hi"\n')
    return f"scripted:{tmp_path / 's.jsonl'}"


REFUSED: list[dict[str, Any]] = [
    {"kv_blocks": 0},
    {"kv_blocks": -1},
    {"kv_blocks": 1.5},
    {"kv_memory": -5},
    {"kv_memory": 1 << 60},
    {"kv_memory": 1 << 20, "kv_blocks": 5},
    {"kv_dtype": "int3"},
    {"dtype": "int3"},
    {"max_batch": 0},
    {"chunk": 0},
    {"threads": 0},
    {"threads": 10**6},
    {"threads": "2"},
    {"max_context": 0},
    {"max_context": 10**9},
    {"max_context": 200, "kv_blocks": 4},
]


NO_MODELS = [b"qwen3:0.6b", 3, ["qwen3:0.6b"], PRESETS["tiny"], object(), True]


@pytest.mark.parametrize("model", NO_MODELS, ids=lambda model: type(model).__name__)
def test_what_is_no_model_is_refused_in_a_line(model: Any) -> None:
    with pytest.raises(UserError, match=rf"a folder, a \.gguf file, .* got {type(model).__name__}$") as error:
        LLM(model)
    assert error.value.param == "model" and len(str(error.value)) < 200


@pytest.mark.parametrize("options", REFUSED, ids=str)
def test_what_cannot_hold_is_refused_by_name(folder: Path, script: str, options: dict[str, Any]) -> None:
    for model in (folder, script):
        with pytest.raises(UserError) as error:
            LLM(model, **options)
        assert error.value.param in options


@pytest.mark.parametrize("options", [{"dtype": "int8"}, {"kv_dtype": "f32"}, {"kv_memory": 1 << 30}], ids=str)
def test_what_a_script_cannot_use_is_refused(folder: Path, script: str, options: dict[str, Any]) -> None:
    with pytest.raises(UserError) as error:
        LLM(script, **options)
    assert error.value.param in options
    with LLM(folder, **options) as llm:
        assert llm.chat("x", max_tokens=2).finish.reason == "length"


def test_a_context_that_memory_cuts_short_is_told(folder: Path, script: str) -> None:
    with LLM(folder, kv_blocks=4) as llm:
        assert llm.profile.context == 128 and any("128" in w and "256" in w for w in llm.warnings)
    with LLM(folder, max_context=128, kv_blocks=4) as llm:
        assert llm.profile.context == 128 and not llm.warnings
    for model in (folder, script):
        with LLM(model, max_context=100) as llm:
            assert llm.profile.context == 100


def test_a_draft_model_must_speak_in_the_same_ids(folder: Path, script: str, tmp_path: Path) -> None:
    for draft in (script, str(other_vocabulary(tmp_path))):
        with pytest.raises(UserError) as error:
            LLM(folder, kv_blocks=16, speculation=draft)
        assert error.value.param == "speculation"
    with pytest.raises(UserError, match="scripted model needs no draft"):
        LLM(script, speculation=str(folder))


def other_vocabulary(path: Path) -> Path:
    """The same family with two ids exchanged."""
    tokenizer = Tokenizer.packaged()
    save(tokenizer, path)
    content = json.loads((path / "tokenizer.json").read_text())
    ids = content["model"]["vocab"]
    ids["cat"], ids["dog"] = ids["dog"], ids["cat"]
    (path / "tokenizer.json").write_text(json.dumps(content))
    save_hf(path, random_checkpoint(replace(PRESETS["tiny"], vocab_size=151936)), "bf16")
    return path


def test_a_draft_model_drafts(folder: Path) -> None:
    asked: dict[str, Any] = {"max_tokens": 40, "seed": 1, "temperature": 1.0}
    with LLM(folder, dtype="f32", kv_blocks=16, speculation="off") as llm:
        plain = llm.generate("One, two,", **asked).ids
        assert llm.stats().drafted == 0
    with LLM(folder, dtype="f32", kv_blocks=16, speculation=str(folder)) as llm:
        assert llm.generate("One, two,", **asked).ids == plain


def test_a_context_too_large_for_memory_is_refused_before_the_weights_are_read(tmp_path: Path) -> None:
    """The weights are damaged, which nobody notices who does not read them."""
    config = replace(PRESETS["tiny"], vocab_size=151936)
    weights = {name: np.full(shape, np.nan, np.float32) for name, shape in config.shapes().items()}
    save_hf(tmp_path, memory_checkpoint(config, weights))
    save(Tokenizer.packaged(), tmp_path)
    with pytest.raises(UserError, match="max_context 512: the key/value cache has room for 32 tokens"):
        LLM(tmp_path, dtype="int8", max_context=512, kv_blocks=1)
    with pytest.raises(UserError, match="not finite"):
        LLM(tmp_path, dtype="int8", kv_blocks=1)


def test_the_best_model_is_called_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PONDER_HOME", str(tmp_path))
    folder = slot(resolve("qwen3:0.6b"))
    save_hf(folder, random_checkpoint(replace(PRESETS["tiny"], vocab_size=151936)))
    save(Tokenizer.packaged(), folder)
    finish(folder, "qwen3:0.6b", "test", ["config.json"])
    with LLM() as llm:
        assert llm.name == "qwen3:0.6b-q8_0" and llm.note.startswith("qwen3:0.6b: the best downloaded")


def test_a_model_is_resolved_and_fetched_once(
    folder: Path, script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PONDER_HOME", str(tmp_path))
    downloaded = slot(resolve("qwen3:0.6b"))
    shutil.copytree(folder, downloaded)
    finish(downloaded, "qwen3:0.6b", "test", ["config.json"])
    calls: list[str] = []

    def counted(name: ModelName, *args: Any, **kwargs: Any) -> Path:
        calls.append(f"fetch {name.text}")
        return plain_fetch(name, *args, **kwargs)

    def read(text: str) -> ModelName:
        calls.append(f"resolve {text}")
        return resolve(text)

    plain_fetch = fetch.fetch
    monkeypatch.setattr(fetch, "fetch", counted)
    monkeypatch.setattr(fetch, "resolve", read)
    for model in ("qwen3:0.6b", str(folder), script):
        for way_in in (LLM, local_chat_model, cli_llm):
            way_in(model).close()
            assert calls == [f"resolve {model}", f"fetch {resolve(model).text}"]
            calls.clear()
    with LLM("qwen3:0.6b", kv_blocks=16, speculation=str(folder)):
        assert calls == ["resolve qwen3:0.6b", "fetch qwen3:0.6b-q8_0", f"resolve {folder}", f"fetch {folder}"]
    calls.clear()
    with LLM(kv_blocks=16):
        assert calls == ["resolve qwen3:0.6b"]  # it is here, and lies where the list of downloads says


def local_chat_model(model: str) -> LLM:
    """As agents open it."""
    opened = chat_model({"model": model, "kv_blocks": 16})
    assert isinstance(opened, LLM)
    return opened


def cli_llm(model: str) -> LLM:
    """As `ponder run`, `serve`, `bench` and `eval` open it."""
    parser = argparse.ArgumentParser()
    add_load_flags(parser)
    return open_llm(model, parser.parse_args([]), max_batch=2)


def test_the_options_are_one_list() -> None:
    """Twice: for type checkers and for msgspec."""
    assert tuple(LoadFields.__annotations__) == LoadOptions.__struct_fields__
    assert tuple(SamplingFields.__annotations__) == SamplingParams.__struct_fields__
    chat, generate = inspect.signature(LLM.request).parameters, inspect.signature(LLM.generate_stream).parameters
    named = inspect.Parameter.KEYWORD_ONLY
    sampling = set(SamplingFields.__annotations__)
    assert set(ChatFields.__annotations__) - sampling == {n for n, p in chat.items() if p.kind == named}
    assert set(GenerateFields.__annotations__) - sampling == {n for n, p in generate.items() if p.kind == named}


def test_an_option_with_a_wrong_name_is_refused(script: str) -> None:
    with pytest.raises(UserError, match=r"unknown option 'max_contxt'; did you mean max_context\?"):
        LLM(script, max_contxt=100)  # type: ignore[call-arg]
