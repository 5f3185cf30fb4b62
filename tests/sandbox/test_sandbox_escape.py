"""CI-2: the escape suite, as the user who runs the tests and, where that is root, as an ordinary user too."""

import functools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sandboxes import needs_sandbox

from ponder.sandbox.bwrap import parents
from ponder.sandbox.launch import python_folders

ROOT = Path(__file__).parents[2]
NOBODY = "65534"


def as_ordinary_user() -> list[str]:
    """The start of a command that runs as `nobody`, who must reach Python and this checkout even below /root."""
    needed = {*python_folders(), str(ROOT)}
    closed = sorted(
        {str(p) for folder in needed for p in Path(folder).parents if not p.stat().st_mode & 0o001}, key=len
    )
    mounts = [word for folder in closed for word in ("--perms", "0755", "--tmpfs", folder)]
    for folder in sorted(needed, key=len) if closed else []:
        mounts += [*parents(folder), "--ro-bind", folder, folder]
    drop = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", "--inh-caps=-all"]
    return ["bwrap", "--dev-bind", "/", "/", *mounts, *drop]


# What Landlock alone has to hold, where bubblewrap would have namespaces.
SOME = (
    "read ~/.ssh",
    "other processes' environment",
    "/proc/<pid>/root",
    "write outside the workspace",
    "open a secret to all",
    "/dev/shm of the host",
    "System V shared memory",
    "TCP to a local service",
    "abstract unix socket",
    "signal another process",
    "limits of another process",
    "daemon that outlives the call",
    "fork bomb",
)


@functools.cache
def rows(user: str, *options: str) -> list[dict[str, Any]]:
    command = [sys.executable, str(ROOT / "tests/sandbox/suite.py"), "--json", *options]
    if user == "ordinary" and os.geteuid() == 0:
        command = [*as_ordinary_user(), *command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, env={**os.environ, "TMPDIR": "/tmp"})
    if "does not work here" in done.stderr:
        pytest.skip(done.stderr)
    assert done.stdout, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def check(found: list[dict[str, Any]], proven: int) -> None:
    """proven: how many must work in an ordinary process of the same user, or the suite shows nothing."""
    assert [row for row in found if row["inside"]] == []
    assert [row for row in found if row["left"]] == []
    real = [row["attack"] for row in found if row["outside"]]
    assert len(real) >= proven, real


@needs_sandbox
@pytest.mark.skipif(os.geteuid() != 0, reason="the tests do not run as root")
def test_no_attack_works_as_root() -> None:
    check(rows("root"), 25)


can_change_user = pytest.mark.skipif(
    os.geteuid() == 0 and (shutil.which("setpriv") is None or shutil.which("bwrap") is None),
    reason="root becomes an ordinary user by setpriv (util-linux) and bubblewrap, and they are not installed",
)


@needs_sandbox
@can_change_user
def test_no_attack_works_as_an_ordinary_user() -> None:
    check(rows("ordinary"), 25)


@can_change_user
def test_the_fallback_holds() -> None:
    check(rows("ordinary", "--landlock", *SOME), len(SOME))


@can_change_user
@pytest.mark.slow
def test_the_fallback_holds_against_all() -> None:
    check(rows("ordinary", "--landlock"), 25)
