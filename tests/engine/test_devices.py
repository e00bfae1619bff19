import math
import os
import subprocess
import sys

import pytest
import torch

from hierlearn.engine import devices, memory
from hierlearn.sweeps import replay
from hierlearn.sweeps.executors import LocalPool


def test_the_cpu_is_found_by_name_and_auto_finds_something():
    assert devices.resolve("cpu") == torch.device("cpu")
    assert devices.resolve("auto").type in ("cpu", "cuda")


@pytest.mark.parametrize("name", ["gpu", "", "CPU", "cuda:7"])
def test_an_unknown_device_is_an_error_that_lists_the_valid_ones(name):
    with pytest.raises(devices.DeviceError, match="auto, cpu, cuda") as error:
        devices.resolve(name)
    assert repr(name) in str(error.value)


def test_cuda_without_a_gpu_is_an_error_that_says_what_was_found(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(devices.DeviceError, match=f"found torch {torch.__version__[:3]}") as error:
        devices.resolve("cuda")
    assert devices.machine() in str(error.value)
    assert devices.resolve("auto").type == "cpu"


def test_a_device_is_described_by_model_and_size():
    assert devices.describe(torch.device("cpu")) == f"cpu: {devices.machine()}"
    assert devices.machine().split()[-1] in ("core", "cores")
    assert 1 <= devices.available_cores() <= (os.cpu_count() or 1)


GROUPS = {
    "0::/box": {"cpu.max": "150000 100000", "memory.max": "4000", "memory.current": "3000"},
    "4:cpu,cpuacct:/\n5:memory:/box": {
        "cpu/cpu.cfs_quota_us": "150000", "cpu/cpu.cfs_period_us": "100000",
        "memory/box/memory.limit_in_bytes": "4000", "memory/box/memory.usage_in_bytes": "3000",
    },
}  # fmt: skip


@pytest.mark.parametrize("own", GROUPS)
def test_what_a_container_leaves_is_seen_in_both_versions_of_control_groups(
    tmp_path, monkeypatch, own
):
    monkeypatch.setattr(memory, "GROUPS", tmp_path)
    monkeypatch.setattr(memory, "OWN", tmp_path / "own")
    assert (memory.cores(), memory.free_bytes()) == (math.inf, math.inf)
    (tmp_path / "own").write_text(own)
    assert (memory.cores(), memory.free_bytes()) == (math.inf, math.inf)
    (tmp_path / "cpu.max").write_text("max 100000")
    for name, text in GROUPS[own].items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
        if "memory" in name:
            (tmp_path / name).with_name("memory.stat").write_text("anon 2500\ninactive_file 500\n")
    assert (memory.cores(), memory.free_bytes()) == (1.5, 1500)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(8), raising=False)
    assert devices.available_cores() == 1
    assert LocalPool.on("cpu").n_workers == 1
    with pytest.raises(memory.TooLargeError, match=r"a table needs 1501 bytes .* has 1500 "):
        memory.require(1501, torch.device("cpu"), "a table")


@pytest.mark.parametrize("name", ["MKL_CBWR", "ONEDNN_MAX_CPU_ISA", "OPENBLAS_CORETYPE"])
def test_a_variable_that_changes_last_digits_is_part_of_the_machine(monkeypatch, name):
    without = devices.machine.__wrapped__()
    monkeypatch.setenv(name, "COMPATIBLE")
    assert f"{name}=COMPATIBLE" in devices.machine.__wrapped__()
    assert replay._build(circumstances(without)) != replay._build(
        circumstances(devices.machine.__wrapped__())
    )


def circumstances(machine):
    return {"machine": machine, "packages": {}, "device": "cpu", "dtype": "float32"}


def test_on_cuda_the_peak_is_what_torch_allocated_since_the_reset(monkeypatch):
    gpu, resets = torch.device("cuda"), []
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", resets.append)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 1_234_560_000)
    devices.reset_peak_memory(gpu)
    assert resets == [gpu] and devices.peak_memory_mb(gpu) == 1234.6


PEAKS = """
import torch
from hierlearn.engine import devices
cpu = torch.device("cpu")
before = devices.peak_memory_mb(cpu)
torch.ones(100_000_000)
print(devices.peak_memory_mb(cpu) - before)
"""


def test_peak_memory_sees_a_large_tensor_that_is_gone():
    # In a process of its own: the peak of one that has done more lies higher than this tensor.
    found = subprocess.run([sys.executable, "-c", PEAKS], capture_output=True, text=True)
    assert float(found.stdout) > 300, found.stderr
