r"""Chapter 2: what no kernel learns from N samples, exactly, and who learns it nevertheless.

Three experiments on a zoo of kernels, without a test set: the bound on classes of parities and
staircases, the theorem's own regime, and the search for $N_{50}$. Four on networks: single
parities and staircases, sums of random parities between sparse and dense, noisy labels, and two
layers. One on the trivial learner, which searches all monomials.
"""

import math
from dataclasses import replace
from functools import partial
from itertools import groupby
from typing import Any

from hierlearn.cube import measures
from hierlearn.cube.certificates import (
    ErrorsConfig,
    HalfErrorConfig,
    SpanConfig,
    measure_errors,
    measure_half_error,
    measure_spans,
)
from hierlearn.cube.noise import NoisyConfig, measure_noisy
from hierlearn.cube.runs import NetworkConfig, measure
from hierlearn.cube.search import SearchConfig, measure_search
from hierlearn.cube.target import ParityClass, hierarchy_class
from hierlearn.engine.kernels import ZOO
from hierlearn.experiment import Arms, Experiment, Group, Statistic, apart, every, together
from hierlearn.statistics import each, number, slope

CHAPTER = "02_kernel_lower_bounds"
SEEDS = {"smoke": range(4), "laptop": range(8), "paper": range(8)}
FEWER_SEEDS = {"smoke": range(3), "laptop": range(5), "paper": range(8)}
KERNELS = (*ZOO, "harmonic")
OTHERS = tuple(ZOO)
"""The kernels that know nothing of the class."""
PARITY, STAIRCASE = (0.0, 1.0), (1.0, 0.8, 0.64)
"""Amplitudes of one parity of degree 4, and of a staircase of three levels."""
DIM = 16
"""The dimension in which all learners meet."""

# --- kernels against the bound ----------------------------------------------------------------

CLASSES = {
    "smoke": ((10, 2), (16, 2), (10, 3), (10, 4)),
    "laptop": ((10, 2), (16, 2), (24, 2), (10, 3), (10, 4), (12, 4)),
    "paper": ((10, 2), (16, 2), (32, 2), (48, 2), (10, 3), (16, 3), (20, 3), (12, 4), (15, 4)),
}
SHARES = (0.1, 0.25, 0.5, 0.9)
"""Samples over targets."""
BEYOND = {(16, 2): 300, (10, 3): 240}
"""The classes of which more samples than targets are taken as well."""
STAIRCASE_SIZES = {
    "smoke": (125,), "laptop": (125, 250, 500), "paper": (125, 250, 500, 1000, 2000),
}  # fmt: skip


def certificate_arms(profile: str) -> Arms:
    """Each kernel on all parities of a degree and on a staircase; some beyond all targets."""

    def make(kernel: str, target: ParityClass, sizes: tuple[int, ...]) -> ErrorsConfig:
        config = ErrorsConfig(target.dim, target.degrees, target.amplitudes, kernel, sizes)
        # Small against the eigenvalues of the class's own kernel, large against rounding.
        return replace(config, ridges=(1e-8,)) if kernel == "harmonic" else config

    def parities(kernel: str, dim: int, degree: int) -> ErrorsConfig:
        sizes = [round(share * math.comb(dim, degree)) for share in SHARES]
        sizes += [BEYOND[dim, degree]] if (dim, degree) in BEYOND else []
        return make(kernel, ParityClass(dim, (degree,), (1.0,)), tuple(sizes))

    staircase = hierarchy_class(DIM, STAIRCASE)
    return {
        **{
            kernel: [
                *(parities(kernel, *one) for one in CLASSES[profile]),
                make(kernel, staircase, STAIRCASE_SIZES[profile]),
            ]
            for kernel in KERNELS
        },
        "void bound": [parities(kernel, 16, 2) for kernel in OTHERS],
        "one hidden layer, degree 3": [parities(kernel, 10, 3) for kernel in ("arccos1", "ntk1")],
        "poly4, degree 3": parities("poly4", 10, 3),
    }


def certificate_groups(profile: str) -> list[Group]:
    """A group for every class: its kernels see the same samples."""
    arms = certificate_arms(profile)
    by_class = zip(*(arms[kernel] for kernel in KERNELS), strict=True)
    return [Group.of("kernel_certificates", group, SEEDS[profile]) for group in by_class]


