"""The measurement of speculation runs to its end; that ids are equal with and without is checked by itself."""

import json
import subprocess
import sys
from pathlib import Path

from msgspec.structs import replace

from ponder.model.config import PRESETS
from ponder.model.formats.gguf_write import write_gguf
from ponder.model.weights.random import packed_random
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.text.tokenizer_files import save

ROOT = Path(__file__).parents[2]


def test_it_measures(tmp_path: Path) -> None:
    save(Tokenizer.packaged(), tmp_path)
    config = replace(PRESETS["tiny"], vocab_size=151936, max_position_embeddings=4096)
    write_gguf(tmp_path / "m.gguf", packed_random(config, "int8"), tmp_path, "Q8_0", lambda done, total: None)
    words = [str(tmp_path / "m.gguf"), "--rounds", "1", "--ids", "12", "--only", "json", "--temperatures", "0"]
    command = [sys.executable, str(ROOT / "bench" / "speculation.py"), *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    ((task, temperature, way, plain, rate, times, _, _),) = json.loads(done.stdout)
    assert (task, temperature, way) == ("json", 0.0, "from the text") and min(plain, rate, times) > 0
