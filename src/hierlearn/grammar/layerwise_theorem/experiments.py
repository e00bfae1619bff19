"""Chapter 4: Theorem 7's learner, stage by stage, over sample sizes, and the lemmas it rests on.

A grammar is named by (v, m, L), with $n_c=v$; sizes are those of the lowest stage, in units of
$P_0=vm^L$.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from hierlearn.experiment import Arms, Experiment, Result, Runs, Statistic, apart
from hierlearn.grammar.experiments import CHAPTER
from hierlearn.grammar.layerwise_theorem.runs import (
    LEVEL,
    TheoremConfig,
    measure_lemmas,
    measure_sizes,
    measure_stages,
)
from hierlearn.grammar.layerwise_theorem.target import mean_signal
from hierlearn.statistics import Value, crossing, each, exponent, geometric_mean, number, ratio

Parameters = tuple[int, int, int]
MAIN = TheoremConfig(8, 4, 3)
SEEDS = {"smoke": range(4), "laptop": range(8), "paper": range(8)}
SOLVED = "solved in closed form, nothing is trained by steps"

error = number("error")


def at(multiple: float, **fields: Any) -> TheoremConfig:
    """Return the main grammar with a multiple of $P_0$ at the lowest stage."""
    return replace(MAIN, n_samples=round(multiple * MAIN.scale), **fields)


# --- stage by stage --------------------------------------------------------------------------

LOWEST = {"smoke": (16,), "laptop": (8, 16, 32, 64), "paper": (8, 16, 32, 64, 128)}
WINDOW = tuple(2 ** (k / 2) for k in range(3, -9, -1))
"""Bandwidths in units of the least distance, from too wide to too narrow."""
WIDE, FIT, NARROW = WINDOW[1], WINDOW[6], WINDOW[-1]
LITTLE, SOME, MUCH = 8, 32, 128
WIDTHS = {"laptop": (256, 2048), "paper": (128, 256, 512, 1024, 2048, 4096)}


def stage_arms(profile: str) -> Arms:
    """The lowest stage over sizes, the next one over bandwidths, and the network over widths."""

    def next_stage(multiple: int, bandwidth: float) -> TheoremConfig:
        return at(multiple, bandwidth=bandwidth, n_stages=2)

    arms: dict[str, Any] = {
        "lowest stage": [at(n, n_stages=1) for n in LOWEST[profile]],
        "lowest stage, wide kernel": at(SOME, n_stages=1, lowest_bandwidth=1.0),
    }
    for name, bandwidth in {"wide": WIDE, "fitting": FIT, "narrow": NARROW}.items():
        arms |= {f"{name}, {n}": next_stage(n, bandwidth) for n in (LITTLE, MUCH)}
    if profile != "smoke":
        for n in (LITTLE, SOME, MUCH):
            arms[f"window, {n}"] = [next_stage(n, bandwidth) for bandwidth in WINDOW]
        arms["limit of frequencies"] = at(16)
        arms |= {f"{width} frequencies": at(16, width=width) for width in WIDTHS[profile]}
    return arms


def over_law(stage: int) -> Value:
    """Divide the rms of $h-q$ of a stage, 0 the lowest, by its law."""

    def value(config: TheoremConfig, measurement: dict[str, Any]) -> float:
        return float(measurement["rms"][stage] / measurement["law"][stage])

    return value


def _cured(arm: str) -> Statistic:
    rms = number("rms", 1)
    return ratio(each(rms, f"{arm}, {MUCH}"), each(rms, f"{arm}, {LITTLE}"))


STAGE_STATISTICS = {
    "lowest_law": each(over_law(0), "lowest stage", geometric_mean),
    "lowest_wide": each(over_law(0), "lowest stage, wide kernel"),
    "next_law": each(over_law(1), f"fitting, {MUCH}"),
    "next_starved": each(over_law(1), f"fitting, {LITTLE}"),
    "wide_cured": _cured("wide"),
    "narrow_cured": _cured("narrow"),
    "few_frequencies": each(error, "256 frequencies"),
    "many_frequencies": each(error, "2048 frequencies"),
    "all_frequencies": each(error, "limit of frequencies"),
}

# --- over sample sizes -----------------------------------------------------------------------

SMALL: list[Parameters] = [(8, 4, 2), (16, 4, 2), (8, 2, 3), (8, 4, 3)]
MORE: list[Parameters] = [(32, 4, 2), (8, 8, 2), (16, 8, 2), (16, 4, 3), (8, 2, 4), (8, 2, 5)]
LARGE: list[Parameters] = [(8, 8, 3), (8, 4, 4), (16, 8, 3)]
GRAMMARS = {"smoke": SMALL, "laptop": [*SMALL, *MORE, LARGE[0]], "paper": SMALL + MORE + LARGE}
PREDICTED = [(8, 4, 3), (16, 4, 3)]
"""Grammars of which more draws are made, to tell them apart."""


def size_arms(profile: str) -> Arms:
    """A scan of sample sizes for each grammar, and one in which stages share their data."""
    many = dict.fromkeys(LARGE, 1) | dict.fromkeys(PREDICTED, 4 if profile == "smoke" else 12)
    arms: dict[str, Any] = {
        str(p): TheoremConfig(*p, n_draws=many.get(p, 4)) for p in GRAMMARS[profile]
    }
    arms["over grammars"] = list(arms.values())
    if profile != "smoke":
        arms["over draws"] = [arms[str(p)] for p in PREDICTED]
        arms["one data set"] = replace(MAIN, reuse=True, n_draws=4)
    return arms


def law_of(config: TheoremConfig, strength: float) -> float:
    r"""Return $mv\,m^L/K_\rho^2$, to which we expect the sample size to be proportional."""
    return config.n_synonyms ** (config.n_levels + 1) * config.vocab_size / strength


def scans(found: Result, strength: str = "strength") -> list[tuple[float, float]]:
    """Return what the law says and the size that was needed, for each draw of a run."""
    config, measurement = found
    return [
        (law_of(config, draw[strength]), crossing(draw["sizes"], draw["errors"], LEVEL))
        for draw in measurement["draws"]
    ]


def _over_grammars(statistic: Callable[[list[tuple[float, float, float]]], float]) -> Statistic:
    """Make a statistic of the grammars' geometric means: of $P_0$, of the law, and of the size."""

    def over(runs: Runs) -> dict[int, float]:
        found = {}
        for seed, own in runs.of("over grammars").items():
            means = [
                [geometric_mean(column) for column in zip(*scans(one), strict=True)] for one in own
            ]
            points = [(one.config.scale, *pair) for one, pair in zip(own, means, strict=True)]
            found[seed] = statistic(points)
        return found

    return over


