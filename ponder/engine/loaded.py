"""From a model's name to something the engine can run: runner, tokenizer, profile. See ponder/model/names.py."""

from dataclasses import dataclass
from pathlib import Path

from ponder.engine.runner import Runner
from ponder.engine.scripted import DEFAULT_BLOCKS, ScriptedRunner, read_script
from ponder.engine.settings import ModelProfile
from ponder.model.names import resolve
from ponder.text.render import Template, default_template
from ponder.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Loaded:
    """template: the chat template of the model's family."""

    runner: Runner
    tokenizer: Tokenizer
    profile: ModelProfile
    template: Template


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
) -> Loaded:
    """Raises UserError or LoadError when there is no such model or it does not fit the options."""
    name = resolve(str(model))
    if name.kind == "scripted":
        assert name.path is not None
        return open_scripted(name.path, max_context=max_context, kv_blocks=kv_blocks)
    raise NotImplementedError
