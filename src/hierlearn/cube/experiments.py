r"""Chapter 2: what no kernel method learns from N samples, exactly, over a zoo of kernels."""

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import product
from typing import Any

from hierlearn.cube.certificates import (
    ErrorsConfig,
    HalfErrorConfig,
    measure_errors,
    measure_half_error,
)
from hierlearn.cube.configs import to_json
from hierlearn.cube.kernels import ZOO
from hierlearn.experiment import Experiment, Group, Measured, Run, Statistic
from hierlearn.intervals import fit_slope

CHAPTER = "02_kernel_lower_bounds"
SEEDS = {"smoke": range(4), "laptop": range(8), "paper": range(8)}
KERNELS = (*ZOO, "harmonic")
EXACT_RIDGES = (1e-8,)
"""For the harmonic kernel: small against its eigenvalues, large against rounding of the zeros."""

CLASSES = {
    "smoke": ((10, 2), (16, 2), (10, 3), (12, 4)),
    "laptop": (
        (10, 2), (16, 2), (24, 2), (32, 2), (10, 3), (14, 3), (18, 3), (10, 4), (12, 4), (14, 4),
    ),
    "paper": (
        (16, 2), (32, 2), (48, 2), (64, 2), (14, 3), (18, 3), (24, 3), (12, 4), (14, 4), (18, 4),
    ),
}  # fmt: skip
SHARES = {"smoke": (0.25, 0.9), "laptop": (0.1, 0.25, 0.5, 0.9),
          "paper": (0.1, 0.25, 0.5, 0.75, 0.9)}  # fmt: skip
FEWER_SEEDS = {"smoke": range(3), "laptop": range(5), "paper": range(5)}
VOID = ((16, 2), 300)
"""The class at which more samples than targets are taken, so that the bound is void."""
ODD_SHARE, ODD_DIMS = 2.0, (10, 14)
"""Samples over targets, and dimensions, at which all kernels are asked for degree 3."""

HIERARCHIES = ((1.0, 0.7), (1.0, 0.8, 0.64))
HIERARCHY_SIZES = {"smoke": (125, 250), "laptop": (125, 250, 500, 1000),
                   "paper": (125, 250, 500, 1000, 2000, 4000)}  # fmt: skip
HIERARCHY_DIM = 16
EXHAUSTED = (10, (1.0, 0.7), 600)
"""Dimension, amplitudes and N of a hierarchical class whose span the samples exhaust."""

FEW = (1e-5, 1e-3, 1e-2)
HALF_ERROR: dict[str, tuple[tuple[int, tuple[str, ...], tuple[int, ...], tuple[float, ...]], ...]]
HALF_ERROR = {
    "smoke": (
        (1, ("poly4", "arccos1", "ntk2"), (16, 32), FEW),
        (2, ("poly4", "arccos1", "ntk2"), (8, 12, 16), FEW),
    ),
    "laptop": (
        (1, ("poly4", "arccos1", "ntk2"), (16, 32, 64), FEW),
        (2, ("poly4", "arccos1", "ntk2"), (8, 12, 16, 24, 32), FEW),
        (3, ("poly4",), (8, 10, 12, 16, 20), FEW),
        (4, ("poly4", "ntk1"), (10, 12, 14), (1e-4,)),
    ),
    "paper": (
        (1, ("poly4", "arccos1", "ntk2"), (16, 32, 64, 128), FEW),
        (2, ("poly4", "arccos1", "ntk2"), (8, 12, 16, 24, 32, 48, 64, 96), FEW),
        (3, ("poly4",), (8, 10, 12, 16, 20, 24, 32), FEW),
        (4, ("poly4", "ntk1"), (10, 12, 14, 18, 24, 28), (1e-4,)),
    ),
}


def _group(
    experiment: str,
    configs: Iterable[ErrorsConfig | HalfErrorConfig],
    seeds: Sequence[int],
    size: float,
) -> Group:
    runs = tuple(
        Run(experiment, config, seed)
        for seed, config in product(seeds, [to_json(config) for config in configs])
    )
    return Group(runs, weight=len(runs) * (1e-3 + 2e-10 * size**3))


