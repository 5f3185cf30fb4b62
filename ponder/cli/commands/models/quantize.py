"""`ponder quantize SRC DST --to int8|int4`: a smaller model, and a measured report of what that cost."""

import argparse
from pathlib import Path

DESCRIPTION = "Make a model smaller (int8, int4) and measure what it costs."
NOTES = """\
SRC is a model's name, a Hugging Face folder or a GGUF file; DST becomes a folder that Ponder loads. Both models then
read the same text (--text, by default one in ten languages that comes with Ponder); the differences are printed and
kept in DST/fidelity.json. A model that lost too much is not written, unless --force is given.

examples:
  ponder quantize qwen3:0.6b qwen3-0.6b-int8 --to int8
  ponder quantize ./my-model ./my-model-int4 --to int4 --group 16
  ponder quantize ./my-model ./my-model-int4 --to int4 --calibrate my-texts.txt
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", metavar="SRC", help="name, folder or .gguf file")
    parser.add_argument("target", metavar="DST", type=Path, help="folder to write")
    parser.add_argument("--to", choices=("int8", "int4"), required=True, help="kind of the weights")
    parser.add_argument("--group", type=int, default=32, metavar="N", help="weights that share a scale (default: 32)")
    parser.add_argument("--text", type=Path, metavar="FILE", help="text to measure on (default: the packaged one)")
    parser.add_argument("--calibrate", nargs="?", const=Path(), type=Path, metavar="FILE",
                        help="round int4 for a text: FILE, or Python's own reference and library")  # fmt: skip
    parser.add_argument("--force", action="store_true", help="write the model whatever it lost")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")


def run(args: argparse.Namespace) -> int:
    import msgspec

    from ponder.cli.model_files import locate, refuse_existing, size_of
    from ponder.cli.terminal.progress import amount, progress
    from ponder.core.errors import UserError
    from ponder.model.quantise.calibration_text import calibration_ids
    from ponder.model.quantise.quality import TEXT
    from ponder.model.quantise.quantise import quantise
    from ponder.text.tokenizer.tokenizer import Tokenizer

    refuse_existing(args.target)
    source = locate(args.source)
    text, calibration = args.text or TEXT, None
    if args.calibrate is not None:
        given = None if args.calibrate == Path() else args.calibrate
        if given is not None and given.exists() and text.exists() and given.samefile(text):
            raise UserError("--calibrate and --text are the same file: the report would flatter", param="calibrate")
        calibration = calibration_ids(Tokenizer.from_path(source), given)
    with progress("calibrating", "matrices") as rounding, progress("measuring", "tokens") as tick:
        report = quantise(source, args.target, args.to, group=args.group, text=text, force=args.force,
                          calibration=calibration, progress=tick, rounding=rounding)  # fmt: skip
    if args.json:
        print(msgspec.json.encode(report).decode())
        return 0
    print(f"{args.target}: {amount(size_of(args.target))}, from {amount(size_of(source))}")
    print(f"mean KL divergence   {report.mean_kl:.4f} nats (largest {report.max_kl:.3f})")
    print(f"same favourite token {report.top1:.1%}")
    print(f"perplexity           {report.perplexity:.3f}, the source has {report.reference_perplexity:.3f}")
    print(f"measured on          {report.tokens} tokens, sha256 {report.text_sha256[:12]}")
    return 0
