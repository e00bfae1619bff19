"""Chapter 7: conditions as numbers, and what frozen outputs and frozen features leave."""

import math
from dataclasses import replace
from itertools import product
from typing import Any

from hierlearn.conditions.runs import (
    THEOREM_SCALE,
    BitsConfig,
    ChainConfig,
    DirtConfig,
    MinimizerConfig,
    QuadraticConfig,
    ShapeConfig,
    measure_bits,
    measure_chain,
    measure_dirt,
    measure_grammar,
    measure_minimizer,
    measure_quadratic,
    measure_shapes,
)
from hierlearn.experiment import Arms, Experiment, Runs, apart
from hierlearn.grammar.config import HierarchyConfig
from hierlearn.grammar.experiments import FLOOR, LEVEL, MAIN, sample_size, sized
from hierlearn.statistics import (
    Statistic,
    crossing,
    each,
    exponent,
    geometric_mean,
    number,
    quotient,
    ratio,
)

CHAPTER = "07_what_decides"
SEEDS = {"smoke": range(4), "laptop": range(8), "paper": range(16)}
FEWER = {"smoke": range(3), "laptop": range(5), "paper": range(16)}

# --- products of bits ------------------------------------------------------------------------

DIMS = {"smoke": (8, 16), "laptop": (8, 16, 32), "paper": (8, 16, 32, 64)}
PER_PAIR = (1.25, 1.5, 2, 3, 4)
"""Samples over the number of pairs, d (d - 1) / 2."""


def chain_arms(profile: str) -> Arms:
    """Appendix C's learner over sample sizes, and without the lowest level."""
    over = {
        dim: [ChainConfig(dim, round(n * math.comb(dim, 2))) for n in PER_PAIR]
        for dim in DIMS[profile]
    }
    enough = [arms[-1] for dim, arms in over.items() if dim > 8]
    return {f"d = {dim}": arms for dim, arms in over.items()} | {
        "four a pair": enough,
        "no correlation": [replace(one, lowest=0.0) for one in enough],
    }


CHAIN_STATISTICS = {
    "recovered": each(number("recovered"), "four a pair", min),
    "uncorrelated": each(number("recovered"), "no correlation", max),
}


def minimizer_arms(profile: str) -> Arms:
    """Appendix C's stages in the population, on uniform bits and on biased ones."""
    return {"uniform": MinimizerConfig(8), "biased": MinimizerConfig(8, 0.5)}


MINIMIZER_STATISTICS = {
    name: each(number("deviation"), arm)
    for name, arm in (("deviation", "uniform"), ("deviation_biased", "biased"))
}

EVEN = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.65, 0.69)
BELOW = [BitsConfig(8, b) for b in EVEN] + [BitsConfig(8, 0.5, 1.9), BitsConfig(8, 0.3, 5.3)]
BEYOND = [BitsConfig(8, b) for b in (0.72, 0.75, 0.8)]
BEYOND += [BitsConfig(8, 0.5, 2.1), BitsConfig(8, 0.3, 5.8)]
"""Both sides of $|a|b^2=1/2$."""


def bits_arms(profile: str) -> Arms:
    """Four bits of unequal means; eight of one mean, on both sides of the margin; wider levels."""
    return {
        "dial": [BitsConfig(4, b, a, uneven=True) for b, a in product((0.5, 0.7, 0.9), (1.0, 0.3))],
        "below the margin": BELOW,
        "beyond the margin": BEYOND,
        "even": BELOW[: len(EVEN)],
        "eight spare": [replace(one, spare=8) for one in BEYOND],
        "before the end": BELOW[len(EVEN) - 1],
        "after the end": BEYOND[1],
    }


BITS_STATISTICS = {
    "deviation": each(number("deviation"), "dial", max),
    "rival": each(number("rival"), "dial", min),
    "within": each(number("worst"), "below the margin", max),
    "beyond": each(number("readout"), "beyond the margin", min),
    "widened": each(number("worst"), "eight spare", max),
}

# --- laws and shapes -------------------------------------------------------------------------


def shape_arms(profile: str) -> Arms:
    """Every shape under both laws."""
    every = product(ShapeConfig.CHOICES["law"], ShapeConfig.CHOICES["form"])
    return {f"{form}, {law}": ShapeConfig(law, form) for law, form in every}


INNER = number("inner")
SHAPE_STATISTICS = {
    "rotated_gaussian": each(INNER, "rotated product, Gaussian"),
    "rotated_bits": each(INNER, "rotated product, bits"),
}

# --- Gaussian hierarchies --------------------------------------------------------------------

SKIPS = (0.1, 0.2, 0.4, 0.6, 0.8)


def quadratic_arms(profile: str) -> Arms:
    """Skips from none to most of level 3."""
    over = [QuadraticConfig(skip) for skip in SKIPS]
    return {
        "no skip": QuadraticConfig(0.0),
        "over skips": over,
        "all": [QuadraticConfig(0.0), *over],
        "large skip": over[-1],
    }


def _exponent(runs: Runs) -> dict[int, float]:
    """Fit what frozen features leave by a power of the outer dirt, over skips."""
    return {
        seed: exponent([(m["outer"], m["readout"]) for _, m in own])
        for seed, own in runs.of("over skips").items()
    }


