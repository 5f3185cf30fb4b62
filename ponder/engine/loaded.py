"""From a model's name to something the engine can run: runner, tokenizer, profile. Every way in comes through here:
`LLM`, the commands, the server, agents, draft models and the random models of `ponder bench`.

    open_model("qwen3:0.6b", load_options(dtype="int8"))
"""

from dataclasses import dataclass, replace
from pathlib import Path

from msgspec import structs

from ponder.core.errors import LoadError, UserError
from ponder.engine.decoding.settings import ModelProfile
from ponder.engine.load_options import LoadOptions
from ponder.engine.scheduling.drafter import Drafter
from ponder.engine.scheduling.memory import free_beside
from ponder.engine.scheduling.runner import BLOCK_SIZE, ModelRunner, Runner, cache_blocks
from ponder.engine.scripted import DEFAULT_BLOCKS, ScriptedRunner, read_script
from ponder.engine.speculation.factory import open_drafter
from ponder.kernels.native import set_threads
from ponder.model.formats.adapter import with_adapter
from ponder.model.hub.fetch import LocalModel, Progress, locate
from ponder.model.info import ModelInfo, describe
from ponder.model.load import make_ops, open_checkpoint, open_tokenizer
from ponder.model.weights.build import build, cache_dtype, context_limit
from ponder.model.weights.checkpoint import Checkpoint
from ponder.text.chat.template import (
    Template,
    TemplateTrust,
    capability_of,
    is_known,
    of_model,
    template_warning,
)
from ponder.text.tokenizer.tokenizer import Tokenizer


@dataclass(frozen=True)
class Unloaded:
    """A model before its weights are read."""

    checkpoint: Checkpoint
    tokenizer: Tokenizer
    profile: ModelProfile
    """With the longest context there may be; the cache may have room for less."""
    template: Template
    weight_bytes: int
    info: ModelInfo | None = None
    """What the files say; None for random weights."""


@dataclass(frozen=True)
class Loaded:
    runner: Runner
    tokenizer: Tokenizer
    profile: ModelProfile
    template: Template
    """The chat template of the model's family."""
    path: Path | None = None
    """Where its files lie; None for random weights."""
    note: str = ""
    """Why this model was taken, when nobody named one."""
    warnings: tuple[str, ...] = ()
    """What is odd about the model's files."""
    info: ModelInfo | None = None
    """What its files say; None for a script."""
    drafter: Drafter | None = None
    """Guesses ids ahead; None is no speculation."""


def open_model(model: str | Path | LocalModel | None, options: LoadOptions, progress: Progress | None = None) -> Loaded:
    """Fetches the model if need be; progress is told of the loading. Raises UserError or LoadError when there is none
    or it does not fit the options."""
    if options.threads is not None:
        set_threads(options.threads)
    local = model if isinstance(model, LocalModel) else locate(model)
    if local.name.kind == "scripted":
        return open_scripted(local.path, options)
    loaded = load(read_files(local, options), options, progress)
    return replace(loaded, path=local.path, note=local.note)


def read_files(local: LocalModel, options: LoadOptions) -> Unloaded:
    """What the files say, all but the weights themselves."""
    path = local.path
    name = (
        None if local.name.kind in ("folder", "gguf") else local.name.text
    )  # a local file is called what it is called
    checkpoint = open_checkpoint(path)
    if options.adapter is not None:
        checkpoint = with_adapter(checkpoint, Path(options.adapter))
    tokenizer = open_tokenizer(checkpoint, path)
    info = describe(path, name, checkpoint=checkpoint, added=tokenizer.control, dtypes=(options.dtype,))
    if tokenizer.vocab_size > checkpoint.config.vocab_size:
        raise LoadError(
            f"{path}: the tokenizer has {tokenizer.vocab_size} ids, the model only {checkpoint.config.vocab_size}; "
            "they do not belong together"
        )
    profile = ModelProfile(
        name=info.name,
        capability=info.capability,
        eos_ids=info.eos_ids,
        context=context_limit(checkpoint.config, options.max_context),
        vocab=tokenizer.vocab_size,
        untagged_calls=tokenizer.think is None,
        template_trust=info.template_trust,
        thinking_defaults=info.thinking,
        answer_defaults=info.answer,
    )
    size = info.weight_bytes.get(options.dtype, info.stored_bytes)
    return Unloaded(checkpoint, tokenizer, profile, info.template, size, info)


