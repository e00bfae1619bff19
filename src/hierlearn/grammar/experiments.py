"""Chapter 4: who learns Random Hierarchy Models, from how many examples, and without what.

A grammar is named by $(v,n_c,m,L)$; sample sizes are multiples of $P_0=n_cm^L$. The dials are those
of `grammar.dials`.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from hierlearn.experiment import Arms, Experiment, Group, Runs, every
from hierlearn.grammar.config import HierarchyConfig
from hierlearn.grammar.runs import measure_closed_form, measure_counts, measure_networks
from hierlearn.grammar.trees import TreeConfig, measure_trees
from hierlearn.intervals import Bound
from hierlearn.statistics import (
    Arm,
    Statistic,
    Value,
    at_least,
    at_most,
    crossing,
    difference,
    each,
    exponent,
    geometric_mean,
    mean,
    number,
    quotient,
    ratio,
    runs_of,
)

CHAPTER = "04_random_hierarchy"
Parameters = tuple[int, int, int, int]

SEEDS = {"smoke": range(4), "laptop": range(8), "paper": range(8)}
FEWER = {"smoke": range(3), "laptop": range(5), "paper": range(8)}
SMALL, MAIN, TALL, THIN = (4, 4, 4, 3), (8, 8, 4, 3), (8, 8, 4, 4), (8, 8, 2, 4)

LEVEL, FLOOR = 0.1, 1e-4
"""The error that a sample size is asked for, and what errors are raised to before."""

N_STEPS = 6000
"""A cap that hardly any end-to-end run reaches: training ends at its tolerance."""
MORE_STEPS = 30_000
"""The same for the largest grammars."""
TRAINED = ("n_steps", "lower_steps", "after_steps")
"""The budget of a trained run."""


def sized(
    parameters: Parameters, multiples: Iterable[float], **fields: Any
) -> list[HierarchyConfig]:
    """Return one configuration a sample size, given in multiples of P_0."""
    base = HierarchyConfig(*parameters, 1, **fields)
    return [replace(base, n_samples=round(f * base.scale)) for f in multiples]


def grouped(name: str, arms: Arms, seeds: Mapping[str, Iterable[int]]) -> list[Group]:
    """Return a group for each of these arms that the profile has."""
    return [
        Group.of(name, every(arms, arm), tuple(own)) for arm, own in seeds.items() if arm in arms
    ]


error = number("error")
"""Read the last test error over chance."""


def sensitivity_of(layer: int, level: int, *path: str) -> Value:
    """Read S of `layer` to synonyms of `level`, both from 1; `path` is where it stands."""
    return number(*(path or ("sensitivity",)), layer - 1, level - 1)


def floored(value: Value) -> Value:
    """Raise an error to half a test string, a bound there, so that ratios exist."""

    def floor(config: HierarchyConfig, measurement: dict[str, Any]) -> float:
        return value(config, measurement) or at_most(0.5 / config.n_test)

    return floor


def sample_sizes(
    runs: Runs, arm: Arm, value: Value = error, level: float = LEVEL
) -> dict[int, dict[Any, float]]:
    """Return P* per seed and grammar: where the error, or another value, first falls to a level.

    A network that is above it because it has not fitted its examples says nothing of its sample
    size, nor do smaller ones: where P* would rest on it, P* is at most the next size.
    """
    found: dict[int, dict[Any, float]] = {}
    for seed, own in runs_of(runs, arm).items():
        grids: dict[Any, list[tuple[int, float, bool]]] = {}
        for config, m in own:
            point = config.n_samples, max(value(config, m), FLOOR), m.get("converged", True)
            grids.setdefault(config.parameters, []).append(point)
        found[seed] = {}
        for grammar, grid in grids.items():
            unfitted = max((n for n, y, fitted in grid if y > level and not fitted), default=0)
            kept = [(n, y) for n, y, _ in grid if n > unfitted]
            found[seed][grammar] = crossing(kept, level) if kept else math.nan
    return found


def scale_of(parameters: tuple[int, ...]) -> int:
    """Return $P_0=n_cm^L$ of $(v,n_c,m,L)$, with s or without."""
    _, n_classes, m, depth, *_ = parameters
    return int(n_classes * m**depth)


def strings_of(parameters: Parameters) -> int:
    """Return the number of grammatical strings."""
    _, n_classes, m, depth = parameters
    return int(n_classes * m ** (2**depth - 1))


def sample_size(
    arm: Arm, unit: Any = scale_of, value: Value = error, level: float = LEVEL
) -> Statistic:
    """Make the statistic P* over a unit, geometric mean over the grammars of an arm.

    It is a bound where one of them is.
    """

    def statistic(runs: Runs) -> dict[int, float]:
        found = {}
        for seed, sizes in sample_sizes(runs, arm, value, level).items():
            middle = geometric_mean([size / unit(key) for key, size in sizes.items()])
            sides = {size.side for size in sizes.values() if isinstance(size, Bound)}
            found[seed] = Bound(middle, sides.pop()) if len(sides) == 1 else middle
            if sides:
                found[seed] = math.nan
        return found

    return statistic


FACTORS: dict[str, tuple[list[Parameters], Any]] = {
    "n_c": ([(8, 2, 4, 3), (8, 4, 4, 3), MAIN], lambda c: c.n_classes),
    "m": ([THIN, TALL], lambda c: c.n_synonyms**c.n_levels),
    "L": ([MAIN, TALL], lambda c: c.n_synonyms**c.n_levels),
    "v": ([SMALL, (8, 4, 4, 3), (16, 4, 4, 3)], lambda c: c.vocab_size),
}
"""Grammars that differ in one factor alone, and in what its exponent is taken."""


def exponent_of(runs: Runs, *, arm: str, size: Any) -> dict[int, float]:
    """Fit, seed by seed, the exponent of P* in `size(config)`.

    Of the seeds that have all grammars of the arm; nan where a P* is only a bound.
    """
    found = sample_sizes(runs, arm)
    sizes = {c.parameters: size(c) for own in runs_of(runs, arm).values() for c, _ in own}
    return {
        seed: exponent([(sizes[grammar], p) for grammar, p in own.items()])
        for seed, own in found.items()
        if len(own) == len(sizes) > 1
    }


# --- what labels reveal: counting, without training ------------------------------------------

SEEN: dict[str, list[Parameters]] = {
    "smoke": [MAIN],
    "laptop": [MAIN, (16, 16, 8, 3), (6, 6, 6, 3), (32, 32, 16, 2), THIN, TALL],
    "paper": [MAIN, (16, 16, 8, 3), (6, 6, 6, 3), (32, 32, 16, 2), THIN, TALL, (32, 32, 32, 3)],
}
SEEN_GRID = (0.5, 1, 2, 4, 8)
READ = {"corr": 16, "ident4": 8, "hint": 6, "skip": 6, "shared": 6}


def count_arms(profile: str) -> Arms:
    """R over sample sizes with its controls at MAIN and SMALL; S, W and G on every dial."""
    arms: dict[str, Any] = {str(p): sized(p, SEEN_GRID, n_test=1) for p in SEEN[profile]}
    arms |= {
        "shuffled labels": sized(MAIN, (1, 4), n_test=1, control="shuffled labels"),
        "no correlation": sized(SMALL, (4, 16), n_test=1, dial="corrall", t=1.0),
    }
    enough = {p: [c for c in arms[str(p)] if c.n_samples >= c.scale] for p in SEEN[profile]}
    arms |= {f"{p} from P_0 on": found for p, found in enough.items()}
    arms["three levels"] = [c for p, found in enough.items() for c in found if p[3] == 3]
    turns = (0.0, 0.5, 1.0) if profile == "smoke" else (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)
    for dial, multiple in READ.items():
        found = [sized(MAIN, (multiple,), dial=dial, t=t, n_test=1)[0] for t in turns]
        arms |= {f"{dial}, read": found, f"{dial} at 0": found[0], f"{dial} at 1": found[-1]}
    return arms


def count_groups(profile: str) -> list[Group]:
    """A group for each grammar, control and dial."""
    names = [*map(str, SEEN[profile]), "shuffled labels", "no correlation"]
    names += [f"{dial}, read" for dial in READ]
    return grouped("rhm_counts", count_arms(profile), dict.fromkeys(names, range(8)))


over_law = quotient(number("detectability"), number("law"))
"""Divide the measured R by the parameter-free law."""


def step_sensitivity(config: HierarchyConfig, measurement: dict[str, Any]) -> float:
    r"""Compute the sensitivity to synonyms of what one gradient step makes of pairs.

    From a zero output it moves a pair's features along its centred label counts (Cagnetta et al.,
    Eq. 13); by the example, these are its label frequencies. With w the share of synonyms among
    pairs of pairs, their mean squared distance over that of any two is $1/(w+(1-w)R)$.
    """
    m = config.n_synonyms
    share = (m - 1) / (config.vocab_size * m - 1)
    return float(1 / (share + (1 - share) * measurement["detectability"]))


def _kept(dial: str) -> Statistic:
    return ratio(each(number("signal"), f"{dial} at 1"), each(number("signal"), f"{dial} at 0"))


COUNT_STATISTICS = {
    "over_law": each(over_law, "three levels", mean),
    "over_law_tall": each(over_law, f"{TALL} from P_0 on", mean),
    "over_law_thin": each(over_law, f"{THIN} from P_0 on", mean),
    "shuffled_labels": each(number("detectability"), "shuffled labels", mean),
    "one_step_size": sample_size(
        tuple(str(p) for p in SEEN["paper"] if p[3] == 3), value=step_sensitivity, level=0.5
    ),
    "hint_signal": _kept("hint"),
    "corr_signal": _kept("corr"),
}

# --- end to end, and learners that do not know the tree --------------------------------------

LARGE: list[Parameters] = [(6, 6, 6, 3), (8, 8, 8, 3), (10, 10, 10, 3), (12, 12, 12, 3)]
DEEP: dict[str, list[Parameters]] = {
    "smoke": [SMALL, THIN],
    "laptop": [SMALL, THIN, MAIN, TALL],
    "paper": [SMALL, THIN, MAIN, TALL, *LARGE, (8, 8, 4, 5)],
}
APART: list[Parameters] = [(8, 2, 4, 3), (8, 4, 4, 3), (16, 4, 4, 3)]
"""Grammars with other than v classes, to tell $n_c$ and v apart."""
LARGEST = [*LARGE[1:], (8, 8, 4, 5)]
"""Grammars of which samples below P* were not fitted."""
GRIDS = {
    "smoke": (1, 2, 4, 6),
    "laptop": (1, 1.5, 2, 3, 4, 6),
    "paper": (0.5, 1, 1.25, 1.5, 1.75, 2, 2.5, 3, 3.5, 4, 6, 8),
}
LATIN = {"smoke": (8,), "laptop": (8, 64), "paper": (8, 16, 32, 40, 48, 64, 96, 120)}
TOP = {"laptop": (4, 6, 8), "paper": (2, 3, 4, 6, 8, 12)}
DENSE = {"laptop": ((16,), 20_000), "paper": ((2, 6, 16, 32), 40_000)}
GENERIC = (2, 4, 6, 8, 12, 16, 24, 32)


def deep_arms(profile: str) -> Arms:
    """Networks trained end to end: with the tree, without correlation, without the tree."""
    grid = GRIDS[profile]
    apart = APART if profile != "smoke" else []
    grids = {(8, 8, 4, 5): (0.25, *grid)}  # five levels take less than half of P_0
    if profile == "laptop":
        grids[TALL] = grid[:4]
    by_size = {
        p: sized(p, grids.get(p, grid), n_steps=N_STEPS if scale_of(p) < 8000 else MORE_STEPS)
        for p in [*DEEP[profile], *apart]
    }
    latin = sized(SMALL, LATIN[profile], dial="corrall", t=1.0, n_steps=40_000)
    arms: dict[str, Any] = {f"deep, {p}": found for p, found in by_size.items()}
    arms |= {
        "deep over sizes": [c for p in DEEP[profile] for c in by_size[p]],
        "no correlation": latin,
        "no correlation at 8 P_0": latin[0],
    }
    if profile == "smoke":
        return arms
    multiples, n_steps = DENSE[profile]
    arms |= {
        f"{factor} alone": [c for p in grammars for c in by_size[p]]
        for factor, (grammars, _) in FACTORS.items()
    }
    if profile == "paper":
        arms["largest"] = [c for p in LARGEST for c in by_size[p]]
        arms["three hidden layers"] = sized(
            MAIN, GENERIC, n_steps=N_STEPS, learner="fcn3", width=128
        )
        arms["permuted positions"] = sized(
            MAIN, (4,), n_steps=N_STEPS, control="permuted positions"
        )
    arms["no correlation at 64 P_0"] = latin[LATIN[profile].index(64)]
    arms["no correlation at the top"] = sized(
        SMALL, TOP[profile], dial="corr", t=1.0, n_steps=N_STEPS
    )
    arms["one hidden layer"] = sized(SMALL, multiples, n_steps=n_steps, learner="fcn1", width=256)
    arms["deep at 4 P_0"] = by_size[MAIN][grid.index(4)]
    return arms


def deep_groups(profile: str) -> list[Group]:
    """A group for each grammar and for each other learner."""
    arms, few = deep_arms(profile), FEWER[profile]
    seeds = {f"deep, {p}": SEEDS[profile] for p in [*DEEP[profile], *APART]}
    names = ["no correlation", "no correlation at the top", "one hidden layer"]
    names += ["three hidden layers", "permuted positions"]
    return grouped("rhm_deep", arms, seeds | dict.fromkeys(names, few))


def merging(runs: Runs, combine: Any) -> dict[int, float]:
    r"""Combine over grammars the size, over P*, at which $S_{2,1}$ falls to a half, by seed.

    S is that of layer 2 to the lowest synonyms. Grammars with a bound for either size are left out.
    """
    arm = "deep over sizes"
    half, whole = sample_sizes(runs, arm, sensitivity_of(2, 1), 0.5), sample_sizes(runs, arm)
    return {
        seed: combine([
            half[seed][grammar] / size
            for grammar, size in own.items()
            if not isinstance(size, Bound) and not isinstance(half[seed][grammar], Bound)
        ])
        for seed, own in whole.items()
    }  # fmt: skip


DEEP_STATISTICS: dict[str, Statistic] = {
    "size": sample_size("deep over sizes"),
    "largest_size": sample_size("largest"),
    "latin_error": each(error, "no correlation at 64 P_0"),
    "latin_error_below": each(error, "no correlation at 8 P_0"),
    "top_cost": ratio(sample_size("no correlation at the top"), sample_size(f"deep, {SMALL}")),
    "share": sample_size("one hidden layer", strings_of),
    "deep_share": sample_size(f"deep, {SMALL}", strings_of),
    "generic_cost": ratio(sample_size("three hidden layers"), sample_size(f"deep, {MAIN}")),
    "permuted_error": each(error, "permuted positions"),
    "second_sensitivity": each(sensitivity_of(2, 1), "deep at 4 P_0"),
    "first_sensitivity": each(sensitivity_of(1, 1), "deep at 4 P_0"),
    "merging_size": partial(merging, combine=geometric_mean),
    "merging_spread": partial(merging, combine=lambda shares: max(shares) / min(shares)),
    **{
        f"exponent_{factor}": partial(exponent_of, arm=f"{factor} alone", size=size)
        for factor, (_, size) in FACTORS.items()
    },
}

# --- other trees, and weights that are not shared --------------------------------------------

TREE, BRANCHINGS = (8, 4, 4, 3), (2, 3, 4)
TREE_GRID = {"laptop": ((2, 3, 4, 6), ()), "paper": ((1.5, 2, 2.5, 3, 3.5, 4, 6), (2, 3, 4, 6))}
"""Sample sizes with shared weights, and without; only at paper are there such."""


def tree_arms(profile: str) -> Arms:
    """The deep network on trees of any branching, and with weights of its own at each position."""
    if profile not in TREE_GRID:
        return {}
    shared, local = (
        {
            s: [TreeConfig(*TREE, s, round(k * scale_of(TREE)), shared=together) for k in multiples]
            for s in BRANCHINGS[: None if together else 1]
        }
        for together, multiples in zip((True, False), TREE_GRID[profile], strict=True)
    )
    arms: dict[str, Any] = {f"s = {s}": found for s, found in shared.items()}
    arms["s alone"] = every(arms)
    return arms | {"own weights": local[2]} if local[2] else arms


def tree_groups(profile: str) -> list[Group]:
    """A group for each branching, and one without shared weights."""
    seeds = {f"s = {s}": SEEDS[profile] for s in BRANCHINGS} | {"own weights": FEWER[profile]}
    return grouped("rhm_trees", tree_arms(profile), seeds)


TREE_STATISTICS: dict[str, Statistic] = {
    "exponent_s": partial(exponent_of, arm="s alone", size=lambda c: c.branching),
    "sharing": ratio(sample_size("own weights"), sample_size("s = 2")),
}

# --- layer by layer, on the intact grammar and on XOR ----------------------------------------

LAYERED: dict[str, list[Parameters]] = {
    "laptop": [MAIN], "paper": [SMALL, MAIN, (6, 6, 6, 3), THIN, TALL],
}  # fmt: skip
LAYER_GRID = (1, 2, 3, 4, 6, 8)
XOR_LOWER = 4000


def layer_arms(profile: str) -> Arms:
    """Layerwise SGD over sample sizes and over random lower layers; both ways on XOR."""
    if profile not in LAYERED:
        return {}
    staged = {"lower_steps": 1000, "n_steps": N_STEPS}
    arms: dict[str, Any] = {
        f"layerwise, {p}": sized(p, LAYER_GRID, **staged) for p in LAYERED[profile]
    }
    if profile == "paper":
        arms["random lower layers"] = sized(
            MAIN, (4,), control="random lower layers", lower_steps=1000, n_steps=20_000
        )
    return arms | {
        "xor, layerwise": sized(MAIN, (4,), dial="xor", **{**staged, "lower_steps": XOR_LOWER}),
        "xor, end to end": sized(MAIN, (4,), dial="xor", n_steps=N_STEPS),
    }


def layer_groups(profile: str) -> list[Group]:
    """A group for each arm."""
    arms = layer_arms(profile)
    return grouped("rhm_layerwise", arms, dict.fromkeys(arms, FEWER[profile]))


LAYER_STATISTICS = {
    "size": sample_size(f"layerwise, {MAIN}"),
    "size_without_spare": sample_size(f"layerwise, {SMALL}"),
    "random_layers": each(error, "random lower layers"),
    "xor_error": each(error, "xor, layerwise"),
    "xor_deep_error": each(error, "xor, end to end"),
}

# --- in closed form --------------------------------------------------------------------------

CLUSTERED = [*DEEP["laptop"], *APART[:2]]
CLOSED_GRID = (0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8)
BROKEN = {
    "corr": (16, (0.0, 1.0)),
    "ident4": (8, (1.0,)),
    "hint": (6, (0.75, 1.0)),
    "skip": (6, (1.0,)),
}
"""What is trained on: a dial's sample size in units of P_0, and its turns."""


