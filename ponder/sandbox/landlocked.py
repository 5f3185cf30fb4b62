"""The fallback where namespaces are not to be had: Landlock and a stricter filter of system calls.

The code sees the system and the Python environment, read-only, and may change its workspace and a home folder made for
it. No network, no other process, as in namespaces; but /proc and /dev/shm are missing, names and sizes of files outside
can be asked for one by one, and the home folder lies on disk.
"""

import base64
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ponder.sandbox import seccomp
from ponder.sandbox.launch import (
    ETC,
    GUEST,
    SYSTEM,
    Isolation,
    Launch,
    environment,
    other_processes,
    python_folders,
    starting,
    user_for,
)
from ponder.sandbox.limits import SandboxLimits

DEVICES = ("null", "zero", "full", "random", "urandom")


class Landlocked(Isolation):
    name = "Landlock and seccomp"
    inside = str(GUEST)

    def launch(self, command: Sequence[str], workspace: Path, limits: SandboxLimits) -> Launch:
        program = base64.b64encode(seccomp.program(separated=False)).decode()
        owner = user_for(workspace)
        home = tempfile.mkdtemp(prefix="ponder-home-")
        system = ["/usr", *SYSTEM, *(f"/etc/{name}" for name in ETC), *python_folders(), str(GUEST)]
        rules = {
            "read": system,
            "write": [str(workspace), home, *(f"/dev/{name}" for name in DEVICES)],
            "filter": program,
        }
        others = other_processes() if owner is None else 0
        argv = starting(f"{self.inside}/start.py", command, str(workspace), limits, owner, others=others)
        shut_in = [sys.executable, "-I", "-S", f"{self.inside}/landlock.py", json.dumps(rules)]
        return Launch([*shut_in, *argv], environment(home, home), [], owner, home)
