"""What a model can do is read from its files."""

import json
import os
from pathlib import Path

import pytest
from gguf_tiny import CONFIGS, random_checkpoint, tiny_tokenizer
from msgspec.structs import replace

from ponder import LLM
from ponder.core.errors import LoadError, UserError
from ponder.model.config import ModelConfig
from ponder.model.formats.gguf_write import write_gguf
from ponder.model.formats.hf_save import save_hf
from ponder.model.info import describe, describe_released
from ponder.model.load import load
from ponder.text.tokenizer_files import chat_template

QWEN3, QWEN25 = chat_template("qwen3"), chat_template("qwen2.5")
THINKING_2507 = QWEN25.replace(
    "'<|im_start|>assistant\\n' }}\n{%- endif", "'<|im_start|>assistant\\n<think>\\n' }}\n{%- endif"
)
BASE_EOS = {"eos_token_ids": (151643,)}


def folder(tmp_path: Path, template: str | None, config: ModelConfig = CONFIGS["tied"], **generation: object) -> Path:
    tokenizer = tiny_tokenizer(tmp_path)
    settings = json.loads((tokenizer / "tokenizer_config.json").read_text())
    settings["chat_template"] = template
    (tokenizer / "tokenizer_config.json").write_text(json.dumps(settings))
    checkpoint = random_checkpoint(config)
    checkpoint.generation_config.update(generation)
    save_hf(tmp_path / "model", checkpoint, "f32", copy_from=tokenizer)
    return tmp_path / "model"


@pytest.mark.parametrize(
    ("template", "config", "capability"),
    [
        (QWEN3, {}, "hybrid"),
        (THINKING_2507, {}, "thinking"),
        (QWEN25, {}, "instruct"),
        (None, {}, "hybrid"),  # its tokenizer calls <|im_end|> the end
        (None, {"eos_token_ids": (257,)}, "hybrid"),
        (None, {"eos_token_ids": (256, 257)}, "hybrid"),
        (None, {"eos_token_ids": (256,)}, "base"),
        (QWEN3, BASE_EOS, "base"),
        (QWEN3, {"eos_token_ids": (256,)}, "base"),
    ],
)
def test_capability(template: str | None, config: dict, capability: str, tmp_path: Path) -> None:
    assert template is None or template != QWEN25 or "<think>" not in template
    info = describe(folder(tmp_path, template, replace(CONFIGS["tied"], **config)))
    assert info.capability == capability
    assert info.eos_ids == ((256,) if capability == "base" else (257, 256))
    assert info.template_trust == ("guessed" if template is None and capability != "base" else "known")
    assert ("no chat template" in str(info.warnings)) == (info.template_trust == "guessed")


def test_what_one_file_alone_says_of_the_end(tmp_path: Path) -> None:
    """A fine-tune of a base model whose generation_config.json was mended, and config.json was not."""
    model = folder(tmp_path, None, replace(CONFIGS["tied"], eos_token_ids=(256,)), eos_token_id=[257, 256])
    assert (describe(model).capability, describe(model).eos_ids) == ("hybrid", (257, 256))


@pytest.mark.parametrize("form", ["folder", "gguf"])
def test_a_template_that_is_not_known(form: str, tmp_path: Path) -> None:
    """Said when it is loaded, and again when tools are asked of it; the turns are plain ones."""
    model = folder(tmp_path, "{% for m in messages %}[INST] {{ m.content }} [/INST]{% endfor %}")
    if form == "gguf":
        write_gguf(tmp_path / "m.gguf", random_checkpoint(CONFIGS["tied"]), tmp_path / "model", "Q8_0")
        model = tmp_path / "m.gguf"
    tool = {"name": "f", "parameters": {"type": "object", "properties": {}}}
    with LLM(model) as llm:
        assert sum("none that Ponder knows" in w for w in llm.warnings) == 1
        assert llm.chat("hi", max_tokens=1).finish.usage.prompt_tokens
        with pytest.raises(UserError, match="tools: the model's chat template is none") as refused:
            llm.chat("hi", tools=[tool], max_tokens=1)
    assert refused.value.param == "tools"


def test_a_model_without_a_template_warns_of_tools(tmp_path: Path) -> None:
    with LLM(folder(tmp_path, None)) as llm:
        assert sum("no chat template" in w for w in llm.warnings) == 1
        tool = {"name": "f", "parameters": {"type": "object", "properties": {}}}
        assert "no chat template" in str(llm.chat("hi", tools=[tool], max_tokens=1).finish.warnings)
        assert "no chat template" not in str(llm.chat("hi", max_tokens=1).finish.warnings)


def test_several_templates_by_name(tmp_path: Path) -> None:
    model = folder(tmp_path, QWEN3)
    settings = json.loads((model / "tokenizer_config.json").read_text())
    settings["chat_template"] = [{"name": "tool_use", "template": QWEN25}, {"name": "default", "template": QWEN3}]
    (model / "tokenizer_config.json").write_text(json.dumps(settings))
    (model / "chat_template.jinja").unlink(missing_ok=True)
    assert describe(model).capability == "hybrid"