def turned(dial: str, **fields: Any) -> list[HierarchyConfig]:
    """Return one configuration a turn of a dial, at the dial's own sample size."""
    multiple, turns = BROKEN[dial]
    return [sized(MAIN, (multiple,), dial=dial, t=t, **fields)[0] for t in turns]


def closed_arms(profile: str) -> Arms:
    """Clustering and ridge regression over sample sizes; clustering on every dial."""
    if profile == "smoke":
        return {}
    arms: dict[str, Any] = {
        f"clustered, {p}": sized(
            p, CLOSED_GRID if p in DEEP["laptop"] else (*CLOSED_GRID, 12), learner="clustered"
        )
        for p in CLUSTERED
    }
    arms |= {
        "clustered, n_c alone": [c for p in FACTORS["n_c"][0] for c in arms[f"clustered, {p}"]],
        "clustered, m < v": [c for p in (THIN, MAIN, TALL) for c in arms[f"clustered, {p}"]],
        "ridge over sizes": sized(MAIN, CLOSED_GRID, learner="ridge"),
    }
    return arms | {f"{dial}, clustering": turned(dial, learner="clustered") for dial in BROKEN}


def closed_groups(profile: str) -> list[Group]:
    """A group for each grammar, for ridge regression, and for each dial."""
    seeds = {f"clustered, {p}": SEEDS[profile] for p in CLUSTERED}
    names = ["ridge over sizes", *(f"{dial}, clustering" for dial in BROKEN)]
    seeds |= dict.fromkeys(names, FEWER[profile])
    return grouped("rhm_closed_form", closed_arms(profile), seeds)


