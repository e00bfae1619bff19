r"""Chapter 5: ball indicators, learned by gradient descent and out of reach of a linear output.

`ball_sum`: the sum of two unit vectors, where the paper proves its separation: networks trained in
all layers with a linear output ("weak"), and clipped ones with a frozen hidden layer ("frozen").
`ball_uniform`: a uniform radius; the width, the number of samples, and plain gradient descent.
`ball_facts`: what the proofs say with named constants.
"""

import math
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from hierlearn.ball.config import BallConfig
from hierlearn.ball.facts import FactsConfig, measure_facts
from hierlearn.ball.measures import hard_radii, polynomial_floor
from hierlearn.ball.runs import measure
from hierlearn.experiment import Arms, Config, Experiment, Group, Runs, every, together
from hierlearn.statistics import Arm, Statistic, Value, each, number, quotient, ratio

CHAPTER = "05_ball_indicator"
SEEDS = {"smoke": range(4), "laptop": range(8), "paper": range(8)}
FEWER = {"smoke": range(4), "laptop": range(5), "paper": range(8)}
DIM = 10
RADIUS = math.sqrt(2)
N_TEST = {"smoke": 5000, "laptop": 10_000, "paper": 20_000}

# --- the sum of two unit vectors --------------------------------------------------------------

# Width of the reference network, others, and steps.
WEAK = {
    "smoke": (128, (), 2500), "laptop": (256, (64,), 12_000), "paper": (1024, (64,), 40_000),
}  # fmt: skip
# By dimension: units, samples and steps of the frozen network.
FROZEN = {
    "smoke": {10: (500, 5000, 400)},
    "laptop": {10: (1000, 8000, 800), 20: (2500, 14_000, 700)},
    "paper": {10: (2000, 16_000, 1600), 20: (4000, 32_000, 1400)},
}
FROZEN_WIDTHS = {"smoke": (100,), "laptop": (100,), "paper": (100, 300, 1000)}
DIMS = {"smoke": (20,), "laptop": (10, 20), "paper": (10, 20)}
# Units, samples and steps of plain gradient descent.
PLAIN = {"laptop": (400, 8000, 2000), "paper": (1000, 8000, 8000)}


def weak(profile: str, dim: int, **changes: Any) -> BallConfig:
    """Return the reference network trained in all its layers."""
    width, _, n_steps = WEAK[profile]
    base = BallConfig(
        learner="trained", distribution="sum", dim=dim, radius=RADIUS, width=width,
        n_steps=n_steps, activation="relu", n_test=N_TEST[profile], curve=True,
    )  # fmt: skip
    return replace(base, **changes)


def frozen(profile: str, dim: int, **changes: Any) -> BallConfig:
    """Return the clipped network with a frozen hidden layer."""
    width, n_samples, n_steps = FROZEN[profile][dim]
    base = BallConfig(
        learner="frozen", distribution="sum", dim=dim, radius=RADIUS, width=width,
        n_samples=n_samples, n_steps=n_steps, clip="unit", rate=1.0, momentum=0.99,
        n_test=N_TEST[profile], ridge=True, curve=True,
    )  # fmt: skip
    return replace(base, **changes)


def sum_arms(profile: str) -> Arms:
    """Both classes over the dimension, the width, and Theorem 5's radii; clip; degree 1."""
    found: dict[str, Any] = {}
    for dim in DIMS[profile]:
        base = weak(profile, dim)
        narrower = [replace(base, width=width) for width in WEAK[profile][1]]
        found[f"weak, d = {dim}"] = base
        if dim > DIM:
            found[f"clipped, d = {dim}"] = replace(base, clip="unit")
        found[f"every weak, d = {dim}"] = [base, *narrower]
        if narrower:
            found[f"narrowest weak, d = {dim}"] = narrower[0]
    found["degree 1"] = weak(profile, 20, target="degree 1")
    found |= {f"frozen, d = {dim}": frozen(profile, dim) for dim in FROZEN[profile]}
    widths = [frozen(profile, DIM, width=width) for width in FROZEN_WIDTHS[profile]]
    found["frozen over widths"] = [*widths, found[f"frozen, d = {DIM}"]]
    if profile == "paper":
        found["plain"] = plain(profile, found[f"frozen, d = {DIM}"])
    if DIM in DIMS[profile]:
        weakest, strong = found[f"narrowest weak, d = {DIM}"], found[f"frozen, d = {DIM}"]
        others, _ = hard_radii(DIM, 2)
        for name, one in (("weak, radii", weakest), ("frozen, radii", strong)):
            found[name] = [one, *(replace(one, radius=r, curve=False) for r in others[:-1])]
    return found | {"narrowest frozen": widths[0]}


