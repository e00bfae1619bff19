r"""Chapter 2: deep and two-layer polynomial networks on the targets that no kernel can learn."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from hierlearn.cube.bounds import samples_required, water_filling
from hierlearn.cube.configs import from_json
from hierlearn.cube.experiments import CHAPTER, FEWER_SEEDS, SEEDS
from hierlearn.cube.runs import NetworkConfig, group, measure
from hierlearn.cube.target import ParityClass, hierarchy_class
from hierlearn.experiment import Experiment, Group, Measured, Statistic
from hierlearn.intervals import fit_slope
from hierlearn.statistics import crossing

PARITY_4, PARITY_8 = (0.0, 1.0), (0.0, 0.0, 1.0)
STAIRS_2, STAIRS_3 = (1.0, 0.7), (1.0, 0.8, 0.64)
LEVEL = 0.1

STEPS = {"smoke": (800, 1000), "laptop": (800, 1000), "paper": (4000, 4000)}
"""Training steps for targets of two and of three levels."""
DIMS: dict[str, dict[tuple[float, ...], tuple[int, ...]]] = {
    "smoke": {PARITY_4: (12, 16, 24)},
    "laptop": {
        PARITY_4: (12, 16, 24, 32), PARITY_8: (16,),
        STAIRS_2: (12, 16, 24, 32, 48), STAIRS_3: (16, 24, 32, 48, 64),
    },
    "paper": {
        PARITY_4: (12, 16, 24, 32, 48, 64), PARITY_8: (16,),
        STAIRS_2: (12, 16, 24, 32, 48, 64, 96, 128),
        STAIRS_3: (16, 24, 32, 48, 64, 96, 128, 192, 256),
    },
}  # fmt: skip
GRIDS: dict[tuple[float, ...], tuple[float, tuple[float, ...]]] = {
    PARITY_4: (1.75, (1.6, 2.2, 2.8, 3.4, 4.2, 5.2, 7.5)),
    PARITY_8: (0.0, (2000, 2800, 4000, 5600, 8000)),
    STAIRS_2: (1.4, (2.5, 3.5, 4.5, 6, 8, 11)),
    STAIRS_3: (1.05, (25, 36, 48, 62, 80, 120, 200)),
}
"""Sample sizes $cd^p$ for each target: the power p, and the factors c."""
DENSE_DIM = 16
_CONTROLS = {"dense": (250, 500, 1000, 1600), "permuted": (250, 500, 1000)}
CONTROL_SIZES: dict[str, dict[str, tuple[int, ...]]]
CONTROL_SIZES = {"smoke": {"dense": (500, 1600)}, "laptop": _CONTROLS, "paper": _CONTROLS}
TWO_LAYER_DIM, RATES = 16, (2e-3, 5e-3)
TWO_LAYER = {STAIRS_2: ((500, 1000), 64, 1.0), STAIRS_3: ((1000, 2000, 4000), 128, 1.2)}
"""For each target: sample sizes, width, and training steps over those of the deep network."""


def sizes(amplitudes: tuple[float, ...], dim: int) -> list[int]:
    """Return the sample sizes at which a target is trained in dimension `dim`."""
    exponent, factors = GRIDS[amplitudes]
    return [round(factor * dim**exponent) for factor in factors]


def _steps(profile: str, amplitudes: tuple[float, ...]) -> int:
    return STEPS[profile][len(amplitudes) - 2]


def sample_groups(profile: str) -> list[Group]:
    """Deep networks on hierarchical targets: a group for every target and dimension."""
    return [
        group(
            "network_samples",
            [
                NetworkConfig(dim, amplitudes, n, _steps(profile, amplitudes))
                for n in sizes(amplitudes, dim)
            ],
            (SEEDS if amplitudes == PARITY_4 else FEWER_SEEDS)[profile],
        )
        for amplitudes, dims in DIMS[profile].items()
        for dim in dims
    ]


def control_groups(profile: str) -> list[Group]:
    """Deep networks where nothing can be learned from N samples: dense targets, permuted labels."""
    n_steps = _steps(profile, PARITY_4)
    return [
        group(
            "network_controls",
            [NetworkConfig(DENSE_DIM, PARITY_4, n, n_steps, target=target) for n in every],
            SEEDS[profile],
        )
        for target, every in CONTROL_SIZES[profile].items()
    ]


def two_layer_groups(profile: str) -> list[Group]:
    """Two-layer networks at two learning rates, and deep ones on the same samples."""
    if profile == "smoke":
        return []
    groups = []
    for amplitudes, (every, width, longer) in TWO_LAYER.items():
        n_steps = _steps(profile, amplitudes)
        shallow = [
            NetworkConfig(
                TWO_LAYER_DIM, amplitudes, n, round(longer * n_steps),
                network="two-layer", width=width, rate=rate,
            )
            for n in every
            for rate in RATES
        ]  # fmt: skip
        deep = [NetworkConfig(TWO_LAYER_DIM, amplitudes, n, n_steps) for n in every]
        groups += [group("two_layer", arms, FEWER_SEEDS[profile]) for arms in (shallow, deep)]
    return groups


Run = tuple[NetworkConfig, float]
"""A run's config and its relative error."""


