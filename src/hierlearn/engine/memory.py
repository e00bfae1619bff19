"""What fits: sizes that do not are refused before anything is allocated.

Of a container the control groups of Linux tell what is left to this process, which neither the
affinity nor the machine's memory shows: beyond the quota processes wait for each other, and beyond
the limit they are killed.
"""

import math
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import torch

GROUPS, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


class TooLargeError(MemoryError):
    """A computation that would not fit into memory; nothing was allocated."""


def require(n_bytes: int, device: torch.device, what: str) -> None:
    """Raise TooLargeError, naming the bytes needed and those available, unless `n_bytes` fit."""
    available = available_bytes(device)
    if n_bytes > available:
        raise TooLargeError(
            f"{what} needs {n_bytes} bytes ({n_bytes / 2**30:.1f} GiB); device {device} has "
            f"{available} ({available / 2**30:.1f} GiB) available. Take fewer samples or another "
            "device."
        )


def available_bytes(device: torch.device) -> int:
    """Return the bytes that can still be allocated on `device`, as far as the system tells."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        line = next(line for line in lines if line.startswith("MemAvailable"))
        return int(min(int(line.split()[1]) * 1024, free_bytes()))
    except (OSError, StopIteration):
        return _physical_bytes()


def _physical_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not POSIX: unknown, so nothing is refused
        return 2**62


def cores() -> float:
    """Return for how many cores there is time; infinity without a quota."""
    found = [math.inf]
    for folder in _around("cpu"):
        for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
            with suppress(OSError, ValueError):  # of the other version, or "max"
                quota, period = " ".join((folder / name).read_text() for name in names).split()
                found += [int(quota) / int(period)] if int(quota) > 0 else []
    return min(found)


def free_bytes() -> float:
    """Return how many bytes can still be allocated, by giving up cached files; or infinity."""
    found = [math.inf]
    for folder in _around("memory"):
        for names in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            with suppress(OSError, ValueError):
                limit, used = (int((folder / name).read_text()) for name in names)
                table = (folder / "memory.stat").read_text().split()
                stat = dict(zip(table[::2], table[1::2], strict=True))
                cache = stat.get("total_inactive_file", stat["inactive_file"])
                found.append(limit - used + int(cache))
    return max(0, min(found))


def _around(controller: str) -> Iterator[Path]:
    """Give the folders of the groups that hold this process, of either version."""
    with suppress(OSError):  # not Linux
        for line in OWN.read_text().splitlines():
            _, kinds, path = line.split(":", 2)
            if not kinds or controller in kinds.split(","):
                base = GROUPS / controller if kinds else GROUPS
                own = base / path.strip("/")  # in a container only `base` is there
                yield from {base, *(one for one in (own, *own.parents) if base in one.parents)}
