"""Class-averaged kernel ridge errors: exact tables against scikit-learn's KernelRidge.

Three ways to the mean squared error over all M parities of degree k, for every ridge of a grid:

refit     scikit-learn's `KernelRidge`, fitted for every ridge and every target;
multi     scikit-learn's `KernelRidge`, fitted once a ridge to all targets as columns;
exact     `class_average_errors`: one eigendecomposition, no targets, no test points.

The exact cost does not depend on M, so the ratios grow with M; the limit is one eigendecomposition
and four matrix products of size N, in float64, for each kernel and sample.

The clock of scikit-learn counts its fits alone, not the predictions or errors that follow; the
clock of the exact way counts everything from the samples to the errors. All three run in one
process on one thread, interleaved, and must agree to 1e-9 before a ratio is printed. Where `refit`
would take too long it is timed on a share of the targets, chosen anew in every round, and
multiplied; the table says so.

    python benchmarks/kernel_averaging.py [--rounds 5]
"""

import argparse
import math
import platform
import statistics
import time
from itertools import combinations

import numpy as np
import sklearn
import torch
from sklearn.kernel_ridge import KernelRidge

from hierlearn.cube.exact_error import CubeKernel, class_average_errors
from hierlearn.cube.target import ParityClass, draw_points, hamming
from hierlearn.engine.kernels import ZOO
from hierlearn.engine.seeds import stream

KERNEL = "ntk2"
RIDGES = [10.0**p for p in range(-6, 2)]
CASES = ((16, 2, 400, 1.0), (16, 3, 800, 0.05), (16, 4, 800, 0.01), (16, 8, 800, 0.001))
"""Dimension, degree, samples, and the share of the targets that `refit` is timed on."""
AGREEMENT = 1e-9


class Case:
    """One class of targets, its samples, and the matrices that scikit-learn is given."""

    def __init__(self, dim: int, degree: int, n_samples: int, seed: int) -> None:
        self.target = ParityClass(dim, (degree,), (1.0,))
        self.kernel = CubeKernel.of(ZOO[KERNEL], dim)
        self.x = draw_points(n_samples, dim, stream("benchmark", seed))
        distances = hamming(self.x, self.x)
        self.gram = self.kernel.values[distances].numpy()
        self.square = self.kernel.square_table()[distances].numpy()
        points = self.x.double()
        sets = combinations(range(dim), degree)
        self.labels = torch.stack([points[:, list(s)].prod(1) for s in sets], 1).numpy()
        self.eigenvalue = float(self.kernel.eigenvalues[degree])

    def exact(self) -> tuple[float, np.ndarray]:
        """Return seconds and errors, one a ridge, from the samples alone."""
        start = time.perf_counter()
        distances = hamming(self.x, self.x)
        errors = class_average_errors(self.kernel, self.target, distances, ridges=RIDGES)
        return time.perf_counter() - start, errors.numpy()

    def multi(self) -> tuple[float, np.ndarray]:
        """Return seconds of one fit a ridge to all targets, and errors."""
        seconds, errors = 0.0, []
        for ridge in RIDGES:
            model = KernelRidge(alpha=ridge, kernel="precomputed")
            start = time.perf_counter()
            model.fit(self.gram, self.labels)
            seconds += time.perf_counter() - start
            errors.append(self._errors(model.dual_coef_, self.labels).mean())
        return seconds, np.array(errors)

    def refit(self, columns: np.ndarray) -> tuple[float, np.ndarray]:
        """Return seconds of a fit for every ridge and target in `columns`, and their errors."""
        seconds, errors = 0.0, np.empty((len(RIDGES), len(columns)))
        for i, ridge in enumerate(RIDGES):
            for j, column in enumerate(columns):
                labels = self.labels[:, column]
                model = KernelRidge(alpha=ridge, kernel="precomputed")
                start = time.perf_counter()
                model.fit(self.gram, labels)
                seconds += time.perf_counter() - start
                errors[i, j] = self._errors(model.dual_coef_[:, None], labels[:, None])[0]
        return seconds, errors

    def _errors(self, weights: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Exact error of each fitted target: 1 - 2 mu_k y.a + a.K_2 a."""
        aligned = (weights * labels).sum(0)
        return 1 - 2 * self.eigenvalue * aligned + (weights * (self.square @ weights)).sum(0)


def compare(dim: int, degree: int, n_samples: int, share: float, rounds: int) -> None:
    """Time the three ways in turn, `rounds` times, check that they agree, print the ratios."""
    generator = np.random.default_rng(0)
    n_targets = math.comb(dim, degree)
    n_timed = max(1, round(share * n_targets))
    refit_ratios, multi_ratios, exact_seconds = [], [], []
    worst = 0.0
    for round_number in range(rounds):
        case = Case(dim, degree, n_samples, round_number)
        columns = generator.permutation(n_targets)[:n_timed]
        case.exact()  # warm-up of the new sizes
        exact_s, exact = case.exact()
        refit_s, per_target = case.refit(columns)
        exact_again_s, _ = case.exact()
        multi_s, multi = case.multi()
        own = (exact_s + exact_again_s) / 2
        gap = float(np.abs(exact - multi).max())
        if n_timed == n_targets:
            gap = max(gap, float(np.abs(exact - per_target.mean(1)).max()))
        if gap > AGREEMENT:
            raise SystemExit(f"the ways disagree by {gap:.1e}, more than {AGREEMENT:.0e}")
        worst = max(worst, gap)
        refit_ratios.append(refit_s * n_targets / n_timed / own)
        multi_ratios.append(multi_s / own)
        exact_seconds.append(own)
    note = "every target" if n_timed == n_targets else f"from {n_timed} targets"
    print(
        f"d={dim} k={degree} N={n_samples:<4} M={n_targets:<5} "
        f"exact {statistics.median(exact_seconds):6.3f} s   "
        f"refit x{_spread(refit_ratios)} ({note})   "
        f"multi x{_spread(multi_ratios)}   largest difference {worst:.0e}",
        flush=True,
    )


def _spread(ratios: list[float]) -> str:
    low, high = min(ratios), max(ratios)
    return f"{statistics.median(ratios):.3g} [{low:.3g}, {high:.3g}]"


def stages(dim: int, n_samples: int, degree: int) -> None:
    """Print where the time of the exact way goes."""
    case = Case(dim, degree, n_samples, 0)
    distances = hamming(case.x, case.x)
    start = time.perf_counter()
    torch.linalg.eigh(case.kernel.values[distances])
    eigh = time.perf_counter() - start
    start = time.perf_counter()
    class_average_errors(case.kernel, case.target, distances, ridges=RIDGES)
    whole = time.perf_counter() - start
    print(
        f"limit at N={n_samples}: eigendecomposition {eigh:.3f} s of {whole:.3f} s; "
        "a further ridge costs next to nothing"
    )


def main() -> None:
    """Run all cases."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="interleaved rounds of each case")
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    versions = f"scikit-learn {sklearn.__version__}, torch {torch.__version__}"
    print(f"{versions}, {platform.machine()}, one thread, {len(RIDGES)} ridges, kernel {KERNEL}")
    for case in CASES:
        compare(*case, rounds=rounds)
    stages(16, 800, 3)


if __name__ == "__main__":
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):
        main()