def chosen(
    records: Sequence[Measured], choice: Callable[[NetworkConfig], bool] = lambda c: True
) -> dict[int, list[Run]]:
    """List, per seed, the runs that `choice` accepts; a diverged one's error is not a number."""
    found: dict[int, list[Run]] = {}
    for record in records:
        config, error = from_json(NetworkConfig, record.config), record.measurement["rel"]
        if choice(config):
            found.setdefault(record.seed, []).append((config, math.nan if error is None else error))
    return found


def kernel_class(config: NetworkConfig) -> ParityClass:
    """Return the class that a run's target is a random member of."""
    return hierarchy_class(config.dim, config.amplitudes)


def kernel_bound(config: NetworkConfig) -> float:
    """Return the relative error that no kernel goes below with a run's number of samples."""
    target = kernel_class(config)
    bound = water_filling(config.n_samples, target.eigenvalues, target.multiplicities)
    return bound / target.energy


def certified_samples(amplitudes: tuple[float, ...], dim: int) -> float:
    """Return the N below which no kernel has relative error 0.1 (inverse of equation 2.2)."""
    target = hierarchy_class(dim, amplitudes)
    return samples_required(LEVEL * target.energy, target.eigenvalues, target.multiplicities)


def samples_needed(
    records: Sequence[Measured], amplitudes: tuple[float, ...]
) -> dict[int, dict[int, float]]:
    """Return N10 per seed and dimension: where the relative error crosses 0.1."""
    needed: dict[int, dict[int, float]] = {}
    for seed, runs in chosen(records, lambda c: c.amplitudes == amplitudes).items():
        for dim in sorted({c.dim for c, _ in runs}):
            own = [(c.n_samples, error) for c, error in runs if c.dim == dim]
            found = crossing([n for n, _ in own], [e for _, e in own], LEVEL)
            needed.setdefault(seed, {})[dim] = found
    return needed


def _slope(points: dict[int, float]) -> float:
    if any(math.isnan(value) for value in points.values()):
        return math.nan
    return fit_slope(list(points), list(points.values()))


def _exponent(amplitudes: tuple[float, ...]) -> Statistic:
    return lambda records: {
        seed: _slope(by_dim) for seed, by_dim in samples_needed(records, amplitudes).items()
    }


def _exponent_gap(amplitudes: tuple[float, ...]) -> Statistic:
    """Make the statistic: the certificate's exponent less the network's, in the same dimensions."""

    def statistic(records: Sequence[Measured]) -> dict[int, float]:
        return {
            seed: _slope({dim: certified_samples(amplitudes, dim) for dim in by_dim})
            - _slope(by_dim)
            for seed, by_dim in samples_needed(records, amplitudes).items()
        }

    return statistic


