r"""Chapter 5: ball indicators, learned by gradient descent and out of reach of a linear output.

`ball_sum`: the sum of two unit vectors, where the paper proves its separations: both classes, the
width and the dimension swept. `ball_radii`: other radial distributions, the number of samples, and
plain gradient descent. `ball_oracle`: the proof's own weights.
"""

import math
from collections.abc import Iterable
from dataclasses import replace
from operator import attrgetter
from typing import Any

from hierlearn.ball.config import BallConfig
from hierlearn.ball.measures import polynomial_floor
from hierlearn.ball.runs import measure
from hierlearn.ball.target import DISTRIBUTIONS
from hierlearn.experiment import Arms, Experiment, Group, Runs, every
from hierlearn.statistics import Arm, Statistic, Value, each, number, ratio, slope

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
    return [Group.of(name, arms, [seed]) for seed in seeds]


# --- the sum of two unit vectors --------------------------------------------------------------

WEAK_WIDTHS = {"smoke": (), "laptop": (32, 128, 1024), "paper": (32, 128, 1024, 4096, 16_384)}
FROZEN_WIDTHS = {"smoke": (), "laptop": (100, 300), "paper": (300, 1000, 2000, 8000)}
DIMS = {"smoke": (), "laptop": (20, 30), "paper": (5, 20, 30)}
WEAK_STEPS = {"laptop": 4000, "paper": 8000}
LARGE = {
    "laptop": {20: (3000, 16_000, 700)},
    "paper": {20: (8000, 100_000, 2000), 30: (16_000, 200_000, 2000)},
}


def sum_arms(profile: str) -> Arms:
    """Both classes on the sum of two unit vectors, with their controls.

    "weak" networks are trained in all layers and have a linear output; "frozen" ones are strong.
    """
    base = trained(profile)
    arms: dict[str, Any] = {
        "weak": replace(base, curve=True),
        "weak, clipped": replace(base, clip="unit", curve=True),
        "weak, wide clip": replace(base, clip="wide"),
        "degree 1": replace(base, target="degree 1"),
        "permuted": replace(base, target="permuted"),
        "frozen": frozen(profile, ridge=True, curve=True),
    }
    if profile != "smoke":
        arms |= _variants(profile) | _dimensions(profile)
    return arms | _classes(arms)


def _variants(profile: str) -> dict[str, Any]:
    """Return other activations, radii and widths in dimension 10, and no clip."""
    base, strong = trained(profile), frozen(profile)
    erf = replace(base, activation="erf")
    arms: dict[str, Any] = {"weak, erf": erf, "weak, erf, clipped": replace(erf, clip="unit")}
    others = [radius for radius in RADII if radius != RADIUS]
    arms |= {f"weak, λ = {r}": replace(base, radius=r) for r in others}
    arms |= {f"weak, r = {width}": replace(base, width=width) for width in WEAK_WIDTHS[profile]}
    arms |= {f"frozen, λ = {r}": replace(strong, radius=r, ridge=True) for r in others}
    arms["frozen, no clip"] = replace(strong, clip="none")
    widths = [replace(strong, width=width, ridge=True) for width in FROZEN_WIDTHS[profile]]
    arms |= {f"frozen, r = {one.width}": one for one in widths}
    arms["frozen, narrowest"] = min(widths, key=attrgetter("width"))
    arms["frozen over widths"] = [frozen(profile, ridge=True, curve=True), *widths]
    if profile == "paper":
        arms["plain"] = frozen("laptop", momentum=0.0, rate=1.8, n_steps=60_000, curve=True)
    return arms


