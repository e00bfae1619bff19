r"""Chapter 2: what no kernel learns from N samples, exactly, and networks that learn it.

Three experiments on a zoo of kernels, without a test set: all parities of one degree, hierarchical
classes, and the search for $N_{50}$. Three on polynomial networks: members of the same classes,
controls on which the bound holds for every learner, and two layers beside a deep network.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import Any

from hierlearn.cube.bounds import samples_required, water_filling
from hierlearn.cube.certificates import (
    ErrorsConfig,
    HalfErrorConfig,
    measure_errors,
    measure_half_error,
)
from hierlearn.cube.runs import NetworkConfig, measure
from hierlearn.cube.target import ParityClass, hierarchy_class
from hierlearn.engine.kernels import ZOO
from hierlearn.experiment import Arms, Experiment, Group, Runs, Statistic, every
from hierlearn.statistics import Arm, difference, each, exponent, needed, number, runs_of, slope

CHAPTER = "02_kernel_lower_bounds"
SEEDS = {"smoke": range(4), "laptop": range(8), "paper": range(8)}
FEWER_SEEDS = {"smoke": range(3), "laptop": range(5), "paper": range(5)}
KERNELS = (*ZOO, "harmonic")
OTHERS = tuple(ZOO)
"""The kernels that know nothing of the class."""
EXACT_RIDGES = (1e-8,)
"""For the harmonic kernel: small against its eigenvalues, large against rounding of the zeros."""
STAIRCASES = {"staircase, 2 levels": (1.0, 0.7), "staircase, 3 levels": (1.0, 0.8, 0.64)}
AMPLITUDES = {
    "parity of degree 4": (0.0, 1.0), "parity of degree 8": (0.0, 0.0, 1.0), **STAIRCASES,
}  # fmt: skip
"""Of the targets that a network learns."""
STAIRCASE_DIM = 16
"""The dimension in which all kernels, deep and two-layer networks meet the staircases."""

# --- kernels on all parities of one degree ----------------------------------------------------

CLASSES = {
    "smoke": ((10, 2), (16, 2), (10, 3), (12, 4)),
    "laptop": (
        (10, 2), (16, 2), (24, 2), (32, 2), (10, 3), (14, 3), (18, 3), (10, 4), (12, 4), (14, 4),
    ),
    "paper": (
        (16, 2), (32, 2), (48, 2), (64, 2), (14, 3), (18, 3), (24, 3), (12, 4), (14, 4), (18, 4),
    ),
}  # fmt: skip
SHARES = {
    "smoke": (0.25, 0.9), "laptop": (0.1, 0.25, 0.5, 0.9), "paper": (0.1, 0.25, 0.5, 0.75, 0.9),
}  # fmt: skip
"""Samples over targets."""
VOID = (16, 2), 300
"""The class of which as many samples are taken as make the bound void."""
ODD, ODD_SHARE = ((10, 3), (14, 3)), 2.0
"""The classes of odd degree of which more samples than targets are taken."""


def _certificate(profile: str, kernel: str, dim: int, degree: int) -> ErrorsConfig:
    n_targets = math.comb(dim, degree)
    sizes = [round(share * n_targets) for share in SHARES[profile]]
    if (dim, degree) == VOID[0]:
        sizes.append(VOID[1])
    if (dim, degree) in ODD:
        sizes.append(round(ODD_SHARE * n_targets))
    config = ErrorsConfig(dim, (degree,), (1.0,), kernel, tuple(sizes))
    return replace(config, ridges=EXACT_RIDGES) if kernel == "harmonic" else config


def certificate_arms(profile: str) -> Arms:
    """Each kernel on every class, and those that get more samples than the class has targets."""
    classes = CLASSES[profile]
    make = partial(_certificate, profile)
    odd = [one for one in classes if one in ODD]
    return {
        **{kernel: [make(kernel, *one) for one in classes] for kernel in KERNELS},
        "void bound": [make(kernel, *VOID[0]) for kernel in OTHERS],
        "one hidden layer, degree 3": [make(k, *one) for one in odd for k in ("arccos1", "ntk1")],
        "poly4, degree 3": [make("poly4", *one) for one in odd],
    }


def certificate_groups(profile: str) -> list[Group]:
    """A group for every class: its kernels see the same samples."""
    arms = certificate_arms(profile)
    by_class = zip(*(arms[kernel] for kernel in KERNELS), strict=True)
    return [Group.of("kernel_certificates", group, SEEDS[profile]) for group in by_class]


at_most_samples = number("relative", -1)
"""The error at the last size of a run, its largest."""


def over_bound(config: ErrorsConfig, measurement: dict[str, Any]) -> float:
    """Return the smallest quotient of error and bound, over the sizes that `binding` lists."""
    return min(error / bound for bound, error in binding(measurement))


def above_bound(config: ErrorsConfig, measurement: dict[str, Any]) -> float:
    """Return the smallest distance of the error from the bound, over the same sizes."""
    return min(error - bound for bound, error in binding(measurement))


def binding(measurement: dict[str, Any]) -> list[tuple[float, float]]:
    """List bound and error at each size with fewer samples than targets."""
    pairs = zip(measurement["bound"], measurement["relative"], strict=True)
    return [(bound, error) for bound, error in pairs if bound > 0]


def off_rank_formula(config: ErrorsConfig, measurement: dict[str, Any]) -> float:
    """Return how far the error is from one less rank over targets, at most, over all sizes."""
    n_targets = sum(config.target.multiplicities)
    pairs = zip(measurement["rank"], measurement["relative"], strict=True)
    return max(abs(error - (1 - rank / n_targets)) for rank, error in pairs)


CERTIFICATE_STATISTICS = {
    "least_over_bound": each(over_bound, KERNELS, min),
    "least_error_when_void": each(at_most_samples, "void bound", min),
    "largest_gap_to_rank_formula": each(off_rank_formula, "harmonic", max),
    "least_gap_of_other_kernels": each(above_bound, OTHERS, min),
    "odd_degree_error": each(at_most_samples, "one hidden layer, degree 3", min),
    "odd_degree_error_of_others": each(at_most_samples, "poly4, degree 3", max),
}

# --- kernels on the staircases ----------------------------------------------------------------

STAIRCASE_SIZES = {
    "smoke": (125, 250), "laptop": (125, 250, 500, 1000),
    "paper": (125, 250, 500, 1000, 2000, 4000),
}  # fmt: skip


def _staircase(
    dim: int, amplitudes: tuple[float, ...], kernel: str, sizes: tuple[int, ...], **options: Any
) -> ErrorsConfig:
    target = hierarchy_class(dim, amplitudes)
    return ErrorsConfig(dim, target.degrees, target.amplitudes, kernel, sizes, **options)


def hierarchy_arms(profile: str) -> Arms:
    """Each kernel on the staircases, and a class that the samples exhaust with its own kernel."""
    two_levels, sizes = STAIRCASES["staircase, 2 levels"], STAIRCASE_SIZES[profile]
    return {
        "exhausted class": _staircase(10, two_levels, "harmonic", (600,), ridges=EXACT_RIDGES),
        **{
            kernel: [_staircase(STAIRCASE_DIM, a, kernel, sizes) for a in STAIRCASES.values()]
            for kernel in KERNELS
        },
    }


def hierarchy_groups(profile: str) -> list[Group]:
    """A group for the class that is exhausted, and one for each seed of the others."""
    arms, seeds = hierarchy_arms(profile), FEWER_SEEDS[profile]
    make = partial(Group.of, "kernel_hierarchy")
    staircases = every(arms, *KERNELS)
    return [
        make(every(arms, "exhausted class"), seeds), *(make(staircases, [seed]) for seed in seeds)
    ]  # fmt: skip


HIERARCHY_STATISTICS = {
    "least_over_bound": each(over_bound, KERNELS, min),
    "least_error_when_void": each(at_most_samples, "exhausted class"),
}

# --- how many samples a kernel needs for error one half ---------------------------------------

FEW, ONE = (1e-5, 1e-3, 1e-2), (1e-4,)
"""Ridges; a costly degree tries one."""
HALF_ERROR_KERNELS = {
    1: (("poly4", "arccos1", "ntk2"), FEW), 2: (("poly4", "arccos1", "ntk2"), FEW),
    3: (("poly4",), FEW), 4: (("poly4", "ntk1"), ONE),
}  # fmt: skip
"""For each degree: kernels that are fit for it, and ridges."""
HALF_ERROR_DIMS: dict[str, dict[int, tuple[int, ...]]] = {
    "smoke": {1: (16, 32), 2: (8, 12, 16)},
    "laptop": {
        1: (16, 32, 64), 2: (8, 12, 16, 24, 32), 3: (8, 10, 12, 16, 20), 4: (10, 12, 14),
    },
    "paper": {
        1: (16, 32, 64, 128), 2: (8, 12, 16, 24, 32, 48, 64, 96), 3: (8, 10, 12, 16, 20, 24, 32),
        4: (10, 12, 14, 18, 24, 28),
    },
}  # fmt: skip


def of_degree(*degrees: int) -> tuple[str, ...]:
    """Name the arms of these degrees: each kernel that is fit for it."""
    return tuple(f"{name}, degree {k}" for k in degrees for name in HALF_ERROR_KERNELS[k][0])


def half_error_arms(profile: str) -> Arms:
    """Each kernel on all parities of a degree that it is fit for, over the dimension."""
    return {
        f"{kernel}, degree {degree}": [HalfErrorConfig(dim, degree, kernel, ridges) for dim in dims]
        for degree, dims in HALF_ERROR_DIMS[profile].items()
        for kernels, ridges in [HALF_ERROR_KERNELS[degree]]
        for kernel in kernels
    }


def half_error_groups(profile: str) -> list[Group]:
    """A group for each configuration; the costly degrees have fewer seeds."""
    return [
        Group.of("kernel_half_error", [c], (SEEDS if c.degree < 3 else FEWER_SEEDS)[profile])
        for c in every(half_error_arms(profile))
    ]


n50 = number("n_samples")
"""Samples for error one half; not a number where the search did not reach it."""


def n50_over_targets(config: HalfErrorConfig, measurement: dict[str, Any]) -> float:
    """Divide the samples for error one half by the number of targets."""
    return n50(config, measurement) / math.comb(config.dim, config.degree)


def dimension(config: HalfErrorConfig | NetworkConfig) -> int:
    """Return the dimension $d$."""
    return config.dim


def known_largest(values: Sequence[float]) -> float:
    """Return the largest value; not a number where one of them is not."""
    return math.nan if any(map(math.isnan, values)) else max(values)


def over_kernels(
    combine: Callable[[Iterable[float]], float], make: Callable[[str], Statistic], degree: int
) -> Statistic:
    """Make the statistic that combines one of each kernel, seed by seed, at a degree."""
    statistics = [make(arm) for arm in of_degree(degree)]

    def statistic(runs: Runs) -> dict[int, float]:
        found = [one(runs) for one in statistics]
        seeds = [seed for seed in found[0] if all(seed in one for one in found)]
        return {seed: combine([one[seed] for one in found]) for seed in seeds}

    return statistic


growth = partial(slope, dimension, n50)
HALF_ERROR_STATISTICS = {
    **{f"least_exponent_{k}": over_kernels(min, growth, k) for k in (2, 3, 4)},
    "largest_exponent_1": over_kernels(max, growth, 1),
    "largest_ratio": each(n50_over_targets, of_degree(2, 3, 4), known_largest, complete=True),
}

# --- deep networks on members of the classes --------------------------------------------------

LEVEL = 0.1
"""The relative error at which the samples that a network needs are counted."""
STEPS = {"smoke": (800, 1000), "laptop": (800, 1000), "paper": (4000, 4000)}
"""Training steps for targets of two and of three levels."""
DIMS: dict[str, dict[str, tuple[int, ...]]] = {
    "smoke": {"parity of degree 4": (12, 16, 24)},
    "laptop": {
        "parity of degree 4": (12, 16, 24, 32),
        "parity of degree 8": (16,),
        "staircase, 2 levels": (12, 16, 24, 32, 48),
        "staircase, 3 levels": (16, 24, 32, 48, 64),
    },
    "paper": {
        "parity of degree 4": (12, 16, 24, 32, 48, 64),
        "parity of degree 8": (16,),
        "staircase, 2 levels": (12, 16, 24, 32, 48, 64, 96, 128),
        "staircase, 3 levels": (16, 24, 32, 48, 64, 96, 128, 192, 256),
    },
}
GRIDS: dict[str, tuple[float, tuple[float, ...]]] = {
    "parity of degree 4": (1.75, (1.6, 2.2, 2.8, 3.4, 4.2, 5.2, 7.5)),
    "parity of degree 8": (0.0, (2000, 2800, 4000, 5600, 8000)),
    "staircase, 2 levels": (1.4, (2.5, 3.5, 4.5, 6, 8, 11)),
    "staircase, 3 levels": (1.05, (25, 36, 48, 62, 80, 120, 200)),
}
"""Sample sizes $cd^p$ for each target: the power p, and the factors c."""


def _network(profile: str, target: str, dim: int, n_samples: int) -> NetworkConfig:
    amplitudes = AMPLITUDES[target]
    return NetworkConfig(dim, amplitudes, n_samples, STEPS[profile][len(amplitudes) - 2])


def sample_arms(profile: str) -> Arms:
    """Each target over dimension and sample size, and of these the largest."""
    arms: dict[str, Any] = {}
    for target, dims in DIMS[profile].items():
        power, factors = GRIDS[target]
        grid = [(dim, round(factor * dim**power)) for dim in dims for factor in factors]
        arms[target] = [_network(profile, target, *one) for one in grid]
        arms[f"{target}, largest d"] = [one for one in arms[target] if one.dim == dims[-1]]
        arms[f"{target}, largest d and N"] = arms[target][-1]
    return arms


def sample_groups(profile: str) -> list[Group]:
    """A group for every target and dimension."""
    arms = sample_arms(profile)
    return [
        Group.of(
            "network_samples",
            group,
            (SEEDS if target == "parity of degree 4" else FEWER_SEEDS)[profile],
        )
        for target in DIMS[profile]
        for _, group in groupby(arms[target], key=dimension)
    ]


relative_error = number("rel")


def n_samples(config: NetworkConfig) -> int:
    """Return the number of samples N."""
    return config.n_samples


def kernel_class(config: NetworkConfig) -> ParityClass:
    """Return the class that a network's target is a random member of."""
    return hierarchy_class(config.dim, config.amplitudes)