def _over_draws(strength: str) -> Statistic:
    """Make the mean correlation, over the draws of a grammar, of the logarithms of law and size."""

    def over(runs: Runs) -> dict[int, float]:
        return {
            seed: float(np.mean([np.corrcoef(np.log(scans(one, strength)).T)[0, 1] for one in own]))
            for seed, own in runs.of("over draws").items()
        }

    return over


def _size(config: TheoremConfig, measurement: dict[str, Any]) -> float:
    """All examples of all stages over $P_0$, geometric mean over draws."""
    needed = geometric_mean([size for _, size in scans(Result(config, measurement))])
    share = 1 if config.reuse else sum(config.n_synonyms**-k for k in range(config.n_levels))
    return needed * share / config.scale


def _share_of_proof(config: TheoremConfig, measurement: dict[str, Any]) -> float:
    r"""The size over the proof's $\kappa v^2m^2sL\log^2(vm\kappa/\delta)K_\rho^{-2}m^L$, without C.

    $\kappa=1$ for uniform first tokens, and $\delta=0.1$.
    """
    v, m, depth = config.parameters
    factor = v * m * 2 * depth * math.log(v * m / 0.1) ** 2
    return geometric_mean([n / law for law, n in scans(Result(config, measurement))]) / factor


SIZE_STATISTICS = {
    "slope": _over_grammars(lambda points: exponent([(law, n) for _, law, n in points])),
    "slope_alone": _over_grammars(lambda points: exponent([(p, n) for p, _, n in points])),
    "constant": _over_grammars(lambda points: geometric_mean([n / law for _, law, n in points])),
    "spread": _over_grammars(
        lambda points: max(n / law for _, law, n in points) / min(n / law for _, law, n in points)
    ),
    "least_distance": _over_draws("strength"),
    "mean_distance": _over_draws("mean_strength"),
    "size": each(_size, str(MAIN.parameters)),
    "reused_size": each(_size, "one data set"),
    "share_of_proof": each(_share_of_proof, str(MAIN.parameters)),
}

# --- lemmas ----------------------------------------------------------------------------------


def lemma_arms(profile: str) -> Arms:
    """Label frequencies and distances on the main grammar, and on a wider one."""
    return {
        str(p): TheoremConfig(*p, n_samples=16 * p[0] * p[1] ** p[2], n_draws=100)
        for p in ([MAIN.parameters] if profile == "smoke" else [MAIN.parameters, (16, 8, 3)])
    }


def _over_mean(config: TheoremConfig, measurement: dict[str, Any]) -> float:
    v, m, depth = config.parameters
    return float(measurement["signal"] / mean_signal(depth, vocab_size=v, n_synonyms=m))


LEMMA_STATISTICS = {
    name: each(number(name), str(MAIN.parameters))
    for name in ("printed", "corrected", "equal", "below", "plain")
} | {
    "signal": each(_over_mean, str(MAIN.parameters)),
    "printed_wide": each(number("printed"), "(16, 8, 3)"),
    "equal_wide": each(number("equal"), "(16, 8, 3)"),
}

EXPERIMENTS = tuple(
    Experiment(name, CHAPTER, apart(name, arms, SEEDS), measure, statistics, arms, budget=SOLVED)
    for name, arms, measure, statistics in (
        ("rhm_theorem_stages", stage_arms, measure_stages, STAGE_STATISTICS),
        ("rhm_theorem_sizes", size_arms, measure_sizes, SIZE_STATISTICS),
        ("rhm_theorem_lemmas", lemma_arms, measure_lemmas, LEMMA_STATISTICS),
    )
)
