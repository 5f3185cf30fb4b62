"""One command in a sandbox: what it sees, how it ends, and that nothing of it stays."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sandboxes import go, needs_sandbox, processes_of

from ponder.core.errors import UserError
from ponder.sandbox import isolation
from ponder.sandbox.isolation import Host, find
from ponder.sandbox.limits import MB, SandboxLimits
from ponder.sandbox.run import Done, run

pytestmark = needs_sandbox


def sh(command: str, folder: Path, timeout: float = 10, limits: SandboxLimits | None = None) -> Done:
    return go(run(find(), ["sh", "-c", command], folder, timeout=timeout, limits=limits))


def test_output_exit_code_and_files(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("hello")
    done = sh("cat in.txt; echo bad >&2; echo made > out.txt; exit 3", tmp_path)
    assert done == Done("hellobad\n", 3, "")
    assert (tmp_path / "out.txt").read_text() == "made\n"


def test_what_it_sees(tmp_path: Path) -> None:
    done = sh(
        "pwd; id -u; ls -A /; ls -A ~; hostname; cat /proc/net/dev | wc -l; grep -c . /proc/1/environ; env", tmp_path
    )
    assert str(tmp_path) not in done.text
    lines = done.text.splitlines()
    assert lines[0] == "/workspace" and lines[1] != "0"
    assert not {"root", "sys", "boot", "mnt", "srv", "var"} & set(lines) - {Path(sys.base_prefix).parts[1]}
    assert "sandbox" in lines and "3" in lines  # two lines of heading and lo


def test_rights(tmp_path: Path) -> None:
    status = sh("cat /proc/self/status; touch /x /dev/x /usr/x; cat /proc/1/environ | wc -c", tmp_path).text
    for line in ("CapEff:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"):
        assert line in status, status
    assert status.count("Read-only file system") == 3 and status.endswith("\n0\n"), status


def test_two_sandboxes_share_no_process_user(tmp_path: Path) -> None:
    """As root each workspace has a user of its own, so one cannot use up the other's processes."""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    if os.geteuid() == 0:
        assert sh("id -u", tmp_path / "a").text != sh("id -u", tmp_path / "b").text


@pytest.mark.flaky(reruns=2)  # judges time
def test_time_limit(tmp_path: Path) -> None:
    begin = time.monotonic()
    done = sh("echo before; (trap '' INT TERM; sleep 1000) & sleep 1000", tmp_path, timeout=0.7)
    assert time.monotonic() - begin < 1.7
    assert done == Done("before\n", None, "stopped after 0.7 s")


def test_cancelled_leaves_nothing(tmp_path: Path) -> None:
    async def cancel() -> None:
        task = asyncio.create_task(run(find(), ["sleep", "4242.25"], tmp_path, timeout=100))
        while not processes_of("4242.25"):
            await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    go(cancel())
    assert not processes_of("4242.25")


