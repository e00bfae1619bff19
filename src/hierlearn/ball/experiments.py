r"""Chapter 5: ball indicators, learned by gradient descent and out of reach of a linear output.

`ball_sum`: the sum of two unit vectors, where the paper proves its separations: both classes, the
width and the dimension swept. `ball_radii`: other radial distributions, the number of samples, and
plain gradient descent. `ball_oracle`: the proof's own weights.
"""

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from hierlearn.ball import statistics as read
from hierlearn.ball.config import BallConfig, group
from hierlearn.ball.runs import measure
from hierlearn.ball.target import DISTRIBUTIONS
from hierlearn.experiment import Experiment, Group

CHAPTER = "05_ball_indicator"
SEEDS = {"smoke": range(4), "laptop": range(8), "paper": range(8)}
FEWER = {"smoke": range(4), "laptop": range(5), "paper": range(5)}
DIM = 10
RADIUS = math.sqrt(2)
RADII = (1.2, RADIUS, 1.6)
N_TEST = {"smoke": 5000, "laptop": 10_000, "paper": 50_000}


def trained(profile: str, **changes: Any) -> BallConfig:
    """Return the network trained in all its layers that the arms vary."""
    width, n_steps, batch = {
        "smoke": (128, 1000, 256), "laptop": (256, 3000, 256), "paper": (256, 8000, 512),
    }[profile]  # fmt: skip
    base = BallConfig(
        learner="trained", distribution="sum", dim=DIM, radius=RADIUS, width=width,
        n_steps=n_steps, activation="relu", batch=batch, n_test=N_TEST[profile],
    )  # fmt: skip
    return replace(base, **changes)


def frozen(profile: str, **changes: Any) -> BallConfig:
    """Return the clipped network with a frozen hidden layer that the arms vary."""
    width, n_samples, n_steps = {
        "smoke": (700, 6000, 400), "laptop": (1000, 8000, 800), "paper": (4000, 50_000, 2000),
    }[profile]  # fmt: skip
    base = BallConfig(
        learner="frozen", distribution="sum", dim=DIM, radius=RADIUS, width=width,
        n_samples=n_samples, n_steps=n_steps, clip="unit", rate=1.0, momentum=0.99,
        n_test=N_TEST[profile],
    )  # fmt: skip
    return replace(base, **changes)


def one_by_one(name: str, arms: list[BallConfig], seeds: Iterable[int]) -> list[Group]:
    """Make a group for each seed: frozen features are large and share nothing across seeds."""
    return [group(name, arms, [seed]) for seed in seeds]


# --- the sum of two unit vectors --------------------------------------------------------------

WEAK_WIDTHS = {"smoke": (), "laptop": (32, 128, 1024), "paper": (32, 128, 1024, 4096, 16_384)}
FROZEN_WIDTHS = {"smoke": (), "laptop": (100, 300), "paper": (300, 1000, 2000, 8000)}
DIMS = {"smoke": (), "laptop": (20, 30), "paper": (5, 20, 30)}
WEAK_STEPS = {"laptop": 4000, "paper": 8000}
LARGE = {
    "laptop": {20: (3000, 16_000, 700)},
    "paper": {20: (8000, 100_000, 2000), 30: (16_000, 200_000, 2000)},
}


def sum_groups(profile: str) -> list[Group]:
    """Both classes on the sum of two unit vectors, with their controls."""
    return [*_weak_groups(profile), *_strong_groups(profile), *_dimension_groups(profile)]