CLOSED_STATISTICS: dict[str, Statistic] = {
    "clustered_size": sample_size("clustered, m < v"),
    "clustered_exponent": partial(exponent_of, arm="clustered, n_c alone", size=FACTORS["n_c"][1]),
    "ridge_size": sample_size("ridge over sizes"),
    "ident4_error": each(error, "ident4, clustering"),
    "hint_error": each(error, "hint, clustering", min),
}

# --- what a broken condition costs whom ------------------------------------------------------

SCHEDULE = {
    "smoke": (400, 3000, 3600, 100), "laptop": (800, 3000, 6000, 100),
    "paper": (800, 3000, 6000, 100),
}  # fmt: skip
"""Steps of a lower stage, of the last one, of what follows, and between points of its curve."""
frozen_error = number("frozen", "error")
"""Read the error of layerwise training, before a thaw."""


def chain_arms(profile: str) -> Arms:
    """Layerwise training, what may follow it, and end-to-end training on the dials.

    On "corr" what follows is a thaw of all layers, or going on with the last one.
    """
    lower, last, more, trace = SCHEDULE[profile]
    after = {"lower_steps": lower, "n_steps": last, "after_steps": more, "trace": trace}
    thawed = turned("corr", after="thaw", **after)
    end = turned("corr", n_steps=N_STEPS, trace=trace)[1:]
    arms: dict[str, Any] = {
        "corr, thawed": thawed if profile != "smoke" else thawed[1:],
        "corr at 1, thawed": thawed[1],
        "corr at 1, last layer": turned("corr", after="go on", **after)[1],
        "corr, end to end": end,
    }
    if profile == "smoke":
        return arms
    arms["corr at 0, thawed"] = thawed[0]
    if profile == "paper":
        arms["corr, look-back"] = turned("corr", window=2, lower_steps=lower, n_steps=last)[1:]
    for dial in ("ident4", "hint", "skip"):
        arms[f"{dial}, layerwise"] = turned(dial, lower_steps=lower, n_steps=N_STEPS)
        arms[f"{dial}, end to end"] = turned(dial, n_steps=N_STEPS)
    return arms