def test_killed_parent_takes_all_with_it(tmp_path: Path) -> None:
    """kill -9 in the middle: even children that ignore signals and left their session are gone."""
    code = (
        "import asyncio; from pathlib import Path; from ponder.sandbox.isolation import find; "
        "from ponder.sandbox.run import run; "
        "asyncio.run(run(find(), ['sh', '-c', \"trap '' HUP TERM INT; setsid sleep 4343.75 & sleep 4343.75\"], "
        f"Path({str(tmp_path)!r}), timeout=100))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 20
    while len(processes_of("4343.75")) < 4 and time.monotonic() < deadline:
        time.sleep(0.05)  # the parent, sh and two sleeps, and perhaps bwrap
    assert len(processes_of("4343.75")) >= 4
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    deadline = time.monotonic() + 3
    while processes_of("4343.75") and time.monotonic() < deadline:
        time.sleep(0.02)
    assert processes_of("4343.75") == []


def test_flood_is_cut_in_the_middle(tmp_path: Path) -> None:
    done = sh("echo first; yes | head -c 30000000; echo last", tmp_path)
    assert len(done.text) < 70_000 and done.text.startswith("first\n") and done.text.endswith("last\n")
    assert "bytes left out" in done.text


def test_memory_of_all_together(tmp_path: Path) -> None:
    code = "x = bytearray(b'1') * (120 * 2**20); import time; time.sleep(5)"
    done = sh(f'for i in 1 2 3; do python -c "{code}" & done; wait', tmp_path, limits=SandboxLimits(memory=256 * MB))
    assert done.problem == "all processes together used more than 256 MB of memory"


@pytest.mark.flaky(reruns=2)  # judges time
def test_workspace_size(tmp_path: Path) -> None:
    begin = time.monotonic()
    limits = SandboxLimits(workspace=20 * MB, file=8 * MB)
    done = sh("for i in 1 2 3 4 5 6; do head -c 7000000 /dev/zero > f$i; done; sleep 9", tmp_path, limits=limits)
    assert done.problem == "the files in the workspace grew beyond 20 MB" and time.monotonic() - begin < 3
    many = sh(
        "i=0; while [ $i -lt 3000 ]; do : > n$i; i=$((i+1)); done; sleep 9", tmp_path, limits=SandboxLimits(entries=200)
    )
    assert many.problem == "the workspace holds more than 200 files and folders"


def test_deep_folders(tmp_path: Path) -> None:
    done = sh("i=0; while [ $i -lt 900 ]; do mkdir 123456789 && cd 123456789; i=$((i+1)); done; sleep 9", tmp_path)
    assert done.problem == "the folders in the workspace are nested deeper than 64"


def test_without_bubblewrap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Landlock if it works, else a refusal that says what to do; never the host unasked."""
    monkeypatch.setenv("PATH", "/nowhere")
    for works, problem in ((True, None), (False, "Linux 6.12 or newer with Landlock is needed.")):
        monkeypatch.setattr(isolation, "attempt", lambda _, problem=problem: problem)
        isolation.probe.cache_clear()
        try:
            if works:
                assert find().name == "Landlock and seccomp" and find().safe
            else:
                with pytest.raises(UserError, match=r"(?s)not installed: apt-get install.*6\.12.*--unsafe-host-exec"):
                    find()
        finally:
            isolation.probe.cache_clear()
    assert not find(unsafe_host_exec=True).safe


def test_host_execution_ends_its_group(tmp_path: Path) -> None:
    done = go(run(Host(), ["sh", "-c", "pwd; sleep 4545.5 & sleep 4545.5"], tmp_path, timeout=0.5))
    assert done == Done(f"{tmp_path}\n", None, "stopped after 0.5 s")
    assert not processes_of("4545.5")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root lends its files")
def test_files_come_back_to_root(tmp_path: Path) -> None:
    async def two() -> list[int]:
        first = asyncio.create_task(run(find(), ["sh", "-c", "sleep 0.6; echo x > late"], tmp_path, timeout=10))
        await run(find(), ["sh", "-c", "ln old new; mkdir -p d/e; touch d/e/f"], tmp_path, timeout=10)
        during = tmp_path.stat().st_uid
        assert (await first).code == 0
        return [during, *{path.lstat().st_uid for path in [tmp_path, *tmp_path.rglob("*")]}]

    (tmp_path / "old").write_text("mine")
    (tmp_path / "out").symlink_to("/etc/passwd")
    during, *after = go(two())
    assert during > 0x70000000 and after == [0] and os.stat("/etc/passwd").st_uid == 0
    assert sorted(os.listdir(tmp_path)) == ["d", "late", "new", "old", "out"]


def test_number_of_processes(tmp_path: Path) -> None:
    """The kernel's own limit, which a root that is only renamed would not feel."""
    code = (
        "import os, time\n"
        "try:\n"
        "    for n in range(500):\n"
        "        if os.fork() == 0: time.sleep(30); os._exit(0)\n"
        "except BlockingIOError: print(n, flush=True)"
    )
    done = go(run(find(), ["python", "-I", "-S", "-c", code], tmp_path, timeout=20))
    assert 50 < int(done.text) < 64, done


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.3])
def test_killed_parent_at_any_moment_of_the_start(tmp_path: Path, delay: float) -> None:
    """Also between bubblewrap's clone and its first words, when its own guards are not yet up."""
    code = (
        "import asyncio; from pathlib import Path; from ponder.sandbox.isolation import find; "
        "from ponder.sandbox.run import run; "
        f"asyncio.run(run(find(), ['sleep', '4646.5'], Path({str(tmp_path)!r}), timeout=100))"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    deadline = time.monotonic() + 20
    while len(processes_of("4646.5")) < 2 and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(delay)
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 5
    while processes_of("4646.5") and time.monotonic() < deadline:
        time.sleep(0.02)
    assert processes_of("4646.5") == []