def _weak_groups(profile: str) -> list[Group]:
    base, seeds, few = trained(profile), SEEDS[profile], FEWER[profile]
    pair = [replace(base, curve=True), replace(base, clip="unit", curve=True)]
    groups = [group("ball_sum", pair, seeds)]
    checks = [
        replace(base, clip="wide"), replace(base, target="degree 1"),
        replace(base, target="permuted"),
    ]  # fmt: skip
    groups.append(group("ball_sum", checks, few))
    if profile == "smoke":
        return groups
    erf = replace(base, activation="erf")
    groups.append(group("ball_sum", [erf, replace(erf, clip="unit")], few))
    others = [replace(base, radius=radius) for radius in RADII if radius != RADIUS]
    groups.append(group("ball_sum", others, few))
    for width in WEAK_WIDTHS[profile]:
        groups += [group("ball_sum", [replace(base, width=width)], seeds)]
    return groups


def _strong_groups(profile: str) -> list[Group]:
    base = frozen(profile)
    arms = [replace(base, ridge=True, curve=True)]
    if profile == "smoke":
        return one_by_one("ball_sum", arms, SEEDS[profile])
    arms += [replace(base, radius=radius, ridge=True) for radius in RADII if radius != RADIUS]
    arms.append(replace(base, clip="none"))
    groups = one_by_one("ball_sum", arms, SEEDS[profile])
    for width in FROZEN_WIDTHS[profile]:
        arm = replace(base, width=width, ridge=True)
        groups += one_by_one("ball_sum", [arm], FEWER[profile])
    if profile == "paper":
        plain = frozen("laptop", momentum=0.0, rate=1.8, n_steps=60_000, curve=True)
        groups += one_by_one("ball_sum", [plain], FEWER[profile])
    return groups


def _dimension_groups(profile: str) -> list[Group]:
    groups, few = [], FEWER[profile]
    for dim in DIMS[profile]:
        n_steps = WEAK_STEPS[profile] if dim > DIM else trained(profile).n_steps
        weak = trained(profile, dim=dim, n_steps=n_steps)
        arms = [weak, replace(weak, target="degree 1")] if dim == 20 else [weak]
        groups.append(group("ball_sum", arms, few))
        if dim == 20:
            erf = replace(weak, activation="erf")
            groups.append(group("ball_sum", [erf, replace(erf, clip="unit")], few))
        groups += one_by_one("ball_sum", [frozen(profile, dim=dim, ridge=dim == 20)], few)
    if groups:
        groups.append(group("ball_sum", [trained(profile, dim=3)], few))
    for dim, (width, n_samples, n_steps) in LARGE.get(profile, {}).items():
        large = frozen(profile, dim=dim, width=width, n_samples=n_samples, n_steps=n_steps)
        groups += one_by_one("ball_sum", [large], few)
    return groups


# --- other radial distributions ---------------------------------------------------------------

UNIFORM_DIMS = {"smoke": (10,), "laptop": (10, 30), "paper": (10, 30)}
UNIFORM_WIDTHS = {
    "smoke": (100, 300), "laptop": (100, 300, 1000), "paper": (100, 300, 1000, 4000),
}  # fmt: skip
UNIFORM_SAMPLES = {"smoke": (4000, 300), "laptop": (8000, 400), "paper": (50_000, 1000)}
SAMPLE_SIZES = {"laptop": (500, 1000, 2000, 4000), "paper": (500, 1000, 2000, 4000, 16_000)}
SWEEP_DIMS = {"laptop": (5, 20), "paper": (5, 20, 50)}
SWEEP_WIDTH = 300
PLAIN = {"laptop": (400, 8000, 3000), "paper": (1000, 8000, 20_000)}
BESSEL_RADII = tuple(round(1 + 0.1 * k, 1) for k in range(11))


def radii_groups(profile: str) -> list[Group]:
    """Uniform and half-Cauchy radii; the Bessel mixture in the paper profile."""
    groups = [*_uniform_groups(profile), *_sweep_groups(profile)]
    if profile != "smoke":
        groups += _cauchy_groups(profile)
    if profile == "paper":
        groups += _bessel_groups(profile)
    return groups


def _on(profile: str, distribution: str, dim: int, width: int) -> BallConfig:
    n_samples, n_steps = UNIFORM_SAMPLES[profile]
    return frozen(
        profile, distribution=distribution, dim=dim, radius=DISTRIBUTIONS[distribution].radius,
        width=width, n_samples=n_samples, n_steps=n_steps,
    )  # fmt: skip


