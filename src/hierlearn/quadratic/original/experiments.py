r"""Chapter 1, the paper's own class: exact alternation, and how far each back-and-forth corrects.

Rounds of alternation over the gap $\alpha_3$, beside its residual form and frozen features; the
same without a gap; a target with one level more than the learner (Theorem 2's denominators); depth;
the number of samples; labels (Theorem 4), and what a fixed steepness does to them; two levels
alone, where the proof has constants. The class is that of section 2 of Allen-Zhu & Li.
"""

from dataclasses import replace
from functools import partial
from itertools import accumulate, pairwise
from typing import Any

from hierlearn.experiment import Arms, Config, Experiment, Runs, Statistic, together
from hierlearn.quadratic.original.base_case import BaseConfig, measure_base
from hierlearn.quadratic.original.labels import InflationConfig, LabelConfig, measure_inflation
from hierlearn.quadratic.original.labels import measure as measure_labels
from hierlearn.quadratic.original.runs import (
    AlternationConfig,
    error,
    measure,
    measure_without_gap,
    n_columns,
    relative,
)
from hierlearn.quadratic.original.sgd import EXPERIMENT as ALGORITHM_1
from hierlearn.statistics import (
    at_least,
    each,
    exponent,
    geometric_mean,
    number,
    quotient,
    ratio,
    runs_of,
    slope,
)

CHAPTER = "01_backward_feature_correction"
SEEDS = {"smoke": range(4), "laptop": range(8), "paper": range(16)}
DIM = {"smoke": 6, "laptop": 10, "paper": 14}
N_SAMPLES = {"smoke": 800, "laptop": 3000, "paper": 6000}

# --- rounds over the gap ----------------------------------------------------------------------

ROUNDS = 5
GAPS = {
    "smoke": (0.2, 0.1, 0.05),
    "laptop": (0.2, 0.1, 0.05, 0.025),
    "paper": (0.2, 0.1, 0.05, 0.025, 0.0125),
}


def round_arms(profile: str) -> Arms:
    """The three forms over the gap, and at the largest gap what must not be corrected."""
    widths = (2, 2) if profile == "smoke" else (3, 2)
    base = AlternationConfig(
        dim=DIM[profile], widths=widths, gaps=(1, GAPS[profile][0]), rounds=(ROUNDS,),
        n_samples=N_SAMPLES[profile],
    )  # fmt: skip
    over = {
        form: [replace(base, form=form, gaps=(1, gap)) for gap in GAPS[profile]]
        for form in ("joint", "residual", "frozen")
    }
    alone = replace(base, rounds=(), trim=0.0, n_samples=200_000)
    return {
        **over,
        "independent level 3": replace(base, target="independent"),
        "permuted": replace(base, target="permuted"),
        "no level 3": replace(base, gaps=(1, 0.0), rounds=()),
        "level 2 alone": replace(alone, gaps=(1, 0.1)),
        "level 2 alone, no skip": replace(alone, gaps=(1, 0.1), skip=0.0),
    }


def gap(config: Any) -> float:
    r"""Return $\alpha_3$."""
    return float(config.gaps[1])


def order(arm: str, round_: int) -> Statistic:
    r"""Make the statistic that fits the exponent of $\alpha_3$ in $e_2$ after a round."""
    return slope(gap, error(2, round_), arm)


def orders_gained(runs: Runs, form: str) -> dict[int, float]:
    """Fit how much the exponent grows from one round to the next, by seed."""
    found = [order(form, n)(runs) for n in range(ROUNDS + 1)]
    return {
        seed: sum((n - ROUNDS / 2) * one[seed] for n, one in enumerate(found))
        / sum((n - ROUNDS / 2) ** 2 for n in range(ROUNDS + 1))
        for seed in found[0]
    }


