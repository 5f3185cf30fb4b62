"""A disk that is full stops a run in words, leaves its checkpoints whole, and the same command goes on."""

import os
import subprocess
import sys

from test_resume import as_toml

from ponder.train import checkpoint
from recipes import base, recipe, text, tokenizer

LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
sys.argv[1:] = ["train", *sys.argv[2:]]
resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, LIMIT))
from ponder.cli.main import main
sys.exit(main())
"""


def train(toml, out, limit):
    program = LIMITED.replace("LIMIT, LIMIT", f"{limit}, resource.RLIM_INFINITY")
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, "-c", program, "train", str(toml), "--out", str(out)], capture_output=True,
                          text=True, timeout=250, env=env)  # fmt: skip


def test_a_full_disk_is_said_and_the_run_goes_on(tmp_path):
    toml, out = tmp_path / "r.toml", tmp_path / "out"
    toml.write_text(as_toml(recipe(text(), tokenizer(), base())))
    done = train(toml, out, 100_000)  # the text fits, a checkpoint does not
    assert done.returncode == 2, done.stderr
    assert "the same command goes on" in done.stderr and "Traceback" not in done.stderr
    [folder] = out.glob("base-*")
    assert checkpoint.latest(folder / "checkpoints") is None and not (folder / "finished").exists()
    again = train(toml, out, 100_000_000)
    assert again.returncode == 0, again.stderr
    assert (folder / "finished").exists() and "text: finished before" in again.stderr