@pytest.mark.parametrize("form", ["folder", "jinja", "gguf"])
def test_the_prompt_of_a_model_follows_its_own_template(form: str, tmp_path: Path) -> None:
    """Wherever the template stands; it decides how the model is asked, down to the ids."""
    ends = {THINKING_2507: ("qwq", [258, 198]), QWEN3: ("qwen3", [198]), QWEN25: ("qwen3-instruct", [198])}
    ends[QWEN3.replace("enable_thinking", "no_such_switch")] = ("qwen3", [198])  # writes blocks, opens none
    ends["{# <think> #}" + THINKING_2507] = ("qwen3-thinking", [258, 198])
    for n, (template, (name, end)) in enumerate(ends.items()):
        place = tmp_path / str(n)
        place.mkdir()
        model = folder(place, None if form == "jinja" else template)
        if form == "jinja":
            (model / "chat_template.jinja").write_text(template)
        elif form == "gguf":
            write_gguf(place / "m.gguf", random_checkpoint(CONFIGS["tied"]), place / "model", "Q8_0")
            model = place / "m.gguf"
        assert describe(model).template == name
        with LLM(model) as llm:
            assert llm.render("hi").ids[-len(end) :] == end and llm.render("hi").ids.count(258) == len(end) - 1


def test_sampling_of_each_mode(tmp_path: Path) -> None:
    info = describe(folder(tmp_path, QWEN3, temperature=0.5, top_k=7, eos_token_id=[257, 256]))
    assert (info.thinking.temperature, info.thinking.top_k, info.thinking.top_p) == (0.5, 7, 0.95)
    assert (info.answer.temperature, info.answer.top_k, info.answer.top_p) == (0.7, 20, 0.8)
    assert info.warnings == ()


def test_instruct_settings_belong_to_the_answer(tmp_path: Path) -> None:
    info = describe(folder(tmp_path, QWEN25, CONFIGS["qwen2"], temperature=0.3, do_sample=True))
    assert info.answer.temperature == 0.3 and info.answer.repetition_penalty == 1.1
    assert info.architecture == "Qwen2ForCausalLM"


def test_wrong_end_of_text_is_overruled_with_a_warning(tmp_path: Path) -> None:
    info = describe(folder(tmp_path, QWEN3, eos_token_id=13))
    assert info.eos_ids == (257, 256) and "[13]" in info.warnings[0]


@pytest.mark.parametrize("value", [-1, "hot"])
def test_bad_generation_config(value: object, tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"generation_config.json"):
        describe(folder(tmp_path, QWEN3, temperature=value))


def test_gguf(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    write_gguf(path, random_checkpoint(CONFIGS["moe"]), tiny_tokenizer(tmp_path), "Q8_0")
    info = describe(path)
    assert (info.name, info.capability, info.template) == ("m", "hybrid", "qwen3")
    assert info.stored_bytes < path.stat().st_size < info.stored_bytes + 20_000


def test_memory_of_the_released_shapes() -> None:
    """596,049,920 parameters; norms are float32 at any precision."""
    info = describe_released("qwen3:0.6b")
    assert info is not None
    sizes, table = info.weight_bytes, 151936 * 1024
    about = {
        "f32": 4 * 596_049_920,
        "bf16": 2 * 596_049_920,
        "int8": 2 * table + 1.0625 * 596_049_920,
        "int4": 2 * table + 1.0625 * table + 0.5625 * (596_049_920 - table) + 0.5625 * table,
    }
    assert about == pytest.approx({dtype: sizes[dtype] for dtype in about}, rel=1e-3)
    assert sizes["auto"] == sizes["bf16"]


@pytest.mark.parametrize(
    ("name", "capability", "template", "parameters", "context"),
    [
        ("qwen3:4b-thinking-2507", "thinking", "qwen3-thinking", 4_022_468_096, 262144),
        ("qwen3:30b-a3b-instruct-2507", "instruct", "qwen3-instruct", 30_532_122_624, 262144),
        ("qwen3:4b-base", "base", "qwen3", 4_022_468_096, 32768),
        ("qwq:32b", "thinking", "qwq", 32_763_876_352, 32768),
        ("qwen2.5-coder:0.5b", "instruct", "qwen2.5", 630_167_424, 32768),
    ],
)
def test_what_a_name_is_before_it_is_here(
    name: str, capability: str, template: str, parameters: int, context: int
) -> None:
    info = describe_released(name)
    assert info is not None and (info.capability, info.template) == (capability, template)
    assert (info.parameters.total, info.native_context) == (parameters, context)


@pytest.mark.parametrize("stored", ["bf16", "int8"])
def test_memory_is_what_a_loaded_model_takes(tmp_path: Path, stored: str) -> None:
    """Of a file with packed matrices, too."""
    save_hf(tmp_path / "m", random_checkpoint(CONFIGS["moe"]), stored, copy_from=tiny_tokenizer(tmp_path))
    sizes = describe(tmp_path / "m").weight_bytes
    assert sizes == {dtype: load(tmp_path / "m", dtype=dtype).nbytes for dtype in sizes} and "auto" in sizes


@pytest.mark.slow
def test_the_real_model() -> None:
    path = Path(os.environ.get("PONDER_GGUF", ""))
    if not path.is_file():
        pytest.skip("set PONDER_GGUF to the file of qwen2.5-coder:0.5b")
    info = describe(path)
    assert (info.capability, info.template, info.eos_ids) == ("instruct", "qwen2.5", (151645, 151643))