def chain_groups(profile: str) -> list[Group]:
    """A group for each kind on each dial."""
    arms = chain_arms(profile)
    most = ("corr, thawed", "corr at 1, last layer", "corr, end to end")
    names = [*most, *(name for name in arms if " at " not in name and name not in most)]
    many = most if profile != "smoke" else ()
    seeds = {name: (SEEDS if name in many else FEWER)[profile] for name in names}
    return grouped("chain_rescue", arms, seeds)


def steps_to_level(arm: str) -> Statistic:
    """Make the statistic of the steps, of the last fit, to a tenth of the error of guessing."""

    def steps(config: HierarchyConfig, measurement: dict[str, Any]) -> float:
        curve = measurement["curve"]
        reached = [s for s, e in zip(curve["step"], curve["error"], strict=True) if e <= LEVEL]
        return float(reached[0]) if reached else at_least(float(curve["step"][-1]))

    return each(steps, arm)


def falling(arm: str) -> Statistic:
    """Make the statistic of the rate at which a curve's error falls: per 1000 steps."""

    def rate(config: HierarchyConfig, measurement: dict[str, Any]) -> float:
        error, step = measurement["curve"]["error"], measurement["curve"]["step"]
        return float(1000 * (error[0] - error[-1]) / step[-1])

    return each(rate, arm)


