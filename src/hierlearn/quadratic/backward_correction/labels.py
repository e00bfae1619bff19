r"""Chapter 1: the binary form of the task, where only the sign of $y-\mathrm{med}\,y$ is seen.

Our experiment: the abstract of an early version promises classification, but its form is not
reproduced here. The logit is $e^s(\hat y-b)$ with trained s and b; the loss is logistic.
"""

from dataclasses import replace
from typing import Any

from hierlearn.experiment import Arms, Experiment, Group, Statistic, every, together
from hierlearn.quadratic.backward_correction.experiments import CHAPTER, DIM, alpha_3
from hierlearn.quadratic.runs import QuadraticConfig, before, final, measure
from hierlearn.statistics import each, mean, ratio, slope

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


def label_arms(profile: str) -> Arms:
    """Staged, greedy and level-3-shut training over the gaps; joint training; the controls.

    Names that end in "at 0.4" hold the runs at the reference gap.
    """
    run = base(profile)
    kinds = {
        "staged": run,
        "greedy": replace(run, look_back=1),
        "level 3 shut": replace(run, opens=(0, None)),
    }
    over_gaps = {
        name: [replace(one, gaps=(1, gap)) for gap in GAPS[profile]] for name, one in kinds.items()
    }
    greedy, shut, other = kinds["greedy"], kinds["level 3 shut"], "independent level 3"
    arms: dict[str, Any] = {
        **over_gaps,
        **{f"{name} at {GAP}": one for name, one in kinds.items()},
        "joint": replace(run, opens=(0, 0), lower_rate=0.0),
        "oracle": replace(greedy, oracle=True),
        f"greedy, {other}": replace(greedy, target=other),
        f"level 3 shut, {other}": replace(shut, target=other),
        "no level 3": replace(shut, gaps=(1, 0)),
    }
    return arms if profile == "smoke" else {**arms, "no skip": replace(shut, skip=0.0)}


def label_groups(profile: str) -> list[Group]:
    """One group with every arm, gap by gap, and one without the skip term, of another shape."""
    arms = dict(label_arms(profile))
    apart = [arms.pop("no skip")] if "no skip" in arms else []
    by_gap = zip(*(arms.pop(name) for name in ("staged", "greedy", "level 3 shut")), strict=True)
    ordered = [*(one for trio in by_gap for one in trio), *every(arms)]
    groups = [Group.of("labels", dict.fromkeys(ordered), SEEDS[profile])]
    return groups + [Group.of("labels", [one], SEEDS[profile]) for one in apart]


def noise_arms(profile: str) -> Arms:
    """Staged and greedy training while a share of the training labels is flipped."""
    if profile == "smoke":
        return {}
    kinds = {"staged": None, "greedy": 1}
    return {
        f"{name}, {share:g} flipped": replace(base(profile), flips=share, look_back=look)
        for share in FLIPS
        for name, look in kinds.items()
    }


def clean_error(config: QuadraticConfig, measurement: dict[str, Any]) -> float:
    """Return the clean 0-1 test error, at least half an error, so that ratios exist."""
    return max(final("err")(config, measurement), 0.5 / config.n_test)


def _rotation_over_formula(config: QuadraticConfig, measurement: dict[str, Any]) -> float:
    return final("sin2")(config, measurement) / measurement["plateau"]["sin2"]


def flip_ratio(share: float) -> Statistic:
    """Make the statistic that compares greedy and staged error at a share of flipped labels."""
    arms = (f"{name}, {share:g} flipped" for name in ("greedy", "staged"))
    return _gain(*arms)


def _gain(above: str, below: str) -> Statistic:
    return ratio(each(clean_error, above), each(clean_error, below))


_OTHER = "independent level 3"
LABEL_STATISTICS = {
    "plateau_slope": slope(alpha_3, final("shape2"), "level 3 shut"),
    "shape_without_level_3": each(final("shape2"), "no level 3"),
    "rotation_ratio": each(_rotation_over_formula, "level 3 shut", mean),
    "rotation_without_skip": each(final("sin2"), "no skip"),
    "correction": ratio(
        each(final("shape2"), "level 3 shut at 0.4"), each(final("shape2"), "staged at 0.4")
    ),
    "more_steps": ratio(
        each(before(3, "shape2"), "staged at 0.4"), each(final("shape2"), "level 3 shut at 0.4")
    ),
    "frozen_cost": _gain("greedy at 0.4", "staged at 0.4"),
    "oracle_cost": _gain("oracle", "staged at 0.4"),
    "greedy_gain": _gain("level 3 shut at 0.4", "greedy at 0.4"),
    "greedy_gain_independent": _gain(f"level 3 shut, {_OTHER}", f"greedy, {_OTHER}"),
}
NOISE_STATISTICS = {"ratio_with_flips": flip_ratio(0.1)}

EXPERIMENTS = (
    Experiment("labels", CHAPTER, label_groups, measure, LABEL_STATISTICS, label_arms),
    Experiment(
        "label_noise", CHAPTER, together("label_noise", noise_arms, SEEDS), measure,
        NOISE_STATISTICS, noise_arms,
    ),
)  # fmt: skip
