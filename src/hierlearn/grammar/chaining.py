"""Chapter 4: the conditions of chaining, read off the data, and who learns without them."""

from dataclasses import replace
from typing import Any

from hierlearn.experiment import Arms, Experiment, Group, every
from hierlearn.grammar.closed_runs import measure_closed_form
from hierlearn.grammar.config import HierarchyConfig
from hierlearn.grammar.experiments import (
    CHAPTER,
    FEWER,
    MAIN,
    SEEDS,
    error,
    sample_size,
    sized,
)
from hierlearn.grammar.rescue import (
    GRADIENT,
    LOWER,
    READ,
    READ_TURNS,
    TURNS,
    by_turn,
    floored,
    frozen_error,
    turned,
)
from hierlearn.grammar.runs import measure_networks
from hierlearn.grammar.signals import measure_conditions
from hierlearn.statistics import Statistic, difference, each, mean, number, ratio

# --- the conditions, read off the data --------------------------------------------------------


def condition_arms(profile: str) -> Arms:
    """Signal, dirt and margin of every dial; nothing is trained."""
    turns = (0.0, 0.5, 1.0) if profile == "smoke" else READ_TURNS
    arms: dict[str, Any] = {}
    for dial in ("corr", "ident4", "hint", "shared") if profile == "smoke" else tuple(READ):
        arms |= by_turn(dial, "read", turned(dial, turns, multiple=READ[dial], n_test=1))
    arms["corr below 1, read"] = [one for one in arms["corr, read"] if one.t < 1]
    return arms


def condition_groups(profile: str) -> list[Group]:
    """A group for each dial."""
    arms, seeds = condition_arms(profile), range(16 if profile == "paper" else 8)
    dials = [name for name in arms if name.endswith(", read") and " " not in name[: -len(", read")]]
    return [Group.of("chain_conditions", every(arms, name), seeds) for name in dials]


def _signal_over_law(config: HierarchyConfig, measurement: dict[str, Any]) -> float:
    predicted = config.n_samples / config.scale * (1 - config.t**2)
    return float(measurement["signal"] / predicted)


CONDITION_STATISTICS = {
    "signal_over_law": each(_signal_over_law, "corr below 1, read", mean),
    "signal_at_one": each(number("signal"), "corr at 1, read"),
    "margin_at_one": each(number("margin"), "ident4 at 1, read"),
    "margin_shared": each(number("margin"), "shared at 1, read"),
    "dirt_at_one": each(number("dirt"), "hint at 1, read"),
    "dirt_shared": each(number("dirt"), "shared at 1, read"),
}

# --- who still learns: closed forms -----------------------------------------------------------


def closed_arms(profile: str) -> Arms:
    """Clustering and ridge regression on every dial, and on fewer samples of "ident4"."""
    arms: dict[str, Any] = {}
    if profile == "smoke":
        return arms
    for dial in GRADIENT:
        turns = (0.0, 1.0) if dial == "shared" else TURNS[profile]
        for learner in ("clustered", "ridge"):
            arms |= by_turn(dial, learner, turned(dial, turns, learner=learner))
    for learner in ("clustered", "ridge"):
        few = turned("ident4", (1.0,), multiple=3, learner=learner)
        arms |= by_turn("ident4", f"{learner}, 3 P_0", few)
    arms["hint from 0.5 on, clustered"] = [c for c in arms["hint, clustered"] if c.t >= 0.5]
    return arms


def closed_groups(profile: str) -> list[Group]:
    """A group for each learner on each dial."""
    arms = closed_arms(profile)
    names = [name for name in arms if " at " not in name and " from " not in name]
    return [Group.of("chain_closed_form", every(arms, name), FEWER[profile]) for name in names]


CLOSED_STATISTICS = {
    **{
        f"{dial}_{learner}{end}": each(error, f"{dial} at {t}, {learner}")
        for dial in ("corr", "ident4")
        for learner in ("clustered", "ridge")
        for end, t in {"": 1, "_at_zero": 0}.items()
    },
    "ident4_clustered_gain": difference(
        each(error, "ident4 at 1, clustered, 3 P_0"), each(error, "ident4 at 1, clustered")
    ),
    "hint_clustered": each(error, "hint from 0.5 on, clustered", mean),
}