def _changed(arm: str) -> Statistic:
    """Divide the sensitivity of layer 2 to the lowest synonyms after a thaw by that before."""
    before = sensitivity_of(2, 1, "frozen", "sensitivity")
    return ratio(each(sensitivity_of(2, 1), arm), each(before, arm))


_THAW = steps_to_level("corr at 1, thawed")
CHAIN_STATISTICS = {
    "greedy_error": each(frozen_error, "corr at 1, thawed"),
    "last_layer_steps": ratio(steps_to_level("corr at 1, last layer"), _THAW),
    "last_layer_rate": falling("corr at 1, last layer"),
    "deep_steps": ratio(steps_to_level("corr, end to end"), _THAW),
    "correction": _changed("corr at 1, thawed"),
    "correction_at_zero": _changed("corr at 0, thawed"),
    "look_back_error": each(error, "corr, look-back"),
    "ident4_error": each(error, "ident4, end to end"),
    "ident4_layerwise": each(error, "ident4, layerwise"),
    "hint_cost": difference(
        each(error, "hint, layerwise", max), each(error, "hint, end to end", max)
    ),
    "skip_cost": ratio(
        each(floored(error), "skip, layerwise"), each(floored(error), "skip, end to end")
    ),
}

COUNTED = "counted, nothing is trained"
SOLVED = "solved and clustered, no steps are counted"
EXPERIMENTS = tuple(
    Experiment(name, CHAPTER, groups, measure, statistics, arms, budget)
    for name, groups, measure, statistics, arms, budget in (
        ("rhm_counts", count_groups, measure_counts, COUNT_STATISTICS, count_arms, COUNTED),
        ("rhm_deep", deep_groups, measure_networks, DEEP_STATISTICS, deep_arms, TRAINED),
        ("rhm_trees", tree_groups, measure_trees, TREE_STATISTICS, tree_arms, ("n_steps",)),
        ("rhm_layerwise", layer_groups, measure_networks, LAYER_STATISTICS, layer_arms, TRAINED),
        ("rhm_closed_form", closed_groups, measure_closed_form, CLOSED_STATISTICS, closed_arms,
         SOLVED),
        ("chain_rescue", chain_groups, measure_networks, CHAIN_STATISTICS, chain_arms, TRAINED),
    )
)  # fmt: skip
