"""A model of any shape with random weights: what `ponder bench --random` measures. int8 and int4 are drawn packed; a
large one is kept on disk (`ponder list` shows it) and mapped, so that qwen3:30b-a3b at int4 runs in 24 GB.

    random_config("qwen3:0.6b")
    random_config("tiny:layers=8,hidden=256,vocab=8192")     # a released or tiny shape with some numbers changed
    random_config("path/to/config.json")

The tokenizer is the packaged one, cut to the size of the vocabulary, so that the engine runs as with a real model.
"""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ponder.core.errors import LoadError, UserError

if TYPE_CHECKING:
    from ponder.engine.load_options import LoadFields
    from ponder.engine.loaded import Loaded
    from ponder.model.config import ModelConfig
    from ponder.text.tokenizer.tokenizer import Tokenizer

FIELDS = {
    "layers": "num_hidden_layers",
    "hidden": "hidden_size",
    "intermediate": "intermediate_size",
    "heads": "num_attention_heads",
    "kv_heads": "num_key_value_heads",
    "head_dim": "head_dim",
    "vocab": "vocab_size",
    "experts": "num_experts",
    "top_k": "num_experts_per_tok",
    "expert_width": "moe_intermediate_size",
}
CACHED = 10_000_000_000  # parameters from which random weights are kept on disk: drawing them takes minutes
TINY_VOCAB, POSITIONS = 256, 40960
MAX_BATCH = 32


def random_config(name: str) -> "ModelConfig":
    """Raises UserError for a name, field or number that makes no model.

    The tiny presets of the tests have 256 ids and 512 positions; here they get the whole vocabulary and room for long
    prompts, unless the name says otherwise.
    """
    from ponder.model.config import PRESETS, ModelConfig

    base, changes = _parse(name)
    if base.endswith(".json"):
        try:
            config = ModelConfig.from_hf(json.loads(Path(base).read_text()), base)
        except (OSError, ValueError) as e:
            raise UserError(f"--random {base}: {e}", param="random") from e
        except LoadError as e:
            raise UserError(f"--random {e}", param="random") from e
    elif base in PRESETS:
        config = PRESETS[base]
    else:
        raise UserError(f"--random {base}: choose one of {', '.join(PRESETS)}, or a config.json", param="random")
    values = msgspec.structs.asdict(config) | changes
    if changes.get("num_experts"):
        values |= {"model_type": "qwen3_moe", "norm_topk_prob": True}
    if config.vocab_size == TINY_VOCAB and "vocab_size" not in changes:
        values["vocab_size"] = 151936
    values["max_position_embeddings"] = max(config.max_position_embeddings, POSITIONS)
    try:
        return msgspec.convert(values, ModelConfig)
    except (msgspec.ValidationError, ValueError) as e:
        raise UserError(f"--random {name}: {e}", param="random") from e


def _parse(name: str) -> tuple[str, dict[str, int]]:
    """ "tiny:layers=8,hidden=256" -> ("tiny", {"num_hidden_layers": 8, "hidden_size": 256})"""
    base, _, tail = name.rpartition(":")
    if "=" not in tail:
        return name, {}
    changes = {}
    for word in tail.split(","):
        field, _, value = word.partition("=")
        if field not in FIELDS or not value.isdecimal():
            known = ", ".join(FIELDS)
            raise UserError(f"--random {name}: {word!r} is not FIELD=NUMBER with a field of {known}", param="random")
        changes[FIELDS[field]] = int(value)
    return base, changes


def random_model(name: str, args: argparse.Namespace, *, blocks: int | None = None) -> "Loaded":
    """Ready for the engine; dtype "auto" is bf16, as the released weights are. blocks: size of the cache."""
    from ponder.cli.loading import load_fields
    from ponder.cli.terminal.progress import progress
    from ponder.engine.decoding.settings import ModelProfile
    from ponder.engine.load_options import load_options
    from ponder.engine.loaded import Unloaded, load
    from ponder.kernels.native import set_threads
    from ponder.model.capacity import weight_bytes
    from ponder.model.weights.build import context_limit
    from ponder.model.weights.random import packed_random
    from ponder.text.chat.template import default_template

    config = random_config(name)
    tokenizer = tokenizer_of(config.vocab_size)
    fields: LoadFields = {**load_fields(args), "kv_blocks": blocks, "max_batch": MAX_BATCH}
    dtype = fields["dtype"] = "bf16" if args.dtype == "auto" else args.dtype
    if config.parameter_counts().total <= CACHED:
        fields["keep_packed"] = False
    options = load_options(**fields)
    if options.threads is not None:
        set_threads(options.threads)
    profile = ModelProfile(
        name=name,
        capability="base",
        eos_ids=tokenizer.eos_ids,
        context=context_limit(config, options.max_context),
        vocab=tokenizer.vocab_size,
    )
    checkpoint = packed_random(config, dtype)
    size = weight_bytes(checkpoint, (dtype,))[dtype]
    with progress("making random weights", "B") as tick:
        return load(Unloaded(checkpoint, tokenizer, profile, default_template(tokenizer), size), options, tick)


def tokenizer_of(size: int) -> "Tokenizer":
    """The packaged vocabulary without its later merges, so that it has no more than `size` ids."""
    from msgspec import structs

    from ponder.text.tokenizer import vocabulary
    from ponder.text.tokenizer.tokenizer import Tokenizer

    whole = vocabulary.packaged("qwen3")
    base = min(len(whole.ids), size - len(whole.added))
    merges = base - 256
    if merges < 0:
        raise UserError(f"--random: vocab {size} is less than the {256 + len(whole.added)} ids any text needs")
    cut = structs.replace(
        whole,
        ids=dict(list(whole.ids.items())[:base]),
        merges=whole.merges[:merges],
        added={token: base + n for n, token in enumerate(whole.added)},
    )
    return Tokenizer(cut, source="the packaged vocabulary")


def save_random(name: str, folder: Path) -> Path:
    """The same as a bf16 folder with its tokenizer, for what needs files."""
    from ponder.cli.model_files import counted
    from ponder.cli.terminal.progress import progress
    from ponder.model.formats.hf_save import save_hf
    from ponder.model.weights.build import random_checkpoint
    from ponder.text import tokenizer_files

    config = random_config(name)
    with progress("writing random weights", "B") as tick:
        save_hf(folder, counted(random_checkpoint(config), tick), "bf16")
    tokenizer_files.save(tokenizer_of(config.vocab_size), folder)
    return folder
