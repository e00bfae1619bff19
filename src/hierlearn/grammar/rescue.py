"""Chapter 4: layerwise training on the dials, look-back, thaw, and end-to-end training.

The dials are those of `grammar.dials`. Layerwise runs record what stood before a thaw (`frozen`).
"""

from collections.abc import Iterable
from typing import Any

from hierlearn.experiment import Experiment, Group
from hierlearn.grammar.config import HierarchyConfig
from hierlearn.grammar.experiments import CHAPTER, FEWER, MAIN, SEEDS, SMALL, arms
from hierlearn.grammar.reading import Choice, Value, each, error, sensitivity_of
from hierlearn.grammar.runs import measure_networks
from hierlearn.statistics import difference, ratio

TURNS = {"smoke": (0.0, 1.0), "laptop": (0.0, 0.75, 1.0), "paper": (0.0, 0.25, 0.5, 0.75, 0.9, 1.0)}  # fmt: skip  # noqa: E501
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
    return [arms(parameters, (multiple,), dial=dial, t=t, **fields)[0] for t in turns]


def steps_of(dial: str) -> int:
    """Return the cap of the last stage, of a thaw and of end-to-end training on a dial."""
    return LAST.get(dial, 2500)


def on_dial(dial: str, t: float | None = None) -> Choice:
    """Choose the runs on a dial, at one turn or at all."""
    return lambda c: c.dial == dial and t in (None, c.t)


def end_to_end(config: HierarchyConfig) -> bool:
    """Say whether all layers train from the start."""
    return config.lower_steps == 0


def thawed(config: HierarchyConfig) -> bool:
    """Say whether a run is layerwise training followed by a thaw."""
    return config.after == "thaw" and config.control == "none"


def look_back(config: HierarchyConfig) -> bool:
    """Say whether every stage trains two layers."""
    return config.window == 2


def frozen_error(config: HierarchyConfig, measurement: dict[str, Any]) -> float:
    """Read the error of layerwise training, before a thaw."""
    return float(measurement["frozen"]["error"])


def floored(value: Value) -> Value:
    """Raise an error to half a test string, so that ratios exist."""
    return lambda c, m: max(value(c, m), 0.5 / c.n_test)


# --- who still learns: networks ---------------------------------------------------------------


def thaw_groups(profile: str) -> list[Group]:
    """Layerwise training and a thaw, look-back, and end-to-end training on every dial."""
    groups = []
    dials = ("corr",) if profile == "smoke" else GRADIENT
    for dial in dials:
        n = steps_of(dial)
        seeds = (SEEDS if dial == "corr" else FEWER)[profile]
        turns = (0.0, 1.0) if dial == "shared" else TURNS[profile]
        staged = {"lower_steps": LOWER, "n_steps": n}
        trace = TRACE if dial == "corr" else 0
        thaw = turned(dial, turns, after="thaw", after_steps=n, trace=trace, **staged)
        groups.append(
            Group.of("chain_rescue", thaw, FEWER[profile] if profile == "smoke" else seeds)
        )
        if profile != "smoke":
            groups.append(Group.of("chain_rescue", turned(dial, turns, n_steps=n), seeds))
        if dial == "corr" and profile != "smoke":
            back = turned(dial, turns, window=2, **staged)
            groups.append(Group.of("chain_rescue", back, FEWER[profile]))
    if profile == "smoke":
        few = {"lower_steps": 500, "n_steps": 1000, "after_steps": 1000, "after": "thaw"}
        nothing = turned("corrall", (1.0,), parameters=SMALL, **few)
        return [*groups, Group.of("chain_rescue", nothing, FEWER[profile])]
    return groups + _thaw_controls(profile)


def _thaw_controls(profile: str) -> list[Group]:
    """Thaw only the last layer; thaw over random layers; thaw where no correlation is left."""
    n, end = steps_of("corr"), (1.0,)
    after = {"after_steps": n, "n_steps": n, "lower_steps": LOWER, "trace": TRACE}
    nothing = {**after, "lower_steps": 1000, "n_steps": 2000, "after_steps": 2000}
    turns = (0.0, 1.0)
    kinds = [
        turned("corr", end, after="go on", **after),
        turned("corr", end, after="thaw", control="random lower layers", **after),
        turned("corrall", turns, parameters=SMALL, after="thaw", **nothing),
        turned("corrall", turns, parameters=SMALL, n_steps=2000),
        turned("skipxor", turns, n_steps=2500),
        turned("skipxor", turns, after="thaw", lower_steps=LOWER, n_steps=2500, after_steps=2500),
    ]
    return [Group.of("chain_rescue", kind, FEWER[profile]) for kind in kinds]


