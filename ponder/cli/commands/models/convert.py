"""`ponder convert SRC DST` (and its alias `export`): a model from one format to another.

ponder convert qwen2.5-coder:0.5b coder-hf                 # GGUF -> Hugging Face folder
ponder export coder-hf coder.gguf --type Q8_0              # and back, for llama.cpp
ponder convert coder-hf merged --adapter sql-lora          # one model of a model and its LoRA adapter
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ponder.cli.model_files import locate, opened, refuse_existing, size_of
from ponder.cli.terminal.progress import amount
from ponder.core.atomic import new_folder
from ponder.core.errors import UserError

if TYPE_CHECKING:
    from ponder.model.weights.checkpoint import Checkpoint

GGUF_TYPES = ("F32", "F16", "BF16", "Q8_0", "IQ4_NL", "Q4_0")
HF_TYPES = ("auto", "f32", "bf16")
DESCRIPTION = "Write a model as a Hugging Face folder or as a GGUF file."
NOTES = """\
SRC is a model's name, a Hugging Face folder or a GGUF file. What is written follows from DST: a name that ends in
.gguf is a GGUF file for llama.cpp and its kin, anything else a folder for transformers, vLLM, SGLang and Ponder.
For int8 and int4 folders, with a report on what they cost, there is `ponder quantize`. `export` is another name for
`convert`. --adapter writes one model of a model and its LoRA adapter. DST appears only when it is complete; an existing
one is never overwritten.

examples:
  ponder convert qwen2.5-coder:0.5b coder-hf --type bf16
  ponder export coder-hf coder-q8.gguf --type Q8_0
  ponder convert qwen3:0.6b:bf16 merged --adapter my-lora
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SRC", help="name, folder or .gguf file")
    parser.add_argument("target", metavar="DST", type=Path, help="folder or .gguf file to write")
    parser.add_argument("--format", choices=("hf", "gguf"), help="what DST is to be (default: by its name)")
    gguf, folder = ", ".join(GGUF_TYPES), ", ".join(HF_TYPES)
    parser.add_argument("--type", metavar="TYPE", help=f"precision: {gguf} for GGUF (default: F16); {folder} for a "
                        "folder (default: auto, as SRC, and bf16 where that is quantised)")  # fmt: skip
    parser.add_argument("--adapter", metavar="PATH", type=Path,
                        help="a LoRA adapter to merge into the weights: a PEFT folder or a GGUF file")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    target: Path = args.target
    kind = args.format or ("gguf" if target.suffix == ".gguf" else "hf")
    if kind == "gguf" and target.suffix != ".gguf":
        raise UserError(f"a GGUF file must be called something.gguf, not {target}", param="format")
    type_ = chosen_type(args.type, kind)
    refuse_existing(target)
    source = locate(args.source)
    with opened(source, "converting") as checkpoint:
        quantised = is_quantised(checkpoint)
        if args.adapter is not None:
            checkpoint = merged(checkpoint, args.adapter, args.source)
        if type_ == "auto" and quantised:
            type_ = "bf16"  # a folder that others read has no packed weights
        if kind == "gguf":
            from ponder.model.formats.gguf_write import write_gguf

            write_gguf(target, checkpoint, source, type_)
        else:
            from ponder.model.formats.hf_save import save_hf

            with new_folder(target) as folder:
                save_hf(folder, checkpoint, type_, copy_from=source)
    print(f"{target}: {amount(size_of(target))}")
    return 0


def is_quantised(checkpoint: "Checkpoint") -> bool:
    from ponder.kernels.tensor import FOUR_BITS

    return any(source.auto in ("int8", *FOUR_BITS) for source in checkpoint.tensors.values())


def merged(checkpoint: "Checkpoint", adapter: Path, name: str) -> "Checkpoint":
    """Raises UserError for quantised weights: their error would be in the result for good."""
    from ponder.model.formats.adapter import with_adapter

    if is_quantised(checkpoint):
        raise UserError(
            f"{name} is quantised: merge the adapter into the unquantised weights (such as "
            "qwen3:4b:bf16). `ponder run` and `ponder serve` take --adapter with quantised ones too",
            param="adapter",
        )
    return with_adapter(checkpoint, adapter)


def chosen_type(given: str | None, kind: str) -> str:
    """--type as the writer of that format spells it. Raises UserError with the choices."""
    choices = GGUF_TYPES if kind == "gguf" else HF_TYPES
    if given is None:
        return "F16" if kind == "gguf" else "auto"
    found = [c for c in choices if c.lower() == given.lower()]
    if not found:
        hint = " For int8 and int4 use `ponder quantize`." if given.lower() in ("int8", "int4") else ""
        raise UserError(f"--type {given}: choose one of {', '.join(choices)}.{hint}", param="type")
    return found[0]