def plain(profile: str, base: BallConfig) -> BallConfig:
    """Return the frozen network under gradient descent without momentum."""
    width, n, steps = PLAIN[profile]
    return replace(base, width=width, n_samples=n, n_steps=steps, momentum=0.0, rate=1.8)


def sum_groups(profile: str) -> list[Group]:
    """A group a shape, of at most eight seeds, or four where it would take half an hour.

    Of frozen networks, whose features are large, a group a shape and seed.
    """
    shapes: dict[Any, list[BallConfig]] = {}
    for one in every(sum_arms(profile)):
        shapes.setdefault(one.shape, []).append(one)
    seeds, most = FEWER[profile], 4 if profile == "paper" else 8
    some_seeds = [seeds[i : i + most] for i in range(0, len(seeds), most)]
    return [
        Group.of("ball_sum", some, chosen)
        for some in shapes.values()
        for chosen in (some_seeds if some[0].learner == "trained" else [[seed] for seed in seeds])
    ]


MSE, LINEAR, CLIPPED = number("mse"), number("linear_mse"), number("mse_clipped")


def fraction(degree: int) -> Value:
    """Read the learned fraction of the harmonic of degree 1, 3, 5 or 7."""
    return number("fractions", (1, 3, 5, 7).index(degree))


def over_floor(config: BallConfig, measurement: dict[str, Any]) -> float:
    r"""Divide the error by the degree-1 level $A_1^2$ of the run's target."""
    return MSE(config, measurement) / polynomial_floor(config.dim, config.radius, 1)


_certified = quotient(number("certificate"), MSE)
"""Certificate over error: at most 1 where the certificate is right."""


def _over(above: Arm, below: Arm, value: Value = MSE, other: Value = MSE) -> Statistic:
    """Divide a value of one arm by the smallest one of another."""
    return ratio(each(value, above), each(other, below, min))


def _over_radii(runs: Runs, *, value: Value, combine: Any) -> dict[int, float]:
    """Divide a value of the frozen network by the weak one's error at every radius."""
    weak, strong = (
        {
            (seed, config.radius): read(config, m)
            for seed, found in runs.of(arm).items()
            for config, m in found
        }
        for arm, read in (("weak, radii", MSE), ("frozen, radii", value))
    )
    return {
        seed: float(combine([strong[at] / weak[at] for at in weak if at[0] == seed]))
        for seed, _ in weak
    }


_WEAK = tuple(f"every weak, d = {dim}" for dim in (10, 20))
SUM_STATISTICS: dict[str, Statistic] = {
    "frozen_over_weak": _over("frozen, d = 10", "every weak, d = 10"),
    "linear_over_weak": _over("frozen, d = 10", "every weak, d = 10", LINEAR),
    "frozen_over_weak_20": _over("frozen, d = 20", "every weak, d = 20"),
    "linear_over_weak_20": _over("frozen, d = 20", "every weak, d = 20", LINEAR),
    "frozen_over_clipped_weak_20": _over("frozen, d = 20", "weak, d = 20", MSE, CLIPPED),
    "wide_over_narrow": _over("frozen, d = 10", "narrowest frozen"),
    "wide_over_narrow_linear": _over("frozen, d = 10", "narrowest frozen", LINEAR, LINEAR),
    "weak_over_floor": each(over_floor, "every weak, d = 20", min),
    "degree_1_over_floor": each(over_floor, "degree 1"),
    "clip_gain": _over("weak, d = 20", "clipped, d = 20"),
    "clip_at_evaluation": _over("weak, d = 20", "weak, d = 20", MSE, CLIPPED),
    "weak_fraction_3": each(fraction(3), "weak, d = 20"),
    "clip_fraction_3": each(fraction(3), "clipped, d = 20"),
    "frozen_over_weak_radii": partial(_over_radii, value=MSE, combine=np.max),
    "linear_over_weak_radii": partial(_over_radii, value=LINEAR, combine=np.min),
    "certified": each(_certified, (*_WEAK, "weak, radii"), max),
    "certified_degree_1": each(_certified, "degree 1"),
}

