"""What is only on Linux or Unix, taken away: everything is imported and a model answers all the same.

This cannot show what Windows does with files and pipes; it shows that nothing needs what Windows and macOS lack."""

import subprocess
import sys

import pytest

TAKE_AWAY = """
import asyncio, ctypes.util, importlib, mmap, multiprocessing, os, pkgutil, platform, shutil, signal, socket, ssl
import subprocess, sys, sysconfig, tempfile, types, uuid, webbrowser
import filelock, httpx2, numpy, prompt_toolkit, prompt_toolkit.shortcuts, rich.console, safetensors, tokenizers, uvicorn
from uvicorn.protocols.http import httptools_impl
import mcp, pydantic, uvicorn.lifespan.on
sysconfig.get_config_vars()
sys.platform, unix = {platform!r}, {unix!r}
for name in unix.split():
    sys.modules[name] = None
for name in {names!r}.split():
    delattr(os, name)
for name in [n for n in dir(mmap) if n.startswith("MADV_") and n in {madvise!r}]:
    delattr(mmap, name)
"""

ANSWER = """
from msgspec import structs
from ponder import LLM
from ponder.model.config import PRESETS
from ponder.model.formats.hf_save import save_hf
from ponder.model.weights.build import random_checkpoint
from ponder.text.tokenizer.tokenizer import Tokenizer
from ponder.text.tokenizer_files import save
import ponder
inside = ("torch", "guest", "train", "ponder.data", "ponder.server.mcp", "__main__", "parquet")
for module in pkgutil.walk_packages(ponder.__path__, "ponder."):
    if not any(word in module.name for word in inside):
        importlib.import_module(module.name)
from ponder.cli.main import main
for command in ("run", "serve", "data", "train", "bench"):
    try:
        main([command, "--help"])
    except SystemExit as e:
        assert e.code == 0, command
with tempfile.TemporaryDirectory() as folder:
    save_hf(folder, random_checkpoint(structs.replace(PRESETS["tiny"], vocab_size=151936), seed=0))
    save(Tokenizer.packaged("qwen3"), folder)
    with LLM(folder) as llm:
        print("answered", llm.chat("hello", max_tokens=8, temperature=0).finish.usage.completion_tokens)
"""

LINUX = "sched_getaffinity posix_fadvise memfd_create O_PATH setresuid setresgid"
UNIX = f"{LINUX} sysconf geteuid getpgrp tcgetpgrp fork killpg nice uname O_DIRECTORY O_NOFOLLOW O_NONBLOCK chown"


@pytest.mark.parametrize(
    ("platform", "unix", "names", "madvise"),
    [
        pytest.param("darwin", "", LINUX, ["MADV_HUGEPAGE"], marks=pytest.mark.slow),
        ("win32", "fcntl resource termios tty pwd grp", UNIX, [n for n in dir(__import__("mmap")) if "MADV" in n]),
    ],
)
def test_a_model_answers_without_what_the_system_lacks(
    platform: str, unix: str, names: str, madvise: list[str]
) -> None:
    code = TAKE_AWAY.format(platform=platform, unix=unix, names=names, madvise=madvise) + ANSWER
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "answered 8" in done.stdout, done.stderr[-2000:]
