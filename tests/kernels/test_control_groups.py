"""The limits of the process's own control group and of all above it, as systemd, Slurm and containers set them."""

from pathlib import Path

import pytest

from ponder.engine.scheduling.memory import free_memory
from ponder.kernels.control_groups import groups
from ponder.kernels.cpu import usable_cpus

GB = 1 << 30


def put(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")


def own(tmp_path: Path, *lines: str) -> Path:
    put(tmp_path, {"own": "\n".join(lines)})
    return tmp_path / "own"


@pytest.fixture
def many_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(64)))


@pytest.mark.usefixtures("many_cpus")
def test_the_least_quota_from_the_own_group_up_binds(tmp_path: Path) -> None:
    root, mine = tmp_path / "cg", own(tmp_path, "0::/system.slice/ponder.service")
    put(root, {"system.slice/ponder.service/cpu.max": "300000 100000", "system.slice/cpu.max": "max 100000"})
    assert usable_cpus(root, mine) == 3
    put(root, {"system.slice/cpu.max": "200000 100000"})
    assert usable_cpus(root, mine) == 2, "a group above has less"
    put(root, {"system.slice/other.service/cpu.max": "100000 100000"})
    assert usable_cpus(root, mine) == 2, "one beside it is another's"


@pytest.mark.usefixtures("many_cpus")
def test_version_one_and_both_at_once(tmp_path: Path) -> None:
    root = tmp_path / "cg"
    mine = own(tmp_path, "4:memory:/job", "2:cpu,cpuacct:/slurm/job", "0::/slurm")
    put(root, {"cpu/slurm/job/cpu.cfs_quota_us": "400000", "cpu/slurm/job/cpu.cfs_period_us": "100000",
               "cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"})  # fmt: skip
    assert usable_cpus(root, mine) == 4
    put(root, {"unified/slurm/cpu.max": "150000 100000"})
    assert usable_cpus(root, mine) == 1


@pytest.mark.usefixtures("many_cpus")
def test_a_path_that_is_not_there_is_the_mounted_group(tmp_path: Path) -> None:
    """A container without a namespace for control groups reads the path outside; with one it may read `/../..`."""
    root = tmp_path / "cg"
    put(root, {"cpu.max": "500000 100000"})
    for path in ("/docker/0123456789ab", "/../../other", "/"):
        assert usable_cpus(root, own(tmp_path, f"0::{path}")) == 5
    assert usable_cpus(root, tmp_path / "nothing") == 5
    assert [*groups("cpu", tmp_path / "none", tmp_path / "nothing")] == []


def test_the_page_cache_is_not_used_memory(tmp_path: Path) -> None:
    root, mine, no_meminfo = tmp_path / "cg", own(tmp_path, "0::/a/b"), tmp_path / "none"
    stat = f"anon {GB}\nfile {6 * GB}\nactive_file {2 * GB}\ninactive_file {3 * GB}\nshmem {GB}\nslab_reclaimable {GB}"
    put(root, {"a/b/memory.max": "max", "a/b/memory.current": str(8 * GB), "a/b/memory.stat": stat,
               "a/memory.max": str(10 * GB), "a/memory.current": str(8 * GB), "a/memory.stat": stat})  # fmt: skip
    assert free_memory(no_meminfo, root, mine) == 8 * GB, "10 less 8, of which 6 can be given back"
    put(root, {"a/b/memory.high": str(5 * GB)})
    assert free_memory(no_meminfo, root, mine) == 3 * GB
    put(root, {"a/b/memory.max": str(4 * GB)})
    assert free_memory(no_meminfo, root, mine) == 2 * GB


def test_memory_of_version_one(tmp_path: Path) -> None:
    root, mine = tmp_path / "cg", own(tmp_path, "4:memory:/job", "0::/")
    put(root, {"memory/job/memory.limit_in_bytes": str(4 * GB), "memory/job/memory.usage_in_bytes": str(3 * GB),
               "memory/job/memory.stat": f"cache {2 * GB}\ntotal_active_file {GB}\ntotal_inactive_file {GB}",
               "memory/memory.limit_in_bytes": "9223372036854771712",
               "memory/memory.usage_in_bytes": str(90 * GB)})  # fmt: skip
    assert free_memory(tmp_path / "none", root, mine) == 3 * GB