LAST_ERROR = number("relative", -1)
CERTIFICATE_STATISTICS = {
    "least_over_bound": each(measures.over_bound_of(True), KERNELS, min),
    "least_over_water_filling": each(measures.over_bound_of(False), KERNELS, min),
    "least_error_when_void": each(LAST_ERROR, "void bound", min),
    "odd_degree_error": each(LAST_ERROR, "one hidden layer, degree 3", min),
    "odd_degree_error_of_others": each(LAST_ERROR, "poly4, degree 3"),
}

# --- the theorem's regime ---------------------------------------------------------------------

SPAN_DIMS = {"smoke": (32,), "laptop": (32, 40, 48), "paper": (32, 48, 64, 80)}


def span_arms(profile: str) -> Arms:
    """Kernels with a thousandth as many samples as there are parities of degree 4, and half."""

    def make(dim: int, kernel: str, samples: float) -> SpanConfig:
        return SpanConfig(dim, 4, kernel, int(samples * math.comb(dim, 4)))

    return {
        "a thousandth": [make(d, k, 1e-3) for d in SPAN_DIMS[profile] for k in KERNELS],
        "half": make(12, "harmonic", 0.5),
    }


SPAN_STATISTICS = {
    "least_percentile": each(number("percentile"), "a thousandth", min),
    "percentile_at_half": each(number("percentile"), "half"),
}

# --- how many samples a kernel needs for error one half ---------------------------------------

FEW, ONE = (1e-5, 1e-3, 1e-2), (1e-4,)
"""Ridges; a costly degree tries one."""
HALF_ERROR = {2: (("poly4", "arccos1", "ntk2"), FEW), 3: (("poly4",), FEW), 4: (("poly4",), ONE)}
"""For each degree: kernels that are fit for it, and ridges."""
HALF_ERROR_DIMS: dict[str, dict[int, tuple[int, ...]]] = {
    "smoke": {2: (12, 16)},
    "laptop": {2: (12, 16, 24, 32), 3: (10, 12, 14, 16), 4: (11, 12, 13, 14)},
    "paper": {
        2: (12, 16, 24, 32, 48, 64, 80), 3: (10, 12, 16, 20, 24, 28), 4: (11, 12, 13, 14, 16, 18),
    },
}  # fmt: skip
UNFIT_DIMS = (8, 10, 12, 16)
FIT = tuple(f"{kernel}, degree {k}" for k, (kernels, _) in HALF_ERROR.items() for kernel in kernels)


def half_error_arms(profile: str) -> Arms:
    """Kernels on all parities of a degree that they are fit for, over the dimension; one unfit."""
    return {
        "laplace, degree 2": [HalfErrorConfig(d, 2, "laplace", FEW, 8.0) for d in UNFIT_DIMS],
        **{
            f"{kernel}, degree {degree}": [HalfErrorConfig(d, degree, kernel, ridges) for d in dims]
            for degree, dims in HALF_ERROR_DIMS[profile].items()
            for kernels, ridges in [HALF_ERROR[degree]]
            for kernel in kernels
        },
    }


HALF_ERROR_STATISTICS = {
    "largest_ratio": each(measures.n50_over_targets, FIT, max),
    "largest_ratio_unfit": each(measures.n50_over_targets, "laplace, degree 2", max),
    "exponent_4": slope(measures.dimension, measures.n50, "poly4, degree 4"),
}

# --- deep networks on single parities and staircases ------------------------------------------

STEPS = {"smoke": (800, 1000), "laptop": (800, 1000), "paper": (1600, 2000)}
"""Training steps for targets of two and of three levels."""
NETWORKS = {
    "parity of degree 4": (PARITY, 1.75, (1.4, 2.2, 3.0, 4.0, 7.0)),
    "staircase, 3 levels": (STAIRCASE, 1.05, (20, 36, 65, 130)),
}
"""Amplitudes, and sample sizes $cd^p$: the power p and the factors c."""
DIMS: dict[str, dict[str, tuple[int, ...]]] = {
    "smoke": {"parity of degree 4": (24,)},
    "laptop": {"parity of degree 4": (12, 16, 24, 32), "staircase, 3 levels": (16, 24, 32, 48)},
    "paper": {
        "parity of degree 4": (12, 16, 24, 32, 48, 64),
        "staircase, 3 levels": (16, 24, 32, 48, 64, 96, 128),
    },
}


