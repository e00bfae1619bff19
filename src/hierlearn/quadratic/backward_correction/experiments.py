r"""Chapter 1, by gradient descent: lower levels are corrected while higher levels train.

Two experiments on the simplified class of `quadratic.target`: all levels from step 0 by plain SGD,
and four levels opened one after the other.
"""

from dataclasses import replace
from typing import Any

from hierlearn.experiment import Arms, Experiment, Group, every, together
from hierlearn.quadratic.runs import QuadraticConfig, before, final, measure
from hierlearn.statistics import each, ratio

CHAPTER = "01_backward_feature_correction"
SEEDS = {"smoke": range(4), "laptop": range(8), "paper": range(16)}
WIDTHS = (4, 3, 2, 2)
GAPS = (1.0, 0.2, 0.04, 0.008)
LEARNED = 0.3  # the share of its own part of y that a learned level may leave
BATCH = 256

# --- all levels from step 0, by plain SGD -----------------------------------------------------

# By number of levels: the rate, and the steps at each profile that has it.
JOINT = {
    2: (0.02, {"laptop": 10_000, "paper": 20_000}),
    3: (0.02, {"smoke": 12_000, "laptop": 40_000, "paper": 80_000}),
    4: (0.005, {"laptop": 100_000, "paper": 200_000}),
}


def _config(n_levels: int, profile: str, **changes: Any) -> QuadraticConfig:
    k = n_levels - 1
    base = QuadraticConfig(
        dim=20, widths=WIDTHS[:k], gaps=GAPS[:k], opens=(0,) * k, n_steps=1,
        batch=BATCH, lower_rate=0.0, optimizer="sgd", curve=True,
    )  # fmt: skip
    return replace(base, **changes)


def joint_arms(profile: str) -> Arms:
    """Two to four levels, all open from the start; the last never opened; dimensions."""
    found: dict[str, Any] = {}
    for n_levels, (rate, steps) in JOINT.items():
        if profile not in steps:
            continue
        one = _config(n_levels, profile, rate=rate, n_steps=steps[profile])
        found[f"{n_levels} levels"] = one
        if n_levels > 2:
            found[f"level {n_levels} shut"] = replace(one, opens=(*one.opens[:-1], None))
    if profile == "paper":
        found["dimensions"] = [replace(found["3 levels"], dim=dim) for dim in (40, 80)]
    return found


def levels_of(config: QuadraticConfig) -> range:
    """Return the numbers of the levels of the target."""
    return range(2, len(config.widths) + 2)


JOINT_STATISTICS = {
    "three_levels": each(final("rel"), "3 levels"),
    "three_levels_shut": each(final("rel"), "level 3 shut"),
    "four_levels_over_shut": ratio(
        each(final("rel"), "4 levels"), each(final("rel"), "level 4 shut")
    ),
}

# --- four levels, opened one after the other -------------------------------------------------

STAGES = {"laptop": (1500, 5000, 12_000), "paper": (3000, 10_000, 25_000)}


def stage_arms(profile: str) -> Arms:
    """Four levels by Adam, opened one after the other, and with the fourth never opened."""
    if profile not in STAGES:
        return {}
    third, fourth, n_steps = STAGES[profile]
    base = _config(
        4, profile, opens=(0, third, fourth), n_steps=n_steps, optimizer="adam", rate=0.01,
        lower_rate=1.0,
    )  # fmt: skip
    return {"staged": base, "level 4 shut": replace(base, opens=(0, third, None))}


STAGE_STATISTICS = {
    "second_correction": ratio(each(before(4, "gram2"), "staged"), each(final("gram2"), "staged")),
    "second_correction_while_shut": ratio(
        each(before(4, "gram2"), "staged"), each(final("gram2"), "level 4 shut")
    ),
}


def joint_groups(profile: str) -> list[Group]:
    """A group for each configuration; four levels cost most, and have five seeds at laptop."""
    few = range(5) if profile == "laptop" else SEEDS[profile]
    return [
        Group.of("joint_sgd", [one], few if len(one.widths) == 3 else SEEDS[profile])
        for one in every(joint_arms(profile))
    ]


BUDGET = ("n_steps", "opens")
EXPERIMENTS = (
    Experiment("joint_sgd", CHAPTER, joint_groups, measure, JOINT_STATISTICS, joint_arms, BUDGET),
    Experiment(
        "staged_levels", CHAPTER, together("staged_levels", stage_arms, SEEDS), measure,
        STAGE_STATISTICS, stage_arms, BUDGET,
    ),
)  # fmt: skip