def relative_floor(target: ParityClass, n_samples: int) -> float:
    """Return the relative error that no kernel goes below on a class (equation 2.2)."""
    return water_filling(n_samples, target.eigenvalues, target.multiplicities) / target.energy


def network_floor(config: NetworkConfig, measurement: dict[str, Any]) -> float:
    """Return what no kernel goes below with as many samples as a network has."""
    return relative_floor(kernel_class(config), config.n_samples)


def network_over_bound(config: NetworkConfig, measurement: dict[str, Any]) -> float:
    """Divide a network's error by what no kernel goes below."""
    return relative_error(config, measurement) / network_floor(config, measurement)


def certified_samples(target: ParityClass) -> float:
    """Return the N below which no kernel has relative error 0.1 (inverse of equation 2.2)."""
    return samples_required(LEVEL * target.energy, target.eigenvalues, target.multiplicities)


def samples_needed(runs: Runs, arm: Arm) -> dict[int, dict[ParityClass, float]]:
    """Return N10 per seed and class: where the relative error crosses 0.1."""
    return needed(runs, arm, size=n_samples, by=kernel_class, value=relative_error, level=LEVEL)


def network_exponent(target: str) -> Statistic:
    """Make the statistic of the exponent of N10 in d."""
    return lambda runs: {
        seed: exponent([(one.dim, n) for one, n in by_class.items()])
        for seed, by_class in samples_needed(runs, target).items()
    }


