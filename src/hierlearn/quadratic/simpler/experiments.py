r"""Chapter 6: what learners without depth reach on the same samples.

Two experiments: the staged network on a pool of N samples, and the simple learners on the same
pools. Index dimension is $r=\sum_lk_l$ without the top level's mixing: the number of directions of
x that the target depends on.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from hierlearn.experiment import Experiment, Group, Measured, Statistic
from hierlearn.quadratic import runs as quadratic
from hierlearn.quadratic.config import QuadraticConfig
from hierlearn.quadratic.reading import each, final, rows
from hierlearn.quadratic.simpler import runs as simple_learners
from hierlearn.quadratic.simpler.runs import ALL_KERNELS, SimpleConfig, group
from hierlearn.statistics import ratio

CHAPTER = "06_simpler_algorithms"
SEEDS = {"smoke": range(4), "laptop": range(8), "paper": range(16)}
FEWER = {"smoke": range(4), "laptop": range(5), "paper": range(16)}
N_SAMPLES = {"smoke": 1000, "laptop": 2000, "paper": 2000}
MORE = {"laptop": (4000,), "paper": (4000, 8000)}
GAPS_3, GAPS_4 = (1, 0.2), (1, 0.2, 0.04)
THREE, FOUR = (4, 3), (4, 3, 2)
MAP_3 = ((4, 3), (6, 4), (8, 5), (10, 6), (12, 8))
MAP_4 = {
    "laptop": ((4, 3, 2), (8, 5, 3)),
    "paper": ((4, 3, 2), (6, 4, 2), (8, 5, 3), (12, 8, 4)),
}
MAP_N = {"laptop": (1000, 2000), "paper": (1000, 2000, 4000)}
DIMS = {"laptop": (10, 40), "paper": (10, 40, 80)}
STEPS_3 = {"smoke": (800, 3000), "laptop": (1500, 6000), "paper": (1500, 6000)}
STEPS_4 = {
    "smoke": (800, 2400, 5000),
    "laptop": (1200, 4000, 9000),
    "paper": (1200, 4000, 9000),
}
KERNELS = {"smoke": ("poly2", "poly4", "rbf2.5"), "laptop": ALL_KERNELS, "paper": ALL_KERNELS}
FEW_KERNELS = ("poly2", "poly4", "rbf2.5")
UNITS, TRAIN_STEPS = 256, 3000
POLY_3, POLY_4 = (1, 2, 4), (1, 2, 4, 8)
POLY_RATE, GELU_RATE = 0.01, 0.03


def gaps_of(widths: Sequence[int]) -> tuple[float, ...]:
    """Return the gaps that go with a target of that many levels."""
    return GAPS_3 if len(widths) == 2 else GAPS_4


# --- the deep network on a pool ---------------------------------------------------------------


def deep(profile: str, widths: Sequence[int], n_samples: int, **fields: Any) -> QuadraticConfig:
    """Return the staged run on a pool."""
    opens = (STEPS_3 if len(widths) == 2 else STEPS_4)[profile]
    return QuadraticConfig(
        **{
            "dim": 20, "widths": widths, "gaps": gaps_of(widths), "opens": (0, *opens[:-1]),
            "n_steps": opens[-1], "n_samples": n_samples, **fields,
        }
    )  # fmt: skip


def deep_groups(profile: str) -> list[Group]:
    """Staged training on pools: both depths, permuted labels, the dimensions, and the map."""
    n_samples, seeds = N_SAMPLES[profile], SEEDS[profile]
    three = deep(profile, THREE, n_samples)
    groups = [
        Group.of("deep_pool", [three, replace(three, target="permuted")], seeds),
        Group.of("deep_pool", [deep(profile, FOUR, n_samples)], seeds),
    ]
    if profile == "smoke":
        return groups
    done = {(THREE, n_samples), (FOUR, n_samples)}
    for dim in DIMS[profile]:
        groups.append(Group.of("deep_pool", [replace(three, dim=dim)], FEWER[profile]))
    for widths in (*MAP_3, *MAP_4[profile]):
        for n in MAP_N[profile]:
            if (widths, n) not in done:
                arms = [deep(profile, widths, n)]
                groups.append(Group.of("deep_pool", arms, FEWER[profile]))
    return groups


def _deep_at(**fields: Any) -> Callable[[QuadraticConfig], bool]:
    return lambda c: c.target == "full" and all(getattr(c, k) == v for k, v in fields.items())


def _reference(config: QuadraticConfig) -> bool:
    return config.n_samples in (N_SAMPLES["smoke"], N_SAMPLES["laptop"]) and config.dim == 20


def _over_dimensions(records: Sequence[Measured]) -> dict[int, float]:
    """The deep network's largest error, for the seeds that have every dimension."""
    found = rows(records, _deep_at(widths=THREE, n_samples=2000))
    every = max(map(len, found.values()), default=0)
    return {s: max(final("rel")(c, m) for c, m in r) for s, r in found.items() if len(r) == every}


