"""What a worker does: measuring one unit."""

import os
import platform
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from textwrap import shorten
from typing import Any

import numpy
import scipy
import torch

import hierlearn
from hierlearn.engine import devices
from hierlearn.experiment import Experiment, Group
from hierlearn.records import code_fingerprint, plain_measurements

_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_DRIVER = "HIERLEARN_DRIVER"
"""The variable that tells a worker the process id of its driver."""


@dataclass(frozen=True)
class Unit:
    """A group to be measured, with its experiment: what a worker is given at a time.

    `seconds` is how long that is expected to take.
    """

    experiment: Experiment
    group: Group
    seconds: float = 1.0

    def __str__(self) -> str:
        runs = self.group.runs
        seeds = sorted({run.seed for run in runs})
        about = shorten(f"{len(runs)} runs, seeds {seeds}, first config {runs[0].config}", 160)
        return f"{self.experiment.name}, group {self.group.key} ({about})"


@dataclass(frozen=True)
class Result:
    """What comes back from a worker: plain values, or the traceback of a failure as `error`.

    `code` is the fingerprint of the code that the worker ran; `circumstances` is the part of the
    provenance that only the worker knows.
    """

    code: str
    measurements: list[dict[str, Any]] = field(default_factory=list)
    circumstances: dict[str, Any] = field(default_factory=dict)
    error: str = ""


def measure_unit(
    measure: Callable[[Group, torch.device], list[dict[str, Any]]], group: Group, device: str
) -> Result:
    """Measure one group in this process, on one thread; never raises what `measure` raises.

    `device` is resolved here: a remote worker may have a GPU where the driver has none.
    """
    code = ""
    try:
        code = code_fingerprint(measure)
        target = devices.resolve(device)
        devices.prepare(target)
        devices.reset_peak_memory(target)
        wall, cpu = time.perf_counter(), time.process_time()
        measurements = plain_measurements(group, measure(group, target))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    except Exception:  # whatever it is, the driver names the unit and the others go on
        return Result(code, error=traceback.format_exc())
    circumstances = {
        "packages": _packages(),
        "device": "cpu" if target.type == "cpu" else devices.describe(target),
        "machine": devices.machine(),
        "dtype": str(group.runs[0].config.get("dtype", torch.get_default_dtype())),
        "threads": torch.get_num_threads(),
        "wall_s": round(wall, 4),
        "cpu_s": round(cpu, 4),
        "peak_mb": devices.peak_memory_mb(target),
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    return Result(code, measurements, circumstances)


def measuring_variables() -> dict[str, str]:
    """Return the environment of workers that measure: one thread each, and who their driver is."""
    return {**dict.fromkeys(_ONE_THREAD, "1"), _DRIVER: str(os.getpid())}


def refuse_in_worker() -> None:
    """Raise RuntimeError in a worker that computes because it imports an unguarded script."""
    if os.environ.get(_DRIVER, str(os.getpid())) != str(os.getpid()):
        raise RuntimeError("a worker process must not compute: put it under `if __name__ == ...`")


def _packages() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "scipy": scipy.__version__,
        "hierlearn": hierlearn.__version__,
    }
