"""Where numbers are computed: choosing a device, describing it, and what it cost in memory."""

import os
import platform
import re
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import torch

from hierlearn.choices import DEVICES
from hierlearn.engine.memory import cores

STEERS = re.compile("MKL_(CBWR|ENABLE|DEBUG)|(ONE)?DNN|OPENBLAS_C|NPY_|NVIDIA_TF32|GLIBC_TUN")


class DeviceError(ValueError):
    """The device asked for is unknown, or this machine has none."""


def resolve(device: str) -> torch.device:
    """Return the device meant by "auto" (CUDA where there is one, else the CPU), "cpu" or "cuda".

    Raises DeviceError for any other name, and for "cuda" without a usable one, saying what was
    found.
    """
    if device not in DEVICES:
        raise DeviceError(f"unknown device {device!r}; valid: {', '.join(DEVICES)}")
    if device != "cpu" and torch.cuda.is_available():
        return torch.device("cuda")
    if device == "cuda":
        build = f" for CUDA {torch.version.cuda}, but no usable GPU"
        found = build if torch.version.cuda else ", which is built without CUDA"
        raise DeviceError(
            f"no device 'cuda' here: found torch {torch.__version__}{found}, on {machine()}; "
            "use auto or cpu"
        )
    return torch.device("cpu")


def describe(device: torch.device) -> str:
    """Return the hardware behind `device` in words, such as "cuda: NVIDIA H200, 140 GiB"."""
    if device.type != "cuda":
        return f"{device.type}: {machine()}"
    found = torch.cuda.get_device_properties(device)
    return f"cuda: {found.name}, {found.total_memory / 2**30:.0f} GiB"


@lru_cache
def machine() -> str:
    """Return the processor's model, its instruction set, and the cores that this process may use.

    The instruction set is what torch uses of it, with the variables by which the environment
    chooses others for the numerical libraries: where they differ, so do the last digits.
    """
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    name = (names or [platform.processor() or platform.machine() or "unknown processor"])[0]
    n_cores, instructions = available_cores(), torch.backends.cpu.get_cpu_capability()
    chosen = [f"{key}={value}" for key, value in sorted(os.environ.items()) if STEERS.match(key)]
    used = ", ".join([instructions, *chosen])
    return f"{name} ({used}), {n_cores} core{'s' if n_cores > 1 else ''}"


def available_cores() -> int:
    """Return the number of cores that this process may use, by its affinity and its quota."""
    known = hasattr(os, "sched_getaffinity")  # not on macOS or Windows
    n_cores = len(os.sched_getaffinity(0)) if known else os.cpu_count() or 1
    return max(1, int(min(n_cores, cores())))


class GPU:
    """A device as an experiment may ask for it: one that takes too long on a CPU."""

    name, sha256 = "a GPU", ""

    def missing(self) -> str:
        """Return why there is none here; nothing where there is one."""
        found = torch.cuda.is_available()
        return "" if found else "a GPU is needed, and torch finds none that it can use by CUDA here"


def prepare(device: torch.device) -> None:
    """Make this process compute reproducibly: one thread, no TF32, deterministic CUDA kernels."""
    torch.set_num_threads(1)
    if device.type != "cuda":
        return
    # cuBLAS is deterministic only with a fixed workspace, chosen before its first use.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Deterministic mode also fills every new tensor, which only helps code that reads garbage.
    # (Ignored: torch does not declare this name.)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def reset_peak_memory(device: torch.device) -> None:
    """Start measuring peak memory anew, as far as the system can."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        return
    with suppress(OSError):  # not Linux, or not allowed: the peak is that of the whole process
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory_mb(device: torch.device) -> float:
    """Return the peak memory in MB since the last reset: allocated on CUDA, else resident."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 1e6, 1)
    with suppress(OSError, StopIteration):
        lines = Path("/proc/self/status").read_text().splitlines()
        # Not getrusage: a spawned process inherits the peak of its parent there.
        peak = next(line for line in lines if line.startswith("VmHWM"))
        return round(int(peak.split()[1]) * 1024 / 1e6, 1)
    with suppress(ImportError):  # Windows
        import resource

        unit = 1 if platform.system() == "Darwin" else 1024
        return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6, 1)
    return 0.0
