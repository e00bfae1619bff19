r"""Chapter 5: the statistics that `book/claims/05.yml` reads off runs on ball indicators."""

import math
from collections.abc import Sequence
from typing import Any

from hierlearn.ball.config import BallConfig
from hierlearn.ball.reading import (
    Choice,
    Value,
    at_widest,
    both,
    each,
    floor_1,
    fraction,
    number,
    rows,
    slope,
    where,
)
from hierlearn.experiment import Measured, Statistic
from hierlearn.statistics import ratio

# --- the sum of two unit vectors --------------------------------------------------------------

RADIUS = math.sqrt(2)
MSE, LINEAR, CLIPPED = number("mse"), number("linear_mse"), number("mse_clipped")


def weak_at(radius: float = RADIUS, dim: int = 10) -> Choice:
    """Accept every trained network with a linear output on the ball of that radius."""
    return where(learner="trained", clip="none", target="ball", radius=radius, dim=dim)


def reference_width(records: Sequence[Measured]) -> int:
    """Return the width of the frozen networks that all comparisons at dimension 10 use."""
    return max(
        config.width
        for found in rows(records, where(learner="frozen", ridge=True, curve=True)).values()
        for config, _ in found
    )


def strong_at(radius: float = RADIUS, dim: int = 10, clip: str = "unit") -> Choice:
    """Accept the frozen networks, trained with momentum, on the ball of that radius."""
    with_momentum = where(
        learner="frozen", clip=clip, target="ball", radius=radius, dim=dim, momentum=0.99
    )
    return with_momentum


def _reference(value: Value, radius: float = RADIUS, clip: str = "unit") -> Statistic:
    """Read the frozen network of the reference width at dimension 10."""

    def statistic(records: Sequence[Measured]) -> dict[int, float]:
        width = reference_width(records)
        choice = both(strong_at(radius, clip=clip), where(width=width))
        return each(value, choice)(records)

    return statistic


def _best_weak(radius: float = RADIUS, value: Value = MSE) -> Statistic:
    return each(value, weak_at(radius), min)


def _main(clip: str, activation: str = "relu", dim: int = 10, target: str = "ball") -> Choice:
    """Accept the trained networks of the main width (not those of the width sweep)."""
    fields = where(
        learner="trained", clip=clip, activation=activation, dim=dim, target=target, radius=RADIUS
    )
    return lambda c: fields(c) and (c.width == 256 or c.n_steps == 1000)


def _clip_ratio(activation: str, dim: int = 10) -> Statistic:
    return ratio(
        each(MSE, _main("none", activation, dim)), each(MSE, _main("unit", activation, dim))
    )


def _over_floor(config: BallConfig, measurement: dict[str, Any]) -> float:
    return MSE(config, measurement) / floor_1(config)


def _over_zero(config: BallConfig, measurement: dict[str, Any]) -> float:
    """Certificate over error: at most 1 where the certificate is right."""
    return measurement["certificate"] / MSE(config, measurement)


def _every_weak(config: BallConfig) -> bool:
    return config.learner == "trained" and config.clip != "unit" and config.target == "ball"


def _weak_high(config: BallConfig) -> bool:
    return weak_at(dim=config.dim)(config) and config.dim >= 10 and config.width <= 1024


def _high_relu(config: BallConfig) -> bool:
    return weak_at(dim=config.dim)(config) and config.dim >= 20 and config.activation == "relu"


def _plain(config: BallConfig) -> bool:
    return config.learner == "frozen" and config.momentum == 0


def _at_dim(dim: int) -> Statistic:
    """Divide the error of the widest frozen network at a dimension by the best trained one's."""
    strong = at_widest(MSE, strong_at(dim=dim))
    return ratio(strong, each(MSE, weak_at(dim=dim), min))


def _wide_over_narrow(records: Sequence[Measured]) -> dict[int, float]:
    """The reference width of the frozen network over the narrowest one of the same seed."""
    width = reference_width(records)
    narrower = both(strong_at(), lambda c: c.width < width)
    return ratio(_reference(MSE), at_widest(MSE, narrower, 0))(records)


def _dims_sum(records: Sequence[Measured]) -> dict[int, float]:
    width = reference_width(records)
    choice = where(
        learner="frozen", clip="unit", target="ball", radius=RADIUS, momentum=0.99, width=width
    )
    return slope("dim", MSE, choice)(records)


