r"""Chapter 6: what learners without depth reach on the same samples.

Two experiments: the staged network on a pool of N samples, and the simple learners on the same
pools. Index dimension is $r=\sum_lk_l$ without the top level's mixing: the number of directions of
x that the target depends on.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hierlearn.experiment import Arms, Experiment, Group, every
from hierlearn.quadratic import runs as quadratic
from hierlearn.quadratic.config import QuadraticConfig
from hierlearn.quadratic.runs import final
from hierlearn.quadratic.simpler import runs as simple
from hierlearn.quadratic.simpler.runs import ALL_KERNELS, SimpleConfig
from hierlearn.statistics import each, number, ratio

CHAPTER = "06_simpler_algorithms"
SEEDS = {"smoke": range(4), "laptop": range(8), "paper": range(16)}
FEWER = {"smoke": range(4), "laptop": range(5), "paper": range(16)}
N_SAMPLES = {"smoke": 1000, "laptop": 2000, "paper": 2000}
MORE = {"laptop": (4000,), "paper": (4000, 8000)}
GAPS_3, GAPS_4 = (1, 0.2), (1, 0.2, 0.04)
THREE, FOUR = (4, 3), (4, 3, 2)
MAP_3 = ((4, 3), (6, 4), (8, 5), (10, 6), (12, 8))
MAP_4 = {
    "laptop": ((4, 3, 2), (8, 5, 3)),
    "paper": ((4, 3, 2), (6, 4, 2), (8, 5, 3), (12, 8, 4)),
}
WIDE = ((10, 6), (12, 8))
MAP_N = {"laptop": (1000, 2000), "paper": (1000, 2000, 4000)}
DIMS = {"laptop": (10, 40), "paper": (10, 40, 80)}
STEPS_3 = {"smoke": (800, 3000), "laptop": (1500, 6000), "paper": (1500, 6000)}
STEPS_4 = {
    "smoke": (800, 2400, 5000),
    "laptop": (1200, 4000, 9000),
    "paper": (1200, 4000, 9000),
}
KERNELS = {"smoke": ("poly2", "poly4", "rbf2.5"), "laptop": ALL_KERNELS, "paper": ALL_KERNELS}
FEW_KERNELS = ("poly2", "poly4", "rbf2.5")
UNITS, TRAIN_STEPS = 256, 3000
POLY_3, POLY_4 = (1, 2, 4), (1, 2, 4, 8)
POLY_RATE, GELU_RATE = 0.01, 0.03


def gaps_of(widths: Sequence[int]) -> tuple[float, ...]:
    """Return the gaps that go with a target of that many levels."""
    return GAPS_3 if len(widths) == 2 else GAPS_4


# --- the deep network on a pool ---------------------------------------------------------------


def deep(profile: str, widths: Sequence[int], n_samples: int, **fields: Any) -> QuadraticConfig:
    """Return the staged run on a pool."""
    opens = (STEPS_3 if len(widths) == 2 else STEPS_4)[profile]
    return QuadraticConfig(
        **{
            "dim": 20, "widths": widths, "gaps": gaps_of(widths), "opens": (0, *opens[:-1]),
            "n_steps": opens[-1], "n_samples": n_samples, **fields,
        }
    )  # fmt: skip


DEPTHS = {"three levels": THREE, "four levels": FOUR}


def deep_arms(profile: str) -> Arms:
    """Staged training on pools: both depths, permuted labels, the dimensions, and the map."""
    n_samples = N_SAMPLES[profile]
    three = deep(profile, THREE, n_samples)
    arms: dict[str, Any] = {
        "three levels": three,
        "permuted": replace(three, target="permuted"),
        "four levels": deep(profile, FOUR, n_samples),
    }
    others = [replace(three, dim=dim) for dim in DIMS.get(profile, ())]
    arms["over dimensions"] = [three, *others]
    sizes = MAP_N.get(profile, (n_samples,))
    targets = (*MAP_3, *MAP_4[profile]) if profile in MAP_4 else (THREE, FOUR)
    arms["over the map"] = [deep(profile, w, n) for w in targets for n in sizes]
    arms["three levels, every N"] = [c for c in arms["over the map"] if c.widths == THREE]
    arms["wide targets"] = [
        c for c in arms["over the map"] if c.widths in WIDE and c.n_samples == n_samples
    ]
    return arms


def deep_groups(profile: str) -> list[Group]:
    """One group with the permuted labels, and one for each other configuration."""
    arms = deep_arms(profile)
    pair = every(arms, "three levels", "permuted")
    more = [one for one in every(arms) if one not in pair and one != arms["four levels"]]
    return [
        Group.of("deep_pool", pair, SEEDS[profile]),
        Group.of("deep_pool", [arms["four levels"]], SEEDS[profile]),
        *(Group.of("deep_pool", [one], FEWER[profile]) for one in more),
    ]


DEEP_STATISTICS = {
    "three_levels": each(final("rel"), "three levels, every N", max),
    "four_levels": each(final("rel"), "four levels"),
    "permuted": each(final("rel"), "permuted"),
    # The largest error, for the seeds that have every dimension.
    "over_dimensions": each(final("rel"), "over dimensions", max, complete=True),
    "wide_targets": each(final("rel"), "wide targets", max),
}

# --- the simple learners ----------------------------------------------------------------------


def two_layer(config: SimpleConfig, powers: Sequence[int]) -> SimpleConfig:
    """Turn a run into one of a two-layer network, by powers or (none given) GELU."""
    rate = POLY_RATE if powers else GELU_RATE
    return replace(
        config, learner="two-layer", powers=powers, width=UNITS, rate=rate, n_steps=TRAIN_STEPS
    )


def machine(config: SimpleConfig, degree: int = 4) -> SimpleConfig:
    """Turn a run into one of the recursive feature machine."""
    return replace(config, learner="feature machine", degree=degree, n_updates=4, kernels=())


def learners(profile: str, widths: Sequence[int]) -> dict[str, SimpleConfig]:
    """Return all learners on one target at the reference number of samples, by name."""
    kernels = KERNELS[profile] if len(widths) == 2 else FEW_KERNELS
    base = SimpleConfig(
        "kernel", N_SAMPLES[profile], widths=widths, gaps=gaps_of(widths), kernels=kernels
    )
    bare = replace(base, kernels=())
    chosen = {
        "kernel": base,
        "predictions": replace(bare, learner="predictions"),
        "eigen ×1": replace(bare, learner="eigenfeatures", factor=1),
        "eigen ×2": replace(bare, learner="eigenfeatures", factor=2),
        "feature machine": machine(base),
    }
    if profile != "smoke":
        chosen["two layers"] = two_layer(bare, POLY_3 if len(widths) == 2 else POLY_4)
    return chosen


def simple_arms(profile: str) -> Arms:
    """All learners on both depths; more samples, other dimensions and targets; the map.

    A name says the learner, and what is not as in the other runs. "every N" and "over ..." hold
    several runs, "simple" those of all learners with at most 2000 samples.
    """
    arms: dict[str, Any] = {
        f"{name}, {depth}": one
        for depth, widths in DEPTHS.items()
        for name, one in learners(profile, widths).items()
    }
    three = [arms["kernel, three levels"]]
    if profile == "smoke":
        low = SimpleConfig("kernel", N_SAMPLES[profile], dim=8, kernels=("poly4",))
        more: dict[str, Any] = {"kernel, low dimension": low}
    else:
        more = _more_samples(profile) | _other_dimensions(profile)
        more |= _map(profile)
        more["kernel, low dimension"] = more[f"kernel, d = {DIMS[profile][0]}"]
        more["kernel over dimensions"] = [*three, *_named(more, "kernel, d = ")]
        more["kernel on level 2"] = _named(more, "kernel on level 2, d = ")
    for depth, widths in DEPTHS.items():
        found = [one for one in every(arms | more) if _is_reference(one, widths)]
        more[f"simple, {depth}"] = [one for one in found if one.n_samples <= 2000]
        more[f"kernel, {depth}, every N"] = [one for one in found if one.learner == "kernel"]
    return arms | more


def _named(arms: dict[str, Any], start: str) -> list[Any]:
    return every(arms, *(name for name in arms if name.startswith(start)))


def _is_reference(one: SimpleConfig, widths: Sequence[int]) -> bool:
    """Say whether a run is on the hierarchy of these widths, with its gaps, in dimension 20."""
    return (one.target, one.widths, one.gaps, one.dim) == (
        "hierarchy", tuple(widths), gaps_of(widths), 20,
    )  # fmt: skip


def _more_samples(profile: str) -> dict[str, Any]:
    """Return the feature machine's other runs on four levels, and what has more samples."""
    base = SimpleConfig("kernel", N_SAMPLES[profile], kernels=FEW_KERNELS)
    bare = replace(base, kernels=())
    four = replace(base, widths=FOUR, gaps=GAPS_4)
    arms: dict[str, Any] = {
        "feature machine without level 4": machine(replace(four, gaps=(1, 0.2, 0))),
        "feature machine of degree 8": machine(four, degree=8),
    }
    for n in MORE[profile]:
        shallow = replace(bare, target="two-layer", n_samples=n)
        arms |= {
            f"kernel, N = {n}": replace(base, n_samples=n, kernels=("poly4",)),
            f"two layers, N = {n}": two_layer(replace(bare, n_samples=n), POLY_3),
            f"GELU, N = {n}": two_layer(replace(bare, n_samples=n), ()),
            f"two layers on two layers, N = {n}": two_layer(shallow, POLY_3),
            f"GELU on two layers, N = {n}": two_layer(shallow, ()),
        }
    return arms


