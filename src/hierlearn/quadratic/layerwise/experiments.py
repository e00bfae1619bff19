r"""Chapter 3: what freezing the lower levels costs.

Features and head frozen, features frozen under a free readout, and the look-back dial (how many of
the newest levels train) over the gaps; levels in turn; depth; wider levels.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from hierlearn.experiment import Arms, Experiment, Group, Runs, Statistic, every, together
from hierlearn.quadratic.config import QuadraticConfig
from hierlearn.quadratic.layerwise import turns
from hierlearn.quadratic.layerwise.runs import measure
from hierlearn.quadratic.runs import final
from hierlearn.quadratic.runs import measure as measure_alone
from hierlearn.statistics import Value, at_least, each, mean, ratio, slope

CHAPTER = "03_layerwise_failure"
SEEDS = {"smoke": range(4), "laptop": range(8), "paper": range(16)}
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
BATCH = 256
LEAST = 1e-12
"""Relative errors are raised to this, the reach of float32, before ratios are taken."""


def three_levels(profile: str) -> QuadraticConfig:
    """Return the staged run with three levels and gap 0.2 that the other arms vary."""
    third, n_steps = STEPS_3[profile]
    return QuadraticConfig(
        dim=20, widths=(4, 3), gaps=(1, GAP_3), opens=(0, third), n_steps=n_steps,
        batch=BATCH,
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
    """Greedy training over the gaps; at gap 0.2 staged training, and what cures greedy training."""
    base = replace(three_levels(profile), n_test=20_000)
    greedy = replace(base, look_back=1)
    return {
        "greedy": over_gaps(greedy, GAPS_3[profile], 3),
        "greedy at 0.2": greedy,
        "staged at 0.2": base,
        "oracle": replace(greedy, oracle=True),
        "debiased": replace(greedy, target="debiased, then full"),
    }


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
    """Read a minimum with level 2 frozen, as a mean squared error; of several the lowest."""
    return lambda c, m: float(np.min(m["floor"][part])) * float(m["variance"])


def from_minima(runs: Runs, *, of_others: bool) -> dict[int, float]:
    """Return the factor between the greedy error and the nearest minimum with level 2 frozen.

    The geometric mean over gaps; of the run's own target, or over the targets of the other seeds.
    """
    found = runs.of("greedy")

    def distances(seed: int, other: int) -> list[float]:
        return [
            min(abs(math.log(own["final"]["rel"] / least)) for least in their["floor"]["minima"])
            for (_, own), (_, their) in zip(found[seed], found[other], strict=True)
        ]

    return {
        seed: math.exp(mean([
            one for other in found if (other != seed) == of_others
            for one in distances(seed, other)
        ]))
        for seed in found
    }  # fmt: skip


FROZEN_STATISTICS: dict[str, Statistic] = {
    "greedy_error": each(final("rel"), "greedy at 0.2"),
    "debiased_error": each(final("rel"), "debiased"),
    "oracle_error": each(final("rel"), "oracle"),
    "level_3_lost": each(final("fn3"), "greedy at 0.2"),
    "floor_slope": slope(alpha_3, mse, "greedy"),
    "from_own_minima": partial(from_minima, of_others=False),
    "from_other_minima": partial(from_minima, of_others=True),
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

# --- three levels: each level alone, in turn ---------------------------------------------------

# The opening of level 3, the steps of a turn, and how many turns follow.
TURNS = {"laptop": (1500, 1000, 6), "paper": (4000, 2000, 40)}


def turn_arms(profile: str) -> Arms:
    """Levels in turn and at once; under a free readout, which waits for level 3 or never waits."""
    if profile not in TURNS:
        return {}
    third, turn, n_turns = TURNS[profile]
    base = turns.TurnConfig(
        dim=20, widths=(4, 3), gaps=(1, GAP_3), opens=(0, third), n_steps=third + turn * n_turns,
        batch=BATCH,
    )  # fmt: skip
    head = replace(base, readout=True, turn=turn)
    return {
        "all at once": base,
        "in turn": replace(base, turn=turn),
        "in short turns": replace(base, turn=turn // 5),
        "in turn, head with level 3": head,
        "in turn, head refitted": replace(head, refit=True),
    }


def turn_groups(profile: str) -> list[Group]:
    """One group without and one with a free readout, which is of another shape."""
    arms = every(turn_arms(profile))
    parts = [[one for one in arms if one.readout == free] for free in (False, True)]
    return [Group.of("turns", part, SEEDS[profile]) for part in parts if part]


TURN_STATISTICS = {
    arm.replace(",", "").replace(" ", "_"): each(final("lost"), arm)
    for arm in ("all at once", "in turn", "in turn, head with level 3", "in turn, head refitted")
}

# --- four levels: the look-back dial ----------------------------------------------------------

LOOK_BACKS = {"staged": None, "newest two": 2, "greedy": 1}


def dial_arms(profile: str) -> Arms:
    """Look-back 1, 2 and all over the gap of level 4, and with the true level 2 below."""
    third, fourth, n_steps = STEPS_4[profile]
    base = QuadraticConfig(
        dim=20, widths=(4, 3, 2), gaps=(1, GAP_3, GAP_4), opens=(0, third, fourth),
        n_steps=n_steps, batch=BATCH, curve=True,
    )  # fmt: skip
    arms: dict[str, Any] = {name: replace(base, look_back=n) for name, n in LOOK_BACKS.items()}
    arms["newest two over gaps"] = over_gaps(arms["newest two"], GAPS_4[profile], 4)
    true = replace(base, look_back=2, oracle=True, oracle_level=4, curve=False)
    return arms | {"newest two, oracle": true}


DIAL_STATISTICS = {
    "two_slope": slope(lambda c: c.gaps[2], final("rel"), "newest two over gaps"),
    "two_with_oracle": each(final("rel"), "newest two, oracle"),
    "greedy_level_4": each(final("fn4"), "greedy"),
    "staged_level_4": each(final("fn4"), "staged"),
}

# --- depth ------------------------------------------------------------------------------------

DEPTHS = (2, 3, 4, 5)
OPENS = (0, 1500, 5000, 15_000, 50_000)  # in shares of the entry after the last level's
LENGTHS: dict[str, dict[str, dict[int, Sequence[int]]]] = {
    "laptop": {
        "staged": {2: (50, 100, 200), 3: (200, 400, 800), 4: (800, 1600)},
        "joint": {2: (50, 100, 200), 3: (1600, 3200, 6400)},
    },
    "paper": dict.fromkeys(
        ("staged", "joint"), {n: [25 * 4 ** (n - 2) * 2**i for i in range(7)] for n in DEPTHS}
    ),
}
LEARNED = 0.1  # the share of its own part of y that a learned level may leave


def depth_arms(profile: str) -> Arms:
    """Two to five levels at one gap ratio, staged and joint, trained ever longer."""
    return {
        f"{protocol}, {n} levels": [
            QuadraticConfig(
                dim=20, widths=(4, 3, 2, 2)[: n - 1], gaps=(1.0, 0.2, 0.04, 0.008)[: n - 1],
                opens=[
                    length * step // OPENS[n - 1] if protocol == "staged" else 0
                    for step in OPENS[: n - 1]
                ],
                lower_rate=float(protocol == "staged"), n_steps=length, batch=BATCH,
            )
            for length in lengths
        ]
        for protocol, depths in LENGTHS.get(profile, {}).items()
        for n, lengths in depths.items()
    }  # fmt: skip


def depth_groups(profile: str) -> list[Group]:
    """A group for each depth and length, which are the shapes; five seeds at laptop."""
    arms = every(depth_arms(profile))
    seeds = range(5) if profile == "laptop" else SEEDS[profile]
    return [
        Group.of("depth", [one for one in arms if one.shape == shape], seeds)
        for shape in dict.fromkeys(one.shape for one in arms)
    ]


def steps_needed(runs: Runs, arm: str) -> dict[int, float]:
    """Return the steps of an arm's shortest run in which every level is learned, by seed."""
    found: dict[int, float] = {}
    for seed, own in runs.of(arm).items():
        worst = {
            c.n_steps: max(final(f"fn{i}")(c, m) for i in range(2, len(c.widths) + 2))
            for c, m in own
        }
        enough = [n for n, error in sorted(worst.items()) if error < LEARNED]
        found[seed] = float(enough[0]) if enough else at_least(float(max(worst)))
    return found