ROUND_STATISTICS: dict[str, Statistic] = {
    "orders_gained": partial(orders_gained, form="joint"),
    "orders_gained_residual": partial(orders_gained, form="residual"),
    "frozen_order": slope(gap, relative(), "frozen"),
    "joint_over_frozen": ratio(
        each(relative(), "joint", geometric_mean), each(relative(), "frozen", geometric_mean)
    ),
    "plateau_ratio": each(quotient(error(2, 0), number("plateau")), "level 2 alone"),
    "rotation_without_skip": ratio(
        each(number("rotation"), "level 2 alone, no skip"),
        each(number("rotation"), "level 2 alone"),
    ),
}

# --- no gap -----------------------------------------------------------------------------------

NO_GAPS = (0.4, 1.0, 2.0, 4.0)
SETTLED = (5, 10)


def no_gap_arms(profile: str) -> Arms:
    """The joint form where level 3 is nearly as loud as level 2, as loud, and louder."""
    first = round_arms(profile)["joint"]
    assert isinstance(first, list)
    n_samples = N_SAMPLES[profile] // 2
    over = [
        replace(first[0], gaps=(1, alpha), rounds=(15,), n_samples=n_samples) for alpha in NO_GAPS
    ]
    return {"joint": over, "no gap": over[NO_GAPS.index(1)]}


def factor_a_round(config: Any, measurement: dict[str, Any]) -> float:
    """Return the factor by which each of the rounds `SETTLED` multiplies the error of level 2."""
    before, after = (error(2, n)(config, measurement) for n in SETTLED)
    return float((after / before) ** (1 / (SETTLED[1] - SETTLED[0])))


NO_GAP_STATISTICS = {
    "factor_ratio": ratio(each(factor_a_round, "no gap"), each(number("factor"), "no gap")),
    "critical_gap": each(lambda c, m: gap(c) / m["factor"], "no gap"),
}

# --- one level more than the learner ----------------------------------------------------------

UPPER_GAPS = {
    "smoke": ((0.2, 0.02), (0.2, 0.005), (0.1, 0.02), (0.1, 0.005)),
    "laptop": tuple((a, b) for a in (0.2, 0.1, 0.05) for b in (0.02, 0.01, 0.005, 0.0025)),
    "paper": tuple((a, b) for a in (0.2, 0.1, 0.05) for b in (0.02, 0.01, 0.005, 0.0025, 0.00125)),
}


def denominator_arms(profile: str) -> Arms:
    """A target of four levels, and a learner of three, over both gaps; and without level 4."""
    cells = [
        AlternationConfig(
            dim=DIM[profile], widths=(2, 2, 1), gaps=(1, *gaps), rounds=(10,),
            n_samples=N_SAMPLES[profile],
        )
        for gaps in UPPER_GAPS[profile]
    ]  # fmt: skip
    return {
        "unseen level 4": cells,
        "no level 4": replace(cells[0], gaps=(1, UPPER_GAPS[profile][0][0], 0.0), rounds=(10,)),
    }


def exponents(runs: Runs, level: int, of: int) -> dict[int, float]:
    r"""Fit $\log e_l$ on $\log\alpha_3,\log\alpha_4$, and return the exponent of one, by seed."""
    found = {}
    for seed, own in runs_of(runs, "unseen level 4").items():
        value = error(level)
        groups: dict[float, list[tuple[float, float]]] = {}
        for config, measurement in own:
            other, x = (config.gaps[i] for i in ((2, 1) if of == 3 else (1, 2)))
            groups.setdefault(other, []).append((x, value(config, measurement)))
        slopes = [exponent(points) for points in groups.values()]
        found[seed] = sum(slopes) / len(slopes)
    return found


DENOMINATOR_STATISTICS: dict[str, Statistic] = {
    "level_2_in_gap_4": partial(exponents, level=2, of=4),
    "level_2_in_gap_3": partial(exponents, level=2, of=3),
    "level_3_in_gap_3": partial(exponents, level=3, of=3),
    "level_2_without_level_4": each(error(2), "no level 4"),
}

# --- depth ------------------------------------------------------------------------------------

