"""From the flags of a command to a running model, with progress on the way."""

import argparse
import sys
from typing import TYPE_CHECKING

from ponder.cli.announce import announce
from ponder.cli.terminal.printer import note
from ponder.cli.terminal.progress import progress
from ponder.core.errors import UserError

if TYPE_CHECKING:
    from ponder.engine.decoding.settings import Ceiling
    from ponder.engine.llm import LLM
    from ponder.engine.load_options import LoadFields
    from ponder.engine.remote import RemoteModel

MAX_BATCH = 32  # as many as a bandwidth-bound machine gains from


def load_fields(args: argparse.Namespace) -> "LoadFields":
    """What the flags of `options.add_load_flags` say, as `LLM` takes it."""
    return {
        "dtype": args.dtype, "max_context": args.max_context, "threads": args.threads, "kv_dtype": args.kv_dtype,
        "keep_packed": not args.no_packed, "adapter": _adapter(args.adapter), "speculation": args.speculation,
    }  # fmt: skip


def _adapter(paths: list[str]) -> str | None:
    if len(paths) > 1:
        raise UserError("one --adapter for one model; `ponder serve` offers several as models", param="adapter")
    return paths[0] if paths else None


def open_llm(
    model: str | None,
    args: argparse.Namespace,
    *,
    kv_memory: int | None = None,
    max_batch: int = MAX_BATCH,
    ceiling: "Ceiling | None" = None,
    introduce: bool = False,
) -> "LLM":
    """The model, downloaded if it must be. Without a name the best that can be had; stderr says which and why.
    kv_memory: bytes of its key/value cache. max_batch: requests computed together.
    ceiling: upper limits for every request. introduce: say what the model's card says of it; else, in a terminal, that
    there is one."""
    from ponder.engine.llm import LLM
    from ponder.engine.load_options import load_options
    from ponder.engine.loaded import open_model
    from ponder.model.hub.fetch import locate

    with progress("downloading", "B") as tick:
        local = locate(model, tick, announce)
    if local.note:
        note(local.note)
    with progress("loading", "B") as tick:
        fields: LoadFields = {**load_fields(args), "kv_memory": kv_memory, "max_batch": max_batch}
        loaded = open_model(local, load_options(**fields), tick)
    if loaded.info is not None and (card := loaded.info.card) is not None:
        if introduce:
            note(" ".join([card.about, *(f'Try: "{text}"' for text in card.examples[:1])]))
        elif sys.stderr.isatty():
            note(f"`ponder show {local.name.text}` says what this model can and cannot do")
    for warning in loaded.warnings:
        note(f"warning: {warning}")
    return LLM(loaded, max_batch=max_batch, ceiling=ceiling)


class ModelSlot:
    """The one model of a terminal. /model puts another in its place: two at once may not fit into memory."""

    def __init__(self, name: str | None, args: argparse.Namespace, *, introduce: bool = True) -> None:
        self._name, self._args = name, args
        self.model = open_llm(name, args, introduce=introduce)

    def change(self, name: str) -> "LLM":
        """Raises UserError for a model that cannot be had; then the old one is there as before."""
        from ponder.model.hub.fetch import locate

        with progress("downloading", "B") as tick:
            locate(name, tick, announce)
        self.model.close()
        try:
            self.model = open_llm(name, self._args, introduce=True)
        except UserError:
            self.model = open_llm(self._name, self._args)
            raise
        self._name = name
        return self.model

    def __enter__(self) -> "ModelSlot":
        return self

    def __exit__(self, *_: object) -> None:
        self.model.close()


def models_here() -> list[str]:
    """Names that need no download."""
    from ponder.model.hub.fetch import downloads

    return [download.name for download in downloads()]


def is_url(model: str) -> bool:
    return model.startswith(("http://", "https://"))


def open_remote(url: str, args: argparse.Namespace) -> "RemoteModel":
    """The model behind a URL, by the flags of `options.add_served_flags`."""
    from ponder.engine.remote import RemoteModel

    key = args.key_file.read_text("utf-8").strip() if args.key_file else None
    return RemoteModel(url, model=args.served_model, api_key=key)


def check_served(args: argparse.Namespace) -> None:
    """Raises UserError for flags of a server where the model is none."""
    for flag, given in (("served-model", args.served_model), ("key-file", args.key_file)):
        if given is not None:
            raise UserError(f"--{flag} is for a server: MODEL must be its URL", param=flag)
