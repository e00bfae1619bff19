"""Chapter 4: sample sizes of deep, layerwise and shallow learners on Random Hierarchy Models.

A configuration is named by $(v,n_c,m,L)$; sample sizes are multiples of $P_0=n_cm^L$.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from hierlearn.experiment import Experiment, Group, Measured
from hierlearn.grammar.config import HierarchyConfig
from hierlearn.grammar.grouping import measure_grouping
from hierlearn.grammar.reading import (
    Choice,
    Value,
    each,
    error,
    rows,
    sample_size,
    sensitivity_of,
    size_slope,
)
from hierlearn.grammar.signals import measure_detectability, measure_exactness
from hierlearn.statistics import mean

CHAPTER = "04_random_hierarchy"
Parameters = tuple[int, int, int, int]

SEEDS = {"smoke": range(4), "laptop": range(8), "paper": range(8)}
FEWER = {"smoke": range(3), "laptop": range(5), "paper": range(8)}
SMALL, MAIN = (4, 4, 4, 3), (8, 8, 4, 3)


def arms(
    parameters: Parameters, multiples: Iterable[float], **fields: Any
) -> list[HierarchyConfig]:
    """Return one configuration a sample size, given in multiples of P_0."""
    base = HierarchyConfig(*parameters, 1, **fields)
    return [replace(base, n_samples=round(f * base.scale)) for f in multiples]


def at(multiple: float, parameters: Parameters | None = None, **fields: Any) -> Choice:
    """Choose runs at a multiple of P_0 with these fields."""

    def choice(config: HierarchyConfig) -> bool:
        return (
            config.n_samples == round(multiple * config.scale)
            and parameters in (None, config.parameters)
            and all(getattr(config, name) == value for name, value in fields.items())
        )

    return choice


def is_plain(config: HierarchyConfig) -> bool:
    """Say whether neither grammar nor data were tampered with."""
    return config.dial == "none" and config.control == "none"


# --- the grammar itself -----------------------------------------------------------------------

EXACT = {
    "smoke": [MAIN],
    "laptop": [MAIN, SMALL, (8, 8, 2, 4), (32, 32, 8, 5)],
    "paper": [MAIN, SMALL, (8, 8, 2, 4), (6, 6, 6, 3), (32, 32, 8, 5)],
}


def exactness_groups(profile: str) -> list[Group]:
    """Parser, distinct draws and indexing; and the tables of the dials "corr" and "ident"."""
    seeds = range(3 if profile == "smoke" else 8)
    groups = [
        Group.of("rhm_exactness", [HierarchyConfig(*p, 2000)], seeds) for p in EXACT[profile]
    ]  # fmt: skip
    turned = [
        replace(HierarchyConfig(*MAIN, 500), dial=dial, t=t)
        for dial in ("corr", "ident", "ident4")
        for t in (0.0, 1.0)
    ]
    return [*groups, Group.of("rhm_exactness", turned, seeds)]


def _exact(config: HierarchyConfig, measurement: dict[str, Any]) -> float:
    return min(measurement[name] for name in ("parsed", "distinct", "indexed"))


def _reading(name: str) -> Value:
    return lambda c, m: float(m[name])


EXACT_STATISTICS = {
    "exact": each(_exact, lambda c: True, min),
    "corrupted": each(_reading("corrupted"), lambda c: c.parameters == MAIN and is_plain(c)),
    "latin": each(_reading("latin"), lambda c: c.dial == "corr" and c.t == 1, min),
    "latin_at_zero": each(_reading("latin"), lambda c: c.dial == "corr" and c.t == 0),
    "twins": each(_reading("twins"), lambda c: c.dial.startswith("ident") and c.t == 1, min),
    "twins_at_zero": each(_reading("twins"), lambda c: c.dial.startswith("ident") and c.t == 0),
}

# --- detectability ----------------------------------------------------------------------------

SEEN = {
    "smoke": [MAIN],
    "laptop": [MAIN, (16, 16, 8, 3), (6, 6, 6, 3), (32, 32, 16, 2)],
    "paper": [MAIN, (16, 16, 8, 3), (6, 6, 6, 3), (32, 32, 16, 2), (32, 32, 32, 3)],
}
SEEN_GRID = (0.25, 0.5, 1, 2, 4, 8)


def detectability_groups(profile: str) -> list[Group]:
    """R over sample sizes, without any training; the controls at MAIN."""
    seeds = range(5) if profile == "smoke" else range(8)
    groups = [
        Group.of("rhm_detectability", arms(p, SEEN_GRID, n_test=1), seeds) for p in SEEN[profile]
    ]  # fmt: skip
    shuffled = arms(MAIN, (1, 4), n_test=1, control="shuffled labels")
    latin = arms(SMALL, (4, 16), n_test=1, dial="corrall", t=1.0)
    return [*groups, Group.of("rhm_detectability", shuffled, seeds),
            Group.of("rhm_detectability", latin, seeds)]  # fmt: skip


def _over_law(config: HierarchyConfig, measurement: dict[str, Any]) -> float:
    return float(measurement["detectability"] / measurement["law"])


def _seen(config: HierarchyConfig) -> bool:
    return is_plain(config) and config.n_samples >= config.scale


DETECTABILITY_STATISTICS = {
    "over_law": each(_over_law, lambda c: _seen(c) and c.n_levels >= 3, mean),
    "over_law_largest": each(_over_law, lambda c: _seen(c) and c.vocab_size == 16, mean),
    "shuffled_labels": each(
        _reading("detectability"), lambda c: c.control == "shuffled labels", mean
    ),
    "shuffled_parents": each(
        _reading("shuffled_parents"), lambda c: _seen(c) and c.n_levels >= 3, mean
    ),
    "latin": each(_reading("detectability"), lambda c: c.dial == "corrall", mean),
}

# --- the deep network, end to end -------------------------------------------------------------

DEEP: dict[str, list[Parameters]] = {
    "smoke": [SMALL, (8, 8, 2, 4)],
    "laptop": [SMALL, (8, 8, 2, 4), MAIN, (6, 6, 6, 3), (8, 8, 4, 4)],
    "paper": [
        SMALL, (8, 8, 2, 4), MAIN, (6, 6, 6, 3), (8, 8, 4, 4),
        (8, 8, 8, 3), (10, 10, 10, 3), (12, 12, 12, 3), (8, 8, 4, 5),
    ],
}  # fmt: skip
DEEP_STEPS = {"smoke": 1500, "laptop": 4000, "paper": 10_000}
GRIDS = {
    "smoke": (1, 2, 3, 4, 6),
    "laptop": (1, 1.5, 2, 3, 4, 6),
    "paper": (1, 1.25, 1.5, 1.75, 2, 2.5, 3, 3.5, 4, 6),
}


def deep_groups(profile: str) -> list[Group]:
    """End-to-end training over sample sizes, one group a configuration; the controls."""
    n_steps, grid = DEEP_STEPS[profile], GRIDS[profile]
    groups = []
    for p in DEEP[profile]:
        groups.append(Group.of("rhm_deep", arms(p, grid, n_steps=n_steps), SEEDS[profile]))
    shuffled = arms(SMALL, (4,), n_steps=700, control="shuffled labels")
    groups.append(Group.of("rhm_deep", shuffled, FEWER[profile]))
    if profile == "smoke":
        return groups
    permuted = arms(MAIN, (4,), n_steps=n_steps, control="permuted positions")
    latin = arms(SMALL, (8, 32, 120), n_steps=2000, dial="corrall", t=1.0)
    same = arms(SMALL, (8, 32), n_steps=2000)
    learned = arms(MAIN, (0.5, 8), n_steps=n_steps)
    return [
        *groups,
        *(Group.of("rhm_deep", chosen, FEWER[profile]) for chosen in (permuted, latin, same)),
        Group.of("rhm_deep", learned, SEEDS[profile]),
    ]


def in_grid(config: HierarchyConfig) -> bool:
    """Choose the plain runs on the grid of sample sizes."""
    return config.learner == "cnn" and is_plain(config) and config.n_samples <= 6 * config.scale


def scale_of(config: HierarchyConfig) -> float:
    """Return P_0."""
    return float(config.scale)


def strings_of(config: HierarchyConfig) -> float:
    """Return the number of grammatical strings."""
    v, n_classes, m, depth = config.parameters
    return float(n_classes * m ** (2**depth - 1))


def no_correlation(config: HierarchyConfig) -> bool:
    """Choose the runs without any correlation."""
    return config.dial == "corrall"


def _deepest(config: HierarchyConfig, measurement: dict[str, Any]) -> float:
    layer = config.n_levels
    return sensitivity_of(layer, 1)(config, measurement)


def _same_sizes(config: HierarchyConfig) -> bool:
    """Choose random rules at the larger sample sizes of the control without correlation."""
    plain = is_plain(config) and config.learner == "cnn"
    return plain and (at(8, SMALL)(config) or at(32, SMALL)(config))


def _learned(config: HierarchyConfig) -> bool:
    """Choose the deep network at 4 P_0 of MAIN."""
    return at(4, MAIN, learner="cnn")(config) and is_plain(config)


DEEP_STATISTICS = {
    "size": sample_size(in_grid, scale_of),
    "slope": size_slope(in_grid),
    "shuffled_error": each(error, lambda c: c.control == "shuffled labels", mean),
    "latin_error": each(error, no_correlation, min),
    "same_sizes_error": each(error, _same_sizes),
    "permuted_error": each(
        error, lambda c: c.control == "permuted positions" and c.learner == "cnn"
    ),
    "top_sensitivity": each(_deepest, _learned),
    "second_sensitivity": each(sensitivity_of(2, 1), _learned),
    "first_sensitivity": each(sensitivity_of(1, 1), _learned),
    "untrained_sensitivity": each(
        sensitivity_of(2, 1, "sensitivity_at_start"),
        _learned,
    ),
    "untrained_top_sensitivity": each(
        sensitivity_of(3, 1, "sensitivity_at_start"),
        _learned,
    ),
}

# --- grouping ---------------------------------------------------------------------------------


def grouping_groups(profile: str) -> list[Group]:
    """Groups whose runs are also trained one by one, on the CPU."""
    steps = {"smoke": 200, "laptop": 800, "paper": 800}[profile]
    seeds = range(2) if profile == "smoke" else FEWER[profile]
    return [Group.of("rhm_grouping", arms(MAIN, (1, 4), n_steps=steps), seeds)]


GROUPING_STATISTICS = {
    "difference": each(_reading("difference"), lambda c: True),
    "by_slot": each(_reading("by_slot"), at(4)),
}


def curve_points(
    records: Sequence[Measured], choice: Choice, value: Value = error
) -> tuple[list[float], list[list[float]]]:
    """Return P/P_0 in order and `value` as `[seed, point]`, of the seeds that have every point."""
    chosen = rows(records, choice)
    ordered = {s: sorted(runs, key=lambda run: run[0].n_samples) for s, runs in chosen.items()}
    longest = max(len(runs) for runs in ordered.values())
    ordered = {s: runs for s, runs in ordered.items() if len(runs) == longest}
    first = next(iter(ordered.values()))
    x = [c.n_samples / c.scale for c, _ in first]
    return x, [[value(c, m) for c, m in ordered[s]] for s in sorted(ordered)]


EXPERIMENTS = (
    Experiment("rhm_exactness", CHAPTER, exactness_groups, measure_exactness, EXACT_STATISTICS),
    Experiment("rhm_detectability", CHAPTER, detectability_groups, measure_detectability,
               DETECTABILITY_STATISTICS),
    Experiment("rhm_grouping", CHAPTER, grouping_groups, measure_grouping, GROUPING_STATISTICS),
)  # fmt: skip
