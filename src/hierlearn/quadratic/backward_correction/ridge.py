r"""Kernel ridge regression on hierarchical quadratic targets: one run, and how it is measured."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from hierlearn.engine.kernels import polynomial_kernel, ridge_predictions
from hierlearn.engine.seeds import stream
from hierlearn.experiment import Config, Group
from hierlearn.quadratic.measures import unexplained
from hierlearn.quadratic.target import QuadraticTeachers


@dataclass(frozen=True)
class KernelConfig(Config):
    """Kernel ridge regression on a hierarchical quadratic target.

    Attributes:
        dim, widths, gaps, skip: of the target, see `QuadraticConfig`.
        degree: of the polynomial kernel.
        n_samples: training points.
        ridges: tried; the measurement is the smallest test error, which favors the kernel.
        n_test: number of test points.
    """

    dim: int
    n_samples: int
    widths: Sequence[int] = (4, 3)
    gaps: Sequence[float] = (1, 0.2)
    skip: float = 0.8
    degree: int = 4
    ridges: Sequence[float] = (1e-12, 1e-9, 1e-6, 1e-3)
    n_test: int = 2000

    def seconds(self, n_runs: int) -> float:
        """Return what `n_runs` factorizations take."""
        return 2.5e-9 * self.n_samples**2.5 * n_runs


def measure_kernel(work: Group, device: torch.device) -> list[dict[str, Any]]:
    """Fit and test every run of a group in float64; one measurement a run."""
    return [_fit_kernel(KernelConfig(**run.config), run.seed, device) for run in work.runs]


def _fit_kernel(config: KernelConfig, seed: int, device: torch.device) -> dict[str, Any]:
    teacher = QuadraticTeachers.draw(
        [seed], dim=config.dim, widths=config.widths, skip=config.skip, dtype=torch.float64
    ).to(device)
    amplitudes = teacher.amplitudes(torch.tensor([[config.gaps]], device=device).double())
    sizes = {"pool": config.n_samples, "test data": config.n_test}
    x, x_test = (
        torch.randn(n, config.dim, generator=stream(name, seed)).double().to(device)
        for name, n in sizes.items()
    )
    y, y_test = (
        torch.bmm(amplitudes, teacher.level_sums(points[None]))[0, 0] for points in (x, x_test)
    )
    gram = polynomial_kernel(x, x, degree=config.degree)
    cross = polynomial_kernel(x_test, x, degree=config.degree)
    predictions = ridge_predictions(gram, cross, y, ridges=config.ridges)
    errors = unexplained(predictions, y_test.expand(len(config.ridges), -1))
    finite = [float(e) for e in errors if torch.isfinite(e)]
    return {"final": {"rel": min(finite)}}
