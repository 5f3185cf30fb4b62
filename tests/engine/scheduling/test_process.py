"""An engine and its process: leaving the program in the middle of a step, and fork."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from engine_tools import scripted

from ponder.core.errors import UserError

# A model whose steps take long inside the kernels, where a thread that outlives the interpreter aborts the process.
LEAVE = """
import sys, time
sys.path.insert(0, sys.argv[1])
from engine_tools import build, msgspec, tiny, NativeOps, PRESETS, random_checkpoint
config = msgspec.structs.replace(PRESETS["tiny"], vocab_size=151936, hidden_size=512)
llm = tiny(build(random_checkpoint(config), NativeOps(), "f32"))
running = [llm.chat_stream("hello " * 100, max_tokens=300) for _ in range(4)]
if sys.argv[2] == "between":
    running = None
    print(llm.chat("hi", max_tokens=1).finish.reason)
else:
    time.sleep(0.05)
"""


@pytest.mark.parametrize("moment", ["between", "inside"])
def test_a_program_may_end_without_closing_its_model(moment: str) -> None:
    command = [sys.executable, "-c", LEAVE, str(Path(__file__).parents[1]), moment]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_forked_process_is_told_to_make_its_own_model() -> None:
    llm = scripted(["Hi"])
    assert llm.chat("x").text == "Hi"
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(10)  # a child that waits for a thread it does not have
        try:
            llm.chat("x")
        except UserError as e:
            os.write(write, str(e).encode())
        os._exit(0)
    os.close(write)
    said, (_, status) = os.read(read, 1000).decode(), os.waitpid(child, 0)
    assert "forked" in said and status == 0
    assert llm.chat("x").text == "Hi"
