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

from ponder.sandbox.bwrap import parents, python_folders

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


@functools.cache
def rows(user: str) -> list[dict[str, Any]]:
    command = [sys.executable, str(ROOT / "tests/sandbox/suite.py"), "--json"]
    if user == "ordinary" and os.geteuid() == 0:
        command = [*as_ordinary_user(), *command]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=280, env={**os.environ, "TMPDIR": "/tmp"}, check=False
    )
    assert done.stdout, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


USERS = [
    pytest.param("root", marks=pytest.mark.skipif(os.geteuid() != 0, reason="the tests do not run as root")),
    pytest.param(
        "ordinary",
        marks=pytest.mark.skipif(
            os.geteuid() == 0 and shutil.which("setpriv") is None, reason="setpriv (util-linux) is not installed"
        ),
    ),
]


@needs_sandbox
@pytest.mark.parametrize("user", USERS)
def test_no_attack_works_inside(user: str) -> None:
    assert [row for row in rows(user) if row["inside"]] == []


@needs_sandbox
@pytest.mark.parametrize("user", USERS)
def test_nothing_is_left_outside(user: str) -> None:
    assert [row for row in rows(user) if row["left"]] == []


@needs_sandbox
@pytest.mark.parametrize("user", USERS)
def test_the_attacks_are_real(user: str) -> None:
    """At least 25 work in an ordinary process of the same user."""
    proven = [row["attack"] for row in rows(user) if row["outside"]]
    assert len(proven) >= 25, proven
