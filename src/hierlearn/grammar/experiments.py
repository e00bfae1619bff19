"""Chapter 4: sample sizes of deep, layerwise and shallow learners on Random Hierarchy Models.

A configuration is named by $(v,n_c,m,L)$; sample sizes are multiples of $P_0=n_cm^L$.
"""

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from hierlearn.experiment import Arms, Experiment, Group, Runs, every, together
from hierlearn.grammar.config import HierarchyConfig
from hierlearn.grammar.grouping import measure_grouping
from hierlearn.grammar.signals import measure_detectability, measure_exactness
from hierlearn.statistics import (
    Arm,
    Statistic,
    Value,
    each,
    exponent,
    geometric_mean,
    mean,
    needed,
    number,
    runs_of,
)

CHAPTER = "04_random_hierarchy"
Parameters = tuple[int, int, int, int]

SEEDS = {"smoke": range(4), "laptop": range(8), "paper": range(8)}
FEWER = {"smoke": range(3), "laptop": range(5), "paper": range(8)}
SMALL, MAIN = (4, 4, 4, 3), (8, 8, 4, 3)


LEVEL, FLOOR = 0.1, 1e-4
"""The error that a sample size is asked for, and what errors are raised to before."""


def sized(
    parameters: Parameters, multiples: Iterable[float], **fields: Any
) -> list[HierarchyConfig]:
    """Return one configuration a sample size, given in multiples of P_0."""
    base = HierarchyConfig(*parameters, 1, **fields)
    return [replace(base, n_samples=round(f * base.scale)) for f in multiples]


def at(multiple: float, configs: Iterable[HierarchyConfig]) -> list[HierarchyConfig]:
    """Return those at a multiple of P_0."""
    return [one for one in configs if one.n_samples == round(multiple * one.scale)]


def scale_of(config: HierarchyConfig) -> float:
    """Return P_0."""
    return float(config.scale)


def strings_of(config: HierarchyConfig) -> float:
    """Return the number of grammatical strings."""
    _, n_classes, m, depth = config.parameters
    return float(n_classes * m ** (2**depth - 1))


error = number("error")
"""Read the last test error over chance."""


def sensitivity_of(layer: int, level: int, *path: str) -> Value:
    """Read S of `layer` to synonyms of `level`, both from 1; `path` is where it stands."""
    return number(*(path or ("sensitivity",)), layer - 1, level - 1)


def sample_sizes(runs: Runs, arm: Arm) -> dict[int, dict[Parameters, float]]:
    """Return P* per seed and $(v,n_c,m,L)$: where the error first falls to a tenth of chance."""
    return needed(
        runs, arm, size=lambda c: c.n_samples, by=lambda c: c.parameters, value=error,
        level=LEVEL, floor=FLOOR,
    )  # fmt: skip


def sample_size(arm: Arm, unit: Any = scale_of) -> Statistic:
    """Make the statistic P* over a unit, geometric mean over the configurations of an arm."""

    def statistic(runs: Runs) -> dict[int, float]:
        units = {
            c.parameters: unit(c) for results in runs_of(runs, arm).values() for c, _ in results
        }
        return {
            seed: geometric_mean([size / units[key] for key, size in found.items()])
            for seed, found in sample_sizes(runs, arm).items()
        }

    return statistic


def at_least(arm: Arm, unit: Any) -> Statistic:
    """Make the statistic P* over a unit; the largest size tried where the error does not cross.

    A seed with one size only says nothing about P* and is left out.
    """

    def statistic(runs: Runs) -> dict[int, float]:
        largest = {
            seed: max((c.n_samples, unit(c)) for c, _ in results)
            for seed, results in runs_of(runs, arm).items()
            if len(results) > 1
        }
        sizes = {seed: list(one.values())[0] for seed, one in sample_sizes(runs, arm).items()}
        return {
            seed: (n if math.isnan(sizes[seed]) else sizes[seed]) / one
            for seed, (n, one) in largest.items()
        }

    return statistic


def size_slope(arm: Arm) -> Statistic:
    r"""Make the statistic that fits the exponent of P* in $n_cm^L$ over configurations."""
    return lambda runs: {
        seed: exponent([(n * m**depth, size) for (_, n, m, depth), size in found.items()])
        for seed, found in sample_sizes(runs, arm).items()
    }


