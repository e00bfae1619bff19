"""What is read off the runs of chapter 2: errors over their bounds, samples needed, exponents."""

import math
from operator import attrgetter
from typing import Any

from hierlearn.cube.certificates import ErrorsConfig, HalfErrorConfig
from hierlearn.cube.runs import NetworkConfig
from hierlearn.cube.search import LEVEL, SearchConfig
from hierlearn.cube.target import ParityClass
from hierlearn.experiment import Runs
from hierlearn.statistics import Arm, Value, at_least, exponent, needed, number, runs_of

dimension, n_samples, parities = map(attrgetter, ("dim", "n_samples", "parities"))
"""$d$, N, and the class of a configuration."""

n50 = number("n_samples")
relative_error = number("rel")


def over_bound_of(one_degree: bool) -> Value:
    """Make the smallest quotient of error and bound, over the sizes at which there is a bound.

    Of the classes of one degree, or of the others; infinity elsewhere.
    """

    def over_bound(config: ErrorsConfig, measurement: dict[str, Any]) -> float:
        pairs = zip(measurement["bound"], measurement["relative"], strict=True)
        least = min(error / bound for bound, error in pairs if bound > 0)
        return least if (len(config.degrees) == 1) == one_degree else math.inf

    return over_bound


def n50_over_targets(config: HalfErrorConfig, measurement: dict[str, Any]) -> float:
    """Divide the samples for error one half by the number of targets."""
    if measurement["n_samples"] is None:
        return at_least(config.largest)
    return n50(config, measurement) / config.target.multiplicities[0]


def network_floor(config: NetworkConfig, measurement: dict[str, Any]) -> float:
    """Return what no kernel goes below with as many samples as a network has."""
    return config.parities.floor(config.n_samples)


def network_over_bound(config: NetworkConfig, measurement: dict[str, Any]) -> float:
    """Divide a network's error by what no kernel goes below."""
    return relative_error(config, measurement) / network_floor(config, measurement)


def certified_samples(target: ParityClass) -> float:
    """Return the N below which no kernel has relative error 0.1."""
    return target.samples_for(LEVEL)


def search_over_certificate(config: SearchConfig, measurement: dict[str, Any]) -> float:
    """Divide the search's samples for error 0.1 by those that no kernel does without."""
    return n50(config, measurement) / ((1 - LEVEL) * config.n_targets)


def samples_needed(runs: Runs, arm: Arm) -> dict[int, dict[ParityClass, float]]:
    """Return N10 per seed and class: where the relative error crosses 0.1."""
    return needed(runs, arm, size=n_samples, by=parities, value=relative_error, level=LEVEL)


def network_exponent(runs: Runs, arm: Arm, *, demanded: bool = False) -> dict[int, float]:
    """Return the exponent in d, per seed, of N10, or of what the certificate demands of it."""
    return {
        seed: exponent([(c.dim, certified_samples(c) if demanded else n) for c, n in own.items()])
        for seed, own in samples_needed(runs, arm).items()
    }


def exponent_gap(runs: Runs, arm: Arm) -> dict[int, float]:
    """Return by how much the exponent of what the certificate demands exceeds that of N10."""
    demanded = network_exponent(runs, arm, demanded=True)
    return {seed: demanded[seed] - own for seed, own in network_exponent(runs, arm).items()}


def best(runs: Runs, arm: Arm) -> dict[int, float]:
    """Return the errors at the rate and length whose mean over seeds is smallest."""
    found: dict[tuple[float, int], dict[int, float]] = {}
    for seed, own in runs_of(runs, arm).items():
        for config, measurement in own:
            errors = found.setdefault((config.rate, config.n_steps), {})
            errors[seed] = relative_error(config, measurement)
    return min(found.values(), key=lambda errors: sum(errors.values()), default={})
