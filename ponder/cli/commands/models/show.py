"""`ponder show NAME|PATH`: what a model is and what it needs, without loading it; released ones need no download."""

import argparse
import json
from typing import TYPE_CHECKING

from ponder.core.errors import UserError

if TYPE_CHECKING:
    from ponder.core.params import SamplingParams
    from ponder.model.info import ModelInfo

DESCRIPTION = "Show a model: shape, parameters, memory, context."
NOTES = """\
A released name is shown from its known shape and needs no download. Memory is what the weights take once loaded;
the cache comes on top, for every token of every conversation that runs.

capability: a hybrid model thinks or not as asked, a thinking one always does, an instruct one never; a base model only
continues text.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="name, folder or .gguf file")
    parser.add_argument("--json", action="store_true", help="machine-readable")


def run(args: argparse.Namespace) -> int:
    info = find(args.model)
    if args.json:
        import msgspec

        print(json.dumps(msgspec.to_builtins(info, builtin_types=(), enc_hook=str)))
        return 0
    for name, value in table(info):
        print(f"{name:22} {value}")
    return 0


def find(text: str) -> "ModelInfo":
    """Raises UserError or LoadError when nothing can be said about it."""
    from ponder.model.hub.registry import resolve
    from ponder.model.hub.store import here
    from ponder.model.info import describe, describe_released

    name = resolve(text)
    if name.kind == "scripted":
        raise UserError(f"{text} is a script, not a model with weights")
    if (path := here(name)) is not None:
        return describe(path, None if name.path else name.text)
    if (released := describe_released(name.text)) is not None:
        return released
    raise UserError(f"{text} is not downloaded, and its shape is not known: ponder pull {text}")


def table(info: "ModelInfo") -> list[tuple[str, str]]:
    from ponder.cli.terminal.progress import amount

    c, n = info.config, info.parameters
    mlp = f"{c.num_experts} experts of {c.moe_intermediate_size}, {c.num_experts_per_tok} used" if c.num_experts else (
        f"intermediate {c.intermediate_size}")  # fmt: skip
    rows = [
        ("model", info.name),
        *([("about", info.card.about)] if info.card else []),
        ("path", f"{info.path} ({amount(info.stored_bytes)})" if info.path else "not downloaded"),
        ("architecture", info.architecture),
        ("shape", f"{c.num_hidden_layers} layers, hidden {c.hidden_size}, {mlp}"),
        ("attention", f"{c.num_attention_heads} heads, {c.num_key_value_heads} of keys and values, size {c.head_dim}"),
        ("vocabulary", f"{c.vocab_size:,} rows, head {'tied to the table' if c.tie_word_embeddings else 'of its own'}"),
        ("parameters", f"{n.total:,}"),
        ("  without embedding", f"{n.non_embedding:,}"),
        ("  active per token", f"{n.active:,}"),
        ("capability", info.capability),
        ("template", info.template),
        ("context", f"{info.native_context:,} tokens, {info.max_context:,} with YaRN (--max-context)"),
        *((f"memory at {dtype}", amount(nbytes)) for dtype, nbytes in info.weight_bytes.items()),
        (
            "cache",
            f"{amount(info.kv_bytes)} a token, {amount(info.kv_bytes * info.native_context)} at full length (bf16)",
        ),
    ]
    if info.capability in ("hybrid", "thinking"):
        rows.append(("sampling, thinking", sampling(info.thinking)))
    if info.capability != "thinking":
        rows.append(("sampling, answering", sampling(info.answer)))
    return [*rows, *(("warning", w) for w in info.warnings)]


def sampling(params: "SamplingParams") -> str:
    """The numbers that are set."""
    from msgspec import structs

    given = {k: v for k, v in structs.asdict(params).items() if isinstance(v, int | float) and not isinstance(v, bool)}
    return ", ".join(f"{k} {v:g}" for k, v in given.items() if k != "n")