# --- the grammar itself -----------------------------------------------------------------------

EXACT = {
    "smoke": [MAIN],
    "laptop": [MAIN, SMALL, (8, 8, 2, 4), (32, 32, 8, 5)],
    "paper": [MAIN, SMALL, (8, 8, 2, 4), (6, 6, 6, 3), (32, 32, 8, 5)],
}


def exactness_arms(profile: str) -> Arms:
    """Parser, distinct draws and indexing; and the tables of the dials "corr" and "ident"."""
    grammars = [HierarchyConfig(*p, 2000) for p in EXACT[profile]]
    turned = {
        (dial, t): replace(HierarchyConfig(*MAIN, 500), dial=dial, t=t)
        for dial in ("corr", "ident", "ident4")
        for t in (0.0, 1.0)
    }
    return {
        "random rules": grammars,
        "turned": list(turned.values()),
        "main": grammars[0],
        **{f"corr at {t:g}": turned["corr", t] for t in (0.0, 1.0)},
        **{f"ident at {t:g}": [turned["ident", t], turned["ident4", t]] for t in (0.0, 1.0)},
    }


def exactness_groups(profile: str) -> list[Group]:
    """A group for each grammar, and one for the dials."""
    arms, seeds = exactness_arms(profile), range(3 if profile == "smoke" else 8)
    parts = [[one] for one in every(arms, "random rules")] + [every(arms, "turned")]
    return [Group.of("rhm_exactness", part, seeds) for part in parts]


def _exact(config: HierarchyConfig, measurement: dict[str, Any]) -> float:
    return min(measurement[name] for name in ("parsed", "distinct", "indexed"))


EXACT_STATISTICS = {
    "exact": each(_exact, ("random rules", "turned"), min),
    "corrupted": each(number("corrupted"), "main"),
    "latin": each(number("latin"), "corr at 1", min),
    "latin_at_zero": each(number("latin"), "corr at 0"),
    "twins": each(number("twins"), "ident at 1", min),
    "twins_at_zero": each(number("twins"), "ident at 0", max),
}

# --- detectability ----------------------------------------------------------------------------

SEEN = {
    "smoke": [MAIN],
    "laptop": [MAIN, (16, 16, 8, 3), (6, 6, 6, 3), (32, 32, 16, 2)],
    "paper": [MAIN, (16, 16, 8, 3), (6, 6, 6, 3), (32, 32, 16, 2), (32, 32, 32, 3)],
}
SEEN_GRID = (0.25, 0.5, 1, 2, 4, 8)


def detectability_arms(profile: str) -> Arms:
    """R over sample sizes, without any training; the controls at MAIN."""
    plain = [one for p in SEEN[profile] for one in sized(p, SEEN_GRID, n_test=1)]
    enough = [one for one in plain if one.n_samples >= one.scale]
    return {
        "random rules": plain,
        "shuffled labels": sized(MAIN, (1, 4), n_test=1, control="shuffled labels"),
        "no correlation": sized(SMALL, (4, 16), n_test=1, dial="corrall", t=1.0),
        "from P_0 on": [one for one in enough if one.n_levels >= 3],
        "from P_0 on, 16 symbols": [one for one in enough if one.vocab_size == 16],
        **{str(p): sized(p, SEEN_GRID, n_test=1) for p in SEEN[profile]},
    }


def detectability_groups(profile: str) -> list[Group]:
    """A group for each grammar, and one for each control."""
    arms, seeds = detectability_arms(profile), range(5) if profile == "smoke" else range(8)
    names = [*map(str, SEEN[profile]), "shuffled labels", "no correlation"]
    return [Group.of("rhm_detectability", every(arms, name), seeds) for name in names]


def over_law(config: HierarchyConfig, measurement: dict[str, Any]) -> float:
    """Divide the measured R by the parameter-free law."""
    return float(measurement["detectability"] / measurement["law"])