def load(model: Unloaded, options: LoadOptions, progress: Progress | None = None) -> Loaded:
    """Read the weights and make the cache."""
    checkpoint, context = model.checkpoint, model.profile.context
    kv_dtype = cache_dtype(options.kv_dtype, checkpoint, options.dtype)
    blocks = cache_blocks(
        checkpoint.config, context, max_batch=options.max_batch, blocks=options.kv_blocks, kv_memory=options.kv_memory,
        kv_dtype=kv_dtype, free=free_beside(model.weight_bytes),
    )  # fmt: skip
    warnings = model.info.warnings if model.info else ()
    if (room := blocks * BLOCK_SIZE) < context:
        text = f"the key/value cache has room for {room} tokens"
        if (asked := options.max_context) is not None:  # before the weights are read
            raise UserError(f"max_context {asked}: {text}; ask for less, or give it more", param="max_context")
        warnings = (*warnings, f"{text}, the model could take {context}")
    weights = build(
        checkpoint, make_ops("native"), options.dtype, max_context=options.max_context, progress=progress,
        use_cache=options.keep_packed,
    )  # fmt: skip
    runner = ModelRunner(
        weights, max_batch=options.max_batch, blocks=blocks, kv_memory=options.kv_memory, kv_dtype=kv_dtype
    )
    drafter = open_drafter(options.speculation, runner, model.tokenizer, max_batch=options.max_batch)
    profile = structs.replace(model.profile, context=runner.context)
    warnings = (*warnings, *weights.warnings)
    return Loaded(runner, model.tokenizer, profile, model.template, warnings=warnings, info=model.info, drafter=drafter)


def open_scripted(path: Path, options: LoadOptions) -> Loaded:
    """Raises UserError for options of weights and caches, which a script does not have."""
    if options.adapter is not None:
        raise UserError("adapter: a scripted model has no weights to merge it into", param="adapter")
    for option, value in (("dtype", options.dtype), ("kv_dtype", options.kv_dtype)):
        if value != "auto":
            raise UserError(f"{option}: a scripted model has no weights and no cache", param=option)
    if options.kv_memory is not None:
        raise UserError("kv_memory: a scripted model has no cache; use kv_blocks", param="kv_memory")
    if options.speculation not in ("auto", "off"):
        raise UserError("speculation: a scripted model needs no draft model", param="speculation")
    script = read_script(path)
    tokenizer = Tokenizer.packaged(script.model.vocab)
    runner = ScriptedRunner(script, tokenizer, options.kv_blocks or DEFAULT_BLOCKS)
    if (context := options.max_context) is not None:
        if context > runner.context:
            raise UserError(f"max_context {context}: this script's context is {runner.context}", param="max_context")
        runner.context = context
    text = script.model.chat_template
    capability = script.model.capability if text is None else capability_of(text)
    trust: TemplateTrust = "known" if text is None or is_known(text) else "unknown"
    profile = ModelProfile(
        name=f"scripted:{path}",
        capability=capability,
        eos_ids=tokenizer.eos_ids,
        context=runner.context,
        vocab=tokenizer.vocab_size,
        untagged_calls=tokenizer.think is None,
        template_trust=trust,
    )
    template = of_model(text, capability, has_block=tokenizer.think is not None)
    return Loaded(runner, tokenizer, profile, template, path, warnings=template_warning(trust, template))