def _certificate_exponent(amplitudes: tuple[float, ...]) -> Statistic:
    return lambda records: {
        seed: _slope({dim: certified_samples(amplitudes, dim) for dim in by_dim})
        for seed, by_dim in samples_needed(records, amplitudes).items()
    }


def _combined(
    value: Callable[[NetworkConfig, float], float],
    choice: Callable[[NetworkConfig], bool],
    combine: Callable[[Iterable[float]], float] = max,
) -> Statistic:
    """Make the statistic that combines `value` over the chosen runs of each seed."""
    return lambda records: {
        seed: combine([value(c, error) for c, error in runs])
        for seed, runs in chosen(records, choice).items()
    }


def _over_bound(config: NetworkConfig, error: float) -> float:
    return error / kernel_bound(config)


def _at_largest(amplitudes: tuple[float, ...]) -> Statistic:
    """Make the statistic error / bound at the largest dimension, and there the largest N."""

    def statistic(records: Sequence[Measured]) -> dict[int, float]:
        found = chosen(records, lambda c: c.amplitudes == amplitudes)
        last = {
            seed: max(runs, key=lambda run: (run[0].dim, run[0].n_samples))
            for seed, runs in found.items()
        }
        return {seed: _over_bound(*run) for seed, run in last.items()}

    return statistic


def _is_two_layer(amplitudes: tuple[float, ...], n: int, rate: float) -> Any:
    return lambda c: (
        c.network == "two-layer"
        and (c.amplitudes, c.n_samples, c.rate) == (amplitudes, n, rate)
    )  # fmt: skip


def best_two_layer(
    records: Sequence[Measured], amplitudes: tuple[float, ...], n: int
) -> dict[int, float]:
    """Return the error per seed at the learning rate whose mean error over all seeds is smaller."""
    by_rate = []
    for rate in RATES:
        found = chosen(records, _is_two_layer(amplitudes, n, rate))
        by_rate.append({seed: runs[0][1] for seed, runs in found.items()})
    return min(by_rate, key=lambda errors: sum(errors.values()))


def _error(config: NetworkConfig, error: float) -> float:
    return error


def _deep_error(amplitudes: tuple[float, ...], n: int) -> Statistic:
    return _combined(
        _error, lambda c: c.network == "deep" and (c.amplitudes, c.n_samples) == (amplitudes, n)
    )


SAMPLE_STATISTICS: dict[str, Statistic] = {
    "parity_4_over_bound": _at_largest(PARITY_4),
    "parity_8_over_bound": _at_largest(PARITY_8),
    "stairs_3_over_bound": _at_largest(STAIRS_3),
    "parity_4_exponent": _exponent(PARITY_4),
    "parity_4_certificate_exponent": _certificate_exponent(PARITY_4),
    "stairs_2_exponent_gap": _exponent_gap(STAIRS_2),
    "stairs_3_exponent_gap": _exponent_gap(STAIRS_3),
    "stairs_2_exponent": _exponent(STAIRS_2),
    "stairs_3_exponent": _exponent(STAIRS_3),
}
CONTROL_STATISTICS: dict[str, Statistic] = {
    "dense_over_bound": _combined(_over_bound, lambda c: c.target == "dense", min),
    "dense_error": _combined(_error, lambda c: c.target == "dense", min),
    "permuted_error": _combined(_error, lambda c: c.target == "permuted", min),
}
TWO_LAYER_STATISTICS: dict[str, Statistic] = {
    "two_layer_three_levels": lambda records: best_two_layer(records, STAIRS_3, 4000),
    "two_layer_two_levels": lambda records: best_two_layer(records, STAIRS_2, 500),
    "deep_three_levels": _deep_error(STAIRS_3, 4000),
    "deep_two_levels": _deep_error(STAIRS_2, 500),
}

EXPERIMENTS = (
    Experiment("network_samples", CHAPTER, sample_groups, measure, SAMPLE_STATISTICS),
    Experiment("network_controls", CHAPTER, control_groups, measure, CONTROL_STATISTICS),
    Experiment("two_layer", CHAPTER, two_layer_groups, measure, TWO_LAYER_STATISTICS),
)
