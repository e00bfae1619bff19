"""Chapter 4: Theorem 7's learner, stage by stage, over sample sizes, and the lemmas it rests on.

A grammar is named by (v, m, L), with $n_c=v$; sizes are those of the lowest stage, in units of
$P_0=vm^L$.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from hierlearn.experiment import Arms, Experiment, Result, Runs, Statistic, apart
from hierlearn.grammar.experiments import CHAPTER, FEWER, grouped
from hierlearn.grammar.layerwise_theorem.proof import ProofConfig, measure_proof
from hierlearn.grammar.layerwise_theorem.runs import (
    LEVEL,
    N_TEST,
    TheoremConfig,
    measure_beside,
    measure_lemmas,
    measure_sizes,
    measure_stages,
)
from hierlearn.grammar.layerwise_theorem.target import mean_signal
from hierlearn.intervals import Bound
from hierlearn.statistics import (
    Value,
    crossing,
    each,
    exponent,
    geometric_mean,
    mean,
    needed,
    number,
    quotient,
    ratio,
)

Parameters = tuple[int, int, int]
MAIN, WIDER = TheoremConfig(8, 4, 3), TheoremConfig(16, 8, 3)
FLOOR = 0.5 / N_TEST
"""What errors are raised to before a crossing is interpolated."""
SEEDS = {"smoke": range(4), "laptop": range(8), "paper": range(8)}


def at(multiple: float, one: TheoremConfig = MAIN, **fields: Any) -> TheoremConfig:
    """Return a grammar with a multiple of $P_0$ at the lowest stage."""
    return replace(one, n_samples=round(multiple * one.scale), **fields)


# --- stage by stage --------------------------------------------------------------------------

LOWEST = {"smoke": (16,), "laptop": (8, 16, 32, 64), "paper": (8, 16, 32, 64, 128)}
WINDOW = tuple(2 ** (k / 2) for k in range(3, -9, -1))
"""Bandwidths in units of the least distance, from too wide to too narrow."""
FITTING = WINDOW[6]
EDGES = {"wide": WINDOW[1], "fitting": FITTING, "narrow": WINDOW[-1]}
LITTLE, SOME, MUCH = 8, 32, 128
BELOW = (4, 8, 16, 32, 64, 512)
"""Examples of the lowest stage below a next one that keeps those of `MUCH`."""
WIDTHS = {"smoke": (), "laptop": (256, 2048), "paper": (256, 2048)}


def stage_arms(profile: str) -> Arms:
    """The lowest stage over sizes, the next one over bandwidths, and the network over widths."""
    arms: dict[str, Any] = {
        "lowest stage": [at(n, n_stages=1) for n in LOWEST[profile]],
        "lowest stage, wide kernel": at(SOME, n_stages=1, lowest_bandwidth=1.0),
    }
    for name, edge in EDGES.items():
        arms |= {f"{name}, {n}": at(n, bandwidth=edge, n_stages=2) for n in (LITTLE, MUCH)}
    below = [at(MUCH, bandwidth=FITTING, n_stages=2, n_below=n * MAIN.scale) for n in BELOW]
    arms["fitting, starved below"] = below[0]
    if profile != "smoke":
        for n in (LITTLE, SOME, MUCH):
            arms[f"window, {n}"] = [at(n, bandwidth=sigma, n_stages=2) for sigma in WINDOW]
        arms["over examples below"] = [*below, arms[f"fitting, {MUCH}"]]
        arms["limit of frequencies"] = at(16)
    return arms | {f"{width} frequencies": at(16, width=width) for width in WIDTHS[profile]}


def over_law(stage: int) -> Value:
    """Divide the rms of $h-q$ of a stage, 0 the lowest, by its law."""
    return quotient(number("rms", stage), number("law", stage))


def _cured(arm: str) -> Statistic:
    rms = number("rms", 1)
    return ratio(each(rms, f"{arm}, {MUCH}"), each(rms, f"{arm}, {LITTLE}"))


STAGE_STATISTICS = {
    "lowest_law": each(over_law(0), "lowest stage", geometric_mean),
    "lowest_wide": each(over_law(0), "lowest stage, wide kernel"),
    "next_law": each(over_law(1), f"fitting, {MUCH}"),
    "next_starved": each(over_law(1), "fitting, starved below"),
    "wide_cured": _cured("wide"),
    "narrow_cured": _cured("narrow"),
    "few_frequencies": each(number("error"), "256 frequencies"),
    "many_frequencies": each(number("error"), "2048 frequencies"),
    "all_frequencies": each(number("error"), "limit of frequencies"),
}

# --- over sample sizes -----------------------------------------------------------------------

SMALL: list[Parameters] = [(8, 4, 2), (16, 4, 2), (8, 2, 3), (8, 4, 3)]
MORE: list[Parameters] = [(32, 4, 2), (8, 8, 2), (16, 8, 2), (16, 4, 3), (8, 2, 4), (8, 2, 5)]
LARGE: list[Parameters] = [(8, 8, 3), (8, 4, 4), (16, 8, 3)]
PREDICTED = [(8, 4, 3), (16, 4, 3)]
"""Grammars of which more draws are made, to tell them apart."""
MOST = dict.fromkeys([*SMALL, *MORE], 8) | dict.fromkeys(PREDICTED, 16)
GRAMMARS = {
    "smoke": dict.fromkeys(SMALL, 4),
    "laptop": MOST | {LARGE[0]: 2},
    "paper": MOST | dict.fromkeys(LARGE, 2),
}
"""Grammars, and how many draws of each a seed makes."""


def size_arms(profile: str) -> Arms:
    """A scan of sample sizes for each grammar."""
    draws = GRAMMARS[profile]
    arms: dict[str, Any] = {str(p): TheoremConfig(*p, n_draws=n) for p, n in draws.items()}
    arms["over grammars"] = list(arms.values())
    if profile != "smoke":
        arms["over draws"] = [arms[str(p)] for p in PREDICTED]
    return arms


def _curve(draw: dict[str, Any]) -> list[tuple[float, float]]:
    return [(n, max(e, FLOOR)) for n, e in zip(draw["sizes"], draw["errors"], strict=True)]


def scans(found: Result, strength: str = "strength") -> list[tuple[float, float]]:
    r"""Return $mv\,m^L/K_\rho^2$ and the size that was needed, for each draw of a run.

    Where the sizes tried do not cross the level, the latter is nan: of a bound there is no mean.
    """
    v, m, depth = found.config.parameters
    needs = [crossing(_curve(one), LEVEL) for one in found.measurement["draws"]]
    return [
        (v * m ** (depth + 1) / one[strength], math.nan if isinstance(size, Bound) else size)
        for one, size in zip(found.measurement["draws"], needs, strict=True)
    ]


def _over_grammars(combine: Callable[[dict[str, Any]], float]) -> Statistic:
    """Combine $P_0$, mv, and means over draws of the law, of that with mean distances, of sizes."""

    def means(one: Result) -> dict[str, float]:
        v, m, _ = one.config.parameters
        law, size = map(geometric_mean, zip(*scans(one), strict=True))
        typical = geometric_mean([law for law, _ in scans(one, "mean_strength")])
        return {"P_0": one.config.scale, "mv": m * v, "law": law, "typical": typical, "size": size}

    def statistic(runs: Runs) -> dict[int, float]:
        rows = {seed: [*map(means, own)] for seed, own in runs.of("over grammars").items()}
        return {
            seed: combine({name: np.array([float(row[name]) for row in own]) for name in own[0]})
            for seed, own in rows.items()
        }

    return statistic


def _correlation(pairs: Sequence[tuple[float, float]]) -> float:
    return float(np.corrcoef(np.log(pairs).T)[0, 1])


def _over_draws(common: Callable[[Any], float], strength: str = "strength") -> Statistic:
    """Average over grammars what law and size, over draws, have in `common`."""
    return lambda runs: {
        seed: mean([common(scans(one, strength)) for one in own])
        for seed, own in runs.of("over draws").items()
    }


def _share_of_proof(config: TheoremConfig, measurement: dict[str, Any]) -> float:
    r"""The size over the proof's $\kappa v^2m^2sL\log^2(vm\kappa/\delta)K_\rho^{-2}m^L$, without C.

    Here $\kappa=1$, $s=2$, and $\delta=0.1$.
    """
    v, m, depth = config.parameters
    factor = v * m * 2 * depth * math.log(v * m / 0.1) ** 2
    return geometric_mean([n / law for law, n in scans(Result(config, measurement))]) / factor


def _exponent(x: Any, y: Any) -> float:
    return exponent([*zip(x, y, strict=True)])


def _spread(x: Any, y: Any) -> float:
    return float(max(y / x) / min(y / x))


SIZE_STATISTICS = {
    "spread": _over_grammars(lambda g: _spread(g["law"], g["size"])),
    "spread_typical": _over_grammars(lambda g: _spread(g["typical"], g["size"])),
    "spread_alone": _over_grammars(lambda g: _spread(g["P_0"], g["size"])),
    "spread_bound": _over_grammars(lambda g: _spread(g["law"] / g["mv"], g["size"])),
    "slope": _over_grammars(lambda g: _exponent(g["law"], g["size"])),
    "slope_alone": _over_grammars(lambda g: _exponent(g["P_0"], g["size"])),
    "constant": _over_grammars(lambda g: geometric_mean([*(g["size"] / g["law"])])),
    "least_distance": _over_draws(_correlation),
    "mean_distance": _over_draws(_correlation, "mean_strength"),
    "draw_exponent": _over_draws(exponent),
    "share_of_proof": each(_share_of_proof, str(MAIN.parameters)),
}

# --- other learners on the same draws --------------------------------------------------------

BESIDE: dict[str, tuple[dict[str, Any], tuple[float, ...]]] = {
    "Theorem 7": ({}, (2, 3, 4, 6, 8, 12, 16)),
    "the same on one data set": ({"reuse": True}, (1, 1.5, 2, 3, 4, 6, 8)),
    "ridge regression": ({"learner": "ridge"}, (1, 1.5, 2, 3, 4)),
    "layerwise SGD": ({"learner": "layerwise"}, (1, 1.5, 2, 3, 4)),
    "end to end": ({"learner": "network"}, (1, 1.5, 2, 3, 4)),
}
"""What is trained on the first draw of each seed, and the sizes of its (lowest) data set."""


def beside_arms(profile: str) -> Arms:
    """Each learner over sample sizes."""
    if profile == "smoke":
        return {}
    return {name: [at(n, **fields) for n in sizes] for name, (fields, sizes) in BESIDE.items()}


def examples(config: TheoremConfig) -> float:
    """Return all examples that a learner sees, over P_0: of all stages where they are fresh."""
    fresh = config.learner == "theorem" and not config.reuse
    share = sum(config.n_synonyms**-k for k in range(config.n_levels)) if fresh else 1
    return config.n_samples * share / config.scale


def _needed(arm: str) -> Statistic:
    sized = partial(needed, size=examples, value=number("error"), level=LEVEL, floor=FLOOR)
    return lambda runs: {
        seed: found[None] for seed, found in sized(runs, arm, by=lambda config: None).items()
    }


BESIDE_STATISTICS = {
    "size": _needed("Theorem 7"),
    "reused_size": _needed("the same on one data set"),
    "ridge_size": _needed("ridge regression"),
    "layerwise_size": _needed("layerwise SGD"),
    "network_size": _needed("end to end"),
}

# --- lemmas ----------------------------------------------------------------------------------


def lemma_arms(profile: str) -> Arms:
    """Label frequencies and distances on the main grammar, and on a wider one."""
    chosen = (MAIN,) if profile == "smoke" else (MAIN, WIDER)
    return {str(one.parameters): at(16, one, n_draws=100) for one in chosen}


_SHARES = ("printed", "corrected", "equal", "plain")
LEMMA_STATISTICS = {name: each(number(name), str(MAIN.parameters)) for name in _SHARES} | {
    "printed_wide": each(number("printed"), str(WIDER.parameters)),
    "equal_wide": each(number("equal"), str(WIDER.parameters)),
    "signal": each(
        quotient(number("signal"), lambda c, m: mean_signal(*c.parameters)), str(MAIN.parameters)
    ),
}

# --- the proof of one stage ------------------------------------------------------------------


def proof_arms(profile: str) -> Arms:
    """One stage as Lemmas 14 to 16 assume it; a step too small, and tokens too far apart."""
    main = ProofConfig(*MAIN.parameters)
    others = [] if profile == "smoke" else [ProofConfig(8, 2, 3), ProofConfig(16, 4, 3)]
    return {
        "as assumed": [main, *others],
        "main": main,
        "a tenth of the step": replace(main, step=0.1),
        "tokens two bandwidths off": replace(main, noise=2.0),
    }


PROOF_STATISTICS = {
    "rate": each(number("rate"), "as assumed", max),
    "rate_small_step": each(number("rate"), "a tenth of the step"),
    "factor": each(number("factor"), "as assumed", min),
    "factor_loose": each(number("factor"), "tokens two bandwidths off"),
    "cross": each(number("cross"), "as assumed", max),
    "moment": each(number("moment"), "main"),
    "moment_replaced": each(number("replaced"), "main"),
}

SOLVED = "solved in closed form, nothing is trained by steps"
EXPERIMENTS = (
    *(
        Experiment(
            name, CHAPTER, apart(name, arms, SEEDS), measure, statistics, arms, budget=SOLVED
        )
        for name, arms, measure, statistics in (
            ("rhm_theorem_stages", stage_arms, measure_stages, STAGE_STATISTICS),
            ("rhm_theorem_sizes", size_arms, measure_sizes, SIZE_STATISTICS),
            ("rhm_theorem_lemmas", lemma_arms, measure_lemmas, LEMMA_STATISTICS),
            ("rhm_theorem_proof", proof_arms, measure_proof, PROOF_STATISTICS),
        )
    ),
    Experiment(
        "rhm_theorem_beside", CHAPTER,
        lambda profile: grouped(
            "rhm_theorem_beside", beside_arms(profile), dict.fromkeys(BESIDE, FEWER[profile])
        ),
        measure_beside, BESIDE_STATISTICS, beside_arms, budget=("n_steps",),
    ),
)  # fmt: skip