LAST = 14


def depth_arms(profile: str) -> Arms:
    """Targets of three, four and five levels, learned level by level, jointly and frozen."""
    gaps, widths = (1, 0.1, 0.01, 0.001), (2, 2, 1, 1)
    base = AlternationConfig(
        dim=DIM[profile], widths=widths, gaps=gaps, rounds=(3, 3, LAST),
        n_samples={"smoke": 400, "laptop": 2000, "paper": 4000}[profile],
    )  # fmt: skip
    found: dict[str, Config] = {}
    for n_levels in (3, 4, 5):
        k = n_levels - 1
        one = replace(base, widths=widths[:k], gaps=gaps[:k], rounds=(*((3,) * (k - 2)), LAST))
        found[f"{n_levels} levels"] = one
        found[f"{n_levels} levels, frozen"] = replace(one, form="frozen")
    return found


def _worst(config: Any, measurement: dict[str, Any]) -> float:
    return float(max(measurement["errors"][-1]))


def _least_gain(config: Any, measurement: dict[str, Any]) -> float:
    """Return by how much a stage lowers the error of level 2 at least."""
    ends = accumulate(config.rounds, initial=0)
    errors = (measurement["errors"][end][0] for end in ends)
    return float(min(before / after for before, after in pairwise(errors)))


DEPTHS = ("3 levels", "4 levels", "5 levels")
DEPTH_STATISTICS = {
    "worst_feature": each(_worst, DEPTHS, max),
    "least_gain": each(_least_gain, DEPTHS, min),
    "worst_frozen": each(_worst, tuple(f"{one}, frozen" for one in DEPTHS), min),
}

# --- samples ----------------------------------------------------------------------------------

SHARES = (0.8, 0.9, 1.05, 1.25)
SAMPLE_DIMS = {"smoke": (4,), "laptop": (6, 12), "paper": (6, 12, 18)}
LEARNED = 1e-6


def sample_arms(profile: str) -> Arms:
    """Sample sizes around the number p of columns, over the dimension, at each depth."""
    found: dict[str, list[Config]] = {}
    for arm in DEPTHS:
        one = depth_arms(profile)[arm]
        assert isinstance(one, AlternationConfig)
        one = replace(one, rounds=(*one.rounds[:-1], 8))
        found[arm] = [
            replace(one, dim=dim, n_samples=round(share * n_columns(dim, one.widths)))
            for dim in SAMPLE_DIMS[profile]
            for share in SHARES
        ]
    return found


def share_needed(runs: Runs) -> dict[int, float]:
    r"""Return n*/p: the n that $e_2\le10^{-6}$ takes, the largest over targets, by seed."""
    found = {}
    for seed, own in runs_of(runs, DEPTHS).items():
        by_target: dict[Any, list[tuple[float, float]]] = {}
        for config, m in own:
            points = by_target.setdefault((config.dim, config.widths), [])
            points.append((config.n_samples / m["n_columns"], error(2)(config, m)))
        found[seed] = max(
            min((n for n, e in points if e <= LEARNED), default=at_least(max(points)[0]))
            for points in by_target.values()
        )
    return found


def _short(config: Any, measurement: dict[str, Any]) -> float:
    """Return the error of level 2 with at most nine tenths of the columns, else infinity."""
    short = config.n_samples < 0.91 * measurement["n_columns"]
    return error(2)(config, measurement) if short else float("inf")


SAMPLE_STATISTICS: dict[str, Statistic] = {
    "share_needed": share_needed,
    "error_when_short": each(_short, DEPTHS, min),
}


# --- labels (Theorem 4) -----------------------------------------------------------------------

LABEL_GAPS = {"smoke": (0.4, 0.2), "laptop": (0.4, 0.2, 0.1), "paper": (0.4, 0.2, 0.1, 0.05)}
N_LABELS = {"smoke": (6000, 64), "laptop": (20_000, 256), "paper": (80_000, 256)}