_wide = {(10, 6), (12, 8)}
DEEP_STATISTICS = {
    "three_levels": each(final("rel"), lambda c: _deep_at(widths=THREE)(c) and _reference(c), max),
    "four_levels": each(final("rel"), lambda c: _deep_at(widths=FOUR)(c) and c.n_samples == 2000),
    "four_levels_fewer": each(
        final("rel"), lambda c: _deep_at(widths=FOUR)(c) and c.n_samples == 1000
    ),
    "permuted": each(final("rel"), lambda c: c.target == "permuted"),
    "over_dimensions": _over_dimensions,
    "wide_targets": each(
        final("rel"), lambda c: c.widths in _wide and _deep_at(n_samples=2000)(c), max
    ),
}

# --- the simple learners ----------------------------------------------------------------------


def two_layer(config: SimpleConfig, powers: Sequence[int]) -> SimpleConfig:
    """Turn a run into one of a two-layer network, by powers or (none given) GELU."""
    rate = POLY_RATE if powers else GELU_RATE
    return replace(
        config, learner="two-layer", powers=powers, width=UNITS, rate=rate, n_steps=TRAIN_STEPS
    )


def machine(config: SimpleConfig, degree: int = 4) -> SimpleConfig:
    """Turn a run into one of the recursive feature machine."""
    return replace(config, learner="feature machine", degree=degree, n_updates=4, kernels=())


def learners(profile: str, widths: Sequence[int]) -> list[SimpleConfig]:
    """List all learners on one target at the reference number of samples."""
    kernels = KERNELS[profile] if len(widths) == 2 else FEW_KERNELS
    base = SimpleConfig(
        "kernel", N_SAMPLES[profile], widths=widths, gaps=gaps_of(widths), kernels=kernels
    )
    bare = replace(base, kernels=())
    chosen = [
        base,
        replace(bare, learner="predictions"),
        replace(bare, learner="eigenfeatures", factor=1),
        replace(bare, learner="eigenfeatures", factor=2),
        machine(base),
    ]
    if profile != "smoke":
        chosen.append(two_layer(bare, POLY_3 if len(widths) == 2 else POLY_4))
    return chosen


def simple_groups(profile: str) -> list[Group]:
    """All learners on both depths; more samples, other dimensions and targets; the map."""
    chosen = [(c, SEEDS[profile]) for w in (THREE, FOUR) for c in learners(profile, w)]
    if profile == "smoke":
        low = SimpleConfig("kernel", N_SAMPLES[profile], dim=8, kernels=("poly4",))
        chosen.append((low, FEWER[profile]))
    else:
        chosen += [(c, FEWER[profile]) for c in _laptop_extras(profile)]
    return [group("simple_learners", config, seeds) for config, seeds in chosen]


def _laptop_extras(profile: str) -> list[SimpleConfig]:
    base = SimpleConfig("kernel", N_SAMPLES[profile], kernels=FEW_KERNELS)
    bare = replace(base, kernels=())
    four = replace(base, widths=FOUR, gaps=GAPS_4)
    extras = [machine(replace(four, gaps=(1, 0.2, 0))), machine(four, degree=8)]
    for n in MORE[profile]:
        extras += [
            replace(base, n_samples=n, kernels=("poly4",)),
            two_layer(replace(bare, n_samples=n), POLY_3),
            two_layer(replace(bare, n_samples=n), ()),
        ]
        shallow = replace(bare, target="two-layer", n_samples=n)
        extras += [two_layer(shallow, POLY_3), two_layer(shallow, ())]
    quadratic_only = replace(base, target="level 2 only", kernels=("poly2",))
    for dim in (20, *DIMS[profile]):
        extras.append(replace(quadratic_only, dim=dim))
        if dim != 20:
            extras.append(replace(base, dim=dim))
    return extras + _map_runs(profile, bare)


def _map_runs(profile: str, bare: SimpleConfig) -> list[SimpleConfig]:
    """The feature machine and the eigen-features over index dimension, depth and N."""
    runs = []
    for widths in (*MAP_3, *MAP_4[profile]):
        for n in MAP_N[profile]:
            at = replace(bare, widths=widths, gaps=gaps_of(widths), n_samples=n)
            if not (n == N_SAMPLES[profile] and widths in (THREE, FOUR)):
                runs += [machine(at), replace(at, learner="eigenfeatures", factor=1)]
    if profile == "laptop":
        widest = replace(bare, widths=MAP_3[-1], gaps=GAPS_3, n_samples=4000)
        runs.append(machine(widest))
    return runs


_here: dict[str, Any] = {"dim": 20, "target": "hierarchy", "gaps": GAPS_3, "widths": THREE}
Measure = Callable[[SimpleConfig, dict[str, Any]], float]


def read(
    records: Sequence[Measured], **fields: Any
) -> dict[int, list[tuple[SimpleConfig, dict[str, Any]]]]:
    """Collect, per seed, the runs whose config has these values."""
    found: dict[int, list[tuple[SimpleConfig, dict[str, Any]]]] = {}
    for record in records:
        config = SimpleConfig(**record.config)
        if all(getattr(config, name) == value for name, value in fields.items()):
            found.setdefault(record.seed, []).append((config, record.measurement))
    return found


def _final(config: SimpleConfig, measurement: dict[str, Any]) -> float:
    return float(measurement["final"]["rel"])


