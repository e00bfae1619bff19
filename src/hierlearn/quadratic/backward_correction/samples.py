r"""Chapter 1: how many samples and steps staged training needs as the dimension grows.

The theorem promises poly(d) of both. Here a number is what relative error $10^{-4}$ takes, read
per seed off a grid of pool sizes, of step budgets, and, for the control, of sample sizes for kernel
ridge regression with the kernel that fits the target best, the polynomial kernel of its degree.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from hierlearn.experiment import Experiment, Group, Measured, Run, Statistic
from hierlearn.intervals import fit_slope
from hierlearn.quadratic.backward_correction.experiments import CHAPTER, GAP_3, SEEDS
from hierlearn.quadratic.backward_correction.ridge import measure_kernel
from hierlearn.quadratic.reading import each, final
from hierlearn.quadratic.runs import QuadraticConfig, measure
from hierlearn.statistics import crossing

Choice = Callable[[dict[str, Any]], bool]
ERROR = 1e-4
DIMS = {"smoke": (10, 40), "laptop": (10, 20, 40, 80), "paper": (10, 20, 40, 80, 160, 320)}
POOL_FACTORS = {
    "smoke": (4, 8, 11, 16, 32),
    "laptop": (4, 5.6, 8, 11, 16, 22, 32),
    "paper": (4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 32),
}
POOL_STEPS = {"smoke": (800, 2500), "laptop": (1500, 6000), "paper": (3000, 12_000)}
STEPS = {
    "laptop": (150, 210, 300, 420, 600, 850, 1200, 1700, 2400),
    "paper": (150, 180, 210, 250, 300, 360, 420, 500, 600, 720, 850, 1000, 1200, 1700, 2400),
}
KERNEL_DIMS = {"smoke": (6, 8), "laptop": (6, 8, 10, 12), "paper": (6, 8, 10, 12, 14, 16, 20)}
KERNEL_FACTORS = (0.5, 0.7, 0.85, 1.0, 1.2, 1.5)


def _base(dim: int, third: int, n_steps: int) -> QuadraticConfig:
    return QuadraticConfig(
        dim=dim, widths=(4, 3), gaps=(1, GAP_3), opens=(0, third), n_steps=n_steps
    )


def pool_groups(profile: str) -> list[Group]:
    """Staged training on a fixed pool of samples: a group for every dimension and pool size."""
    third, n_steps = POOL_STEPS[profile]
    return [
        Group.of(
            "pool_size",
            [replace(_base(dim, third, n_steps), n_samples=round(f * dim))],
            SEEDS[profile],
        )
        for dim in DIMS[profile]
        for f in POOL_FACTORS[profile]
    ]


def step_groups(profile: str) -> list[Group]:
    """Staged and greedy training on fresh samples: a group for every dimension and budget."""
    return [
        Group.of(
            "step_budget",
            [replace(_base(dim, n // 4, n), look_back=look_back) for look_back in (None, 1)],
            SEEDS[profile],
        )
        for dim in (DIMS[profile] if profile in STEPS else ())
        for n in STEPS[profile]
    ]


def kernel_groups(profile: str) -> list[Group]:
    """Kernel ridge regression around N = the number of monomials of degree at most 4."""
    groups = []
    for dim in KERNEL_DIMS[profile]:
        for factor in KERNEL_FACTORS:
            n_samples = round(factor * n_monomials(dim))
            config = {"dim": dim, "n_samples": n_samples}
            runs = tuple(Run("kernel_samples", config, seed) for seed in SEEDS[profile])
            groups.append(Group(runs, weight=2e-8 * n_samples**2.5))
    return groups


def _exponent(experiment_size: str, choice: Choice) -> Statistic:
    """Make the statistic that fits, per seed, the exponent in d of the size that ERROR takes."""

    def statistic(records: Sequence[Measured]) -> dict[int, float]:
        return {
            seed: _fit(found) for seed, found in needed(records, experiment_size, choice).items()
        }

    return statistic


def needed(
    records: Sequence[Measured], size: str, choice: Choice = lambda config: True
) -> dict[int, dict[int, float]]:
    """Return, per seed and dimension, the size (a config field) at which the error crosses 1e-4."""
    grids: dict[int, dict[int, list[tuple[float, float]]]] = {}
    for record in records:
        if choice(record.config):
            by_dim = grids.setdefault(record.seed, {}).setdefault(record.config["dim"], [])
            by_dim.append((record.config[size], record.measurement["final"]["rel"]))
    return {
        seed: {
            dim: crossing([n for n, _ in points], [e for _, e in points], ERROR)
            for dim, points in by_dim.items()
        }
        for seed, by_dim in grids.items()
    }


def _fit(found: dict[int, float]) -> float:
    if any(math.isnan(value) for value in found.values()):
        return math.nan
    return fit_slope(list(found), list(found.values()))


def is_greedy(config: dict[str, Any]) -> bool:
    """Say whether a run trains only its newest level."""
    return config.get("look_back") == 1


def n_parameters(dim: int) -> int:
    """Count the parameters of the three-level network with widths (4, 3): 7 d + 33."""
    return 4 * dim + 3 * (10 + dim + 1)


def n_monomials(dim: int) -> int:
    """Count the monomials of degree at most 4 in `dim` variables."""
    return math.comb(dim + 4, 4)


POOL_STATISTICS = {"exponent": _exponent("n_samples", lambda c: True)}
STEP_STATISTICS = {
    "exponent": _exponent("n_steps", lambda c: not is_greedy(c)),
    "best_greedy_error": each(final("rel"), lambda c: c.look_back == 1, min),
}
KERNEL_STATISTICS = {"exponent": _exponent("n_samples", lambda c: True)}

EXPERIMENTS = (
    Experiment("pool_size", CHAPTER, pool_groups, measure, POOL_STATISTICS),
    Experiment("step_budget", CHAPTER, step_groups, measure, STEP_STATISTICS),
    Experiment("kernel_samples", CHAPTER, kernel_groups, measure_kernel, KERNEL_STATISTICS),
)
