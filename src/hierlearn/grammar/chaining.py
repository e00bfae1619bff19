"""Chapter 4: the conditions of chaining, read off the data, and who learns without them."""

from dataclasses import replace
from typing import Any

from hierlearn.experiment import Experiment, Group
from hierlearn.grammar.closed_runs import measure_closed_form
from hierlearn.grammar.config import HierarchyConfig
from hierlearn.grammar.experiments import CHAPTER, FEWER, MAIN, SEEDS, arms
from hierlearn.grammar.reading import Choice, Value, each, error, sample_size
from hierlearn.grammar.rescue import (
    GRADIENT,
    LOWER,
    MULTIPLE,
    READ,
    READ_TURNS,
    TURNS,
    end_to_end,
    floored,
    frozen_error,
    look_back,
    on_dial,
    thawed,
    turned,
)
from hierlearn.grammar.runs import measure_networks
from hierlearn.grammar.signals import measure_conditions
from hierlearn.statistics import difference, mean, ratio

# --- the conditions, read off the data --------------------------------------------------------


def condition_groups(profile: str) -> list[Group]:
    """Signal, dirt and margin of every dial; nothing is trained."""
    seeds = range(16) if profile == "paper" else range(8)
    turns = (0.0, 0.5, 1.0) if profile == "smoke" else READ_TURNS
    dials = ("corr", "ident4", "hint", "shared") if profile == "smoke" else tuple(READ)
    return [
        Group.of(
            "chain_conditions", turned(d, turns, multiple=READ[d], n_test=1), seeds
        )  # fmt: skip
        for d in dials
    ]


def _read(name: str) -> Value:
    return lambda c, m: float(m[name])


def _signal_over_law(config: HierarchyConfig, measurement: dict[str, Any]) -> float:
    predicted = config.n_samples / config.scale * (1 - config.t**2)
    return float(measurement["signal"] / predicted)


CONDITION_STATISTICS = {
    "signal_over_law": each(_signal_over_law, lambda c: c.dial == "corr" and c.t < 1, mean),
    "signal_at_one": each(_read("signal"), on_dial("corr", 1.0)),
    "shared_signal_kept": ratio(
        each(_read("signal"), on_dial("shared", 1.0)), each(_read("signal"), on_dial("shared", 0.0))
    ),
    "margin_at_one": each(_read("margin"), on_dial("ident4", 1.0)),
    "margin_shared": each(_read("margin"), on_dial("shared", 1.0)),
    "dirt_at_one": each(_read("dirt"), on_dial("hint", 1.0)),
    "dirt_shared": each(_read("dirt"), on_dial("shared", 1.0)),
    "dirt_corr": each(_read("dirt"), on_dial("corr", 1.0)),
}

# --- who still learns: closed forms -----------------------------------------------------------


def closed_groups(profile: str) -> list[Group]:
    """Clustering and ridge regression on every dial."""
    if profile == "smoke":
        return []
    groups = []
    for dial in GRADIENT:
        turns = (0.0, 1.0) if dial == "shared" else TURNS[profile]
        for learner in ("clustered", "ridge"):
            kinds = turned(dial, turns, learner=learner)
            groups.append(Group.of("chain_closed_form", kinds, FEWER[profile]))
    fewer = [
        *turned("ident4", (1.0,), multiple=3, learner="clustered"),
    ]
    ridge = turned("ident4", (1.0,), multiple=3, learner="ridge")
    return [
        *groups,
        Group.of("chain_closed_form", fewer, FEWER[profile]),
        Group.of("chain_closed_form", ridge, FEWER[profile]),
    ]


def _fit(dial: str, learner: str, t: float | None = None, multiple: int | None = None) -> Choice:
    return lambda c: (
        on_dial(dial, t)(c)
        and c.learner == learner
        and c.n_samples == (multiple or MULTIPLE[dial]) * c.scale
    )


