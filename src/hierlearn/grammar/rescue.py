"""Chapter 4: layerwise training on the dials, look-back, thaw, and end-to-end training.

The dials are those of `grammar.dials`. Layerwise runs record what stood before a thaw (`frozen`).
"""

from collections.abc import Iterable
from typing import Any

from hierlearn.experiment import Arms, Experiment, Group, every
from hierlearn.grammar.config import HierarchyConfig
from hierlearn.grammar.experiments import (
    CHAPTER,
    FEWER,
    MAIN,
    SEEDS,
    SMALL,
    error,
    sensitivity_of,
    sized,
)
from hierlearn.grammar.runs import measure_networks
from hierlearn.statistics import Arm, Statistic, Value, difference, each, number, ratio

TURNS = {
    "smoke": (0.0, 1.0), "laptop": (0.0, 0.75, 1.0), "paper": (0.0, 0.25, 0.5, 0.75, 0.9, 1.0),
}  # fmt: skip
MULTIPLE = {"corr": 16, "ident4": 8, "hint": 6, "skip": 6, "skipxor": 16, "shared": 6}
READ = {"corr": 16, "ident": 8, "ident4": 8, "hint": 6, "skip": 6, "shared": 6}
READ_TURNS = (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)
LOWER, LAST = 800, {"corr": 3000}
TRACE = 200
GRADIENT = ("corr", "ident4", "hint", "skip", "shared")


def turned(dial: str, turns: Iterable[float], **fields: Any) -> list[HierarchyConfig]:
    """Return one configuration a turn of a dial, at the dial's own sample size."""
    multiple = fields.pop("multiple", MULTIPLE.get(dial, 16))
    parameters = fields.pop("parameters", MAIN)
    return [sized(parameters, (multiple,), dial=dial, t=t, **fields)[0] for t in turns]


def steps_of(dial: str) -> int:
    """Return the cap of the last stage, of a thaw and of end-to-end training on a dial."""
    return LAST.get(dial, 2500)


frozen_error = number("frozen", "error")
"""Read the error of layerwise training, before a thaw."""


def floored(value: Value) -> Value:
    """Raise an error to half a test string, so that ratios exist."""
    return lambda c, m: max(value(c, m), 0.5 / c.n_test)


def by_turn(dial: str, kind: str, found: Iterable[HierarchyConfig]) -> dict[str, Any]:
    """Name the runs of one kind on a dial: all turns together, and each turn alone."""
    configs = list(found)
    return {f"{dial}, {kind}": configs} | {f"{dial} at {c.t:g}, {kind}": c for c in configs}


# --- who still learns: networks ---------------------------------------------------------------


def rescue_arms(profile: str) -> Arms:
    """Layerwise training and a thaw, look-back, and end-to-end training on every dial.

    "thawed" runs were trained layer by layer before; "deep" ones end to end.
    """
    arms: dict[str, Any] = {}
    for dial in ("corr",) if profile == "smoke" else GRADIENT:
        n = steps_of(dial)
        turns = (0.0, 1.0) if dial == "shared" else TURNS[profile]
        staged = {"lower_steps": LOWER, "n_steps": n}
        trace = TRACE if dial == "corr" else 0
        thaw = turned(dial, turns, after="thaw", after_steps=n, trace=trace, **staged)
        arms |= by_turn(dial, "thawed", thaw)
        if profile != "smoke":
            arms |= by_turn(dial, "deep", turned(dial, turns, n_steps=n))
        if dial == "corr" and profile != "smoke":
            arms |= by_turn(dial, "look-back", turned(dial, turns, window=2, **staged))
    if profile == "smoke":
        few = {"lower_steps": 500, "n_steps": 1000, "after_steps": 1000, "after": "thaw"}
        return arms | by_turn(
            "corrall", "thawed", turned("corrall", (1.0,), parameters=SMALL, **few)
        )
    return arms | _controls()


