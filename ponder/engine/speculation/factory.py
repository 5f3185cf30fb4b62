"""What `speculation=` means: "off", "auto", or the name of a draft model, as model/hub/registry.py reads it."""

from ponder.core.errors import UserError
from ponder.engine.scheduling.drafter import Drafter
from ponder.engine.scheduling.runner import ModelRunner
from ponder.engine.speculation.draft_model import DraftModel
from ponder.engine.speculation.speculation import Speculation
from ponder.model.hub.fetch import locate
from ponder.model.load import make_ops, open_checkpoint, open_tokenizer
from ponder.model.weights.build import build, cache_dtype
from ponder.text.tokenizer.tokenizer import Tokenizer

DTYPE = "int4"  # a draft model is there to be fast


def open_drafter(speculation: str, target: ModelRunner, tokenizer: Tokenizer, *, max_batch: int) -> Drafter | None:
    """Raises UserError or LoadError for a draft model that cannot be had or does not fit."""
    if speculation == "off":
        return None
    if speculation == "auto":
        return Speculation()
    return Speculation(open_draft(speculation, target, tokenizer, max_batch=max_batch))


def open_draft(model: str, target: ModelRunner, tokenizer: Tokenizer, *, max_batch: int) -> DraftModel:
    """The small model that drafts for `target`; its cache holds as many ids."""
    local = locate(model)
    if local.name.kind == "scripted":
        raise UserError("speculation: a scripted model cannot draft", param="speculation")
    checkpoint = open_checkpoint(local.path)
    own = open_tokenizer(checkpoint, local.path)
    if not _speak_alike(own, tokenizer) or checkpoint.config.vocab_size < tokenizer.vocab_size:
        raise UserError(
            f"speculation: {model} has another vocabulary than the model it should draft for; take a smaller model of "
            'the same family, or "auto" to draft from the text alone',
            param="speculation",
        )
    small = build(checkpoint, make_ops("native"), DTYPE)
    kv_dtype = cache_dtype("auto", checkpoint, DTYPE)
    runner = ModelRunner(
        small, max_batch=max_batch, blocks=target.blocks, kv_dtype=kv_dtype, block_size=target.block_size
    )
    return DraftModel(runner)


def _speak_alike(a: Tokenizer, b: Tokenizer) -> bool:
    """The same text in the same ids, and no id that is a control token here and another one there."""
    shared = a.control.keys() & b.control.keys()
    return a.vocabulary.ids == b.vocabulary.ids and all(a.control[name] == b.control[name] for name in shared)