DETECTABILITY_STATISTICS = {
    "over_law": each(over_law, "from P_0 on", mean),
    "over_law_largest": each(over_law, "from P_0 on, 16 symbols", mean),
    "shuffled_labels": each(number("detectability"), "shuffled labels", mean),
    "shuffled_parents": each(number("shuffled_parents"), "from P_0 on", mean),
    "latin": each(number("detectability"), "no correlation", mean),
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


def deep_arms(profile: str) -> dict[str, Any]:
    """End-to-end training over sample sizes; the controls."""
    n_steps, grid = DEEP_STEPS[profile], GRIDS[profile]
    by_size = {f"deep, {p}": sized(p, grid, n_steps=n_steps) for p in DEEP[profile]}
    arms: dict[str, Any] = {
        **by_size, "shuffled labels": sized(SMALL, (4,), n_steps=700, control="shuffled labels"),
    }  # fmt: skip
    if profile != "smoke":
        few, much = sized(MAIN, (0.5, 8), n_steps=n_steps)
        arms |= {
            "permuted positions": sized(MAIN, (4,), n_steps=n_steps, control="permuted positions"),
            "no correlation": sized(SMALL, (8, 32, 120), n_steps=2000, dial="corrall", t=1.0),
            "random rules at these sizes": sized(SMALL, (8, 32), n_steps=2000),
            "deep, little and much": [few, much],
            "deep at 4 P_0": at(4, by_size[f"deep, {MAIN}"]),
        }
        by_size[f"deep, {MAIN}"] = [few, *by_size[f"deep, {MAIN}"]]
    arms |= {f"{name}, up to 6 P_0": found for name, found in by_size.items()}
    more = arms.get("deep, little and much", [])[1:]
    arms |= {
        f"{name}, all sizes": [*found, *more] if name == f"deep, {MAIN}" else found
        for name, found in by_size.items()
    }
    arms["deep over sizes"] = [one for found in by_size.values() for one in found]
    return arms


def deep_groups(profile: str, arms: Arms) -> list[Group]:
    """A group for each grammar, and one for each control."""
    seeds = {f"deep, {p}": SEEDS for p in DEEP[profile]}
    few = ("shuffled labels", "permuted positions", "no correlation", "random rules at these sizes")
    seeds |= dict.fromkeys((name for name in few if name in arms), FEWER)
    seeds |= {"deep, little and much": SEEDS} if profile != "smoke" else {}
    return [Group.of("rhm_deep", every(arms, name), of[profile]) for name, of in seeds.items()]


DEEP_STATISTICS = {
    "size": sample_size("deep over sizes"),
    "slope": size_slope("deep over sizes"),
    "shuffled_error": each(error, "shuffled labels", mean),
    "latin_error": each(error, "no correlation", min),
    "same_sizes_error": each(error, "random rules at these sizes", max),
    "top_sensitivity": each(sensitivity_of(3, 1), "deep at 4 P_0"),
    "second_sensitivity": each(sensitivity_of(2, 1), "deep at 4 P_0"),
    "first_sensitivity": each(sensitivity_of(1, 1), "deep at 4 P_0"),
    "untrained_top_sensitivity": each(
        sensitivity_of(3, 1, "sensitivity_at_start"), "deep at 4 P_0"
    ),
}

# --- grouping ---------------------------------------------------------------------------------


def grouping_arms(profile: str) -> Arms:
    """Runs of a group that are also trained one by one, on the CPU."""
    steps = {"smoke": 200, "laptop": 800, "paper": 800}[profile]
    found = sized(MAIN, (1, 4), n_steps=steps)
    return {"grouped": found, "grouped at 4 P_0": found[1]}


GROUPING_SEEDS = {**FEWER, "smoke": range(2)}
GROUPING_STATISTICS = {
    "difference": each(number("difference"), "grouped", max),
    "by_slot": each(number("by_slot"), "grouped at 4 P_0"),
}

EXPERIMENTS = (
    Experiment(
        "rhm_exactness", CHAPTER, exactness_groups, measure_exactness, EXACT_STATISTICS,
        exactness_arms,
    ),
    Experiment(
        "rhm_detectability", CHAPTER, detectability_groups, measure_detectability,
        DETECTABILITY_STATISTICS, detectability_arms,
    ),
    Experiment(
        "rhm_grouping", CHAPTER, together("rhm_grouping", grouping_arms, GROUPING_SEEDS),
        measure_grouping, GROUPING_STATISTICS, grouping_arms,
    ),
)  # fmt: skip
