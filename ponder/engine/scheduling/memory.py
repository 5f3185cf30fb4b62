"""How much memory there is for the key/value cache: the machine's free memory, or a container's if that is less."""

from pathlib import Path

_LIMITS = (  # (limit, in use) of the control group this process may be in: version 2, version 1
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)


def free_memory(meminfo: Path = Path("/proc/meminfo"), cgroup: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Bytes this process may still use; None where the system does not tell (not Linux)."""
    found = [free for limit, used in _LIMITS if (free := _cgroup_free(cgroup / limit, cgroup / used)) is not None]
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
    quarter of the free memory at most, else that quarter; but one full context may take half of it."""
    free = 8 << 30 if free is None else free
    quarter, half = free // 4 // bytes_per_token, free // 2 // bytes_per_token
    return min(max_batch * context, max(quarter, min(context, half)))


def _cgroup_free(limit: Path, used: Path) -> int | None:
    if not limit.exists() or (text := limit.read_text().strip()) == "max":
        return None
    return max(0, int(text) - int(used.read_text()))
