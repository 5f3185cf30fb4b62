"""The escape suite: every attack first outside, then in the sandbox, as the user who runs this.

    python tests/sandbox/suite.py           # a table; exit code 1 if an attack works inside or leaves something behind
    python tests/sandbox/suite.py --json    # one line for each attack
    python tests/sandbox/suite.py --landlock    # in the fallback
    python tests/sandbox/suite.py "fork bomb" "DNS"    # only these

An attack that does not work outside (no right to it, an old kernel) is reported and proves nothing.
"""

import asyncio
import contextlib
import ctypes
import json
import os
import platform
import secrets
import shutil
import signal
import socket
import stat
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from attacks import ATTACKS, PRELUDE, Attack

from ponder.sandbox.isolation import attempt, find
from ponder.sandbox.landlocked import Landlocked
from ponder.sandbox.launch import Isolation
from ponder.sandbox.limits import MB, SandboxLimits
from ponder.sandbox.run import run
from ponder.sandbox.seccomp import CLONE, DENIED

LIMITS = SandboxLimits(memory=128 * MB, processes=64, file=16 * MB, workspace=32 * MB, scratch=32 * MB, cpu=1)
VICTIM = """
import ctypes, os, signal, sys, time
signal.signal(signal.SIGUSR1, lambda *_: None)
secret = open(sys.argv[2])
buffer = ctypes.create_string_buffer(os.environ["PONDER_SECRET"].encode())
print(ctypes.addressof(buffer), flush=True)
time.sleep(600)
"""


class Targets:
    """What the attacks are after: made for the occasion, and looked at afterwards."""

    def __init__(self) -> None:
        self.canary = f"canary{secrets.token_hex(8)}"
        self.abstract = f"ponder-{secrets.token_hex(8)}"
        self.home = Path(tempfile.mkdtemp(prefix="ponder-home-"))
        (self.home / ".ssh").mkdir()
        (self.home / ".ssh/id_rsa").write_text(self.canary)
        (self.home / ".bashrc").write_text("# empty\n")
        (self.home / ".ssh/id_rsa").chmod(0o600)
        self.shm = Path("/dev/shm") / self.abstract
        self.shm.write_text(self.canary)
        os.environ["PONDER_SECRET"] = self.canary
        key = self.home / ".ssh/id_rsa"
        self.victim = subprocess.Popen(
            [sys.executable, "-c", VICTIM, self.canary, key], stdout=subprocess.PIPE, text=True, cwd=self.home / ".ssh"
        )
        assert self.victim.stdout is not None
        self.address = int(self.victim.stdout.readline())
        self.nice = 0
        self.sysv = self._sysv()
        self.heard: list[str] = []
        self.sockets = [
            self._listen(socket.socket(socket.AF_INET), ("127.0.0.1", 0)),
            self._listen(socket.socket(socket.AF_INET6), ("::1", 0)),
            self._listen(socket.socket(socket.AF_UNIX), str(self.home / "socket")),
            self._listen(socket.socket(socket.AF_UNIX), f"\0{self.abstract}"),
            self._listen(socket.socket(socket.AF_INET, socket.SOCK_DGRAM), ("127.0.0.1", 0)),
        ]

    def _sysv(self) -> int:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.shmat.restype = ctypes.c_void_p
        segment = libc.shmget(0, 4096, 0o1600)
        at = libc.shmat(segment, None, 0)
        ctypes.memmove(at, self.canary.encode(), len(self.canary))
        libc.shmdt(ctypes.c_void_p(at))
        return int(segment)

    def _listen(self, server: socket.socket, address: Any) -> socket.socket:
        server.bind(address)
        stream = server.type == socket.SOCK_STREAM
        if stream:
            server.listen()

        def serve() -> None:
            while True:
                try:
                    if stream:
                        server.accept()[0].close()
                    else:
                        server.sendto(b"answer", server.recvfrom(1000)[1])
                except OSError:
                    return
                self.heard.append(str(server))

        threading.Thread(target=serve, daemon=True).start()
        return server

    def told(self) -> dict[str, Any]:
        column = 0 if platform.machine() == "x86_64" else 1
        return {
            "yranac": self.canary[::-1],
            "home": str(self.home),
            "site": sysconfig.get_paths()["purelib"],
            "shm": self.shm.name,
            "sysv": self.sysv,
            "tcp": self.sockets[0].getsockname()[1],
            "tcp6": self.sockets[1].getsockname()[1],
            "unix": str(self.home / "socket"),
            "abstract": self.abstract,
            "udp": self.sockets[4].getsockname()[1],
            "victim": self.victim.pid,
            "address": self.address,
            "machine": platform.machine(),
            "numbers": {**{name: n[column] for name, n in DENIED.items()}, "clone": CLONE[column]},
        }

    def harm(self) -> str:
        """What of the targets is no longer as it was; resets the record."""
        found = []
        if sorted(p.name for p in self.home.iterdir()) != [".bashrc", ".ssh", "socket"]:
            found.append("files in the home folder")
        if (self.home / ".bashrc").read_text() != "# empty\n":
            found.append("changed .bashrc")
        if stat.S_IMODE((self.home / ".ssh/id_rsa").stat().st_mode) != 0o600:
            found.append("changed mode")
        if self.heard:
            found.append("a service was reached")
        if self.victim.poll() is not None or os.getpriority(os.PRIO_PROCESS, self.victim.pid) != self.nice:
            found.append("the other process was touched")
        if others := list(Path("/dev/shm").glob(f"{self.shm.name}-*")):
            found.append("files in /dev/shm")
        for path in others:
            path.unlink()
        self.heard.clear()
        return ", ".join(found)

    def mend(self) -> None:
        """After an attack outside."""
        for name in ("planted", "moved"):
            (self.home / name).unlink(missing_ok=True)
        (self.home / ".ssh/id_rsa").chmod(0o600)
        (self.home / ".bashrc").write_text("# empty\n")
        self.nice = os.getpriority(os.PRIO_PROCESS, self.victim.pid)
        time.sleep(0.02)  # for the listeners' threads
        for path in Path("/dev/shm").glob(f"{self.shm.name}-*"):
            path.unlink()
        self.heard.clear()

    def close(self) -> None:
        self.victim.kill()
        self.victim.wait()
        for server in self.sockets:
            server.close()
        self.shm.unlink()
        ctypes.CDLL(None).shmctl(self.sysv, 0, None)
        shutil.rmtree(self.home)


