r"""Chapter 1: how many samples and steps staged training needs as the dimension grows.

The theorem promises poly(d) of both. Here a number is what relative error $10^{-4}$ takes, read
per seed off a grid of pool sizes, of step budgets, and, for the control, of sample sizes for kernel
ridge regression with the kernel that fits the target best, the polynomial kernel of its degree.
"""

import math
from dataclasses import replace
from operator import attrgetter

from hierlearn.experiment import Arms, Experiment, Group, Runs, Statistic, apart
from hierlearn.quadratic.backward_correction.experiments import CHAPTER, GAP_3, SEEDS
from hierlearn.quadratic.backward_correction.ridge import KernelConfig, measure_kernel
from hierlearn.quadratic.runs import QuadraticConfig, final, measure
from hierlearn.statistics import each, exponent, needed

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


def pool_arms(profile: str) -> Arms:
    """Staged training on a fixed pool of samples, over dimensions and pool sizes."""
    third, n_steps = POOL_STEPS[profile]
    return {
        "staged": [
            replace(_base(dim, third, n_steps), n_samples=round(factor * dim))
            for dim in DIMS[profile]
            for factor in POOL_FACTORS[profile]
        ]
    }


def step_arms(profile: str) -> Arms:
    """Staged and greedy training on fresh samples, over dimensions and step budgets."""
    if profile not in STEPS:
        return {}
    staged = [_base(dim, n // 4, n) for dim in DIMS[profile] for n in STEPS[profile]]
    return {"staged": staged, "greedy": [replace(one, look_back=1) for one in staged]}


def step_groups(profile: str) -> list[Group]:
    """A group for every dimension and budget, with both arms."""
    pairs = zip(*step_arms(profile).values(), strict=True)
    return [Group.of("step_budget", pair, SEEDS[profile]) for pair in pairs]


def kernel_arms(profile: str) -> Arms:
    """Kernel ridge regression around N = the number of monomials of degree at most 4."""
    sizes = [(d, round(f * n_monomials(d))) for d in KERNEL_DIMS[profile] for f in KERNEL_FACTORS]
    return {"kernel": [KernelConfig(dim, n_samples) for dim, n_samples in sizes]}


def samples_needed(runs: Runs, arm: str, size: str = "n_samples") -> dict[int, dict[int, float]]:
    """Return, per seed and dimension, the size (a field of the configuration) that ERROR takes."""
    size_of, dim_of = attrgetter(size), attrgetter("dim")
    return needed(runs, arm, size=size_of, by=dim_of, value=final("rel"), level=ERROR)


def _exponent(arm: str, size: str = "n_samples") -> Statistic:
    """Make the statistic that fits, per seed, the exponent in d of the size that ERROR takes."""
    return lambda runs: {
        seed: exponent(list(found.items()))
        for seed, found in samples_needed(runs, arm, size).items()
    }


def n_parameters(dim: int) -> int:
    """Count the parameters of the three-level network with widths (4, 3): 7 d + 33."""
    return 4 * dim + 3 * (10 + dim + 1)


def n_monomials(dim: int) -> int:
    """Count the monomials of degree at most 4 in `dim` variables."""
    return math.comb(dim + 4, 4)


POOL_STATISTICS = {"exponent": _exponent("staged")}
STEP_STATISTICS = {
    "exponent": _exponent("staged", "n_steps"),
    "best_greedy_error": each(final("rel"), "greedy", min),
}
KERNEL_STATISTICS = {"exponent": _exponent("kernel")}

EXPERIMENTS = (
    Experiment(
        "pool_size", CHAPTER, apart("pool_size", pool_arms, SEEDS), measure, POOL_STATISTICS,
        pool_arms,
    ),
    Experiment("step_budget", CHAPTER, step_groups, measure, STEP_STATISTICS, step_arms),
    Experiment(
        "kernel_samples", CHAPTER, apart("kernel_samples", kernel_arms, SEEDS), measure_kernel,
        KERNEL_STATISTICS, kernel_arms,
    ),
)  # fmt: skip