def label_arms(profile: str) -> Arms:
    """Level 2 alone and both levels from labels, over the gaps, and an independent level 3."""
    n_samples, last = N_LABELS[profile]
    both = [
        LabelConfig(dim=6, widths=(2, 2), gap=gap, n_samples=n_samples, last=last)
        for gap in LABEL_GAPS[profile]
    ]
    other = replace(both[0], target="independent")
    return {
        "both levels": both,
        "level 2 alone": [replace(one, levels=2) for one in both],
        "largest gap": both[0],
        "largest gap, level 2 alone": replace(both[0], levels=2),
        "independent level 3": other,
        "independent level 3, level 2 alone": replace(other, levels=2),
    }


def _wrong_times_v(config: Any, measurement: dict[str, Any]) -> float:
    return float(config.last * measurement["wrong"])


LABEL_STATISTICS = {
    "correction": ratio(
        each(number("error"), "largest gap, level 2 alone"), each(number("error"), "largest gap")
    ),
    "correction_independent": ratio(
        each(number("error"), "independent level 3, level 2 alone"),
        each(number("error"), "independent level 3"),
    ),
    "wrong_times_v": each(_wrong_times_v, "largest gap"),
    "wrong_times_v_alone": each(_wrong_times_v, "largest gap, level 2 alone"),
    "share_exponent": slope(lambda c: c.gap, number("needs_3"), "level 2 alone"),
}


def inflation_arms(profile: str) -> Arms:
    """Level 2 from labels without a level 3, with a column for the constant and without."""
    n_samples = {"smoke": 20_000, "laptop": 60_000, "paper": 400_000}[profile]
    free = InflationConfig(dim=6, widths=(2, 2), gap=0.0, n_samples=n_samples, last=8, levels=2)
    return {"constant free": free, "no constant": replace(free, constant=False)}


INFLATION_STATISTICS = {
    "inflation": each(number("inflation"), "constant free"),
    "inflation_without_constant": each(number("inflation"), "no constant"),
}

# --- two levels, with the constants of the proof ------------------------------------------------


def base_arms(profile: str) -> Arms:
    """Gradient descent on two levels, and the same with inputs that are nearly bits."""
    gaussian = BaseConfig(DIM[profile], 2 if profile == "smoke" else 3, 2000)
    return {"Gaussian": gaussian, "nearly bits": replace(gaussian, flat=0.1)}


BASE_STATISTICS = {
    "top": each(number("top"), "Gaussian"),
    "top_bits": each(number("top"), "nearly bits"),
    "features": each(number("features"), "Gaussian"),
    "features_unturned": each(number("unturned"), "Gaussian"),
}


NEWTON = "each fit is convex and solved by Newton's method"
EXPERIMENTS = (
    *(
        Experiment(name, CHAPTER, together(name, arms, seeds), of, statistics, arms, budget)
        for name, arms, of, statistics, budget, seeds in (
            ("back_and_forth", round_arms, measure, ROUND_STATISTICS, ("rounds",), SEEDS),
            ("no_gap", no_gap_arms, measure_without_gap, NO_GAP_STATISTICS, ("rounds",), SEEDS),
            ("unseen_level", denominator_arms, measure, DENOMINATOR_STATISTICS, ("rounds",), SEEDS),
            ("exact_depth", depth_arms, measure, DEPTH_STATISTICS, ("rounds",), SEEDS),
            ("exact_samples", sample_arms, measure, SAMPLE_STATISTICS, ("rounds",), SEEDS),
            ("exact_labels", label_arms, measure_labels, LABEL_STATISTICS, NEWTON, SEEDS),
            ("label_inflation", inflation_arms, measure_inflation, INFLATION_STATISTICS, NEWTON,
             SEEDS),
            ("base_case", base_arms, measure_base, BASE_STATISTICS, ("n_steps",),
             SEEDS | {"paper": range(8)}),
        )
    ),
    ALGORITHM_1,
)  # fmt: skip