QUADRATIC_STATISTICS: dict[str, Statistic] = {
    "outputs": each(quotient(number("outputs"), number("law")), "all", geometric_mean),
    "outputs_by_outer": each(quotient(number("outputs"), number("outer")), "large skip"),
    "exponent": _exponent,
    "no_skip": each(number("readout"), "no skip"),
}

# --- grammars --------------------------------------------------------------------------------

GRID = (1, 1.5, 2, 3, 4, 6)
CLUSTER_GRID = (1, 2, 4, 8, 16, 32)
INSIDE, READ, OUTSIDE = 0.15, 0.25, 0.5
"""Turns of "hint" within the margin of all draws, at its end, and beyond it."""


def grammar_arms(profile: str) -> Arms:
    """Clustering over sample sizes, inside and outside its margin; ridge regression on "hint"."""
    sizes = CLUSTER_GRID if profile != "smoke" else (1, 4, 16)

    def clustered(t: float) -> list[HierarchyConfig]:
        return sized(MAIN, sizes, learner="clustered", dial="hint", t=t, n_test=1000)

    arms: dict[str, Any] = {f"clustered, t = {t}": clustered(t) for t in (0.0, INSIDE, OUTSIDE)}
    for name, t in (("inside", INSIDE), ("outside", OUTSIDE)):
        arms[f"{name}, most data"] = arms[f"clustered, t = {t}"][-1]
    arms["read off"] = clustered(READ)[sizes.index(4)]
    if profile == "smoke":
        return arms
    return arms | {
        f"ridge, {dial}, t = {t}": sized(MAIN, GRID, learner="ridge", dial=dial, t=t, n_test=1000)
        for dial, t in (("hint", 0.0), ("hint", OUTSIDE), ("shared", OUTSIDE))
    }


def _cost(dial: str) -> Statistic:
    clean = sample_size("ridge, hint, t = 0.0")
    return ratio(sample_size(f"ridge, {dial}, t = {OUTSIDE}"), clean)


GRAMMAR_STATISTICS = {
    "inside": each(number("error"), "inside, most data"),
    "outside": each(number("error"), "outside, most data"),
    "hint_cost": _cost("hint"),
    "shared_cost": _cost("shared"),
    "read_outer": each(quotient(number("read_outer"), number("outer")), "read off"),
    "naive_outer": each(quotient(number("naive_outer"), number("outer")), "read off"),
}

# --- grammars, Theorem 7's own learner -------------------------------------------------------

STAGES = {"smoke": (16, 256), "laptop": (4, 8, 16, 32, 64, 256), "paper": (4, 8, 16, 32, 64, 256)}
"""Examples of the lowest stage, in units of P_0."""


def dirt_arms(profile: str) -> Arms:
    """Theorem 7's learner over sample sizes, with a lean to the label, to another bit, and none."""
    arms: dict[str, Any] = {}
    turns = (("hint", OUTSIDE), ("hint", 0.0), ("shared", OUTSIDE))
    for dial, t in turns[: 1 if profile == "smoke" else None]:
        name = f"{dial}, t = {t}"
        found = [DirtConfig(n * THEOREM_SCALE, dial, t) for n in STAGES[profile]]
        arms |= {name: found, f"{name}, most data": found[-1]}
        arms[f"{name}, 16 P_0"] = found[STAGES[profile].index(16)]
    return arms


def _needed_on(name: str) -> Statistic:
    return lambda runs: {
        seed: crossing([(c.n_samples, max(m["error"], FLOOR)) for c, m in own], LEVEL)
        for seed, own in runs.of(name).items()
    }


_CLEAN = _needed_on("hint, t = 0.0")
DIRT_STATISTICS = {
    "most_data": each(number("error"), f"hint, t = {OUTSIDE}, most data"),
    "some_data": each(number("error"), f"hint, t = {OUTSIDE}, 16 P_0"),
    "hint_cost": ratio(_needed_on(f"hint, t = {OUTSIDE}"), _CLEAN),
    "shared_cost": ratio(_needed_on(f"shared, t = {OUTSIDE}"), _CLEAN),
}

EXPERIMENTS = tuple(
    Experiment(
        name, CHAPTER, apart(name, arms, seeds), measure, statistics, arms,
        budget="solved, enumerated or clustered; nothing is trained by steps",
    )
    for name, arms, seeds, measure, statistics in (
        ("decide_chain", chain_arms, FEWER, measure_chain, CHAIN_STATISTICS),
        ("decide_minimizer", minimizer_arms, SEEDS, measure_minimizer, MINIMIZER_STATISTICS),
        ("decide_bits", bits_arms, FEWER, measure_bits, BITS_STATISTICS),
        ("decide_shapes", shape_arms, SEEDS, measure_shapes, SHAPE_STATISTICS),
        ("decide_quadratic", quadratic_arms, SEEDS, measure_quadratic, QUADRATIC_STATISTICS),
        ("decide_grammar", grammar_arms, SEEDS, measure_grammar, GRAMMAR_STATISTICS),
        ("decide_theorem", dirt_arms, SEEDS, measure_dirt, DIRT_STATISTICS),
    )
)  # fmt: skip