def certificate_groups(profile: str) -> list[Group]:
    """The zoo on all parities of one degree: a group for every dimension and degree."""
    groups = []
    for dim, degree in CLASSES[profile]:
        n_targets = math.comb(dim, degree)
        sizes = [round(share * n_targets) for share in SHARES[profile]]
        if (dim, degree) == VOID[0]:
            sizes.append(VOID[1])
        if degree == 3 and dim in ODD_DIMS:
            sizes.append(round(ODD_SHARE * n_targets))
        configs = [
            ErrorsConfig(
                dim, (degree,), (1.0,), name, tuple(sizes),
                **({"ridges": EXACT_RIDGES} if name == "harmonic" else {}),
            )
            for name in KERNELS
        ]  # fmt: skip
        groups.append(_group("kernel_certificates", configs, SEEDS[profile], 1.3 * max(sizes)))
    return groups


def hierarchy_groups(profile: str) -> list[Group]:
    """The zoo on the hierarchical classes, and one class that the samples exhaust."""
    dim, amplitudes, n_samples = EXHAUSTED
    degrees = tuple(2**level for level in range(1, len(amplitudes) + 1))
    own = ErrorsConfig(dim, degrees, amplitudes, "harmonic", (n_samples,), EXACT_RIDGES)
    groups = [_group("kernel_hierarchy", [own], FEWER_SEEDS[profile], n_samples)]
    sizes = HIERARCHY_SIZES[profile]
    configs = [
        ErrorsConfig(
            HIERARCHY_DIM, tuple(2**level for level in range(1, len(amplitudes) + 1)), amplitudes,
            name, sizes,
        )
        for name in KERNELS
        for amplitudes in HIERARCHIES
    ]  # fmt: skip
    groups += [
        _group("kernel_hierarchy", configs, [seed], 1.2 * max(sizes))
        for seed in FEWER_SEEDS[profile]
    ]
    return groups


def half_error_groups(profile: str) -> list[Group]:
    """The search for N50: a group for every degree, kernel and dimension."""
    return [
        _group(
            "kernel_half_error",
            [HalfErrorConfig(dim, degree, name, ridges)],
            (SEEDS if degree < 3 else FEWER_SEEDS)[profile],
            2 * math.comb(dim, degree),
        )
        for degree, names, dims, ridges in HALF_ERROR[profile]
        for name, dim in product(names, dims)
    ]


Cell = tuple[dict[str, Any], dict[str, Any], int]
"""A run's config and measurement, and the position of one of its sizes."""


def cells(records: Sequence[Measured]) -> dict[int, list[Cell]]:
    """List, per seed, every size of every run."""
    found: dict[int, list[Cell]] = {}
    for record in records:
        own = found.setdefault(record.seed, [])
        own += [(record.config, record.measurement, i) for i in range(len(record.config["sizes"]))]
    return found


def n_targets(config: dict[str, Any]) -> int:
    """Return the number of parities in the span of a run's class."""
    return sum(math.comb(config["dim"], degree) for degree in config["degrees"])


def _over_cells(
    value: Callable[[dict[str, Any], dict[str, Any], int], float],
    choice: Callable[[dict[str, Any], int], bool],
    combine: Callable[[Iterable[float]], float],
) -> Statistic:
    """Make the statistic that combines `value` over the chosen sizes of each seed's runs."""

    def statistic(records: Sequence[Measured]) -> dict[int, float]:
        return {
            seed: combine(value(c, m, i) for c, m, i in own if choice(c, c["sizes"][i]))
            for seed, own in cells(records).items()
        }

    return statistic


def _over_bound(config: dict[str, Any], measurement: dict[str, Any], i: int) -> float:
    return measurement["relative"][i] / measurement["bound"][i]


def _relative(config: dict[str, Any], measurement: dict[str, Any], i: int) -> float:
    return float(measurement["relative"][i])


def _off_rank_formula(config: dict[str, Any], measurement: dict[str, Any], i: int) -> float:
    expected = 1 - measurement["rank"][i] / n_targets(config)
    return abs(measurement["relative"][i] - expected)


def _above_bound(config: dict[str, Any], measurement: dict[str, Any], i: int) -> float:
    return float(measurement["relative"][i] - measurement["bound"][i])


def _binding(config: dict[str, Any], n: int) -> bool:
    return n < n_targets(config)


