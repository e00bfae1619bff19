"""Refusing sizes that do not fit, before anything is allocated."""

import os
from pathlib import Path

import torch

from hierlearn.engine import limits


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
    """Return the bytes that can still be allocated on `device`, as far as the system tells.

    Of a container's memory, it is what its limit leaves.
    """
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        line = next(line for line in lines if line.startswith("MemAvailable"))
        return int(min(int(line.split()[1]) * 1024, limits.free_bytes()))
    except (OSError, StopIteration):
        return _physical_bytes()


def _physical_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # not POSIX: unknown, so nothing is refused
        return 2**62
