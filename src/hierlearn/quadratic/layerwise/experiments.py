r"""Chapter 3: what freezing the lower levels costs.

The look-back dial (how many of the newest levels train) at three, four and five levels; the gap;
the dimension; a free readout of the output; thawing. What softens the failure, and what does not,
is in `layerwise_limits`.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hierlearn.experiment import Experiment, Group, Measured, Statistic
from hierlearn.quadratic.config import QuadraticConfig
from hierlearn.quadratic.layerwise.runs import measure
from hierlearn.quadratic.reading import (
    Choice,
    Value,
    before,
    each,
    final,
    is_greedy,
    is_staged,
    slope,
)
from hierlearn.statistics import mean, ratio

CHAPTER = "03_layerwise_failure"
SEEDS = {"smoke": range(4), "laptop": range(8), "paper": range(32)}
FEWER = {"smoke": range(4), "laptop": range(5), "paper": range(16)}
GAP_3, GAP_4 = 0.2, 0.04
GAPS_3 = {
    "smoke": (0.2, 0.05),
    "laptop": (0.4, 0.2, 0.1, 0.05),
    "paper": (0.4, 0.2, 0.1, 0.05, 0.025),
}
GAPS_4 = {"smoke": (0.04,), "laptop": (0.08, 0.04, 0.02, 0.01), "paper": (0.08, 0.04, 0.02, 0.01)}
STEPS_3 = {"smoke": (1200, 3600), "laptop": (2500, 8000), "paper": (4000, 12_000)}
STEPS_4 = {
    "smoke": (1000, 3000, 6000),
    "laptop": (1500, 5000, 12_000),
    "paper": (3000, 9000, 20_000),
}
STEPS_5 = {
    "laptop": (1500, 4500, 9000, 16_000),
    "paper": (3000, 9000, 18_000, 32_000),
}
DIMS = {"laptop": (10, 40), "paper": (10, 40, 80)}
BATCH = {"smoke": 256, "laptop": 256, "paper": 1024}
LEAST = 1e-12
"""Relative errors are raised to this, the reach of float32, before ratios are taken."""


def three_levels(profile: str) -> QuadraticConfig:
    """Return the staged run with three levels and gap 0.2 that the other arms vary."""
    third, n_steps = STEPS_3[profile]
    return QuadraticConfig(
        dim=20, widths=(4, 3), gaps=(1, GAP_3), opens=(0, third), n_steps=n_steps,
        batch=BATCH[profile],
    )  # fmt: skip


def four_levels(profile: str) -> QuadraticConfig:
    """Return the staged run with four levels and gaps 0.2 and 0.04."""
    third, fourth, n_steps = STEPS_4[profile]
    return QuadraticConfig(
        dim=20, widths=(4, 3, 2), gaps=(1, GAP_3, GAP_4), opens=(0, third, fourth),
        n_steps=n_steps, batch=BATCH[profile],
    )  # fmt: skip


# --- three levels: staged and greedy over the gap ---------------------------------------------


def frozen_groups(profile: str) -> list[Group]:
    """Staged and greedy training over the gaps, and what cures greedy training at gap 0.2."""
    base = three_levels(profile)
    greedy = replace(base, look_back=1)
    arms = [replace(base, gaps=(1, g), curve=g == GAP_3) for g in GAPS_3[profile]]
    arms += [replace(greedy, gaps=(1, g), curve=g == GAP_3) for g in GAPS_3[profile]]
    arms += [replace(greedy, oracle=True), replace(greedy, target="debiased, then full")]
    if profile != "smoke":
        third, n_steps = STEPS_3[profile]
        arms.append(replace(greedy, thaw=(third + n_steps) // 2, curve=True))
    return [Group.of("frozen_features", arms, SEEDS[profile])]


def _gap_3(config: QuadraticConfig) -> float:
    return config.gaps[1]


def rel(config: QuadraticConfig, measurement: dict[str, Any]) -> float:
    """Read the final relative error, raised to what float32 resolves."""
    return max(final("rel")(config, measurement), LEAST)


def mse(config: QuadraticConfig, measurement: dict[str, Any]) -> float:
    """Read the final mean squared error, not divided by the variance of y."""
    return final("rel")(config, measurement) * float(measurement["variance"])


def at(choice: Choice, **fields: Any) -> Choice:
    """Restrict a choice to the runs in which these fields of the config have these values."""
    return lambda c: choice(c) and all(getattr(c, n) == v for n, v in fields.items())


def over(name: str, part: str) -> Value:
    """Divide a final error by its predicted floor."""
    return lambda c, m: final(name)(c, m) / m["floor"][part]


def _oracle(config: QuadraticConfig) -> bool:
    return config.oracle


def _thawed(config: QuadraticConfig) -> bool:
    return config.thaw is not None


def _oracle_over_floor(records: Sequence[Measured]) -> dict[int, float]:
    """The error with the true level 2, over the floor predicted for the biased one."""
    floor = each(lambda c, m: m["floor"]["rel"], at(is_greedy, gaps=(1, GAP_3)))
    return ratio(each(final("rel"), _oracle), floor)(records)


_three = {"gaps": (1, GAP_3)}
FROZEN_STATISTICS = {
    "cost_of_freezing": ratio(
        each(rel, at(is_greedy, **_three)), each(rel, at(is_staged, **_three))
    ),
    "oracle_error": each(final("rel"), _oracle),
    "oracle_level_3": each(final("fn3"), _oracle),
    "debiased_error": each(final("rel"), lambda c: "then" in c.target),
    "greedy_error": each(final("rel"), at(is_greedy, **_three)),
    "floor_slope": slope(_gap_3, mse, is_greedy),
    "level_3_lost": each(final("fn3"), is_greedy, min),
    "over_predicted": each(over("rel", "rel"), is_greedy, mean),
    "level_3_over_predicted": each(over("fn3", "fn3"), is_greedy, mean),
    "oracle_over_predicted": _oracle_over_floor,
    "thaw_gain": ratio(each(before(4, "rel"), _thawed), each(rel, _thawed)),
    "frozen_gain": ratio(
        each(before(4, "rel"), _thawed), each(final("rel"), at(is_greedy, **_three))
    ),
    "staged_worst": each(final("rel"), is_staged, max),
}

# --- three levels: frozen features under a free readout ---------------------------------------


def readout_groups(profile: str) -> list[Group]:
    """Greedy training with a free quadratic readout over the gaps; the same without skip terms."""
    if profile == "smoke":
        return []
    head = replace(three_levels(profile), look_back=1, readout=True)
    arms = [replace(head, gaps=(1, g)) for g in GAPS_3[profile]]
    flat = replace(head, skip=0.0)
    return [
        Group.of("free_readout", arms, SEEDS[profile]),
        Group.of("free_readout", [flat], SEEDS[profile]),
    ]


READOUT_STATISTICS = {
    "floor_slope": slope(_gap_3, mse, lambda c: c.skip > 0),
    "without_skip": each(final("rel"), lambda c: c.skip == 0),
    "error": each(final("rel"), lambda c: c.skip > 0 and c.gaps[1] == GAP_3),
}

# --- four levels: the look-back dial ----------------------------------------------------------


def dial_groups(profile: str) -> list[Group]:
    """Look-back 1, 2 and all over the gap of level 4 and over the dimension; the controls."""
    base = four_levels(profile)
    arms = [
        replace(base, gaps=(1, GAP_3, g), look_back=k, curve=g == GAP_4)
        for g in GAPS_4[profile]
        for k in (None, 2, 1)
    ]
    arms += [replace(base, look_back=3), replace(base, look_back=2, oracle=True, oracle_level=4)]
    groups = [Group.of("look_back", arms, SEEDS[profile])]
    for dim in DIMS.get(profile, ()):
        dial = [replace(base, dim=dim, look_back=k) for k in (None, 2, 1)]
        groups.append(Group.of("look_back", dial, SEEDS[profile]))
    return groups


def looks(n: int | None) -> Choice:
    """Choose plain runs with that look-back."""
    return lambda c: c.look_back == n and not c.oracle


def _dial(n: int | None, value: Value = rel) -> Statistic:
    return each(value, at(looks(n), gaps=(1, GAP_3, GAP_4), dim=20))


def _dim(config: QuadraticConfig) -> float:
    return config.dim


def _gap_4(config: QuadraticConfig) -> float:
    return config.gaps[2]


_four = {"gaps": (1, GAP_3, GAP_4)}
DIAL_STATISTICS = {
    "greedy_over_staged": ratio(_dial(1), _dial(None)),
    "two_over_staged": ratio(_dial(2), _dial(None)),
    "greedy_over_two": ratio(_dial(1), _dial(2)),
    "three_over_staged": ratio(_dial(3), _dial(None)),
    "two_slope": slope(_gap_4, final("rel"), at(looks(2), dim=20)),
    "two_with_oracle": each(final("rel"), _oracle),
    "greedy_over_dimensions": slope(_dim, final("rel"), at(looks(1), **_four)),
    "two_over_dimensions": slope(_dim, final("rel"), at(looks(2), **_four)),
    "staged_over_dimensions": each(final("rel"), at(looks(None), **_four), max),
    "greedy_level_4": _dial(1, final("fn4")),
    "staged_level_4": _dial(None, final("fn4")),
}

# --- five levels ------------------------------------------------------------------------------


def five_groups(profile: str) -> list[Group]:
    """Staged, look-back 3, 2 and greedy training with five levels."""
    if profile not in STEPS_5:
        return []
    third, fourth, fifth, n_steps = STEPS_5[profile]
    base = QuadraticConfig(
        dim=20, widths=(4, 3, 3, 2), gaps=(1, 0.25, 0.06, 0.015),
        opens=(0, third, fourth, fifth), n_steps=n_steps, batch=BATCH[profile],
    )  # fmt: skip
    arms = [replace(base, look_back=k) for k in (None, 3, 2, 1)]
    return [Group.of("five_levels", arms, FEWER[profile])]


FIVE_STATISTICS = {
    "staged_level_5": each(final("fn5"), looks(None)),
    "staged_error": each(final("rel"), looks(None)),
    "greedy_over_staged": ratio(each(rel, looks(1)), each(rel, looks(None))),
}

EXPERIMENTS = (
    Experiment("frozen_features", CHAPTER, frozen_groups, measure, FROZEN_STATISTICS),
    Experiment("free_readout", CHAPTER, readout_groups, measure, READOUT_STATISTICS),
    Experiment("look_back", CHAPTER, dial_groups, measure, DIAL_STATISTICS),
    Experiment("five_levels", CHAPTER, five_groups, measure, FIVE_STATISTICS),
)