def certificate_exponent(target: str) -> Statistic:
    """Make the statistic of the exponent of what the certificate demands, in the same classes."""
    return lambda runs: {
        seed: exponent([(one.dim, certified_samples(one)) for one in by_class])
        for seed, by_class in samples_needed(runs, target).items()
    }


def exponent_gap(target: str) -> Statistic:
    """Make the statistic: the certificate's exponent less the network's."""
    return difference(certificate_exponent(target), network_exponent(target))


SAMPLE_STATISTICS = {
    "parity_4_over_bound": each(network_over_bound, "parity of degree 4, largest d and N"),
    "parity_8_over_bound": each(network_over_bound, "parity of degree 8, largest d and N"),
    "stairs_3_over_bound": each(network_over_bound, "staircase, 3 levels, largest d and N"),
    "parity_4_exponent": network_exponent("parity of degree 4"),
    "parity_4_certificate_exponent": certificate_exponent("parity of degree 4"),
    "stairs_2_exponent_gap": exponent_gap("staircase, 2 levels"),
    "stairs_3_exponent_gap": exponent_gap("staircase, 3 levels"),
}

# --- controls: nothing can be learned from N samples ------------------------------------------

CONTROLS = {"dense": "dense polynomial", "permuted": "permuted labels"}
_SIZES = {"dense": (250, 500, 1000, 1600), "permuted": (250, 500, 1000)}
CONTROL_SIZES: dict[str, dict[str, tuple[int, ...]]]
CONTROL_SIZES = {"smoke": {"dense": (500, 1600)}, "laptop": _SIZES, "paper": _SIZES}


