r"""Chapter 3: what freezing the lower levels costs.

Features and head frozen, features frozen under a free readout, and the look-back dial (how many of
the newest levels train) over the gaps; thawing; wider levels.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hierlearn.experiment import Arms, Experiment, Group, every, together
from hierlearn.quadratic.config import QuadraticConfig
from hierlearn.quadratic.layerwise.runs import measure
from hierlearn.quadratic.runs import final
from hierlearn.statistics import Value, each, mean, number, ratio, slope

CHAPTER = "03_layerwise_failure"
SEEDS = {"smoke": range(4), "laptop": range(8), "paper": range(32)}
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


def over_gaps(one: QuadraticConfig, gaps: Sequence[float], level: int) -> list[QuadraticConfig]:
    """Vary the gap of a level; the configuration's own gap stays the configuration itself."""
    place = level - 2
    return [
        one if gap == one.gaps[place]
        else replace(one, gaps=(*one.gaps[:place], gap, *one.gaps[place + 1 :]), curve=False)
        for gap in gaps
    ]  # fmt: skip


def frozen_arms(profile: str) -> Arms:
    """Staged and greedy training over the gaps, and what cures greedy training at gap 0.2."""
    base = replace(three_levels(profile), curve=True)
    greedy = replace(base, look_back=1)
    kinds = {"staged": base, "greedy": greedy}
    arms: dict[str, Any] = {name: over_gaps(one, GAPS_3[profile], 3) for name, one in kinds.items()}
    arms |= {f"{name} at {GAP_3}": one for name, one in kinds.items()}
    arms["oracle"] = replace(greedy, oracle=True, curve=False)
    arms["debiased"] = replace(greedy, target="debiased, then full", curve=False)
    if profile != "smoke":
        third, n_steps = STEPS_3[profile]
        arms["greedy, then thawed"] = replace(greedy, thaw=(third + n_steps) // 2)
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


FROZEN_STATISTICS = {
    "greedy_error": each(final("rel"), "greedy at 0.2"),
    "debiased_error": each(final("rel"), "debiased"),
    "oracle_error": each(final("rel"), "oracle"),
    "level_3_lost": each(final("fn3"), "greedy at 0.2"),
    "floor_slope": slope(alpha_3, mse, "greedy"),
    "over_predicted": each(over("rel", "rel"), "greedy", mean),
    # The error with the true level 2, over the floor predicted for the biased one.
    "oracle_over_predicted": ratio(
        each(final("rel"), "oracle"), each(number("floor", "rel"), "greedy at 0.2")
    ),
}

# --- three levels: frozen features under a free readout ---------------------------------------


def readout_arms(profile: str) -> Arms:
    """Greedy training with a free quadratic readout over the gaps; the same without skip terms."""
    if profile == "smoke":
        return {}
    head = replace(three_levels(profile), look_back=1, readout=True)
    return {
        "greedy, free readout": over_gaps(head, GAPS_3[profile], 3),
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
    "level_3_lost": each(final("fn3"), "free readout at 0.2"),
}

# --- four levels: the look-back dial ----------------------------------------------------------


LOOK_BACKS = {"staged": None, "newest two": 2, "greedy": 1}


def dial_arms(profile: str) -> Arms:
    """Look-back 1, 2 and all over the gap of level 4, and with the true level 2 below."""
    base = replace(four_levels(profile), curve=True)
    arms: dict[str, Any] = {}
    for name, look_back in LOOK_BACKS.items():
        arms[name] = replace(base, look_back=look_back)
        arms[f"{name} over gaps"] = over_gaps(arms[name], GAPS_4[profile], 4)
    true = replace(base, look_back=2, oracle=True, oracle_level=4, curve=False)
    return arms | {"newest two, oracle": true}


def alpha_4(config: QuadraticConfig) -> float:
    r"""Return the gap $\alpha_4$."""
    return config.gaps[2]


DIAL_STATISTICS = {
    "two_slope": slope(alpha_4, final("rel"), "newest two over gaps"),
    "two_with_oracle": each(final("rel"), "newest two, oracle"),
    "greedy_level_4": each(final("fn4"), "greedy"),
    "staged_level_4": each(final("fn4"), "staged"),
}

# --- wider levels -----------------------------------------------------------------------------

WIDTHS = {
    "smoke": ((4, 3), (8, 6)),
    "laptop": ((4, 3), (4, 6), (8, 6), (12, 6)),
    "paper": ((4, 3), (4, 6), (8, 6), (12, 6), (16, 6), (20, 6)),
}


def width_arms(profile: str) -> Arms:
    """Staged and greedy training of networks as wide as the target and wider."""
    base = three_levels(profile)
    arms = {
        name: [replace(base, learner_widths=k, look_back=look_back) for k in WIDTHS[profile]]
        for name, look_back in {"staged": None, "greedy": 1}.items()
    }
    return {**arms, "greedy, narrowest": arms["greedy"][0], "greedy, widest": arms["greedy"][-1]}


def width_groups(profile: str) -> list[Group]:
    """A group for every width, with both arms."""
    arms = width_arms(profile)
    pairs = zip(arms["staged"], arms["greedy"], strict=True)
    return [Group.of("width", pair, SEEDS[profile]) for pair in pairs]


WIDTH_STATISTICS = {
    "softening": ratio(each(rel, "greedy, narrowest"), each(rel, "greedy, widest")),
    "staged_worst": each(final("rel"), "staged", max),
}

BUDGET = ("n_steps", "opens", "thaw")
EXPERIMENTS = (
    Experiment(
        "frozen_features", CHAPTER, together("frozen_features", frozen_arms, SEEDS), measure,
        FROZEN_STATISTICS, frozen_arms, BUDGET,
    ),
    Experiment(
        "free_readout", CHAPTER, readout_groups, measure, READOUT_STATISTICS, readout_arms, BUDGET
    ),
    Experiment(
        "look_back", CHAPTER, together("look_back", dial_arms, SEEDS), measure, DIAL_STATISTICS,
        dial_arms, BUDGET,
    ),
    Experiment("width", CHAPTER, width_groups, measure, WIDTH_STATISTICS, width_arms, BUDGET),
)  # fmt: skip
