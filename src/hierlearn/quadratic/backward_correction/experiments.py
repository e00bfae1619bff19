r"""Chapter 1: lower-level features are corrected while higher levels train (regression).

Six experiments on hierarchical quadratic targets: the information gap swept at three and at four
levels, the two paths along which level 2 can be corrected, plain SGD beside Adam, joint training
from scratch, and the order in which joint SGD learns the levels.
"""

from dataclasses import replace
from typing import Any

from hierlearn.experiment import Experiment, Group
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
from hierlearn.quadratic.runs import QuadraticConfig, group, measure
from hierlearn.statistics import mean, ratio

CHAPTER = "01_backward_feature_correction"
SEEDS = {"smoke": range(4), "laptop": range(8), "paper": range(32)}
GAPS_3 = {
    "smoke": (0.4, 0.2, 0.1),
    "laptop": (0.4, 0.2, 0.1, 0.05),
    "paper": (0.8, 0.4, 0.2, 0.1, 0.05, 0.025),
}
GAPS_4 = {"laptop": (0.08, 0.04, 0.02, 0.01), "paper": (0.08, 0.04, 0.02, 0.01, 0.005)}
GAP_3, GAP_4 = 0.2, 0.04
DIM = {"smoke": 20, "laptop": 20, "paper": 40}
BATCH = {"smoke": 256, "laptop": 256, "paper": 1024}

# --- three levels: the gap alpha_3 ------------------------------------------------------------

STEPS_3 = {"smoke": (1500, 4000), "laptop": (2500, 8000), "paper": (5000, 20_000)}


def three_levels(profile: str) -> QuadraticConfig:
    """Return the staged run with three levels and gap 0.2 that the other arms vary."""
    third, n_steps = STEPS_3[profile]
    return QuadraticConfig(
        dim=DIM[profile], widths=(4, 3), gaps=(1, GAP_3), opens=(0, third), n_steps=n_steps,
        batch=BATCH[profile],
    )  # fmt: skip


def gap_groups(profile: str) -> list[Group]:
    """Staged training over the gaps, and the controls at gap 0.2."""
    base = three_levels(profile)
    arms = [replace(base, gaps=(1, g), curve=g == GAP_3) for g in GAPS_3[profile]]
    arms += [replace(base, target=t) for t in ("debiased", "permuted", "independent level 3")]
    arms += [
        replace(base, opens=(0, None), curve=True),
        replace(base, gaps=(1, 0), opens=(0, None)),
    ]
    return [group("gap_sweep", arms, SEEDS[profile])]


def plateau_over_formula(name: str) -> Value:
    """Divide an error before level 3 opens by its closed form."""
    return lambda c, m: before(3, name)(c, m) / m["plateau"][name]


def at_gap(config: QuadraticConfig) -> bool:
    """Say whether a staged run has the reference gap."""
    return is_staged(config) and config.gaps[1] == GAP_3


def _alpha_3(config: QuadraticConfig) -> float:
    return config.gaps[1]


GAP_STATISTICS = {
    "plateau_gram_ratio": each(plateau_over_formula("gram2"), is_staged, mean),
    "plateau_rotation_ratio": each(plateau_over_formula("sin2"), is_staged, mean),
    "plateau_gram_ratio_debiased": each(
        plateau_over_formula("gram2"), lambda c: c.target == "debiased"
    ),
    "plateau_rotation_ratio_debiased": each(
        plateau_over_formula("sin2"), lambda c: c.target == "debiased"
    ),
    "plateau_slope": slope(_alpha_3, before(3, "gram2"), is_staged),
    "rotation_slope": slope(_alpha_3, before(3, "sin2"), is_staged),
    "gram_without_level_3": each(final("gram2"), lambda c: c.gaps[1] == 0),
    "rotation_independent_level_3": each(
        before(3, "sin2"), lambda c: c.target == "independent level 3"
    ),
    "correction": ratio(each(before(3, "gram2"), at_gap), each(final("gram2"), at_gap)),
    "correction_while_shut": ratio(
        each(before(3, "gram2"), at_gap),
        each(final("gram2"), lambda c: c.opens[1] is None and c.gaps[1] == GAP_3),
    ),
    "worst_error": each(final("rel"), is_staged, max),
    "permuted_error": each(final("rel"), lambda c: c.target == "permuted"),
    "permuted_gram": each(final("gram2"), lambda c: c.target == "permuted"),
}

# --- four levels: the gap alpha_4 -------------------------------------------------------------