def _uniform_groups(profile: str) -> list[Group]:
    few, groups = FEWER[profile], []
    for dim in UNIFORM_DIMS[profile]:
        for width in UNIFORM_WIDTHS[profile]:
            arm = _on(profile, "uniform", dim, width)
            arms = [replace(arm, ridge=True)]
            if width == SWEEP_WIDTH:
                arms.append(replace(arm, target="permuted"))
            groups += one_by_one("ball_radii", arms, SEEDS[profile] if dim == DIM else few)
        if profile != "smoke":
            for width in (128, 512) if dim == DIM else (512,):
                weak = trained(profile, distribution="uniform", dim=dim, radius=1.0, width=width)
                groups.append(group("ball_radii", [weak], few))
    return groups


def _sweep_groups(profile: str) -> list[Group]:
    if profile not in SAMPLE_SIZES:
        return []
    groups, few = [], FEWER[profile]
    base = _on(profile, "uniform", DIM, SWEEP_WIDTH)
    for n_samples in SAMPLE_SIZES[profile]:
        groups += one_by_one("ball_radii", [replace(base, n_samples=n_samples)], few)
    for dim in SWEEP_DIMS[profile]:
        groups += one_by_one("ball_radii", [replace(base, dim=dim)], few)
    width, n_samples, n_steps = PLAIN[profile]
    plain = replace(
        base, width=width, n_samples=n_samples, n_steps=n_steps, momentum=0.0, rate=1.8, ridge=True
    )
    groups += one_by_one("ball_radii", [plain], few)
    starts = replace(base, learner="starts", n_steps=100, n_samples=2000)
    return [*groups, group("ball_radii", [starts], few)]


CAUCHY_STEPS = {"laptop": 200, "paper": 300}


def _cauchy_groups(profile: str) -> list[Group]:
    groups, few = [], FEWER[profile]
    for dim in UNIFORM_DIMS[profile]:
        strong = _on(profile, "half_cauchy", dim, 1000)
        strong = replace(strong, n_steps=CAUCHY_STEPS[profile])
        groups += one_by_one("ball_radii", [strong], few)
        weak = trained(profile, distribution="half_cauchy", dim=dim, activation="erf")
        groups.append(group("ball_radii", [weak], few))
    return groups


def _bessel_groups(profile: str) -> list[Group]:
    few = FEWER[profile]
    strong = _on(profile, "bessel", DIM, 4000)
    weak = trained(profile, distribution="bessel", activation="erf", width=1024)
    arms = [replace(strong, radius=radius) for radius in BESSEL_RADII]
    weak_arms = [replace(weak, radius=radius) for radius in BESSEL_RADII]
    return one_by_one("ball_radii", arms, few) + [group("ball_radii", weak_arms, few)]


# --- the proof's own weights ------------------------------------------------------------------

ORACLE_WIDTHS = {"laptop": (1000, 10_000, 100_000), "paper": (1000, 10_000, 100_000, 1_000_000)}


def oracle_groups(profile: str) -> list[Group]:
    """The construction of Prop. 21 at widths that show where it begins to work."""
    groups = []
    for width in ORACLE_WIDTHS.get(profile, ()):
        arm = BallConfig("oracle", "sum", DIM, RADIUS, width, clip="unit", n_test=1000)
        groups += one_by_one("ball_oracle", [arm], FEWER[profile])
    return groups


EXPERIMENTS = (
    Experiment("ball_sum", CHAPTER, sum_groups, measure, read.SUM_STATISTICS),
    Experiment("ball_radii", CHAPTER, radii_groups, measure, read.RADII_STATISTICS),
    Experiment("ball_oracle", CHAPTER, oracle_groups, measure, read.ORACLE_STATISTICS),
)