# --- wider levels -----------------------------------------------------------------------------

WIDTHS = {
    "smoke": (),
    "laptop": ((4, 3), (8, 6)),
    "paper": ((4, 3), (4, 6), (8, 6), (12, 6), (16, 6), (20, 6)),
}


def width_arms(profile: str) -> Arms:
    """Staged and greedy training of networks as wide as the target and wider."""
    if not WIDTHS[profile]:
        return {}
    base = three_levels(profile)
    arms = {
        name: [replace(base, learner_widths=k, look_back=look_back) for k in WIDTHS[profile]]
        for name, look_back in {"staged": None, "greedy": 1}.items()
    }
    return {**arms, "greedy, narrowest": arms["greedy"][0], "greedy, widest": arms["greedy"][-1]}


def width_groups(profile: str) -> list[Group]:
    """A group for every width, with both arms."""
    arms = width_arms(profile)
    pairs = zip(arms.get("staged", []), arms.get("greedy", []), strict=True)
    return [Group.of("width", pair, SEEDS[profile]) for pair in pairs]


WIDTH_STATISTICS = {
    "softening": ratio(each(rel, "greedy, narrowest"), each(rel, "greedy, widest")),
    "staged_worst": each(final("rel"), "staged", max),
}

BUDGET = ("n_steps", "opens")
EXPERIMENTS = tuple(
    Experiment(name, CHAPTER, groups, of, statistics, arms, budget)
    for name, groups, of, statistics, arms, budget in (
        ("frozen_features", together("frozen_features", frozen_arms, SEEDS), measure,
         FROZEN_STATISTICS, frozen_arms, BUDGET),
        ("free_readout", readout_groups, measure, READOUT_STATISTICS, readout_arms, BUDGET),
        ("look_back", together("look_back", dial_arms, SEEDS), measure, DIAL_STATISTICS, dial_arms,
         BUDGET),
        ("turns", turn_groups, turns.measure, TURN_STATISTICS, turn_arms, (*BUDGET, "turn")),
        ("depth", depth_groups, measure_alone, {}, depth_arms, BUDGET),
        ("width", width_groups, measure, WIDTH_STATISTICS, width_arms, BUDGET),
    )
)  # fmt: skip