STEPS_4 = {"laptop": (1500, 5000, 12_000), "paper": (4000, 12_000, 30_000)}


def depth_groups(profile: str) -> list[Group]:
    """Staged training with four levels over the gap of the fourth, and two runs without it."""
    if profile not in STEPS_4:
        return []
    third, fourth, n_steps = STEPS_4[profile]
    base = QuadraticConfig(
        dim=DIM[profile], widths=(4, 3, 2), gaps=(1, GAP_3, GAP_4), opens=(0, third, fourth),
        n_steps=n_steps, batch=BATCH[profile],
    )  # fmt: skip
    arms = [replace(base, gaps=(1, GAP_3, g), curve=g == GAP_4) for g in GAPS_4[profile]]
    shut = replace(base, opens=(0, third, None))
    arms += [shut, replace(shut, gaps=(1, GAP_3, 0))]
    return [group("depth_sweep", arms, SEEDS[profile])]


def at_depth_gap(config: QuadraticConfig) -> bool:
    """Say whether a staged four-level run has the reference gap."""
    return is_staged(config) and config.gaps[2] == GAP_4


def _alpha_4(config: QuadraticConfig) -> float:
    return config.gaps[2]


def _shut_4(config: QuadraticConfig) -> bool:
    return config.opens[2] is None and config.gaps[2] == GAP_4


def _absent_4(config: QuadraticConfig) -> bool:
    return config.gaps[2] == 0


DEPTH_STATISTICS = {
    "first_correction": ratio(
        each(before(3, "gram2"), at_depth_gap), each(before(4, "gram2"), at_depth_gap)
    ),
    "next_gap_slope": slope(_alpha_4, before(4, "gram2"), is_staged),
    "gram_without_level_4": each(final("gram2"), _absent_4),
    "level_3_slope": slope(_alpha_4, before(4, "fn3"), is_staged),
    "level_3_without_level_4": each(final("fn3"), _absent_4),
    "second_correction": ratio(
        each(before(4, "gram2"), at_depth_gap), each(final("gram2"), at_depth_gap)
    ),
    "second_correction_while_shut": ratio(
        each(before(4, "gram2"), at_depth_gap), each(final("gram2"), _shut_4)
    ),
    "final_error": each(final("rel"), at_depth_gap),
    "final_error_while_shut": each(final("rel"), _shut_4),
}

# --- the two paths of correction, and thawing ------------------------------------------------

PATHS = {"laptop": (2500, 5000, 16_000), "paper": (5000, 10_000, 30_000)}


def path_groups(profile: str) -> list[Group]:
    """Level 2 corrected through one path only, through none (greedy), and after a thaw."""
    if profile not in PATHS:
        return []
    third, thaw, n_steps = PATHS[profile]
    base = replace(three_levels(profile), opens=(0, third), n_steps=n_steps, curve=True)
    arms = [
        base,
        replace(base, feature_flow=0.0),
        replace(base, output_flow=0.0),
        replace(base, look_back=1),
        replace(base, look_back=1, thaw=thaw),
    ]
    return [group("gradient_paths", arms, SEEDS[profile])]


def _thawed(config: QuadraticConfig) -> bool:
    return config.thaw is not None


PATH_STATISTICS = {
    "own_output_only": each(final("rel"), lambda c: c.feature_flow == 0),
    "features_only": each(final("rel"), lambda c: c.output_flow == 0),
    "both_paths": each(final("rel"), is_staged),
    "no_path": each(final("rel"), is_greedy),
    "thaw_gain": ratio(each(before(4, "rel"), _thawed), each(final("rel"), _thawed)),
    "frozen_gain": ratio(each(before(4, "rel"), _thawed), each(final("rel"), is_greedy)),
}

# --- plain SGD --------------------------------------------------------------------------------

SGD = {"laptop": (4000, 24_000), "paper": (8000, 60_000)}


def optimizer_groups(profile: str) -> list[Group]:
    """Staged and greedy training by plain SGD with one learning rate for all levels."""
    if profile not in SGD:
        return []
    third, n_steps = SGD[profile]
    staged = replace(
        three_levels(profile), opens=(0, third), n_steps=n_steps, optimizer="sgd", rate=0.03,
        lower_rate=0.0, curve=True,
    )  # fmt: skip
    return [group("plain_sgd", [staged, replace(staged, look_back=1)], SEEDS[profile])]


SGD_STATISTICS = {
    "staged_error": each(final("rel"), is_staged),
    "greedy_error": each(final("rel"), is_greedy),
}