def on(dial: str, t: float | None, kind: Choice) -> Choice:
    """Choose the runs of one kind on a dial, at one turn or at all."""
    return lambda c: on_dial(dial, t)(c) and kind(c)


def _goes_on(config: HierarchyConfig) -> bool:
    return config.after == "go on"


def _over_random(config: HierarchyConfig) -> bool:
    return config.after == "thaw" and config.control == "random lower layers"


def _before_and_after(layer: int, choice: Choice) -> Any:
    return ratio(
        each(sensitivity_of(layer, 1), choice),
        each(sensitivity_of(layer, 1, "frozen", "sensitivity"), choice),
    )


_AT_ONE, _AT_ZERO = on("corr", 1.0, thawed), on("corr", 0.0, thawed)
_NOTHING = on("corrall", 1.0, thawed)
RESCUE_STATISTICS = {
    "greedy_error": each(frozen_error, _AT_ONE, min),
    "greedy_error_at_zero": each(frozen_error, _AT_ZERO),
    "thaw_error": each(error, _AT_ONE),
    "last_layer_error": each(error, on("corr", 1.0, _goes_on), min),
    "deep_error": each(error, on("corr", 1.0, end_to_end)),
    "random_thaw_error": each(error, on("corr", 1.0, _over_random)),
    "random_error": each(frozen_error, on("corr", 1.0, _over_random), min),
    "thaw_over_deep_steps": ratio(
        each(lambda c, m: float(m["steps"]), _AT_ONE),
        each(lambda c, m: float(m["steps"]), on("corr", 1.0, end_to_end)),
    ),
    "look_back_error": each(error, on("corr", 1.0, look_back)),
    "second_layer_before": each(sensitivity_of(2, 1, "frozen", "sensitivity"), _AT_ONE, min),
    "second_layer_before_at_zero": each(sensitivity_of(2, 1, "frozen", "sensitivity"), _AT_ZERO),
    "second_layer_after": each(sensitivity_of(2, 1), _AT_ONE),
    "second_layer_correction": _before_and_after(2, _AT_ONE),
    "second_layer_without_rescue": _before_and_after(2, _NOTHING),
    "first_layer_correction": _before_and_after(1, _AT_ONE),
    "first_layer_without_rescue": _before_and_after(1, _NOTHING),
    "second_layer_deep": each(sensitivity_of(2, 1), on("corr", 1.0, end_to_end)),
    "nobody_deep": each(error, on("corrall", 1.0, end_to_end), min),
    "nobody_thaw": each(error, _NOTHING, min),
    "everybody_deep": each(error, on("corrall", 0.0, end_to_end)),
    "everybody_thaw": each(error, on("corrall", 0.0, thawed)),
    "ident4_deep": each(error, on("ident4", 1.0, end_to_end)),
    "hint_gap": each(frozen_error, on("hint", None, thawed)),
    "hint_layerwise_minus_deep": difference(
        each(frozen_error, on("hint", None, thawed)), each(error, on("hint", None, end_to_end))
    ),
    "shared_layerwise": each(frozen_error, on("shared", None, thawed)),
    "skip_cost": ratio(
        each(floored(frozen_error), on("skip", 1.0, thawed)),
        each(floored(error), on("skip", 1.0, end_to_end)),
    ),
    "skip_at_zero": each(frozen_error, on("skip", 0.0, thawed)),
    "skipxor_cost": ratio(
        each(floored(frozen_error), on("skipxor", 1.0, thawed)),
        each(floored(error), on("skipxor", 1.0, end_to_end)),
    ),
    "skipxor_at_zero": each(frozen_error, on("skipxor", 0.0, thawed)),
}

EXPERIMENTS = (
    Experiment("chain_rescue", CHAPTER, thaw_groups, measure_networks, RESCUE_STATISTICS),
)
