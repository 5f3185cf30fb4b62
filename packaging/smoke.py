"""What an installed wheel is asked: its version, and an answer of a tiny model. Prints seconds, one JSON object.


Run it with the Python that the wheel was installed into, from anywhere but the checkout's root.
"""

import json
import platform
import subprocess
import sysconfig
import tempfile
import time
from pathlib import Path


def main() -> None:
    begin = time.time()
    import ponder

    program = Path(sysconfig.get_path("scripts"), "ponder")
    version = subprocess.check_output([program, "--version"], text=True).strip()
    assert version.split()[-1] == ponder.__version__, version
    where = Path(ponder.__file__).parent
    assert "site-packages" in where.parts, f"this is the checkout, not the wheel: {where}"
    assert (where / "py.typed").exists()
    ids, ready, first = answer()
    assert ids == 8, ids
    from ponder.kernels import native

    (extension,) = where.glob("kernels/_native*")
    print(json.dumps({
        "python": platform.python_version(), "machine": platform.machine(), "version": version,
        "extension": extension.name, "isas": native.available_isas(), "model_ready_s": round(ready - begin, 2),
        "first_token_s": round(first - begin, 2),
    }))  # fmt: skip


def answer() -> tuple[int, float, float]:
    """Tokens of an answer, when the model was loaded, when its first token was there."""
    from msgspec import structs

    from ponder import LLM
    from ponder.model.config import PRESETS
    from ponder.model.formats.hf_save import save_hf
    from ponder.model.weights.build import random_checkpoint
    from ponder.text.tokenizer.tokenizer import Tokenizer
    from ponder.text.tokenizer_files import save

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        save_hf(folder, random_checkpoint(structs.replace(PRESETS["tiny"], vocab_size=151936), seed=0), "f32")
        save(Tokenizer.packaged("qwen3"), folder)
        with LLM(folder) as llm:
            ready = time.time()
            llm.chat("hello", max_tokens=1, temperature=0)
            first = time.time()
            return llm.chat("hello", max_tokens=8, temperature=0).finish.usage.completion_tokens, ready, first


if __name__ == "__main__":
    main()
