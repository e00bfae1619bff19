"""The benchmark compares equal results: its three ways agree before any ratio is printed."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

PATH = Path(__file__).parents[2] / "benchmarks" / "kernel_averaging.py"


@pytest.fixture(scope="module")
def benchmark_module():
    pytest.importorskip("sklearn")
    spec = importlib.util.spec_from_file_location("kernel_averaging", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("dim", "degree", "n_samples"), [(8, 2, 30), (10, 3, 50)])
def test_exact_averages_equal_those_of_scikit_learn(benchmark_module, dim, degree, n_samples):
    case = benchmark_module.Case(dim, degree, n_samples, seed=0)
    _, exact = case.exact()
    _, multi = case.multi()
    _, refit = case.refit(np.arange(case.labels.shape[1]))
    assert np.abs(exact - multi).max() < benchmark_module.AGREEMENT
    assert np.abs(exact - refit.mean(1)).max() < benchmark_module.AGREEMENT


def test_a_comparison_prints_one_line_of_ratios(benchmark_module, capsys):
    benchmark_module.compare(8, 2, 30, share=1.0, rounds=2)
    line = capsys.readouterr().out
    assert "refit x" in line and "multi x" in line and "every target" in line
