"""A GGUF file of a released shape with random Q4_0 or Q8_0 weights, for llama.cpp: no model of that size is needed.

    python bench/random_gguf.py qwen3:30b-a3b /tmp/random-30b.gguf [--type Q8_0]

The numbers are those of `ponder bench --random NAME --int4` (`--int8`): drawn packed, written matrix by matrix, less
than 1.5 GB of memory. The tokenizer is the packaged one, so any GGUF program loads the file.
"""

import argparse
import tempfile
from pathlib import Path

from ponder.model.config import PRESETS
from ponder.model.formats.gguf_write import write_gguf
from ponder.model.weights.random import packed_random
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.text.tokenizer_files import save

DTYPES = {"Q4_0": "int4", "Q8_0": "int8"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=PRESETS)
    parser.add_argument("path", type=Path)
    parser.add_argument("--type", choices=DTYPES, default="Q4_0")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        save(Tokenizer.packaged(), folder)
        checkpoint = packed_random(PRESETS[args.name], DTYPES[args.type])
        write_gguf(args.path, checkpoint, folder, args.type, lambda done, all: None)


if __name__ == "__main__":
    main()
