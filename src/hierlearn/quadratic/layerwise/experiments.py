r"""Chapter 3: what freezing the lower levels costs.

The look-back dial (how many of the newest levels train) at three, four and five levels; the gap;
the dimension; a free readout of the output; thawing. What softens the failure, and what does not,
is in `limits`.
"""

from dataclasses import replace
from typing import Any

from hierlearn.experiment import Arms, Experiment, Group, Statistic, every, together
from hierlearn.quadratic.config import QuadraticConfig
from hierlearn.quadratic.layerwise.runs import measure
from hierlearn.quadratic.runs import before, final
from hierlearn.statistics import Arm, Value, each, mean, number, ratio, slope

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


def frozen_arms(profile: str) -> Arms:
    """Staged and greedy training over the gaps, and what cures greedy training at gap 0.2."""
    base = three_levels(profile)
    greedy = replace(base, look_back=1)
    over_gaps = {
        name: {g: replace(one, gaps=(1, g), curve=g == GAP_3) for g in GAPS_3[profile]}
        for name, one in {"staged": base, "greedy": greedy}.items()
    }
    arms: dict[str, Any] = {name: list(found.values()) for name, found in over_gaps.items()}
    arms |= {f"{name} at {GAP_3}": found[GAP_3] for name, found in over_gaps.items()}
    arms["oracle"] = replace(greedy, oracle=True)
    arms["debiased"] = replace(greedy, target="debiased, then full")
    if profile != "smoke":
        third, n_steps = STEPS_3[profile]
        arms["greedy, then thawed"] = replace(greedy, thaw=(third + n_steps) // 2, curve=True)
    return arms


def alpha_3(config: QuadraticConfig) -> float:
    r"""Return the gap $\alpha_3$."""
    return config.gaps[1]


def rel(config: QuadraticConfig, measurement: dict[str, Any]) -> float:
    """Read the final relative error, raised to what float32 resolves."""
    return max(final("rel")(config, measurement), LEAST)


def mse(config: QuadraticConfig, measurement: dict[str, Any]) -> float:
    """Read the final mean squared error, not divided by the variance of y."""
    return final("rel")(config, measurement) * float(measurement["variance"])


def floor(part: str) -> Value:
    """Read a predicted floor, as a mean squared error."""
    return lambda c, m: float(m["floor"][part]) * float(m["variance"])


def over(name: str, part: str) -> Value:
    """Divide a final error by its predicted floor."""
    return lambda c, m: final(name)(c, m) / m["floor"][part]


def cost(above: Arm, below: Arm, value: Value = rel) -> Statistic:
    """Make the statistic that divides the final errors of two arms."""
    return ratio(each(value, above), each(value, below))


FROZEN_STATISTICS = {
    "cost_of_freezing": cost("greedy at 0.2", "staged at 0.2"),
    "oracle_error": each(final("rel"), "oracle"),
    "oracle_level_3": each(final("fn3"), "oracle"),
    "debiased_error": each(final("rel"), "debiased"),
    "greedy_error": each(final("rel"), "greedy at 0.2"),
    "floor_slope": slope(alpha_3, mse, "greedy"),
    "level_3_lost": each(final("fn3"), "greedy", min),
    "over_predicted": each(over("rel", "rel"), "greedy", mean),
    # The error with the true level 2, over the floor predicted for the biased one.
    "oracle_over_predicted": ratio(
        each(final("rel"), "oracle"), each(number("floor", "rel"), "greedy at 0.2")
    ),
    "thaw_gain": ratio(
        each(before(4, "rel"), "greedy, then thawed"), each(rel, "greedy, then thawed")
    ),
    "frozen_gain": ratio(
        each(before(4, "rel"), "greedy, then thawed"), each(final("rel"), "greedy at 0.2")
    ),
    "staged_worst": each(final("rel"), "staged", max),
}

# --- three levels: frozen features under a free readout ---------------------------------------


def readout_arms(profile: str) -> Arms:
    """Greedy training with a free quadratic readout over the gaps; the same without skip terms."""
    if profile == "smoke":
        return {}
    head = replace(three_levels(profile), look_back=1, readout=True)
    return {
        "greedy, free readout": [replace(head, gaps=(1, g)) for g in GAPS_3[profile]],
        "free readout at 0.2": head,
        "no skip": replace(head, skip=0.0),
    }


def readout_groups(profile: str) -> list[Group]:
    """One group with skip terms, and one without, of another shape."""
    arms = readout_arms(profile)
    parts = [every(arms, name) for name in ("greedy, free readout", "no skip") if name in arms]
    return [Group.of("free_readout", part, SEEDS[profile]) for part in parts]


READOUT_STATISTICS = {
    "floor_slope": slope(alpha_3, mse, "greedy, free readout"),
    "without_skip": each(final("rel"), "no skip"),
    "error": each(final("rel"), "free readout at 0.2"),
}

# --- four levels: the look-back dial ----------------------------------------------------------


LOOK_BACKS = {"staged": None, "newest two": 2, "greedy": 1}


def dial_arms(profile: str) -> Arms:
    """Look-back 1, 2 and all over the gap of level 4 and over the dimension; the controls."""
    base = four_levels(profile)
    arms: dict[str, Any] = {}
    for name, look_back in LOOK_BACKS.items():
        one = replace(base, look_back=look_back)
        over_gaps = {g: replace(one, gaps=(1, GAP_3, g), curve=g == GAP_4) for g in GAPS_4[profile]}
        arms[f"{name} over gaps"] = list(over_gaps.values())
        arms[name] = over_gaps[GAP_4]
        others = [replace(one, dim=dim) for dim in DIMS.get(profile, ())]
        arms[f"{name} over dimensions"] = [over_gaps[GAP_4], *others]
    arms["newest three"] = replace(base, look_back=3)
    arms["newest two, oracle"] = replace(base, look_back=2, oracle=True, oracle_level=4)
    return arms


def dial_groups(profile: str) -> list[Group]:
    """One group over the gaps with the controls, and one for every other dimension."""
    arms = dial_arms(profile)
    over_gaps = zip(*(arms[f"{name} over gaps"] for name in LOOK_BACKS), strict=True)
    first = [*(one for trio in over_gaps for one in trio)]
    first += every(arms, "newest three", "newest two, oracle")
    over_dims = zip(*(arms[f"{name} over dimensions"][1:] for name in LOOK_BACKS), strict=True)
    return [Group.of("look_back", dial, SEEDS[profile]) for dial in (first, *over_dims)]


def dim(config: QuadraticConfig) -> float:
    """Return the dimension."""
    return config.dim


def alpha_4(config: QuadraticConfig) -> float:
    r"""Return the gap $\alpha_4$."""
    return config.gaps[2]


DIAL_STATISTICS = {
    "greedy_over_staged": cost("greedy", "staged"),
    "two_over_staged": cost("newest two", "staged"),
    "greedy_over_two": cost("greedy", "newest two"),
    "three_over_staged": cost("newest three", "staged"),
    "two_slope": slope(alpha_4, final("rel"), "newest two over gaps"),
    "two_with_oracle": each(final("rel"), "newest two, oracle"),
    "greedy_over_dimensions": slope(dim, final("rel"), "greedy over dimensions"),
    "staged_over_dimensions": each(final("rel"), "staged over dimensions", max),
    "greedy_level_4": each(final("fn4"), "greedy"),
    "staged_level_4": each(final("fn4"), "staged"),
}

# --- five levels ------------------------------------------------------------------------------


def five_arms(profile: str) -> Arms:
    """Staged, look-back 3, 2 and greedy training with five levels."""
    if profile not in STEPS_5:
        return {}
    third, fourth, fifth, n_steps = STEPS_5[profile]
    base = QuadraticConfig(
        dim=20, widths=(4, 3, 3, 2), gaps=(1, 0.25, 0.06, 0.015),
        opens=(0, third, fourth, fifth), n_steps=n_steps, batch=BATCH[profile],
    )  # fmt: skip
    names = {"staged": None, "newest three": 3, "newest two": 2, "greedy": 1}
    return {name: replace(base, look_back=k) for name, k in names.items()}


FIVE_STATISTICS = {
    "staged_level_5": each(final("fn5"), "staged"),
    "greedy_over_staged": cost("greedy", "staged"),
}

EXPERIMENTS = (
    Experiment(
        "frozen_features", CHAPTER, together("frozen_features", frozen_arms, SEEDS), measure,
        FROZEN_STATISTICS, frozen_arms,
    ),
    Experiment(
        "free_readout", CHAPTER, readout_groups, measure, READOUT_STATISTICS, readout_arms
    ),
    Experiment("look_back", CHAPTER, dial_groups, measure, DIAL_STATISTICS, dial_arms),
    Experiment(
        "five_levels", CHAPTER, together("five_levels", five_arms, FEWER), measure,
        FIVE_STATISTICS, five_arms,
    ),
)  # fmt: skip