_WEAK_RELU = where(
    learner="trained", clip="none", target="ball", radius=RADIUS, dim=10, activation="relu"
)
_DEGREE_1 = where(learner="trained", target="degree 1")

SUM_STATISTICS: dict[str, Statistic] = {
    "frozen_over_weak": ratio(_reference(MSE), _best_weak()),
    "linear_over_weak": ratio(_reference(LINEAR), _best_weak()),
    "frozen_over_clipped_weak": ratio(_reference(MSE), _best_weak(value=CLIPPED)),
    "frozen_over_weak_small": ratio(_reference(MSE, 1.2), _best_weak(1.2)),
    "linear_over_weak_small": ratio(_reference(LINEAR, 1.2), _best_weak(1.2)),
    "frozen_over_weak_large": ratio(_reference(MSE, 1.6), _best_weak(1.6)),
    "linear_over_weak_large": ratio(_reference(LINEAR, 1.6), _best_weak(1.6)),
    "frozen_mse": _reference(MSE),
    "linear_mse": _reference(LINEAR),
    "weak_mse": _best_weak(),
    "weak_over_floor": each(_over_floor, _weak_high, min),
    "weak_over_floor_main": each(_over_floor, _main("none"), min),
    "degree_1_over_floor": each(_over_floor, both(_DEGREE_1, where(dim=10))),
    "dim_3_over_floor": each(_over_floor, weak_at(dim=3)),
    "wide_over_narrow": ratio(
        each(MSE, both(_WEAK_RELU, where(width=1024))),
        each(MSE, both(_WEAK_RELU, where(width=128))),
    ),
    "frozen_wide_over_narrow": _wide_over_narrow,
    "clip_gain": _clip_ratio("relu"),
    "clip_gain_wide": ratio(each(MSE, _main("none")), each(MSE, _main("wide"))),
    "clip_gain_erf": _clip_ratio("erf"),
    "clip_gain_dim_20": _clip_ratio("erf", 20),
    "clip_at_evaluation": ratio(each(MSE, _main("none")), each(CLIPPED, _main("none"))),
    "clip_at_evaluation_erf": ratio(
        each(MSE, _main("none", "erf")), each(CLIPPED, _main("none", "erf"))
    ),
    "clip_at_evaluation_dim_20": ratio(
        each(MSE, _main("none", "erf", 20)), each(CLIPPED, _main("none", "erf", 20))
    ),
    "clip_gain_frozen": ratio(_reference(MSE, clip="none"), _reference(MSE)),
    "clip_at_evaluation_frozen": ratio(
        _reference(MSE, clip="none"), _reference(CLIPPED, clip="none")
    ),
    "weak_fraction_1": each(fraction(1), _main("none")),
    "weak_fraction_3": each(fraction(3), _main("none")),
    "clip_fraction_3": each(fraction(3), _main("unit")),
    "frozen_fraction_3": _reference(fraction(3)),
    "permuted_fraction_1": each(fraction(1), where(learner="trained", target="permuted")),
    "certificate_over_error": each(_over_zero, _every_weak),
    "certificate_high_dim": each(number("certificate"), _high_relu, min),
    "certificate_degree_1": each(number("certificate"), _DEGREE_1),
    "zero_one_ratio": ratio(
        _reference(number("zero_one")), each(number("zero_one"), weak_at(), min)
    ),
    "zero_one_clip_ratio": ratio(
        each(number("zero_one"), _main("none")), each(number("zero_one"), _main("unit"))
    ),
    "smallest_weak_error": each(MSE, _every_weak, min),
    "degree_1_error": each(MSE, both(_DEGREE_1, where(dim=10))),
    "width_slope": slope("width", MSE, lambda c: strong_at()(c) and c.ridge),
    "width_slope_linear": slope("width", LINEAR, lambda c: strong_at()(c) and c.ridge),
    "frozen_over_weak_dim_20": _at_dim(20),
    "frozen_over_weak_dim_30": _at_dim(30),
    "linear_over_weak_dim_20": ratio(
        each(LINEAR, lambda c: strong_at(dim=20)(c) and c.ridge), each(MSE, weak_at(dim=20), min)
    ),
    "dim_slope": _dims_sum,
    "plain_over_weak": ratio(each(MSE, _plain), _best_weak()),
    "dead_runs": each(lambda c, m: float(m["dead"]), where(clip="unit", target="ball"), sum),
}