def _other_dimensions(profile: str) -> dict[str, Any]:
    """Return the kernels in other dimensions, on the whole target and on its level 2 alone."""
    base = SimpleConfig("kernel", N_SAMPLES[profile], kernels=FEW_KERNELS)
    quadratic_only = replace(base, target="level 2 only", kernels=("poly2",))
    arms: dict[str, Any] = {}
    for dim in (20, *DIMS[profile]):
        arms[f"kernel on level 2, d = {dim}"] = replace(quadratic_only, dim=dim)
        if dim != 20:
            arms[f"kernel, d = {dim}"] = replace(base, dim=dim)
    return arms


def _map(profile: str) -> dict[str, Any]:
    """Return the feature machine and the eigen-features over index dimension, depth and N."""
    runs = []
    for widths in (*MAP_3, *MAP_4[profile]):
        for n in MAP_N[profile]:
            at = SimpleConfig("eigenfeatures", n, widths=widths, gaps=gaps_of(widths), factor=1)
            runs += [machine(replace(at, factor=0)), at]
    if profile == "laptop":
        runs.append(machine(SimpleConfig("feature machine", 4000, widths=MAP_3[-1])))
    machines, eigen = runs[::2], runs[1::2]
    few = [one for one in machines if one.n_samples == N_SAMPLES[profile]]
    return {
        "the map": runs,
        "feature machine over the map": machines,
        "eigen ×1 over the map": eigen,
        "feature machine, r = 7 and 10": [c for c in few if c.widths in MAP_3[:2]],
        "feature machine, r = 16 and 20": [c for c in few if c.widths in WIDE],
        **{
            f"feature machine, r = 20, N = {c.n_samples}": c
            for c in machines
            if c.widths == MAP_3[-1]
        },
    }