def _dimensions(profile: str) -> dict[str, Any]:
    """Return both classes in other dimensions; the larger frozen networks are "large"."""
    arms: dict[str, Any] = {}
    for dim in DIMS[profile]:
        n_steps = WEAK_STEPS[profile] if dim > DIM else trained(profile).n_steps
        weak = trained(profile, dim=dim, n_steps=n_steps)
        arms[f"weak, d = {dim}"] = weak
        arms[f"frozen, d = {dim}"] = frozen(profile, dim=dim, ridge=dim == 20)
        if dim == 20:
            erf = replace(weak, activation="erf")
            arms["degree 1, d = 20"] = replace(weak, target="degree 1")
            arms |= {"erf, d = 20": erf, "erf, clipped, d = 20": replace(erf, clip="unit")}
    arms["weak, d = 3"] = trained(profile, dim=3)
    for dim, (width, n_samples, n_steps) in LARGE[profile].items():
        arms[f"large, d = {dim}"] = frozen(
            profile, dim=dim, width=width, n_samples=n_samples, n_steps=n_steps
        )
    arms["frozen over dimensions"] = [
        frozen(profile, ridge=True, curve=True), *(arms[f"frozen, d = {d}"] for d in DIMS[profile])
    ]  # fmt: skip
    for dim in (20, 30):
        arms[f"widest, d = {dim}"] = arms.get(f"large, d = {dim}", arms[f"frozen, d = {dim}"])
    return arms


def _classes(arms: dict[str, Any]) -> dict[str, list[BallConfig]]:
    """Return the weak networks that a comparison takes the best of."""
    trained_ones = [one for one in every(arms) if one.learner == "trained"]
    weak = [one for one in trained_ones if one.clip != "unit" and one.target == "ball"]
    linear = [one for one in weak if one.clip == "none" and one.radius == RADIUS]
    classes = {
        "every weak": weak,
        "weak plateau": [one for one in linear if one.dim >= DIM and one.width <= 1024],
        "relu, d >= 20": [one for one in linear if one.dim >= 20 and one.activation == "relu"],
        "degree 1, every d": [one for one in trained_ones if one.target == "degree 1"],
    }
    by_dim = {dim: [one for one in linear if one.dim == dim] for dim in (DIM, 20, 30)}
    return classes | {f"weak class, d = {dim}": found for dim, found in by_dim.items() if found}


def sum_groups(profile: str) -> list[Group]:
    """Weak networks by shape, frozen ones seed by seed."""
    arms, seeds, few = sum_arms(profile), SEEDS[profile], FEWER[profile]

    def weak(seeds: Iterable[int], *names: str) -> list[Group]:
        return [Group.of("ball_sum", every(arms, *names), seeds)]

    def strong(seeds: Iterable[int], *names: str) -> list[Group]:
        return one_by_one("ball_sum", every(arms, *names), seeds)

    groups = weak(seeds, "weak", "weak, clipped")
    groups += weak(few, "weak, wide clip", "degree 1", "permuted")
    if profile == "smoke":
        return groups + strong(seeds, "frozen")
    groups += weak(few, "weak, erf", "weak, erf, clipped") + weak(
        few, "weak, λ = 1.2", "weak, λ = 1.6"
    )
    groups += [g for width in WEAK_WIDTHS[profile] for g in weak(seeds, f"weak, r = {width}")]
    groups += strong(seeds, "frozen", "frozen, λ = 1.2", "frozen, λ = 1.6", "frozen, no clip")
    groups += [g for width in FROZEN_WIDTHS[profile] for g in strong(few, f"frozen, r = {width}")]
    if profile == "paper":
        groups += strong(few, "plain")
    for dim in DIMS[profile]:
        more = ["degree 1, d = 20"] if dim == 20 else []
        groups += weak(few, f"weak, d = {dim}", *more)
        if dim == 20:
            groups += weak(few, "erf, d = 20", "erf, clipped, d = 20")
        groups += strong(few, f"frozen, d = {dim}")
    groups += weak(few, "weak, d = 3")
    return groups + [g for dim in LARGE[profile] for g in strong(few, f"large, d = {dim}")]


MSE, LINEAR, CLIPPED = number("mse"), number("linear_mse"), number("mse_clipped")
ZERO_ONE = number("zero_one")


def fraction(degree: int) -> Value:
    """Read the learned fraction of the harmonic of degree 1, 3, 5 or 7."""
    return number("fractions", (1, 3, 5, 7).index(degree))


def over_floor(config: BallConfig, measurement: dict[str, Any]) -> float:
    r"""Divide the error by the degree-1 level $A_1^2$ of the run's target."""
    return MSE(config, measurement) / polynomial_floor(config.dim, config.radius, 1)


def _over_zero(config: BallConfig, measurement: dict[str, Any]) -> float:
    """Certificate over error: at most 1 where the certificate is right."""
    return measurement["certificate"] / MSE(config, measurement)