def _controls() -> dict[str, Any]:
    """Thaw only the last layer; thaw over random layers; thaw where no correlation is left."""
    n, end = steps_of("corr"), (1.0,)
    after = {"after_steps": n, "n_steps": n, "lower_steps": LOWER, "trace": TRACE}
    nothing = {**after, "lower_steps": 1000, "n_steps": 2000, "after_steps": 2000}
    turns, random = (0.0, 1.0), {"after": "thaw", "control": "random lower layers"}
    skip = {"lower_steps": LOWER, "n_steps": 2500, "after_steps": 2500}
    kinds = {
        ("corr", "last layer"): turned("corr", end, after="go on", **after),
        ("corr", "over random layers"): turned("corr", end, **random, **after),
        ("corrall", "thawed"): turned("corrall", turns, parameters=SMALL, after="thaw", **nothing),
        ("corrall", "deep"): turned("corrall", turns, parameters=SMALL, n_steps=2000),
        ("skipxor", "deep"): turned("skipxor", turns, n_steps=2500),
        ("skipxor", "thawed"): turned("skipxor", turns, after="thaw", **skip),
    }
    arms: dict[str, Any] = {}
    for (dial, kind), found in kinds.items():
        arms |= by_turn(dial, kind, found)
    return arms


def rescue_groups(profile: str) -> list[Group]:
    """A group for each kind on each dial."""
    arms = rescue_arms(profile)
    most = [f"corr, {kind}" for kind in ("thawed", "deep")] if profile != "smoke" else []
    return [
        Group.of("chain_rescue", every(arms, name), (SEEDS if name in most else FEWER)[profile])
        for name in arms
        if " at " not in name
    ]


def _before_and_after(layer: int, arm: Arm) -> Statistic:
    return ratio(
        each(sensitivity_of(layer, 1), arm),
        each(sensitivity_of(layer, 1, "frozen", "sensitivity"), arm),
    )


def _cost(dial: str) -> Statistic:
    """Divide the error of layerwise by that of end-to-end training, at turn 1."""
    return ratio(
        each(floored(frozen_error), f"{dial} at 1, thawed"),
        each(floored(error), f"{dial} at 1, deep"),
    )


_AT_ONE, _AT_ZERO, _NOTHING = "corr at 1, thawed", "corr at 0, thawed", "corrall at 1, thawed"
RESCUE_STATISTICS = {
    "greedy_error": each(frozen_error, _AT_ONE, min),
    "greedy_error_at_zero": each(frozen_error, _AT_ZERO),
    "thaw_error": each(error, _AT_ONE),
    "last_layer_error": each(error, "corr at 1, last layer", min),
    "deep_error": each(error, "corr at 1, deep"),
    "random_thaw_error": each(error, "corr at 1, over random layers"),
    "random_error": each(frozen_error, "corr at 1, over random layers", min),
    "thaw_over_deep_steps": ratio(
        each(number("steps"), _AT_ONE), each(number("steps"), "corr at 1, deep")
    ),
    "look_back_error": each(error, "corr at 1, look-back"),
    "second_layer_before": each(sensitivity_of(2, 1, "frozen", "sensitivity"), _AT_ONE, min),
    "second_layer_before_at_zero": each(sensitivity_of(2, 1, "frozen", "sensitivity"), _AT_ZERO),
    "second_layer_correction": _before_and_after(2, _AT_ONE),
    "second_layer_without_rescue": _before_and_after(2, _NOTHING),
    "first_layer_correction": _before_and_after(1, _AT_ONE),
    "first_layer_without_rescue": _before_and_after(1, _NOTHING),
    "nobody_deep": each(error, "corrall at 1, deep", min),
    "nobody_thaw": each(error, _NOTHING, min),
    "everybody_thaw": each(error, "corrall at 0, thawed"),
    "ident4_deep": each(error, "ident4 at 1, deep"),
    "hint_layerwise_minus_deep": difference(
        each(frozen_error, "hint, thawed", max), each(error, "hint, deep", max)
    ),
    "shared_layerwise": each(frozen_error, "shared, thawed", max),
    "skip_cost": _cost("skip"),
    "skip_at_zero": each(frozen_error, "skip at 0, thawed"),
    "skipxor_cost": _cost("skipxor"),
    "skipxor_at_zero": each(frozen_error, "skipxor at 0, thawed"),
}

EXPERIMENTS = (
    Experiment(
        "chain_rescue", CHAPTER, rescue_groups, measure_networks, RESCUE_STATISTICS, rescue_arms
    ),
)
