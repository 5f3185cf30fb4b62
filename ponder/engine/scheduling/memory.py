"""How much memory there is for the key/value cache: the machine's free memory, or a container's if that is less."""

from pathlib import Path

from ponder.kernels.control_groups import OWN, ROOT, groups, number
from ponder.kernels.memory import total_memory

# of a control group, version 2 and version 1: its limits, what is in use, and which fields of memory.stat can be given
# back at once: the page cache counts as in use, and a model file that was just read fills it
_VERSIONS = (
    (("memory.max", "memory.high"), "memory.current", ("active_file", "inactive_file", "slab_reclaimable")),
    (("memory.limit_in_bytes",), "memory.usage_in_bytes", ("total_active_file", "total_inactive_file")),
)


def free_memory(meminfo: Path = Path("/proc/meminfo"), cgroup: Path = ROOT, own: Path = OWN) -> int | None:
    """Bytes this process may still use; None where the system does not tell (not Linux)."""
    found = [free for group in groups("memory", cgroup, own) if (free := _group_free(group)) is not None]
    if meminfo.exists():
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        found.append(int(lines["MemAvailable"].split()[0]) * 1024)
    return min(found, default=None)


def free_beside(weights: int) -> int | None:
    """Bytes that are left for a cache when so many bytes of weights are in memory too. Mapped weights count as free
    memory, but what a cache takes of theirs must be read again for every token; an eighth is given up at most."""
    free = free_memory()
    return None if free is None else max(free - weights, free // 8)


def cache_tokens(bytes_per_token: int, context: int, max_batch: int, free: int | None) -> int:
    """How many tokens the cache should hold by default: every sequence of a full batch at full length if that takes a
    quarter of the free memory at most, else that quarter; but one full context may take half of it. free: None, where
    the system does not tell, stands for half of the machine's."""
    free = total_memory() // 2 if free is None else free
    quarter, half = free // 4 // bytes_per_token, free // 2 // bytes_per_token
    return min(max_batch * context, max(quarter, min(context, half)))


def _group_free(group: Path) -> int | None:
    for limits, used, reclaimable in _VERSIONS:
        limit = min((n for name in limits if (n := number(group / name)) is not None), default=None)
        if limit is not None and (taken := number(group / used)) is not None:
            stat = group / "memory.stat"
            fields = dict(line.split() for line in stat.read_text().splitlines()) if stat.exists() else {}
            return max(0, limit - max(0, taken - sum(int(fields.get(name, 0)) for name in reclaimable)))
    return None