def _over(above: Arm, below: Arm, value: Value = MSE, other: Value | None = None) -> Statistic:
    """Divide a value of one arm by that of another."""
    return ratio(each(value, above), each(other or value, below))


def _over_best(above: Arm, weak: Arm, value: Value = MSE, other: Value = MSE) -> Statistic:
    """Divide a value of an arm by the smallest one of the weak networks."""
    return ratio(each(value, above), each(other, weak, min))


_WEAK = f"weak class, d = {DIM}"
SUM_STATISTICS: dict[str, Statistic] = {
    "frozen_over_weak": _over_best("frozen", _WEAK),
    "linear_over_weak": _over_best("frozen", _WEAK, LINEAR),
    "frozen_over_clipped_weak": _over_best("frozen", _WEAK, MSE, CLIPPED),
    "frozen_over_weak_small": _over("frozen, λ = 1.2", "weak, λ = 1.2"),
    "linear_over_weak_small": _over("frozen, λ = 1.2", "weak, λ = 1.2", LINEAR, MSE),
    "frozen_over_weak_large": _over("frozen, λ = 1.6", "weak, λ = 1.6"),
    "linear_over_weak_large": _over("frozen, λ = 1.6", "weak, λ = 1.6", LINEAR, MSE),
    "weak_over_floor": each(over_floor, "weak plateau", min),
    "weak_over_floor_main": each(over_floor, "weak"),
    "degree_1_over_floor": each(over_floor, "degree 1"),
    "dim_3_over_floor": each(over_floor, "weak, d = 3"),
    "wide_over_narrow": _over("weak, r = 1024", "weak, r = 128"),
    "frozen_wide_over_narrow": _over("frozen", "frozen, narrowest"),
    "clip_gain": _over("weak", "weak, clipped"),
    "clip_gain_wide": _over("weak", "weak, wide clip"),
    "clip_gain_erf": _over("weak, erf", "weak, erf, clipped"),
    "clip_gain_dim_20": _over("erf, d = 20", "erf, clipped, d = 20"),
    "clip_at_evaluation_erf": _over("weak, erf", "weak, erf", MSE, CLIPPED),
    "clip_at_evaluation_dim_20": _over("erf, d = 20", "erf, d = 20", MSE, CLIPPED),
    "clip_gain_frozen": _over("frozen, no clip", "frozen"),
    "clip_at_evaluation_frozen": _over("frozen, no clip", "frozen, no clip", MSE, CLIPPED),
    "weak_fraction_1": each(fraction(1), "weak"),
    "weak_fraction_3": each(fraction(3), "weak"),
    "clip_fraction_3": each(fraction(3), "weak, clipped"),
    "permuted_fraction_1": each(fraction(1), "permuted"),
    "certificate_over_error": each(_over_zero, "every weak", max),
    "certificate_high_dim": each(number("certificate"), "relu, d >= 20", min),
    "certificate_degree_1": each(number("certificate"), "degree 1, every d", max),
    "zero_one_ratio": _over_best("frozen", _WEAK, ZERO_ONE, ZERO_ONE),
    "zero_one_clip_ratio": _over("weak", "weak, clipped", ZERO_ONE),
    "smallest_weak_error": each(MSE, "every weak", min),
    "degree_1_error": each(MSE, "degree 1"),
    "width_slope": slope(attrgetter("width"), MSE, "frozen over widths", complete=True),
    "width_slope_linear": slope(attrgetter("width"), LINEAR, "frozen over widths", complete=True),
    "frozen_over_weak_dim_20": _over_best("widest, d = 20", "weak class, d = 20"),
    "frozen_over_weak_dim_30": _over_best("widest, d = 30", "weak class, d = 30"),
    "linear_over_weak_dim_20": _over_best("frozen, d = 20", "weak class, d = 20", LINEAR),
    "dim_slope": slope(attrgetter("dim"), MSE, "frozen over dimensions", complete=True),
    "plain_over_weak": _over_best("plain", _WEAK),
}

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


def _on(profile: str, distribution: str, dim: int, width: int) -> BallConfig:
    n_samples, n_steps = UNIFORM_SAMPLES[profile]
    return frozen(
        profile, distribution=distribution, dim=dim, radius=DISTRIBUTIONS[distribution].radius,
        width=width, n_samples=n_samples, n_steps=n_steps,
    )  # fmt: skip