def least(value: Measure = _final, **fields: Any) -> Statistic:
    """Make the statistic "smallest value over the runs with these fields", one a seed."""
    return lambda records: {
        seed: min(value(c, m) for c, m in runs) for seed, runs in read(records, **fields).items()
    }


def largest(value: Measure = _final, **fields: Any) -> Statistic:
    """Make the statistic "largest value over the runs with these fields", one a seed."""
    return lambda records: {
        seed: max(value(c, m) for c, m in runs) for seed, runs in read(records, **fields).items()
    }


def best_of_all(widths: Sequence[int]) -> Statistic:
    """Make the statistic "error of the best learner on that target", at d = 20 and N <= 2000."""

    def statistic(records: Sequence[Measured]) -> dict[int, float]:
        few = {"widths": tuple(widths), "dim": 20, "target": "hierarchy", "gaps": gaps_of(widths)}
        runs = read(records, **few)
        return {s: min(_final(c, m) for c, m in r if c.n_samples <= 2000) for s, r in runs.items()}

    return statistic


def _last_over_first(config: SimpleConfig, measurement: dict[str, Any]) -> float:
    stages = measurement["stage"]
    return _final(config, measurement) / float(stages[0])


def _without_update(config: SimpleConfig, measurement: dict[str, Any]) -> float:
    return float(measurement["round"][0])


def _at_reference(value: Measure) -> Statistic:
    """Read the feature machine on the three-level target, at N = 2000 or else the largest N."""

    def statistic(records: Sequence[Measured]) -> dict[int, float]:
        runs = read(records, learner="feature machine", **_here)
        kept = {s: {c.n_samples: value(c, m) for c, m in r} for s, r in runs.items()}
        return {s: sizes.get(2000, sizes[max(sizes)]) for s, sizes in kept.items()}

    return statistic


def _kernel_in_low_dimension(records: Sequence[Measured]) -> dict[int, float]:
    """Read the best plain kernel in the smallest dimension that the profile has, 8 or 10."""
    runs = read(records, learner="kernel", target="hierarchy")
    lowest = min(c.dim for r in runs.values() for c, _ in r)
    if lowest == 20:
        return {}
    return least(learner="kernel", target="hierarchy", dim=lowest)(records)


def _over_widths(chosen: Sequence[Sequence[int]], combine: Callable[..., float]) -> Statistic:
    """Combine the feature machine's errors at N = 2000 over some three-level targets."""

    def statistic(records: Sequence[Measured]) -> dict[int, float]:
        runs = read(records, learner="feature machine", n_samples=2000)
        kept = {s: [_final(c, m) for c, m in r if c.widths in chosen] for s, r in runs.items()}
        complete = max(len(values) for values in kept.values())
        return {s: combine(values) for s, values in kept.items() if len(values) == complete}

    return statistic


SIMPLE_STATISTICS = {
    "kernel": least(learner="kernel", **_here),
    "kernel_in_low_dimension": _kernel_in_low_dimension,
    "kernel_in_40": least(learner="kernel", dim=40, target="hierarchy"),
    "kernel_40_over_20": ratio(
        least(learner="kernel", dim=40, target="hierarchy"),
        least(learner="kernel", n_samples=2000, **_here),
    ),
    "kernel_on_quadratic": largest(learner="kernel", target="level 2 only"),
    "predictions_over_first": largest(_last_over_first, learner="predictions", **_here),
    "eigenfeatures_over_first": largest(
        _last_over_first, learner="eigenfeatures", factor=2, **_here
    ),
    "machine": _at_reference(_final),
    "machine_without_update": _at_reference(_without_update),
    "machine_small_index": _over_widths(((4, 3), (6, 4)), max),
    "machine_large_index": _over_widths(((10, 6), (12, 8)), min),
    "machine_more_samples": ratio(
        largest(learner="feature machine", widths=(12, 8), n_samples=4000),
        largest(learner="feature machine", widths=(12, 8), n_samples=2000),
    ),
    "best_three_levels": best_of_all(THREE),
    "best_four_levels": best_of_all(FOUR),
    "machine_on_four_levels": largest(
        learner="feature machine", widths=FOUR, gaps=GAPS_4, n_samples=2000, degree=4
    ),
    "machine_of_degree_8": largest(learner="feature machine", degree=8),
    "machine_without_level_4": largest(learner="feature machine", gaps=(1, 0.2, 0)),
    "gelu_over_powers": ratio(
        largest(learner="two-layer", powers=(), n_samples=4000, **_here),
        largest(learner="two-layer", powers=POLY_3, n_samples=4000, **_here),
    ),
    "gelu_over_powers_shallow": ratio(
        largest(learner="two-layer", powers=(), target="two-layer", n_samples=4000),
        largest(learner="two-layer", powers=POLY_3, target="two-layer", n_samples=4000),
    ),
}

EXPERIMENTS = (
    Experiment("deep_pool", CHAPTER, deep_groups, quadratic.measure, DEEP_STATISTICS),
    Experiment(
        "simple_learners", CHAPTER, simple_groups, simple_learners.measure, SIMPLE_STATISTICS
    ),
)
