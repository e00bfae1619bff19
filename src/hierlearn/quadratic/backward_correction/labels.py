r"""Chapter 1: the binary form of the task, where only the sign of $y-\mathrm{med}\,y$ is seen.

Our experiment: the abstract of an early version promises classification, but its form is not
reproduced here. The logit is $e^s(\hat y-b)$ with trained s and b; the loss is logistic.
"""

from dataclasses import replace
from typing import Any

from hierlearn.experiment import Experiment, Group, Statistic
from hierlearn.quadratic.backward_correction.experiments import CHAPTER, DIM
from hierlearn.quadratic.reading import (
    Choice,
    Value,
    before,
    each,
    final,
    is_greedy,
    is_staged,
    level_3_shut,
    slope,
)
from hierlearn.quadratic.runs import QuadraticConfig, measure
from hierlearn.statistics import mean, ratio

SEEDS = {"smoke": range(4), "laptop": range(8), "paper": range(32)}
GAPS = {"smoke": (0.4,), "laptop": (0.4, 0.2, 0.1), "paper": (0.4, 0.2, 0.1, 0.05)}
STEPS = {"smoke": (1000, 4000), "laptop": (2000, 8000), "paper": (5000, 40_000)}
BATCH = {"smoke": 256, "laptop": 256, "paper": 1024}
GAP = 0.4
FLIPS = (0.02, 0.05, 0.1)


def base(profile: str) -> QuadraticConfig:
    """Return the staged classification run at the reference gap."""
    third, n_steps = STEPS[profile]
    return QuadraticConfig(
        dim=DIM[profile], widths=(4, 3), gaps=(1, GAP), opens=(0, third), n_steps=n_steps,
        batch=BATCH[profile], loss="logistic", n_test=10_000,
    )  # fmt: skip


def label_groups(profile: str) -> list[Group]:
    """Staged, greedy and level-3-shut training over the gaps; joint training; the controls."""
    run = base(profile)
    shut = replace(run, opens=(0, None))
    arms = []
    for gap in GAPS[profile]:
        trio = [run, replace(run, look_back=1), shut]
        arms += [replace(arm, gaps=(1, gap)) for arm in trio]
    other = "independent level 3"
    arms += [
        replace(run, opens=(0, 0), lower_rate=0.0),
        replace(run, look_back=1, oracle=True),
        replace(run, look_back=1, target=other),
        replace(shut, target=other),
        replace(shut, gaps=(1, 0)),
    ]
    groups = [Group.of("labels", arms, SEEDS[profile])]
    if profile != "smoke":
        groups.append(Group.of("labels", [replace(shut, skip=0.0)], SEEDS[profile]))
    return groups


def noise_groups(profile: str) -> list[Group]:
    """Staged and greedy training while a share of the training labels is flipped."""
    if profile == "smoke":
        return []
    run = base(profile)
    arms = [replace(run, flips=f, look_back=look) for f in FLIPS for look in (None, 1)]
    return [Group.of("label_noise", arms, SEEDS[profile])]


def clean_error(config: QuadraticConfig, measurement: dict[str, Any]) -> float:
    """Return the clean 0-1 test error, at least half an error, so that ratios exist."""
    return max(final("err")(config, measurement), 0.5 / config.n_test)


def _at(choice: Choice, gap: float = GAP, skip: float = 0.8) -> Choice:
    return lambda c: choice(c) and c.gaps[1] == gap and c.skip == skip


def _gain(value: Value, above: Choice, below: Choice, gap: float = GAP) -> Statistic:
    return ratio(each(value, _at(above, gap)), each(value, _at(below, gap)))


def _gap(config: QuadraticConfig) -> float:
    return config.gaps[1]


def shut_out(config: QuadraticConfig) -> bool:
    """Say whether level 3 never opens, in a target with skip term."""
    return level_3_shut(config) and config.skip > 0


def _independent(opens_late: bool) -> Choice:
    return lambda c: c.target == "independent level 3" and (c.opens[1] is None) != opens_late


def is_joint(config: QuadraticConfig) -> bool:
    """Say whether all levels are open from the start."""
    return config.opens[1] == 0


def _rotation_over_formula(config: QuadraticConfig, measurement: dict[str, Any]) -> float:
    return final("sin2")(config, measurement) / measurement["plateau"]["sin2"]


def flip_ratio(share: float) -> Statistic:
    """Make the statistic that compares greedy and staged error at a share of flipped labels."""
    return ratio(
        each(clean_error, lambda c: c.flips == share and is_greedy(c)),
        each(clean_error, lambda c: c.flips == share and is_staged(c)),
    )


LABEL_STATISTICS = {
    "plateau_slope": slope(_gap, final("shape2"), shut_out),
    "shape_without_level_3": each(final("shape2"), lambda c: c.gaps[1] == 0),
    "rotation_ratio": each(_rotation_over_formula, shut_out, mean),
    "rotation_without_skip": each(final("sin2"), lambda c: c.skip == 0),
    "correction": _gain(final("shape2"), shut_out, is_staged),
    "more_steps": ratio(
        each(before(3, "shape2"), _at(is_staged)), each(final("shape2"), _at(shut_out))
    ),
    "frozen_cost": _gain(clean_error, is_greedy, is_staged),
    "oracle_cost": _gain(clean_error, lambda c: c.oracle, is_staged),
    "greedy_gain": _gain(clean_error, shut_out, is_greedy),
    "greedy_gain_independent": _gain(clean_error, _independent(False), _independent(True)),
    "joint_shape": each(final("shape2"), is_joint),
}
NOISE_STATISTICS = {
    "ratio_with_flips": flip_ratio(0.1),
}

EXPERIMENTS = (
    Experiment("labels", CHAPTER, label_groups, measure, LABEL_STATISTICS),
    Experiment("label_noise", CHAPTER, noise_groups, measure, NOISE_STATISTICS),
)