CAUCHY_STEPS = {"laptop": 200, "paper": 300}


def radii_arms(profile: str) -> Arms:
    """Uniform and half-Cauchy radii; the Bessel mixture in the paper profile."""
    arms: dict[str, Any] = {}
    for dim in UNIFORM_DIMS[profile]:
        widths = [_on(profile, "uniform", dim, r) for r in UNIFORM_WIDTHS[profile]]
        found = [replace(one, ridge=True) for one in widths]
        arms[f"uniform, d = {dim}"] = found
        arms |= {
            f"uniform, d = {dim}, narrowest": found[0],
            f"uniform, d = {dim}, widest": found[-1],
        }
        swept = _on(profile, "uniform", dim, SWEEP_WIDTH)
        arms[f"uniform, d = {dim}, r = {SWEEP_WIDTH}"] = replace(swept, ridge=True)
        arms[f"permuted, d = {dim}"] = replace(swept, target="permuted")
    if profile != "smoke":
        arms |= _weak_on_uniform(profile) | _sweep(profile) | _cauchy(profile)
    if profile == "paper":
        arms |= _bessel(profile)
    return arms


def _weak_on_uniform(profile: str) -> dict[str, Any]:
    arms: dict[str, Any] = {}
    for dim in UNIFORM_DIMS[profile]:
        found = [
            trained(profile, distribution="uniform", dim=dim, radius=1.0, width=width)
            for width in ((128, 512) if dim == DIM else (512,))
        ]
        arms[f"weak on uniform, d = {dim}"] = found
        arms |= {
            f"weak on uniform, d = {dim}, narrowest": found[0],
            f"weak on uniform, d = {dim}, widest": found[-1],
        }
    return arms


def _sweep(profile: str) -> dict[str, Any]:
    """Return the sample and dimension sweeps, plain gradient descent, and many starts."""
    base = _on(profile, "uniform", DIM, SWEEP_WIDTH)
    largest = [
        replace(_on(profile, "uniform", d, SWEEP_WIDTH), ridge=True) for d in UNIFORM_DIMS[profile]
    ]
    few = [replace(base, n_samples=n) for n in SAMPLE_SIZES[profile]]
    dims = [replace(base, dim=dim) for dim in SWEEP_DIMS[profile]]
    width, n_samples, n_steps = PLAIN[profile]
    return {
        "fewer samples": few,
        "over samples": [*few, largest[0]],
        "other dimensions": dims,
        "over dimensions": [*dims, *largest],
        "plain": replace(
            base, width=width, n_samples=n_samples, n_steps=n_steps, momentum=0.0, rate=1.8,
            ridge=True,
        ),
        "starts": replace(base, learner="starts", n_steps=100, n_samples=2000),
    }  # fmt: skip


def _cauchy(profile: str) -> dict[str, Any]:
    arms: dict[str, Any] = {}
    for dim in UNIFORM_DIMS[profile]:
        strong = _on(profile, "half_cauchy", dim, 1000)
        arms[f"half-Cauchy, d = {dim}"] = replace(strong, n_steps=CAUCHY_STEPS[profile])
        weak = trained(profile, distribution="half_cauchy", dim=dim, activation="erf")
        arms[f"weak on half-Cauchy, d = {dim}"] = weak
    return arms


def _bessel(profile: str) -> dict[str, Any]:
    strong = _on(profile, "bessel", DIM, 4000)
    weak = trained(profile, distribution="bessel", activation="erf", width=1024)
    pairs = {"Bessel": strong, "weak on Bessel": weak}
    return {n: [replace(one, radius=r) for r in BESSEL_RADII] for n, one in pairs.items()}


