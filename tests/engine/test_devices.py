import os

import pytest
import torch

from hierlearn.engine import devices


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


def test_on_cuda_the_peak_is_what_torch_allocated_since_the_reset(monkeypatch):
    gpu, resets = torch.device("cuda"), []
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", resets.append)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 1_234_560_000)
    devices.reset_peak_memory(gpu)
    assert resets == [gpu] and devices.peak_memory_mb(gpu) == 1234.6


def test_peak_memory_sees_a_large_tensor_and_forgets_it_after_a_reset():
    cpu = torch.device("cpu")
    devices.reset_peak_memory(cpu)
    before = devices.peak_memory_mb(cpu)
    torch.ones(50_000_000)
    assert devices.peak_memory_mb(cpu) > before + 150
