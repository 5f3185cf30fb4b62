"""From the flags of a command to a running model, with progress on the way."""

import argparse
from typing import TYPE_CHECKING

from ponder.cli.terminal.printer import note
from ponder.cli.terminal.progress import progress

if TYPE_CHECKING:
    from ponder.engine.decoding.settings import Ceiling
    from ponder.engine.llm import LLM

MAX_BATCH = 32  # as many as a bandwidth-bound machine gains from


def open_llm(
    model: str | None,
    args: argparse.Namespace,
    *,
    kv_memory: int | None = None,
    max_batch: int = MAX_BATCH,
    ceiling: "Ceiling | None" = None,
) -> "LLM":
    """The model, downloaded if it must be. Without a name the best that can be had; stderr says which and why.
    kv_memory: bytes of its key/value cache. max_batch: requests computed together.
    ceiling: upper limits for every request."""
    from ponder.engine.llm import LLM
    from ponder.engine.loaded import open_model
    from ponder.model.hub import fetch

    with progress("downloading", "B") as tick:
        if model is None:
            model, why = fetch.best_available(tick)
            note(why)
        else:
            fetch.fetch(model, tick)
    with progress("loading", "B") as tick:
        loaded = open_model(
            model, dtype=args.dtype, max_context=args.max_context, threads=args.threads, kv_memory=kv_memory,
            kv_blocks=None, kv_dtype=args.kv_dtype, max_batch=max_batch, keep_packed=not args.no_packed,
            speculation=args.speculation, progress=tick,
        )  # fmt: skip
    for warning in loaded.warnings:
        note(f"warning: {warning}")
    return LLM(loaded, max_batch=max_batch, ceiling=ceiling)
