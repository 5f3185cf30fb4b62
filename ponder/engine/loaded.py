"""From a model's name to something the engine can run: runner, tokenizer, profile. Names: ponder/model/names.py."""

from dataclasses import dataclass
from pathlib import Path

from ponder.core.errors import LoadError, UserError
from ponder.engine.runner import ModelRunner, Runner
from ponder.engine.scripted import DEFAULT_BLOCKS, ScriptedRunner, read_script
from ponder.engine.settings import ModelProfile
from ponder.kernels.native import set_threads
from ponder.model.fetch import best_available, fetch
from ponder.model.info import describe
from ponder.model.load import make_ops, open_checkpoint
from ponder.model.names import resolve
from ponder.model.weights import Progress, build
from ponder.text.render import Template, default_template
from ponder.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Loaded:
    """template: the chat template of the model's family. note: why this model was taken, when nobody named one.
    warnings: what is odd about the model's files."""

    runner: Runner
    tokenizer: Tokenizer
    profile: ModelProfile
    template: Template
    note: str = ""
    warnings: tuple[str, ...] = ()


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
    progress: Progress | None = None,
) -> Loaded:
    """Fetches the model if need be; progress is told of the loading.

    Raises UserError or LoadError when there is none or it does not fit the options.
    """
    if threads is not None:
        if threads < 1:
            raise UserError(f"threads must be 1 or more, got {threads}", param="threads")
        set_threads(threads)
    name, note = None, ""  # a local file is called what it is called
    if model is None:
        path, note = best_available()
    else:
        named = resolve(str(model))
        if named.kind == "scripted":
            assert named.path is not None
            return open_scripted(named.path, max_context=max_context, kv_blocks=kv_blocks)
        path = fetch(named.text)
        name = None if named.path else named.text
    checkpoint = open_checkpoint(path)
    tokenizer = Tokenizer.from_gguf(checkpoint.gguf) if checkpoint.gguf else Tokenizer.from_path(path)
    info = describe(path, name, checkpoint=checkpoint, added=tokenizer.control)
    loaded = build(checkpoint, make_ops("native"), dtype, max_context=max_context, progress=progress)
    if tokenizer.vocab_size > loaded.config.vocab_size:
        raise LoadError(
            f"{path}: the tokenizer has {tokenizer.vocab_size} ids, the model only {loaded.config.vocab_size}; "
            "they do not belong together"
        )
    runner = ModelRunner(loaded, max_batch=max_batch, blocks=kv_blocks, kv_memory=kv_memory, kv_dtype=kv_dtype)
    profile = ModelProfile(
        name=info.name,
        capability=info.capability,
        eos_ids=info.eos_ids,
        context=runner.context,
        vocab=tokenizer.vocab_size,
        thinking_defaults=info.thinking,
        answer_defaults=info.answer,
    )
    return Loaded(runner, tokenizer, profile, info.template, note, info.warnings)


def open_scripted(path: Path, *, max_context: int | None = None, kv_blocks: int | None = None) -> Loaded:
    script = read_script(path)
    tokenizer = Tokenizer.packaged(script.model.vocab)
    runner = ScriptedRunner(script, tokenizer, DEFAULT_BLOCKS if kv_blocks is None else kv_blocks)
    if max_context is not None:
        runner.context = min(runner.context, max_context)
    profile = ModelProfile(
        name=f"scripted:{path}",
        capability=script.model.capability,
        eos_ids=tokenizer.eos_ids,
        context=runner.context,
        vocab=tokenizer.vocab_size,
    )
    return Loaded(runner, tokenizer, profile, default_template(tokenizer))