def control_arms(profile: str) -> Arms:
    """Deep networks on dense targets and on permuted labels, over the sample size."""
    make = partial(_network, profile, "parity of degree 4", 16)
    return {
        CONTROLS[target]: [replace(make(n), target=target) for n in sizes]
        for target, sizes in CONTROL_SIZES[profile].items()
    }


def control_groups(profile: str) -> list[Group]:
    """A group for each control."""
    arms = control_arms(profile)
    return [Group.of("network_controls", arm, SEEDS[profile]) for arm in arms.values()]


CONTROL_STATISTICS = {
    "dense_over_bound": each(network_over_bound, "dense polynomial", min),
    "dense_error": each(relative_error, "dense polynomial", min),
    "permuted_error": each(relative_error, "permuted labels", min),
}

# --- two layers beside a deep network ---------------------------------------------------------

RATES = (2e-3, 5e-3)
TWO_LAYER = {
    "staircase, 2 levels": ((500, 1000), 64, 1.0),
    "staircase, 3 levels": ((1000, 2000, 4000), 128, 1.2),
}
"""For each target: sample sizes, width, and training steps over those of the deep network."""


def two_layer_arms(profile: str) -> Arms:
    """Two-layer networks at two learning rates, and deep ones on the same samples."""
    if profile == "smoke":
        return {}
    arms: dict[str, Any] = {}
    for target, (sizes, width, longer) in TWO_LAYER.items():
        deep = {n: _network(profile, target, STAIRCASE_DIM, n) for n in sizes}
        for n, one in deep.items():
            n_steps = round(longer * one.n_steps)
            shallow = replace(one, network="two-layer", width=width, n_steps=n_steps)
            arms[f"two-layer, {target}, N={n}"] = [replace(shallow, rate=r) for r in RATES]
        arms |= {f"deep, {target}, N={n}": one for n, one in deep.items()}
    return arms