def radii_groups(profile: str) -> list[Group]:
    """Weak networks by shape, frozen ones seed by seed and width by width."""
    arms, few, groups = radii_arms(profile), FEWER[profile], []
    for dim in UNIFORM_DIMS[profile]:
        for one in every(arms, f"uniform, d = {dim}"):
            both = [one] + every(arms, f"permuted, d = {dim}") * (one.width == SWEEP_WIDTH)
            groups += one_by_one("ball_radii", both, SEEDS[profile] if dim == DIM else few)
        if profile != "smoke":
            weak = every(arms, f"weak on uniform, d = {dim}")
            groups += [Group.of("ball_radii", [one], few) for one in weak]
    if profile == "smoke":
        return groups
    for one in every(arms, "fewer samples", "other dimensions", "plain"):
        groups += one_by_one("ball_radii", [one], few)
    groups.append(Group.of("ball_radii", every(arms, "starts"), few))
    for dim in UNIFORM_DIMS[profile]:
        groups += one_by_one("ball_radii", every(arms, f"half-Cauchy, d = {dim}"), few)
        groups.append(Group.of("ball_radii", every(arms, f"weak on half-Cauchy, d = {dim}"), few))
    if profile == "paper":
        groups += one_by_one("ball_radii", every(arms, "Bessel"), few)
        groups.append(Group.of("ball_radii", every(arms, "weak on Bessel"), few))
    return groups


def _bessel_worst(runs: Runs) -> dict[int, float]:
    r"""Return the largest ratio of frozen to trained error over the radii $\lambda$."""
    strong, weak = (
        {seed: {c.radius: MSE(c, m) for c, m in own} for seed, own in runs.of(name).items()}
        for name in ("Bessel", "weak on Bessel")
    )
    return {s: max(e / weak[s][radius] for radius, e in own.items()) for s, own in strong.items()}


RADII_STATISTICS: dict[str, Statistic] = {
    **{
        f"{name}{end}": _over(
            f"uniform, d = {dim}, widest", f"uniform, d = {dim}, narrowest", value
        )
        for end, dim in {"": 10, "_30": 30}.items()
        for name, value in {"wide_over_narrow": MSE, "wide_over_narrow_linear": LINEAR}.items()
    },
    **{
        f"{name}{end}": _over_best(
            f"uniform, d = {dim}, widest", f"weak on uniform, d = {dim}", value
        )
        for end, dim in {"": 10, "_30": 30}.items()
        for name, value in {"frozen_over_weak": MSE, "linear_over_weak": LINEAR}.items()
    },
    "plain_error": each(MSE, "plain"),
    "plain_linear_error": each(LINEAR, "plain"),
    "permuted_error": each(MSE, "permuted, d = 10"),
    "weak_width_gain": _over(
        "weak on uniform, d = 10, widest", "weak on uniform, d = 10, narrowest"
    ),
    "half_cauchy_10": _over("half-Cauchy, d = 10", "weak on half-Cauchy, d = 10"),
    "half_cauchy_30": _over("half-Cauchy, d = 30", "weak on half-Cauchy, d = 30"),
    "dead_as_drawn": each(number("as_drawn"), "starts"),
    "dead_signed": each(number("signed"), "starts"),
    "bessel_worst": _bessel_worst,
    "samples_slope": slope(attrgetter("n_samples"), MSE, "over samples", complete=True),
    "dim_slope": slope(attrgetter("dim"), MSE, "over dimensions", complete=True),
}

# --- the proof's own weights ------------------------------------------------------------------

ORACLE_WIDTHS = {"laptop": (1000, 10_000, 100_000), "paper": (1000, 10_000, 100_000, 1_000_000)}


def oracle_arms(profile: str) -> Arms:
    """The construction of Prop. 21 at widths that show where it begins to work."""
    if profile not in ORACLE_WIDTHS:
        return {}
    found = [
        BallConfig("oracle", "sum", DIM, RADIUS, width, clip="unit", n_test=1000)
        for width in ORACLE_WIDTHS[profile]
    ]
    return {"oracle": found, "oracle, narrowest": found[0], "oracle, widest": found[-1]}


def oracle_groups(profile: str) -> list[Group]:
    """A group for every width and seed."""
    found = every(oracle_arms(profile))
    return [g for one in found for g in one_by_one("ball_oracle", [one], FEWER[profile])]


ORACLE_STATISTICS: dict[str, Statistic] = {
    "widest_error": each(MSE, "oracle, widest"),
    "narrowest_error": each(MSE, "oracle, narrowest"),
}

EXPERIMENTS = (
    Experiment("ball_sum", CHAPTER, sum_groups, measure, SUM_STATISTICS, sum_arms),
    Experiment("ball_radii", CHAPTER, radii_groups, measure, RADII_STATISTICS, radii_arms),
    Experiment("ball_oracle", CHAPTER, oracle_groups, measure, ORACLE_STATISTICS, oracle_arms),
)
