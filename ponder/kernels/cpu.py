"""What the CPUs of this machine give: how many this process may use, and the roofline that native loops measure.

usable_cpus()              # the smaller of the affinity mask and the control groups' quota
read_bandwidth()           # bytes a second (csrc/runtime/peak.cpp)
steady_bandwidth()         # the same, the best of several moments
compute_peak("int8")       # operations a second
"""

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

from ponder.kernels.control_groups import OWN, ROOT, groups, number


def usable_cpus(cgroup: Path = ROOT, own: Path = OWN) -> int:
    """At least 1. A container limited to 2.5 CPUs counts as 2: a third thread would only be throttled."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = [quota for group in groups("cpu", cgroup, own) if (quota := _quota(group)) is not None]
    return max(1, min(affinity, int(min(quotas, default=affinity))))


def cpu_name(cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor()
    )


def _quota(group: Path) -> float | None:
    """CPUs granted by cgroup v2 (cpu.max: "max 100000" or "250000 100000") or v1; None when unlimited or unreadable."""
    try:
        limit, period = (group / "cpu.max").read_text().split()
        return None if limit == "max" else int(limit) / int(period)
    except (OSError, ValueError):
        pass
    limit_us, period_us = number(group / "cpu.cfs_quota_us"), number(group / "cpu.cfs_period_us")
    return limit_us / period_us if limit_us and period_us and limit_us > 0 else None


def read_bandwidth(nbytes: int = 512 << 20, tries: int = 8) -> float:
    """Bytes a second that all threads read from memory together, the best of several tries. nbytes: far above any
    cache."""
    from ponder.kernels.extension import _native  # the CPUs are counted where the extension is broken, too

    return float(_native.read_bandwidth(nbytes, tries))


def steady_bandwidth(probe: Callable[[], float] | None = None, *, probes: int = 5, pause: float = 0.2) -> float:
    """The best of several probes, until two of them agree on it: one alone may meet a busy moment."""
    best, agreeing = 0.0, 0
    for n in range(probes):
        if n:
            time.sleep(pause)
        found = (probe or read_bandwidth)()
        if found > 1.03 * best:
            agreeing = 0
        agreeing += found > 0.97 * best
        best = max(best, found)
        if agreeing == 2:
            break
    return best


def compute_peak(kind: str, tries: int = 8) -> float:
    """Operations a second (a multiplication and an addition are two) of all threads with the best instruction of this
    CPU for weights of this kind: "f32", "bf16", "int8" or "int4" (which is multiplied as int8)."""
    from ponder.kernels.extension import _native

    return float(_native.compute_peak(kind, tries))