def _network(profile: str, amplitudes: tuple[float, ...], dim: int, n: int) -> NetworkConfig:
    return NetworkConfig(dim, amplitudes, n, STEPS[profile][len(amplitudes) - 2])


def sample_arms(profile: str) -> Arms:
    """Each target over dimension and sample size, and of these the largest."""
    arms: dict[str, Any] = {}
    for target, dims in DIMS[profile].items():
        amplitudes, power, factors = NETWORKS[target]
        chosen = factors if profile != "smoke" else factors[-1:]
        grid = [(dim, round(factor * dim**power)) for dim in dims for factor in chosen]
        arms[target] = [_network(profile, amplitudes, *one) for one in grid]
        arms[f"{target}, largest d"] = [one for one in arms[target] if one.dim == dims[-1]]
        arms[f"{target}, largest d and N"] = arms[target][-1]
    return arms


def sample_groups(profile: str) -> list[Group]:
    """A group for every target and dimension."""
    arms = sample_arms(profile)
    seeds = {"parity of degree 4": SEEDS, "staircase, 3 levels": FEWER_SEEDS}
    return [
        Group.of("network_samples", group, seeds[target][profile])
        for target in DIMS[profile]
        for _, group in groupby(arms[target], key=measures.dimension)
    ]


SAMPLE_STATISTICS: dict[str, Statistic] = {
    "parity_4_over_bound": each(measures.network_over_bound, "parity of degree 4, largest d and N"),
    "parity_4_exponent": partial(measures.network_exponent, arm="parity of degree 4"),
    "parity_4_exponent_gap": partial(measures.exponent_gap, arm="parity of degree 4"),
    "stairs_3_exponent_gap": partial(measures.exponent_gap, arm="staircase, 3 levels"),
}

# --- between one parity and all of them: sparsity without a hierarchy --------------------------

SUMS = {"1 parity": 1, "4 parities": 4, "16 parities": 16, "64 parities": 64, "all parities": None}
SUM_SIZES = {"smoke": (1600,), "laptop": (400, 800, 1600), "paper": (400, 800, 1600)}


def sum_arms(profile: str) -> Arms:
    """Wider deep networks on sums of random parities of degree 4, over the sample size."""
    make = partial(NetworkConfig, DIM, PARITY, n_steps=STEPS[profile][0], target="sum", width=64)
    arms = {
        name: [make(n_samples=n, n_terms=s) for n in SUM_SIZES[profile]]
        for name, s in SUMS.items()
        if profile != "smoke" or s not in (1, 16)
    }
    return {**arms, **{f"{name}, largest N": arm[-1] for name, arm in arms.items()}}


def sum_groups(profile: str) -> list[Group]:
    """A group for each number of parities."""
    arms = sum_arms(profile)
    return [
        Group.of("network_sums", arms[name], FEWER_SEEDS[profile]) for name in SUMS if name in arms
    ]


SUM_STATISTICS = {
    "few_over_bound": each(measures.network_over_bound, "4 parities, largest N"),
    "many_over_bound": each(measures.network_over_bound, "64 parities", min),
    "dense_over_bound": each(measures.network_over_bound, "all parities", min),
}

# --- noise in the labels ------------------------------------------------------------------------

NOISY = {"smoke": (24, 3600), "laptop": (32, 6000), "paper": (48, 12_000)}
"""Dimension and samples of one parity of degree 4."""


def noise_arms(profile: str) -> Arms:
    """A deep network on one parity with noisy labels, and on the sum of all parities."""
    n_steps = STEPS["laptop"][0]
    return {
        "1 parity": NoisyConfig(NOISY[profile][0], PARITY, NOISY[profile][1], n_steps),
        "all parities": NoisyConfig(DIM, PARITY, 1600, n_steps, target="sum", width=64),
    }