# --- other radial distributions ---------------------------------------------------------------


def _uniform(dim: int, **fields: Any) -> Choice:
    wanted = {"learner": "frozen", "distribution": "uniform", "dim": dim, "target": "ball"}
    return where(radius=1.0, **{**wanted, "momentum": 0.99, **fields})


def _uniform_wide_over_narrow(value: Value, dim: int) -> Statistic:
    choice = both(_uniform(dim), lambda c: c.ridge)
    return ratio(at_widest(value, choice), at_widest(value, choice, 0))


def _weak_on(distribution: str, dim: int) -> Choice:
    return where(learner="trained", distribution=distribution, dim=dim)


_ridge_10 = both(_uniform(10), lambda c: c.ridge)
_plain_runs = both(_uniform(10, momentum=0.0), lambda c: True)


def _sweep(config: BallConfig) -> bool:
    return where(learner="frozen", width=300, target="ball", distribution="uniform")(config)


def _over_weak(value: Value, distribution: str, dim: int) -> Statistic:
    strong = both(
        where(learner="frozen", distribution=distribution, dim=dim, target="ball", momentum=0.99),
        lambda c: distribution != "uniform" or (c.ridge and where(radius=1.0)(c)),
    )
    return ratio(at_widest(value, strong), each(MSE, _weak_on(distribution, dim), min))


def _samples(config: BallConfig) -> bool:
    return _sweep(config) and _uniform(10)(config)


def _dims(records: Sequence[Measured]) -> dict[int, float]:
    largest = max(c.n_samples for found in rows(records, _sweep).values() for c, _ in found)
    choice = both(_sweep, lambda c: c.momentum > 0 and c.n_samples == largest)
    return slope("dim", MSE, choice)(records)


RADII_STATISTICS: dict[str, Statistic] = {
    "wide_over_narrow": _uniform_wide_over_narrow(MSE, 10),
    "wide_over_narrow_linear": _uniform_wide_over_narrow(LINEAR, 10),
    "wide_over_narrow_30": _uniform_wide_over_narrow(MSE, 30),
    "wide_over_narrow_linear_30": _uniform_wide_over_narrow(LINEAR, 30),
    "frozen_over_weak": _over_weak(MSE, "uniform", 10),
    "linear_over_weak": _over_weak(LINEAR, "uniform", 10),
    "frozen_over_weak_30": _over_weak(MSE, "uniform", 30),
    "linear_over_weak_30": _over_weak(LINEAR, "uniform", 30),
    "plain_error": each(MSE, _plain_runs),
    "plain_linear_error": each(LINEAR, _plain_runs),
    "permuted_error": each(MSE, where(learner="frozen", target="permuted", dim=10)),
    "weak_width_gain": ratio(
        at_widest(MSE, _weak_on("uniform", 10)), at_widest(MSE, _weak_on("uniform", 10), 0)
    ),
    "half_cauchy_10": _over_weak(MSE, "half_cauchy", 10),
    "half_cauchy_30": _over_weak(MSE, "half_cauchy", 30),
    "dead_as_drawn": each(number("as_drawn"), where(learner="starts")),
    "dead_signed": each(number("signed"), where(learner="starts")),
    "dead_runs": each(lambda c, m: float(m["dead"]), where(learner="frozen", target="ball"), sum),
    "bessel_worst": lambda records: _bessel(records),
    "width_slope": slope("width", MSE, _ridge_10),
    "width_slope_linear": slope("width", LINEAR, _ridge_10),
    "samples_slope": slope("n_samples", MSE, _samples),
    "dim_slope": _dims,
}


def _bessel(records: Sequence[Measured]) -> dict[int, float]:
    r"""Return the largest ratio of frozen to trained error over the radii $\lambda$."""
    found: dict[int, float] = {}
    for seed, runs in rows(records, where(distribution="bessel")).items():
        errors: dict[float, dict[str, float]] = {}
        for config, measurement in runs:
            errors.setdefault(config.radius, {})[config.learner] = MSE(config, measurement)
        found[seed] = max(pair["frozen"] / pair["trained"] for pair in errors.values())
    return found


ORACLE_STATISTICS: dict[str, Statistic] = {
    "width_slope": slope("width", MSE, lambda c: True),
    "widest_error": at_widest(MSE, lambda c: True),
    "narrowest_error": at_widest(MSE, lambda c: True, 0),
}