# --- sample sizes -----------------------------------------------------------------------------

SIZES = {0.0: (1, 1.5, 2, 3, 4), 1.0: (2, 3, 4, 6, 8)}


def size_arms(profile: str) -> Arms:
    """End-to-end sample sizes on "corr" and "shared"; layerwise training on "ident4"."""
    arms: dict[str, Any] = {}
    for t in (0.0, 1.0) if profile != "smoke" else ():
        slow = sized(MAIN, (3, 8), dial="ident4", t=t, lower_steps=LOWER, n_steps=2500)
        arms |= {
            f"corr at {t:g}": sized(MAIN, SIZES[t], dial="corr", t=t, n_steps=4000),
            f"shared at {t:g}": sized(MAIN, (1, 1.5, 2, 3, 4), dial="shared", t=t, n_steps=3000),
            f"ident4 at {t:g}": slow,
            f"ident4 at {t:g}, 3 P_0": slow[0],
            f"ident4 at {t:g}, 8 P_0": slow[1],
        }
    return arms


def size_groups(profile: str) -> list[Group]:
    """A group for each dial and turn."""
    arms = size_arms(profile)
    names = [name for name in arms if not name.endswith("P_0")]
    return [Group.of("chain_sizes", every(arms, name), FEWER[profile]) for name in names]


SIZE_STATISTICS = {
    "corr_cost": ratio(sample_size("corr at 1"), sample_size("corr at 0")),
    "shared_cost": ratio(sample_size("shared at 1"), sample_size("shared at 0")),
    "slowed": ratio(
        each(floored(error), "ident4 at 1, 3 P_0"), each(floored(error), "ident4 at 1, 8 P_0")
    ),
    "slowed_at_zero": each(error, "ident4 at 0, 8 P_0"),
}

# --- look-back on the intact grammar ----------------------------------------------------------


def look_back_arms(profile: str) -> Arms:
    """Layerwise training with a wider window, and thaws, on the intact grammar."""
    if profile == "smoke":
        return {}
    base = sized(MAIN, (1, 2), lower_steps=LOWER, n_steps=2000)
    changes: dict[str, dict[str, Any]] = {
        "layerwise": {},
        "look-back": {"window": 2},
        "last layers open": {"last_window": 3},
        "thawed": {"after": "thaw", "after_steps": 1000, "tolerance": 0.0},
    }
    kinds = {name: [replace(arm, **change) for arm in base] for name, change in changes.items()}
    return kinds | {f"{name} at 2 P_0": found[1] for name, found in kinds.items()}


def look_back_groups(profile: str) -> list[Group]:
    """A group for each kind."""
    arms = look_back_arms(profile)
    names = [name for name in arms if not name.endswith("P_0")]
    return [Group.of("chain_look_back", every(arms, name), SEEDS[profile]) for name in names]


def _gain(kind: str) -> Statistic:
    return difference(each(error, "layerwise at 2 P_0"), each(error, f"{kind} at 2 P_0"))


LOOK_BACK_STATISTICS = {
    "look_back_gain": _gain("look-back"),
    "open_last_gain": _gain("last layers open"),
    "thaw_gain": difference(each(frozen_error, "thawed at 2 P_0"), each(error, "thawed at 2 P_0")),
}

EXPERIMENTS = (
    Experiment(
        "chain_conditions", CHAPTER, condition_groups, measure_conditions, CONDITION_STATISTICS,
        condition_arms,
    ),
    Experiment(
        "chain_closed_form", CHAPTER, closed_groups, measure_closed_form, CLOSED_STATISTICS,
        closed_arms,
    ),
    Experiment(
        "chain_sizes", CHAPTER, size_groups, measure_networks, SIZE_STATISTICS, size_arms
    ),
    Experiment(
        "chain_look_back", CHAPTER, look_back_groups, measure_networks, LOOK_BACK_STATISTICS,
        look_back_arms,
    ),
)  # fmt: skip
