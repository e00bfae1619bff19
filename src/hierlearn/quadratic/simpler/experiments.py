r"""Chapter 6: what learners without depth reach on the same samples, beside the staged network.

Index dimension is $r=\sum_lk_l$ without the top level's mixing: the number of directions of x that
the target depends on. All arms of a profile have the same seeds. `narrow_layers` has two-layer
networks of few units, beside the certificate of rank.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hierlearn.experiment import Arms, Experiment, apart
from hierlearn.quadratic.runs import final
from hierlearn.quadratic.simpler.narrow import NarrowConfig, measure_narrow
from hierlearn.quadratic.simpler.runs import SimpleConfig, measure
from hierlearn.statistics import each, number, quotient, ratio

CHAPTER = "06_simpler_algorithms"
SEEDS = {"smoke": range(4), "laptop": range(8), "paper": range(16)}
N_SAMPLES = {"smoke": 1000, "laptop": 2000, "paper": 2000}
DEPTHS = {"three levels": (4, 3), "four levels": (4, 3, 2)}
WIDER = {"laptop": ((4, 3), (8, 5), (10, 6)), "paper": ((4, 3), (6, 4), (8, 5), (10, 6))}
N_WIDER = 1000
N_QUADRATIC = 10_000
STEPS = {
    "smoke": {2: (800, 3000), 3: (800, 2400, 5000)},
    "laptop": {2: (1500, 6000), 3: (1200, 4000, 9000)},
    "paper": {2: (2000, 16_000), 3: (1200, 4000, 9000)},
}
KERNELS = ("poly4", "poly2", "rbf2.5", "ntk1")
N_KERNELS = {"smoke": (2, 1), "laptop": (4, 2), "paper": (4, 4)}
UNITS, TRAIN_STEPS, POWERS = 256, 3000, (1, 2, 4, 8)
MANY, MANY_STEPS = 32_000, {"laptop": 2500, "paper": 4000}
POWER_RATE, GELU_RATE = 0.01, 0.03


def learners(profile: str, widths: Sequence[int], n_samples: int) -> dict[str, SimpleConfig]:
    """Return every learner on one target, by name, and what the best quadratic leaves."""
    *opens, n_steps = STEPS[profile][len(widths)]
    base = SimpleConfig("kernel", n_samples, widths=widths, gaps=(1, 0.2, 0.04)[: len(widths)])
    layers = replace(base, learner="two-layer", width=UNITS, n_steps=TRAIN_STEPS)
    return {
        "staged": replace(base, learner="staged", opens=(0, *opens), n_steps=n_steps),
        "feature machine": replace(base, learner="feature machine", degree=4, n_updates=4),
        "eigen ×1": replace(base, learner="eigenfeatures", factor=1),
        "eigen ×2": replace(base, learner="eigenfeatures", factor=2),
        "predictions": replace(base, learner="predictions"),
        "powers": replace(layers, powers=POWERS[: len(widths) + 1], rate=POWER_RATE),
        "GELU": replace(layers, rate=GELU_RATE),
        "kernel": replace(base, kernels=KERNELS[: N_KERNELS[profile][len(widths) - 2]]),
        "best quadratic": replace(base, learner="quadratic", n_samples=N_QUADRATIC),
    }


LAYERS = {
    "smoke": (), "laptop": ("powers, four levels",),
    "paper": ("powers, three levels", "GELU, three levels", "powers, four levels"),
}  # fmt: skip
"""The two-layer networks of a profile."""
SOLVED = ("feature machine", "eigen ×1", "eigen ×2", "predictions", "kernel")
OVER_R = ("staged", "feature machine", "best quadratic")


def arms(profile: str) -> Arms:
    """All learners on both depths; some over r; controls, and more samples."""
    found: dict[str, Any] = {}
    for depth, widths in DEPTHS.items():
        own = learners(profile, widths, N_SAMPLES[profile])
        own = {f"{name}, {depth}": one for name, one in own.items()}
        found |= {k: c for k, c in own.items() if not c.width or k in LAYERS[profile]}
        found[f"solved, {depth}"] = [found[f"{name}, {depth}"] for name in SOLVED]
    three, four = (found[f"staged, {depth}"] for depth in DEPTHS)
    found["permuted"] = replace(three, target="permuted")
    found["level 4 shut"] = replace(four, opens=(*four.opens[:-1], None))
    found["kernel, low dimension"] = replace(
        found["kernel, three levels"], kernels=("poly4",), dim=8 if profile == "smoke" else 10
    )
    if profile == "paper":
        found["machine of degree 8"] = replace(found["feature machine, four levels"], degree=8)
    if profile != "smoke":
        found[f"powers, N = {MANY}"] = replace(
            found["powers, four levels"], n_samples=MANY, n_steps=MANY_STEPS[profile]
        )
        found[f"level 4 shut, N = {MANY}"] = replace(found["level 4 shut"], n_samples=MANY)
        for name in OVER_R:
            at = [learners(profile, widths, N_WIDER)[name] for widths in WIDER[profile]]
            found |= {f"{name} over r": at, f"{name}, r = 13 and 16": at[-2:]}
    return found


REL = final("rel")
STATISTICS = {
    "staged": each(REL, "staged, three levels"),
    "permuted": each(REL, "permuted"),
    "kernel_over_quadratic": ratio(
        each(REL, "kernel, three levels"), each(REL, "best quadratic, three levels")
    ),
    "kernel_in_low_dimension": each(REL, "kernel, low dimension"),
    "predictions_over_first": ratio(
        each(REL, "predictions, three levels"),
        each(number("stage", 0), "predictions, three levels"),
    ),
    "eigenfeatures_over_first": ratio(
        each(REL, "eigen ×2, three levels"), each(number("stage", 0), "eigen ×2, three levels")
    ),
    "machine": each(REL, "feature machine, three levels"),
    "machine_without_update": each(number("round", 0), "feature machine, three levels"),
    "machine_wide": each(REL, "feature machine, r = 13 and 16", min),
    "staged_wide": each(REL, "staged, r = 13 and 16", max),
    "solved_over_shut": ratio(each(REL, "solved, four levels", min), each(REL, "level 4 shut")),
    "staged_over_shut": ratio(each(REL, "staged, four levels"), each(REL, "level 4 shut")),
    "powers_over_shut": ratio(
        each(REL, f"powers, N = {MANY}"), each(REL, f"level 4 shut, N = {MANY}")
    ),
    "few_powers_over_shut": ratio(each(REL, "powers, four levels"), each(REL, "level 4 shut")),
}

# --- two layers of few units --------------------------------------------------------------------

NARROW_STEPS = {"smoke": 300, "laptop": 600, "paper": 4000}
FEW_UNITS = {"smoke": (1, 2), "laptop": (1, 2, 4), "paper": (1, 2, 4)}
NARROW_DIMS = {"fourth powers": 8, "three levels": 20}
"""Fourth powers of that many coordinates: from as many units on, the certificate is void."""


def narrow_arms(profile: str) -> Arms:
    """Both activations on both targets over the width, and powers where it is void, or nearly."""

    def make(target: str, activation: str, width: int) -> NarrowConfig:
        return NarrowConfig(target, NARROW_DIMS[target], activation, width, NARROW_STEPS[profile])

    found: dict[str, Any] = {
        f"{target}, {activation}": [make(target, activation, r) for r in FEW_UNITS[profile]]
        for target in NARROW_DIMS
        for activation in ("polynomial", "GELU")
    }
    one, two, *_ = found["three levels, polynomial"]
    if profile != "smoke":
        found |= {f"{target}, eight units": make(target, "polynomial", 8) for target in NARROW_DIMS}
    return found | {"one unit": one, "two units": two}


_over_certificate = quotient(number("rel"), number("certificate"))

NARROW_STATISTICS = {
    "least_over_certificate": each(
        _over_certificate,
        tuple(f"{t}, {a}" for t in NARROW_DIMS for a in ("polynomial", "GELU")),
        min,
    ),
    "two_over_certificate_of_one": ratio(
        each(number("rel"), "two units"), each(number("certificate"), "one unit")
    ),
    "powers_over_certificate": each(_over_certificate, "fourth powers, polynomial", max),
    "gelu_over_certificate": each(_over_certificate, "fourth powers, GELU", min),
}

EXPERIMENTS = (
    Experiment(
        "narrow_layers", CHAPTER, apart("narrow_layers", narrow_arms, SEEDS), measure_narrow,
        NARROW_STATISTICS, narrow_arms, ("n_steps",),
    ),
    Experiment(
        "simple_learners", CHAPTER, apart("simple_learners", arms, SEEDS), measure, STATISTICS,
        arms, ("n_steps", "opens"),
    ),
)  # fmt: skip