NOISE_STATISTICS = {
    "one_over_bound": each(measures.network_over_bound, "1 parity"),
    "all_over_bound": each(measures.network_over_bound, "all parities"),
}

# --- the trivial learner ----------------------------------------------------------------------

SEARCH_DIMS = {"smoke": (12, DIM), "laptop": (12, 16, 24, 32), "paper": (12, 16, 24, 32, 48, 64)}
DENSE_DIM = 10


def search_arms(profile: str) -> Arms:
    """The search for one parity over the dimension, for sums of several, and for all of few."""
    return {
        "1 parity": [SearchConfig(dim, 4, 1) for dim in SEARCH_DIMS[profile]],
        **{name: SearchConfig(DIM, 4, s) for name, s in SUMS.items() if s and s > 1},
        "all parities": SearchConfig(DENSE_DIM, 4),
    }


SEARCH_STATISTICS = {
    "many_over_certificate": each(measures.search_over_certificate, "64 parities"),
    "dense_over_certificate": each(measures.search_over_certificate, "all parities"),
}

# --- two layers beside a deep network ---------------------------------------------------------

WIDTH_AND_RATES = {"laptop": (64, (5e-4, 1e-3, 2e-3)), "paper": (128, (5e-4, 1e-3, 2e-3))}
LEVELS = {"2 levels": ((1.0, 0.7), 500, (1200,)), "3 levels": (STAIRCASE, 4000, (600, 2400))}
"""Amplitudes, samples, and steps of the two-layer network."""


def two_layer_arms(profile: str) -> Arms:
    """Two-layer networks at several rates and lengths, and a deep one on the same samples."""
    if profile not in WIDTH_AND_RATES:
        return {}
    width, rates = WIDTH_AND_RATES[profile]
    deep = {name: _network("laptop", a, DIM, n) for name, (a, n, _) in LEVELS.items()}
    return {
        **{
            f"two-layer, {name}": [
                replace(deep[name], network="two-layer", width=width, n_steps=steps, rate=rate)
                for steps in lengths
                for rate in rates
            ]
            for name, (_, _, lengths) in LEVELS.items()
        },
        "deep, 3 levels": deep["3 levels"],
    }


def two_layer_groups(profile: str) -> list[Group]:
    """A group for each target, architecture and length."""
    groups = groupby(every(two_layer_arms(profile)), key=lambda config: config.shape)
    return [Group.of("two_layer", group, FEWER_SEEDS[profile]) for _, group in groups]


TWO_LAYER_STATISTICS = {
    "three_levels": partial(measures.best, arm="two-layer, 3 levels"),
    "two_levels": partial(measures.best, arm="two-layer, 2 levels"),
}

SOLVED = "kernels are solved exactly"
SEARCHED = "the search ends when it fits or has taken all its terms"
TRAINED = ("n_steps",)
EXPERIMENTS = tuple(
    Experiment(name, CHAPTER, groups, of, statistics, arms, budget)
    for name, groups, of, statistics, arms, budget in (
        ("kernel_certificates", certificate_groups, measure_errors, CERTIFICATE_STATISTICS,
         certificate_arms, SOLVED),
        ("kernel_spans", together("kernel_spans", span_arms, SEEDS), measure_spans,
         SPAN_STATISTICS, span_arms, SOLVED),
        ("kernel_half_error", apart("kernel_half_error", half_error_arms, FEWER_SEEDS),
         measure_half_error, HALF_ERROR_STATISTICS, half_error_arms, SOLVED),
        ("network_samples", sample_groups, measure, SAMPLE_STATISTICS, sample_arms, TRAINED),
        ("network_sums", sum_groups, measure, SUM_STATISTICS, sum_arms, TRAINED),
        ("network_noise", apart("network_noise", noise_arms, SEEDS), measure_noisy,
         NOISE_STATISTICS, noise_arms, TRAINED),
        ("monomial_search", apart("monomial_search", search_arms, SEEDS), measure_search,
         SEARCH_STATISTICS, search_arms, SEARCHED),
        ("two_layer", two_layer_groups, measure, TWO_LAYER_STATISTICS, two_layer_arms, TRAINED),
    )
)  # fmt: skip