def two_layer_groups(profile: str) -> list[Group]:
    """A group for each target and architecture."""
    arms = two_layer_arms(profile)
    groups = groupby(every(arms), key=lambda c: c.shape)
    return [Group.of("two_layer", group, FEWER_SEEDS[profile]) for _, group in groups]


def at_better_rate(arm: Arm) -> Statistic:
    """Make the statistic: the error at the learning rate whose mean over all seeds is smaller."""

    def statistic(runs: Runs) -> dict[int, float]:
        by_rate: dict[float, dict[int, float]] = {}
        for seed, own in runs_of(runs, arm).items():
            for config, measurement in own:
                error = relative_error(config, measurement)
                by_rate.setdefault(config.rate, {})[seed] = error
        return min(by_rate.values(), key=lambda errors: sum(errors.values()), default={})

    return statistic


TWO_LAYER_STATISTICS = {
    "two_layer_three_levels": at_better_rate("two-layer, staircase, 3 levels, N=4000"),
    "two_layer_two_levels": at_better_rate("two-layer, staircase, 2 levels, N=500"),
    "deep_three_levels": each(relative_error, "deep, staircase, 3 levels, N=4000"),
    "deep_two_levels": each(relative_error, "deep, staircase, 2 levels, N=500"),
}


EXPERIMENTS = (
    Experiment(
        "kernel_certificates", CHAPTER, certificate_groups, measure_errors,
        CERTIFICATE_STATISTICS, certificate_arms,
    ),
    Experiment(
        "kernel_hierarchy", CHAPTER, hierarchy_groups, measure_errors, HIERARCHY_STATISTICS,
        hierarchy_arms,
    ),
    Experiment(
        "kernel_half_error", CHAPTER, half_error_groups, measure_half_error,
        HALF_ERROR_STATISTICS, half_error_arms,
    ),
    Experiment(
        "network_samples", CHAPTER, sample_groups, measure, SAMPLE_STATISTICS, sample_arms
    ),
    Experiment(
        "network_controls", CHAPTER, control_groups, measure, CONTROL_STATISTICS, control_arms
    ),
    Experiment(
        "two_layer", CHAPTER, two_layer_groups, measure, TWO_LAYER_STATISTICS, two_layer_arms
    ),
)  # fmt: skip