def _own(config: dict[str, Any]) -> bool:
    return config["kernel"] == "harmonic"


def _odd(names: Iterable[str], degree: int) -> Callable[[dict[str, Any], int], bool]:
    names = set(names)

    def choice(config: dict[str, Any], n: int) -> bool:
        return (
            config["kernel"] in names and config["degrees"] == [degree]
            and n > 1.5 * n_targets(config)
        )  # fmt: skip

    return choice


CERTIFICATE_STATISTICS = {
    "least_over_bound": _over_cells(_over_bound, _binding, min),
    "least_error_when_void": _over_cells(
        _relative, lambda c, n: [c["dim"], *c["degrees"], n] == [*VOID[0], VOID[1]] and not _own(c),
        min,
    ),
    "largest_gap_to_rank_formula": _over_cells(_off_rank_formula, lambda c, n: _own(c), max),
    "least_gap_of_other_kernels": _over_cells(
        _above_bound, lambda c, n: _binding(c, n) and not _own(c), min
    ),
    "odd_degree_error": _over_cells(_relative, _odd(("arccos1", "ntk1"), 3), min),
    "odd_degree_error_of_others": _over_cells(_relative, _odd(("poly4",), 3), max),
}  # fmt: skip
HIERARCHY_STATISTICS = {
    "least_over_bound": _over_cells(_over_bound, _binding, min),
    "least_error_when_void": _over_cells(_relative, lambda c, n: not _binding(c, n), max),
}


def half_error_samples(
    records: Sequence[Measured], degree: int
) -> dict[int, dict[str, dict[int, float]]]:
    """Return N50 per seed, kernel and dimension; not a number where it was not reached."""
    found: dict[int, dict[str, dict[int, float]]] = {}
    for record in records:
        config, n = record.config, record.measurement["n_samples"]
        if config["degree"] == degree:
            by_dim = found.setdefault(record.seed, {}).setdefault(config["kernel"], {})
            by_dim[config["dim"]] = math.nan if n is None else n
    return found


def _exponent(degree: int, combine: Callable[[Iterable[float]], float]) -> Statistic:
    """Make the statistic of the exponent of N50 in d, combined over the kernels of each seed."""

    def statistic(records: Sequence[Measured]) -> dict[int, float]:
        found = half_error_samples(records, degree)
        return {
            seed: combine([_slope(by_dim) for by_dim in kernels.values()])
            for seed, kernels in found.items()
        }

    return statistic


def _slope(by_dim: dict[int, float]) -> float:
    if any(math.isnan(n) for n in by_dim.values()):
        return math.nan
    return fit_slope(list(by_dim), list(by_dim.values()))


def _ratio(records: Sequence[Measured], combine: Callable[[Iterable[float]], float]) -> Any:
    """Combine N50 over the number of targets, per seed, over all runs with degree 2 or more.

    Only seeds that have all of these runs count: the costly degrees have fewer seeds.
    """
    found: dict[int, list[float]] = {}
    for degree in (2, 3, 4):
        for seed, kernels in half_error_samples(records, degree).items():
            own = found.setdefault(seed, [])
            for by_dim in kernels.values():
                own += [n / math.comb(dim, degree) for dim, n in by_dim.items()]
    complete = max(map(len, found.values()), default=0)
    return {
        seed: math.nan if any(map(math.isnan, own)) else combine(own)
        for seed, own in found.items()
        if len(own) == complete
    }


HALF_ERROR_STATISTICS: dict[str, Statistic] = {
    **{f"least_exponent_{degree}": _exponent(degree, min) for degree in (2, 3, 4)},
    "largest_exponent_1": _exponent(1, max),
    "largest_ratio": lambda records: _ratio(records, max),
    "least_ratio": lambda records: _ratio(records, min),
}

EXPERIMENTS = (
    Experiment(
        "kernel_certificates", CHAPTER, certificate_groups, measure_errors, CERTIFICATE_STATISTICS
    ),
    Experiment("kernel_hierarchy", CHAPTER, hierarchy_groups, measure_errors, HIERARCHY_STATISTICS),
    Experiment(
        "kernel_half_error", CHAPTER, half_error_groups, measure_half_error, HALF_ERROR_STATISTICS
    ),
)