# --- uniform radius ---------------------------------------------------------------------------

UNIFORM = {
    "smoke": (100, 300), "laptop": (100, 300, 1000), "paper": (100, 300, 1000, 3000),
}  # fmt: skip
SAMPLES = {"smoke": (4000, 300), "laptop": (8000, 400), "paper": (32_000, 800)}
SIZES = {"laptop": (500, 2000), "paper": (500, 1000, 2000, 4000, 8000, 16_000)}
SWEEP_WIDTH = 300


def uniform_arms(profile: str) -> Arms:
    """Frozen networks over the width and the samples; permuted labels; no momentum."""
    n_samples, n_steps = SAMPLES[profile]
    widths = [
        BallConfig(
            learner="frozen", distribution="uniform", dim=DIM, radius=1.0, width=width,
            n_samples=n_samples, n_steps=n_steps, clip="unit", rate=1.0, momentum=0.99,
            n_test=N_TEST[profile], ridge=True,
        )
        for width in UNIFORM[profile]
    ]  # fmt: skip
    found: dict[str, Config | list[Config]] = {
        "over widths": list(widths), "narrowest": widths[0], "widest": widths[-1]
    }  # fmt: skip
    if profile in PLAIN:
        swept = widths[UNIFORM[profile].index(SWEEP_WIDTH)]
        found["over samples"] = [*(replace(swept, n_samples=n) for n in SIZES[profile]), swept]
        found["plain"] = plain(profile, swept)
    return found


def uniform_groups(profile: str) -> list[Group]:
    """A group for each seed of each configuration; widths are a headline's and have more seeds."""
    arms = uniform_arms(profile)
    wide = every(arms, "over widths")
    return [
        Group.of("ball_uniform", [one], [seed])
        for one in every(arms)
        for seed in (SEEDS if one in wide else FEWER)[profile]
    ]


UNIFORM_STATISTICS: dict[str, Statistic] = {
    "wide_over_narrow": _over("widest", "narrowest"),
    "wide_over_narrow_linear": _over("widest", "narrowest", LINEAR, LINEAR),
    "plain_error": each(MSE, "plain"),
    "plain_linear_error": each(LINEAR, "plain"),
}

# --- facts of the proofs ------------------------------------------------------------------------


def fact_arms(profile: str) -> Arms:
    """Units and laws as the paper has them; biases of another scale, and a heavier tail."""
    facts = FactsConfig()
    return {
        "as assumed": facts,
        "wider biases": replace(facts, bias=2.0),
        "heavier tail": replace(facts, tail=2.0),
    }


FACT_STATISTICS: dict[str, Statistic] = {
    "units": each(number("units"), "as assumed"),
    "units_wider": each(number("units"), "wider biases"),
    "slope": each(number("slope"), "as assumed"),
    "missed": each(number("missed"), "as assumed"),
    "reached": each(number("reached"), "as assumed"),
    "laws": each(number("laws"), "as assumed"),
    "laws_heavier": each(number("laws"), "heavier tail"),
}

EXPERIMENTS = (
    Experiment(
        "ball_sum", CHAPTER, sum_groups, measure, SUM_STATISTICS, sum_arms, ("n_steps",)
    ),
    Experiment(
        "ball_uniform", CHAPTER, uniform_groups, measure, UNIFORM_STATISTICS, uniform_arms,
        ("n_steps",),
    ),
    Experiment(
        "ball_facts", CHAPTER, together("ball_facts", fact_arms, SEEDS), measure_facts,
        FACT_STATISTICS, fact_arms, "averages, quadrature and draws; nothing is trained",
    ),
)  # fmt: skip