CLOSED_STATISTICS = {
    "corr_clustered": each(error, _fit("corr", "clustered", 1.0)),
    "corr_clustered_at_zero": each(error, _fit("corr", "clustered", 0.0)),
    "corr_ridge": each(error, _fit("corr", "ridge", 1.0)),
    "corr_ridge_at_zero": each(error, _fit("corr", "ridge", 0.0)),
    "ident4_clustered": each(error, _fit("ident4", "clustered", 1.0)),
    "ident4_clustered_at_zero": each(error, _fit("ident4", "clustered", 0.0)),
    "ident4_ridge": each(error, _fit("ident4", "ridge", 1.0)),
    "ident4_ridge_at_zero": each(error, _fit("ident4", "ridge", 0.0)),
    "ident4_clustered_gain": difference(
        each(error, _fit("ident4", "clustered", 1.0, 3)),
        each(error, _fit("ident4", "clustered", 1.0)),
    ),
    "hint_clustered": each(
        error, lambda c: c.dial == "hint" and c.learner == "clustered" and c.t >= 0.5, mean
    ),
    "shared_clustered": each(error, _fit("shared", "clustered", 1.0)),
}

# --- sample sizes -----------------------------------------------------------------------------

SIZES = {0.0: (1, 1.5, 2, 3, 4), 1.0: (2, 3, 4, 6, 8)}


def size_groups(profile: str) -> list[Group]:
    """End-to-end sample sizes on "corr" and "shared"; layerwise training on "ident4"."""
    if profile == "smoke":
        return []
    seeds, groups = FEWER[profile], []
    for t in (0.0, 1.0):
        corr = arms(MAIN, SIZES[t], dial="corr", t=t, n_steps=4000)
        shared = arms(MAIN, (1, 1.5, 2, 3, 4), dial="shared", t=t, n_steps=3000)
        slow = arms(MAIN, (3, 8), dial="ident4", t=t, lower_steps=LOWER, n_steps=2500)
        groups += [Group.of("chain_sizes", kind, seeds) for kind in (corr, shared, slow)]
    return groups


def _size(dial: str, t: float) -> Any:
    return sample_size(lambda c: on_dial(dial, t)(c) and end_to_end(c), lambda c: float(c.scale))


def _slow(t: float, multiple: int) -> Choice:
    return lambda c: on_dial("ident4", t)(c) and c.n_samples == multiple * c.scale


SIZE_STATISTICS = {
    "corr_cost": ratio(_size("corr", 1.0), _size("corr", 0.0)),
    "shared_cost": ratio(_size("shared", 1.0), _size("shared", 0.0)),
    "slowed": ratio(each(floored(error), _slow(1.0, 3)), each(floored(error), _slow(1.0, 8))),
    "slowed_at_zero": each(error, _slow(0.0, 8)),
}

# --- look-back on the intact grammar ----------------------------------------------------------


def look_back_groups(profile: str) -> list[Group]:
    """Layerwise training with a wider window, and thaws, on the intact grammar."""
    if profile == "smoke":
        return []
    base = arms(MAIN, (1, 2), lower_steps=LOWER, n_steps=2000)
    changes: list[dict[str, Any]] = [
        {},
        {"window": 2},
        {"last_window": 3},
        {"after": "thaw", "after_steps": 1000, "tolerance": 0.0},
    ]
    return [
        Group.of("chain_look_back", [replace(arm, **change) for arm in base], SEEDS[profile])
        for change in changes
    ]


def _at_two(kind: Choice) -> Choice:
    return lambda c: c.n_samples == 2 * c.scale and kind(c)


def _layerwise(config: HierarchyConfig) -> bool:
    return config.window == 1 and not config.last_window and config.after == "none"


def _gain(kind: Choice) -> Any:
    return difference(each(error, _at_two(_layerwise)), each(error, _at_two(kind)))


def _open_last(config: HierarchyConfig) -> bool:
    return config.last_window == 3


LOOK_BACK_STATISTICS = {
    "look_back_gain": _gain(look_back),
    "open_last_gain": _gain(_open_last),
    "thaw_gain": difference(
        each(frozen_error, _at_two(thawed)), each(error, _at_two(thawed))
    ),
}  # fmt: skip

EXPERIMENTS = (
    Experiment("chain_conditions", CHAPTER, condition_groups, measure_conditions,
               CONDITION_STATISTICS),
    Experiment("chain_closed_form", CHAPTER, closed_groups, measure_closed_form,
               CLOSED_STATISTICS),
    Experiment("chain_sizes", CHAPTER, size_groups, measure_networks, SIZE_STATISTICS),
    Experiment("chain_look_back", CHAPTER, look_back_groups, measure_networks,
               LOOK_BACK_STATISTICS),
)  # fmt: skip
