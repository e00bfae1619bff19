r"""Chapter 1: lower-level features are corrected while higher levels train (regression).

Six experiments on hierarchical quadratic targets: the information gap swept at three and at four
levels, the two paths along which level 2 can be corrected, plain SGD beside Adam, joint training
from scratch, and the order in which joint SGD learns the levels.
"""

from dataclasses import replace
from typing import Any

from hierlearn.experiment import Arms, Experiment, Group, apart, every, together
from hierlearn.quadratic.runs import QuadraticConfig, before, final, measure
from hierlearn.statistics import Value, each, mean, ratio, slope

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


def gap_arms(profile: str) -> Arms:
    """Staged training over the gaps, and the controls at gap 0.2."""
    base = three_levels(profile)
    staged = {gap: replace(base, gaps=(1, gap), curve=gap == GAP_3) for gap in GAPS_3[profile]}
    return {
        "staged": list(staged.values()),
        "reference": staged[GAP_3],
        **{t: replace(base, target=t) for t in ("debiased", "permuted", "independent level 3")},
        "level 3 shut": replace(base, opens=(0, None), curve=True),
        "no level 3": replace(base, gaps=(1, 0), opens=(0, None)),
    }


def plateau_over_formula(name: str) -> Value:
    """Divide an error before level 3 opens by its closed form."""
    return lambda c, m: before(3, name)(c, m) / m["plateau"][name]


def alpha_3(config: QuadraticConfig) -> float:
    r"""Return the gap $\alpha_3$."""
    return config.gaps[1]


GAP_STATISTICS = {
    "plateau_gram_ratio": each(plateau_over_formula("gram2"), "staged", mean),
    "plateau_rotation_ratio": each(plateau_over_formula("sin2"), "staged", mean),
    "plateau_gram_ratio_debiased": each(plateau_over_formula("gram2"), "debiased"),
    "plateau_rotation_ratio_debiased": each(plateau_over_formula("sin2"), "debiased"),
    "plateau_slope": slope(alpha_3, before(3, "gram2"), "staged"),
    "rotation_slope": slope(alpha_3, before(3, "sin2"), "staged"),
    "gram_without_level_3": each(final("gram2"), "no level 3"),
    "rotation_independent_level_3": each(before(3, "sin2"), "independent level 3"),
    "correction": ratio(each(before(3, "gram2"), "reference"), each(final("gram2"), "reference")),
    "correction_while_shut": ratio(
        each(before(3, "gram2"), "reference"), each(final("gram2"), "level 3 shut")
    ),
    "worst_error": each(final("rel"), "staged", max),
    "permuted_error": each(final("rel"), "permuted"),
    "permuted_gram": each(final("gram2"), "permuted"),
}

# --- four levels: the gap alpha_4 -------------------------------------------------------------

STEPS_4 = {"laptop": (1500, 5000, 12_000), "paper": (4000, 12_000, 30_000)}


def depth_arms(profile: str) -> Arms:
    """Staged training with four levels over the gap of the fourth, and two runs without it."""
    if profile not in STEPS_4:
        return {}
    third, fourth, n_steps = STEPS_4[profile]
    base = QuadraticConfig(
        dim=DIM[profile], widths=(4, 3, 2), gaps=(1, GAP_3, GAP_4), opens=(0, third, fourth),
        n_steps=n_steps, batch=BATCH[profile],
    )  # fmt: skip
    staged = {g: replace(base, gaps=(1, GAP_3, g), curve=g == GAP_4) for g in GAPS_4[profile]}
    shut = replace(base, opens=(0, third, None))
    return {
        "staged": list(staged.values()),
        "reference": staged[GAP_4],
        "level 4 shut": shut,
        "no level 4": replace(shut, gaps=(1, GAP_3, 0)),
    }


def alpha_4(config: QuadraticConfig) -> float:
    r"""Return the gap $\alpha_4$."""
    return config.gaps[2]


DEPTH_STATISTICS = {
    "first_correction": ratio(
        each(before(3, "gram2"), "reference"), each(before(4, "gram2"), "reference")
    ),
    "next_gap_slope": slope(alpha_4, before(4, "gram2"), "staged"),
    "gram_without_level_4": each(final("gram2"), "no level 4"),
    "level_3_slope": slope(alpha_4, before(4, "fn3"), "staged"),
    "level_3_without_level_4": each(final("fn3"), "no level 4"),
    "second_correction": ratio(
        each(before(4, "gram2"), "reference"), each(final("gram2"), "reference")
    ),
    "second_correction_while_shut": ratio(
        each(before(4, "gram2"), "reference"), each(final("gram2"), "level 4 shut")
    ),
    "final_error": each(final("rel"), "reference"),
    "final_error_while_shut": each(final("rel"), "level 4 shut"),
}

# --- the two paths of correction, and thawing ------------------------------------------------

PATHS = {"laptop": (2500, 5000, 16_000), "paper": (5000, 10_000, 30_000)}


def path_arms(profile: str) -> Arms:
    """Level 2 corrected through one path only, through none (greedy), and after a thaw."""
    if profile not in PATHS:
        return {}
    third, thaw, n_steps = PATHS[profile]
    base = replace(three_levels(profile), opens=(0, third), n_steps=n_steps, curve=True)
    return {
        "both paths (staged)": base,
        "own output only": replace(base, feature_flow=0.0),
        "through level 3 only": replace(base, output_flow=0.0),
        "neither (greedy)": replace(base, look_back=1),
        "greedy, then thawed": replace(base, look_back=1, thaw=thaw),
    }


