"""From a model's name (model/hub/registry.py) to something the engine can run: runner, tokenizer, profile."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from ponder.core.errors import LoadError, UserError
from ponder.engine.decoding.settings import ModelProfile
from ponder.engine.options import checked
from ponder.engine.scheduling.drafter import Drafter
from ponder.engine.scheduling.memory import free_beside
from ponder.engine.scheduling.runner import BLOCK_SIZE, ModelRunner, Runner, cache_blocks
from ponder.engine.scripted import DEFAULT_BLOCKS, ScriptedRunner, read_script
from ponder.engine.speculation.factory import open_drafter
from ponder.kernels.native import set_threads
from ponder.model.hub.fetch import best_available, fetch, home
from ponder.model.hub.registry import resolve
from ponder.model.info import ModelInfo, describe
from ponder.model.load import make_ops, open_checkpoint
from ponder.model.weights.build import Progress, build, cache_dtype, context_limit
from ponder.text.chat.template import Template, of_model
from ponder.text.tokenizer.tokenizer import Tokenizer

Count = Annotated[int, Meta(ge=1)]


class _Options(Struct, frozen=True, kw_only=True):
    """What `open_model` takes, and in which range."""

    dtype: Literal["auto", "f32", "bf16", "int8", "int4"]
    max_context: Count | None
    threads: Annotated[int, Meta(ge=1, le=1024)] | None
    kv_memory: Count | None
    kv_blocks: Count | None
    kv_dtype: Literal["auto", "bf16", "int8", "f32"]
    max_batch: Count

    def __post_init__(self) -> None:
        if self.kv_memory is not None and self.kv_blocks is not None:
            raise UserError("kv_memory and kv_blocks say the same thing; give one of them", param="kv_blocks")


@dataclass(frozen=True)
class Loaded:
    """template: the chat template of the model's family. note: why this model was taken, when nobody named one.
    warnings: what is odd about the model's files. info: what its files say; None for a script.
    drafter: guesses ids ahead; None is no speculation."""

    runner: Runner
    tokenizer: Tokenizer
    profile: ModelProfile
    template: Template
    note: str = ""
    warnings: tuple[str, ...] = ()
    info: ModelInfo | None = None
    drafter: Drafter | None = None


def open_model(
    model: str | Path | None,
    *,
    dtype: str,
    max_context: int | None,
    threads: int | None,
    kv_memory: int | None,
    kv_blocks: int | None,
    kv_dtype: str,
    max_batch: int,
    keep_packed: bool,
    speculation: str = "auto",
    progress: Progress | None = None,
) -> Loaded:
    """Fetches the model if need be; progress is told of the loading. keep_packed: as in `LLM`. speculation: "auto",
    "off", or a draft model.

    Raises UserError or LoadError when there is none or it does not fit the options.
    """
    given = {
        "dtype": dtype, "max_context": max_context, "threads": threads, "kv_memory": kv_memory,
        "kv_blocks": kv_blocks, "kv_dtype": kv_dtype, "max_batch": max_batch,
    }  # fmt: skip
    checked(given, _Options)
    if threads is not None:
        set_threads(threads)
    note = ""
    if model is None:
        model, note = best_available()
    if not isinstance(model, str | Path):
        text = f"a model is a name, a folder, a .gguf file, or None for the best to be had; got {type(model).__name__}"
        raise UserError(text, param="model")
    named = resolve(str(model))
    if named.kind == "scripted":
        assert named.path is not None
        for option, value, default in (("dtype", dtype, "auto"), ("kv_dtype", kv_dtype, "auto")):
            if value != default:
                raise UserError(f"{option}: a scripted model has no weights and no cache", param=option)
        if kv_memory is not None:
            raise UserError("kv_memory: a scripted model has no cache; use kv_blocks", param="kv_memory")
        if speculation not in ("auto", "off"):
            raise UserError("speculation: a scripted model needs no draft model", param="speculation")
        return open_scripted(named.path, max_context=max_context, kv_blocks=kv_blocks)
    path = fetch(named.text)
    name = None if named.path else named.text  # a local file is called what it is called
    checkpoint = open_checkpoint(path)
    cache = home() / "tokenizers"
    tokenizer = Tokenizer.from_gguf(checkpoint.gguf, cache) if checkpoint.gguf else Tokenizer.from_path(path, cache)
    info = describe(path, name, checkpoint=checkpoint, added=tokenizer.control, dtypes=(dtype,))
    if tokenizer.vocab_size > checkpoint.config.vocab_size:
        raise LoadError(
            f"{path}: the tokenizer has {tokenizer.vocab_size} ids, the model only {checkpoint.config.vocab_size}; "
            "they do not belong together"
        )
    context = context_limit(checkpoint.config, max_context)
    kv_dtype = cache_dtype(kv_dtype, checkpoint, dtype)
    blocks = cache_blocks(
        checkpoint.config, context, max_batch=max_batch, blocks=kv_blocks, kv_memory=kv_memory, kv_dtype=kv_dtype,
        free=free_beside(info.weight_bytes.get(dtype, info.stored_bytes)),
    )  # fmt: skip
    warnings = info.warnings
    if (room := blocks * BLOCK_SIZE) < context:
        text = f"the key/value cache has room for {room} tokens"
        if max_context is not None:  # before the weights are read
            raise UserError(f"max_context {max_context}: {text}; ask for less, or give it more", param="max_context")
        warnings = (*warnings, f"{text}, the model could take {context}")
    loaded = build(
        checkpoint, make_ops("native"), dtype, max_context=max_context, progress=progress, use_cache=keep_packed
    )
    runner = ModelRunner(loaded, max_batch=max_batch, blocks=blocks, kv_memory=kv_memory, kv_dtype=kv_dtype)
    warnings = (*warnings, *loaded.warnings)
    profile = ModelProfile(
        name=info.name,
        capability=info.capability,
        eos_ids=info.eos_ids,
        context=runner.context,
        vocab=tokenizer.vocab_size,
        thinking_defaults=info.thinking,
        answer_defaults=info.answer,
    )
    drafter = open_drafter(speculation, runner, tokenizer, max_batch=max_batch)
    return Loaded(runner, tokenizer, profile, info.template, note, warnings, info, drafter)


def open_scripted(path: Path, *, max_context: int | None = None, kv_blocks: int | None = None) -> Loaded:
    script = read_script(path)
    tokenizer = Tokenizer.packaged(script.model.vocab)
    runner = ScriptedRunner(script, tokenizer, DEFAULT_BLOCKS if kv_blocks is None else kv_blocks)
    if max_context is not None:
        if max_context > runner.context:
            raise UserError(
                f"max_context {max_context}: this script's context is {runner.context}", param="max_context"
            )
        runner.context = max_context
    profile = ModelProfile(
        name=f"scripted:{path}",
        capability=script.model.capability,
        eos_ids=tokenizer.eos_ids,
        context=runner.context,
        vocab=tokenizer.vocab_size,
    )
    template = of_model(None, script.model.capability, has_block=tokenizer.think is not None)
    return Loaded(runner, tokenizer, profile, template)