def outside(attack: Attack, told: str) -> bool:
    """Whether it works in an ordinary process of this user."""
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", PRELUDE + attack.code, told],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            said, _ = process.communicate(timeout=15)
        except subprocess.TimeoutExpired:
            said = b""
        if attack.trace:
            return appears(Path(folder) / attack.trace)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        return b"ESCAPED" in said


def appears(path: Path) -> bool:
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        if path.exists():
            return True
        time.sleep(0.1)
    return False


async def inside(attack: Attack, told: str, isolation: Isolation) -> tuple[bool, str]:
    """Whether it works in the sandbox, and what it said."""
    folder = Path(tempfile.mkdtemp(prefix="ponder-work-"))
    try:
        done = await run(
            isolation, ["python", "-I", "-S", "-c", PRELUDE + attack.code, told], folder, timeout=15, limits=LIMITS
        )
        traced = bool(attack.trace) and await asyncio.to_thread(appears, folder / attack.trace)
        assert "RAN" in done.text, f"{attack.name} did not run: {done}"
        return "ESCAPED" in done.text or traced, done.problem or (done.text.strip().splitlines() or [""])[-1]
    finally:
        shutil.rmtree(folder)


def results() -> list[dict[str, Any]]:
    isolation = Landlocked() if "--landlock" in sys.argv else find()
    if problem := attempt(isolation):
        sys.exit(f"{isolation.name} does not work here: {problem}")
    out = []
    targets = Targets()
    try:
        told = json.dumps(targets.told())
        wanted = [word for word in sys.argv[1:] if not word.startswith("--")]
        for attack in (attack for attack in ATTACKS if not wanted or attack.name in wanted):
            begin = time.monotonic()
            proven = outside(attack, told)
            middle = time.monotonic()
            targets.mend()
            before = children()
            works, said = asyncio.run(inside(attack, told, isolation))
            left = targets.harm()
            if after := children() - before:
                left += f" processes {after}"
            took = f"{middle - begin:.1f} + {time.monotonic() - middle:.1f} s"
            out.append(
                {"took": took, "attack": attack.name, "outside": proven, "inside": works, "said": said, "left": left}
            )
            targets.mend()
    finally:
        targets.close()
    return out


def children() -> set[int]:
    """Living descendants of this process."""
    found: set[int] = set()
    todo = [os.getpid()]
    while todo:
        pid = todo.pop()
        try:
            if Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z":
                found.discard(pid)
                continue
            for task in os.listdir(f"/proc/{pid}/task"):
                new = set(map(int, Path(f"/proc/{pid}/task/{task}/children").read_text().split()))
                todo += new - found
                found |= new
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def main() -> int:
    # Orphans of an attack come to us, so that none hides behind the first process of the machine.
    ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
    rows = results()
    for row in rows:
        if "--json" in sys.argv:
            print(json.dumps(row))
        else:
            verdict = "ESCAPED" if row["inside"] else "left " + row["left"] if row["left"] else "held"
            proof = "works outside" if row["outside"] else "NOT PROVEN outside"
            print(f"{row['attack']:38} {proof:20} {verdict:8} {row['took']:14} {row['said'][:60]}")
    bad = [row for row in rows if row["inside"] or row["left"]]
    proven = sum(row["outside"] for row in rows)
    print(f"user {os.geteuid()}: {len(rows)} attacks, {proven} proven outside, {len(bad)} work inside", file=sys.stderr)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