PATH_STATISTICS = {
    "own_output_only": each(final("rel"), "own output only"),
    "features_only": each(final("rel"), "through level 3 only"),
    "both_paths": each(final("rel"), "both paths (staged)"),
    "no_path": each(final("rel"), "neither (greedy)"),
    "thaw_gain": ratio(
        each(before(4, "rel"), "greedy, then thawed"), each(final("rel"), "greedy, then thawed")
    ),
    "frozen_gain": ratio(
        each(before(4, "rel"), "greedy, then thawed"), each(final("rel"), "neither (greedy)")
    ),
}

# --- plain SGD --------------------------------------------------------------------------------

SGD = {"laptop": (4000, 24_000), "paper": (8000, 60_000)}


def sgd_arms(profile: str) -> Arms:
    """Staged and greedy training by plain SGD with one learning rate for all levels."""
    if profile not in SGD:
        return {}
    third, n_steps = SGD[profile]
    staged = replace(
        three_levels(profile), opens=(0, third), n_steps=n_steps, optimizer="sgd", rate=0.03,
        lower_rate=0.0, curve=True,
    )  # fmt: skip
    return {"staged": staged, "greedy": replace(staged, look_back=1)}


SGD_STATISTICS = {
    "staged_error": each(final("rel"), "staged"),
    "greedy_error": each(final("rel"), "greedy"),
}

# --- joint training from scratch -------------------------------------------------------------

JOINT = {"laptop": (8000, 9000), "paper": (20_000, 30_000)}
ORDER = {"laptop": (16_000, 4000), "paper": (40_000, 12_000)}
ORDER_GAPS = {
    "laptop": (0.4, 0.2828, 0.2, 0.1414),
    "paper": (0.4, 0.2828, 0.2, 0.1414, 0.1),
}


def joint_arms(profile: str) -> Arms:
    """All levels from step 0 by Adam, with three and with four levels."""
    if profile not in JOINT:
        return {}
    three, four = JOINT[profile]
    base = QuadraticConfig(
        dim=DIM[profile], widths=(4, 3), gaps=(1, GAP_3), opens=(0, 0), n_steps=three,
        batch=BATCH[profile], lower_rate=0.0,
    )  # fmt: skip
    deep = replace(base, widths=(4, 3, 2), gaps=(1, GAP_3, GAP_4), opens=(0, 0, 0), n_steps=four)
    return {"three levels": base, "four levels": deep}


def hierarchy_learned(config: QuadraticConfig, measurement: dict[str, Any]) -> bool:
    """Say whether every level of the network ends as the function that its level of y is."""
    errors = [measurement["final"][f"fn{level}"] for level in range(2, len(config.widths) + 2)]
    return all(error is not None and error < 0.1 for error in errors)


JOINT_STATISTICS = {
    "three_levels": each(final("rel"), "three levels"),
    "four_levels": each(final("rel"), "four levels"),
}


def order_arms(profile: str) -> Arms:
    """All levels from step 0: by plain SGD and by Adam over the gaps, and SGD with four levels."""
    if profile not in ORDER:
        return {}
    slow, fast = ORDER[profile]
    base = QuadraticConfig(
        dim=DIM[profile], widths=(4, 3), gaps=(1, GAP_3), opens=(0, 0), n_steps=slow,
        batch=BATCH[profile], lower_rate=0.0, optimizer="sgd", rate=0.005, watch=10, n_test=1000,
    )  # fmt: skip
    adam = replace(base, optimizer="adam", rate=0.003, n_steps=fast, watch=5)
    return {
        "SGD": [replace(base, gaps=(1, gap)) for gap in ORDER_GAPS[profile]],
        "Adam": [replace(adam, gaps=(1, gap)) for gap in ORDER_GAPS[profile]],
        "SGD, four levels": replace(
            base, widths=(4, 3, 2), gaps=(1, GAP_3, GAP_4), opens=(0, 0, 0)
        ),
    }


def order_groups(profile: str) -> list[Group]:
    """A group for each arm."""
    arms = order_arms(profile)
    return [Group.of("learning_order", every(arms, name), SEEDS[profile]) for name in arms]


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


ORDER_STATISTICS = {
    "wait_slope": slope(alpha_3, wait, "SGD"),
    "wait_slope_adam": slope(alpha_3, wait, "Adam"),
    "level_4_after_3": each(_level_4_after_3, "SGD, four levels"),
}


def _experiment(how: Any, name: str, arms: Any, statistics: Any) -> Experiment:
    return Experiment(name, CHAPTER, how(name, arms, SEEDS), measure, statistics, arms)


EXPERIMENTS = (
    _experiment(together, "gap_sweep", gap_arms, GAP_STATISTICS),
    _experiment(together, "depth_sweep", depth_arms, DEPTH_STATISTICS),
    _experiment(together, "gradient_paths", path_arms, PATH_STATISTICS),
    _experiment(together, "plain_sgd", sgd_arms, SGD_STATISTICS),
    _experiment(apart, "joint_training", joint_arms, JOINT_STATISTICS),
    Experiment("learning_order", CHAPTER, order_groups, measure, ORDER_STATISTICS, order_arms),
)