def simple_groups(profile: str) -> list[Group]:
    """A group for each configuration; the learners on both depths have more seeds."""
    most = [one for widths in DEPTHS.values() for one in learners(profile, widths).values()]
    return [
        Group.of("simple_learners", [one], (SEEDS if one in most else FEWER)[profile])
        for one in every(simple_arms(profile))
    ]


def _last_over_first(config: SimpleConfig, measurement: dict[str, Any]) -> float:
    return final("rel")(config, measurement) / float(measurement["stage"][0])


SIMPLE_STATISTICS = {
    "kernel": each(final("rel"), "kernel, three levels, every N", min),
    "kernel_in_low_dimension": each(final("rel"), "kernel, low dimension", min),
    "kernel_in_40": each(final("rel"), "kernel, d = 40"),
    "kernel_40_over_20": ratio(
        each(final("rel"), "kernel, d = 40"), each(final("rel"), "kernel, three levels")
    ),
    "kernel_on_quadratic": each(final("rel"), "kernel on level 2", max),
    "predictions_over_first": each(_last_over_first, "predictions, three levels"),
    "eigenfeatures_over_first": each(_last_over_first, "eigen ×2, three levels"),
    "machine": each(final("rel"), "feature machine, three levels"),
    "machine_without_update": each(number("round", 0), "feature machine, three levels"),
    "machine_small_index": each(final("rel"), "feature machine, r = 7 and 10", max, complete=True),
    "machine_large_index": each(final("rel"), "feature machine, r = 16 and 20", min, complete=True),
    "machine_more_samples": ratio(
        each(final("rel"), "feature machine, r = 20, N = 4000"),
        each(final("rel"), "feature machine, r = 20, N = 2000"),
    ),
    "best_three_levels": each(final("rel"), "simple, three levels", min),
    "best_four_levels": each(final("rel"), "simple, four levels", min),
    "machine_on_four_levels": each(final("rel"), "feature machine, four levels"),
    "machine_of_degree_8": each(final("rel"), "feature machine of degree 8"),
    "machine_without_level_4": each(final("rel"), "feature machine without level 4"),
    "gelu_over_powers": ratio(
        each(final("rel"), "GELU, N = 4000"), each(final("rel"), "two layers, N = 4000")
    ),
    "gelu_over_powers_shallow": ratio(
        each(final("rel"), "GELU on two layers, N = 4000"),
        each(final("rel"), "two layers on two layers, N = 4000"),
    ),
}

EXPERIMENTS = (
    Experiment("deep_pool", CHAPTER, deep_groups, quadratic.measure, DEEP_STATISTICS, deep_arms),
    Experiment(
        "simple_learners", CHAPTER, simple_groups, simple.measure, SIMPLE_STATISTICS, simple_arms
    ),
)
