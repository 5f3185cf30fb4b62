"""How a command starts in a sandbox: what the isolations have in common, and the one that isolates nothing."""

import json
import os
import site
import sys
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct, structs

from ponder.sandbox.limits import SandboxLimits
from ponder.sandbox.supervisor import supervised

GUEST = Path(__file__).parent / "guest"
SYSTEM = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
# Of /etc only what programs need to start and to draw text. Nothing of users, hosts, mounts or secrets.
ETC = ("alternatives", "fonts", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "localtime", "mime.types", "os-release")
USERS = 0x70000000  # users for sandboxes started by root: a range that distributions and systemd leave alone


class Launch(Struct):
    """A sandbox to start. env: of its first process. fds: to pass on, and to close here once it runs. uid: owner of
    what the code writes, if that is not us. home: a folder to remove at the end."""

    argv: list[str]
    env: dict[str, str]
    fds: list[int]
    uid: int | None = None
    home: str | None = None

    def supervised(self, owner: int) -> list[str]:
        """owner: the reading end of the pipe whose end ends the sandbox."""
        return supervised(self.argv, owner, home=self.home)


class Isolation(ABC):
    """name: for people. safe: keeps untrusted code in. inside: the folder of the `guest` scripts as the code
    sees it."""

    name: str
    safe = True
    inside: str

    @abstractmethod
    def launch(self, command: Sequence[str], workspace: Path, limits: SandboxLimits) -> Launch: ...


class Host(Isolation):
    """No isolation: limits for each process, and the supervisor."""

    name = "none (unsafe host execution)"
    safe = False
    inside = str(GUEST)

    def launch(self, command: Sequence[str], workspace: Path, limits: SandboxLimits) -> Launch:
        home = tempfile.mkdtemp(prefix="ponder-home-")
        argv = starting(f"{self.inside}/start.py", command, str(workspace), limits, None, others=other_processes())
        return Launch(argv, environment(home, home), [], home=home)


def user_for(workspace: Path) -> int | None:
    """As root, the user of the sandboxes of a workspace: a kernel and a shell share it, two conversations do not."""
    return USERS + workspace.stat().st_ino % 2**27 if os.geteuid() == 0 else None


def starting(
    script: str, command: Sequence[str], folder: str, limits: SandboxLimits, uid: int | None, *, others: int
) -> list[str]:
    """others: processes outside that count for the limit."""
    settings = {"uid": uid, "folder": folder, "limits": structs.asdict(limits), "others": others}
    return [sys.executable, "-I", "-S", script, json.dumps(settings), *command]


def threads() -> int:
    return min(4, len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1)


def other_processes() -> int:
    """Processes and threads of this user."""
    count = 0
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if folder.stat().st_uid == os.geteuid():
                count += len(os.listdir(folder / "task"))
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue
    return count


def python_folders() -> list[str]:
    """Where the running interpreter and its packages live: never a source tree or a home folder as a whole."""
    folders = [sys.base_prefix, sys.prefix]
    folders += [p for p in sys.path if Path(p).name in ("site-packages", "dist-packages") and os.path.isdir(p)]
    both = [p for folder in folders for p in (os.path.abspath(folder), os.path.realpath(folder))]
    kept: list[str] = []
    for folder in sorted(set(both), key=len):
        if folder != "/" and not any(Path(folder).is_relative_to(p) for p in ["/usr", *kept]):
            kept.append(folder)
    return kept


def environment(home: str, tmp: str) -> dict[str, str]:
    """All of it. Numerical libraries would start a thread for each processor of the host and meet the limit."""
    return {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": home,
        "TMPDIR": tmp,
        "USER": "sandbox",
        "LANG": "C.UTF-8",
        "TERM": "dumb",
        "NO_COLOR": "1",
        "PIP_NO_INDEX": "1",  # there is no network: pip says so at once, without trying for a while
        **({"PYTHONUSERBASE": site.getuserbase()} if site.getusersitepackages() in sys.path else {}),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
        "MPLCONFIGDIR": f"{home}/.matplotlib",
        "OMP_NUM_THREADS": str(threads()),
        "OPENBLAS_NUM_THREADS": str(threads()),
    }