# --- joint training from scratch -------------------------------------------------------------

JOINT = {"laptop": (8000, 9000), "paper": (20_000, 30_000)}
ORDER = {"laptop": (16_000, 4000), "paper": (40_000, 12_000)}
ORDER_GAPS = {
    "laptop": (0.4, 0.2828, 0.2, 0.1414),
    "paper": (0.4, 0.2828, 0.2, 0.1414, 0.1),
}


def joint_groups(profile: str) -> list[Group]:
    """All levels from step 0 by Adam, with three and with four levels."""
    if profile not in JOINT:
        return []
    three, four = JOINT[profile]
    base = QuadraticConfig(
        dim=DIM[profile], widths=(4, 3), gaps=(1, GAP_3), opens=(0, 0), n_steps=three,
        batch=BATCH[profile], lower_rate=0.0,
    )  # fmt: skip
    deep = replace(base, widths=(4, 3, 2), gaps=(1, GAP_3, GAP_4), opens=(0, 0, 0), n_steps=four)
    return [group("joint_training", [arm], SEEDS[profile]) for arm in (base, deep)]


def hierarchy_learned(config: QuadraticConfig, measurement: dict[str, Any]) -> bool:
    """Say whether every level of the network ends as the function that its level of y is."""
    errors = [measurement["final"][f"fn{level}"] for level in range(2, len(config.widths) + 2)]
    return all(error is not None and error < 0.1 for error in errors)


JOINT_STATISTICS = {
    "three_levels": each(final("rel"), lambda c: len(c.widths) == 2),
    "four_levels": each(final("rel"), lambda c: len(c.widths) == 3),
}


def order_groups(profile: str) -> list[Group]:
    """All levels from step 0: by plain SGD and by Adam over the gaps, and SGD with four levels."""
    if profile not in ORDER:
        return []
    slow, fast = ORDER[profile]
    base = QuadraticConfig(
        dim=DIM[profile], widths=(4, 3), gaps=(1, GAP_3), opens=(0, 0), n_steps=slow,
        batch=BATCH[profile], lower_rate=0.0, optimizer="sgd", rate=0.005, watch=10, n_test=1000,
    )  # fmt: skip
    adam = replace(base, optimizer="adam", rate=0.003, n_steps=fast, watch=5)
    deep = replace(base, widths=(4, 3, 2), gaps=(1, GAP_3, GAP_4), opens=(0, 0, 0))
    seeds = SEEDS[profile]
    return [
        *(
            group("learning_order", [replace(arm, gaps=(1, g)) for g in ORDER_GAPS[profile]], seeds)
            for arm in (base, adam)
        ),
        group("learning_order", [deep], seeds),
    ]


def half_learned(config: QuadraticConfig, measurement: dict[str, Any], level: int) -> float:
    """Return the step at which a level's error first falls below one half, else the last step."""
    step = measurement["half"][str(level)]
    return float(config.n_steps if step is None else step)


def wait(config: QuadraticConfig, measurement: dict[str, Any]) -> float:
    """Return how many steps level 3 is half learned after level 2 (at least one watched step)."""
    steps = [half_learned(config, measurement, level) for level in (2, 3)]
    return max(steps[1] - steps[0], float(config.watch))


def _level_4_after_3(config: QuadraticConfig, measurement: dict[str, Any]) -> float:
    return half_learned(config, measurement, 4) / half_learned(config, measurement, 3)


def trained_by(optimizer: str) -> Choice:
    """Choose the three-level runs of an optimizer."""
    return lambda c: c.optimizer == optimizer and len(c.widths) == 2


ORDER_STATISTICS = {
    "wait_slope": slope(_alpha_3, wait, trained_by("sgd")),
    "wait_slope_adam": slope(_alpha_3, wait, trained_by("adam")),
    "level_4_after_3": each(_level_4_after_3, lambda c: len(c.widths) == 3),
}

EXPERIMENTS = (
    Experiment("gap_sweep", CHAPTER, gap_groups, measure, GAP_STATISTICS),
    Experiment("depth_sweep", CHAPTER, depth_groups, measure, DEPTH_STATISTICS),
    Experiment("gradient_paths", CHAPTER, path_groups, measure, PATH_STATISTICS),
    Experiment("plain_sgd", CHAPTER, optimizer_groups, measure, SGD_STATISTICS),
    Experiment("joint_training", CHAPTER, joint_groups, measure, JOINT_STATISTICS),
    Experiment("learning_order", CHAPTER, order_groups, measure, ORDER_STATISTICS),
)
