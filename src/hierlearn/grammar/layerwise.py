"""Chapter 4: layerwise, closed-form and shallow learners on Random Hierarchy Models."""

from typing import Any

from hierlearn.experiment import Experiment, Group
from hierlearn.grammar.closed_runs import measure_closed_form
from hierlearn.grammar.config import HierarchyConfig
from hierlearn.grammar.experiments import (
    CHAPTER,
    DEEP,
    DEEP_STATISTICS,
    FEWER,
    MAIN,
    SEEDS,
    SMALL,
    Parameters,
    arms,
    at,
    deep_groups,
    in_grid,
    is_plain,
    no_correlation,
    scale_of,
    strings_of,
)
from hierlearn.grammar.reading import Choice, Value, at_least, each, error, sample_size
from hierlearn.grammar.runs import measure_networks
from hierlearn.statistics import ratio

# --- layer by layer ---------------------------------------------------------------------------

LAYERED: dict[str, list[Parameters]] = {
    "laptop": [SMALL, MAIN],
    "paper": [SMALL, (8, 8, 2, 4), MAIN, (6, 6, 6, 3), (8, 8, 4, 4)],
}
LAYER_STEPS = {"laptop": (1000, 2000), "paper": (4000, 4000)}
LAYER_GRID = (1, 2, 3, 4, 6, 8)


def layer_groups(profile: str) -> list[Group]:
    """Layerwise SGD over sample sizes; random lower layers; the three violations."""
    if profile not in LAYERED:
        return []
    lower, n_steps = LAYER_STEPS[profile]
    schedule = {"lower_steps": lower, "n_steps": n_steps}
    groups = [
        Group.of("rhm_layerwise", arms(p, LAYER_GRID, **schedule), FEWER[profile])
        for p in LAYERED[profile]
    ]
    random = arms(MAIN, (4, 8), control="random lower layers", **schedule)
    broken = [
        *arms(MAIN, (4,), dial="leak", t=0.5, **schedule),
        *arms(MAIN, (4,), dial="xor", **schedule),
    ]
    latin = arms(SMALL, (8,), dial="corrall", t=1.0, **schedule)
    return [
        *groups,
        *(Group.of("rhm_layerwise", chosen, FEWER[profile]) for chosen in (random, broken, latin)),
    ]


def _stage(number: int) -> Value:
    return lambda c, m: float(m["stages"][number - 1])


def _raw(config: HierarchyConfig, measurement: dict[str, Any]) -> float:
    return error(config, measurement) * (1 - 1 / config.n_classes)


def _long(config: HierarchyConfig) -> bool:
    return at(8, MAIN)(config) and is_plain(config)


LAYER_STATISTICS = {
    "size": sample_size(is_plain, scale_of),
    "stage_1": each(_stage(1), _long),
    "stage_2": each(_stage(2), _long),
    "stage_3": each(_stage(3), _long),
    "random_layers": each(error, lambda c: c.control == "random lower layers", min),
    "latin_error": each(error, no_correlation),
    "leak_error": each(error, lambda c: c.dial == "leak"),
    "xor_error": each(_raw, lambda c: c.dial == "xor"),
}

# --- layer by layer, in closed form -----------------------------------------------------------

CLOSED_GRID = (0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8)


def closed_groups(profile: str) -> list[Group]:
    """Clustering and ridge regression over sample sizes, and without correlation."""
    if profile == "smoke":
        return [
            Group.of("rhm_closed_form", arms((8, 8, 2, 4), CLOSED_GRID, learner="clustered"),
                  SEEDS[profile])
        ]  # fmt: skip
    groups = []
    for learner in ("clustered", "ridge"):
        seeds = SEEDS[profile] if learner == "clustered" else FEWER[profile]
        for p in DEEP["laptop"] if learner == "clustered" else ((8, 8, 2, 4), MAIN):
            groups.append(Group.of("rhm_closed_form", arms(p, CLOSED_GRID, learner=learner), seeds))
        latin = arms(SMALL, (4, 8), learner=learner, dial="corrall", t=1.0)
        shuffled = arms(MAIN, (4,), learner=learner, control="shuffled labels")
        groups += [Group.of("rhm_closed_form", latin, FEWER[profile]),
                   Group.of("rhm_closed_form", shuffled, FEWER[profile])]  # fmt: skip
    return groups


def _by(learner: str, parameters: Parameters | None = None) -> Choice:
    return lambda c: (
        c.learner == learner and is_plain(c) and parameters in (None, c.parameters)
    )  # fmt: skip


def _below_full(config: HierarchyConfig) -> bool:
    """Choose the configurations with m < v, where rule draws are rarely degenerate."""
    return config.n_synonyms < config.vocab_size


CLOSED_STATISTICS = {
    "clustered_size": sample_size(lambda c: _by("clustered")(c) and _below_full(c), scale_of),
    "ridge_size": sample_size(lambda c: _by("ridge")(c) and _below_full(c), scale_of),
    "latin_error": each(error, no_correlation, min),
    "shuffled_error": each(error, lambda c: c.control == "shuffled labels", min),
}

# --- shallow learners -------------------------------------------------------------------------

SHALLOW = {
    "laptop": ((6, 32, 64, 120), 6000, (4, 8, 12, 16, 24), 4000),
    "paper": ((2, 6, 16, 32, 64, 96, 120), 20_000, (2, 4, 6, 8, 12, 16, 24, 32), 10_000),
}


def shallow_groups(profile: str) -> list[Group]:
    """Networks that do not know the tree, of one and of three hidden layers."""
    one = {"learner": "fcn1", "width": 256}
    parsed = arms(SMALL, (6,), n_steps=1500, control="parsed tokens", **one)
    if profile == "smoke":
        few = arms(SMALL, (6,), n_steps=1500, **one)
        return [Group.of("rhm_deep", chosen, range(6)) for chosen in (few, parsed)]
    multiples, n_steps, generic, generic_steps = SHALLOW[profile]
    three = {"learner": "fcn3", "width": 128, "n_steps": generic_steps}
    permuted = arms(MAIN, generic, control="permuted positions", **three)
    return [
        *(Group.of("rhm_deep", arms(SMALL, (f,), n_steps=n_steps, **one),
                SEEDS[profile] if f == 6 else FEWER[profile]) for f in multiples),
        Group.of("rhm_deep", parsed, SEEDS[profile]),
        Group.of("rhm_deep", arms(MAIN, generic, **three), FEWER[profile]),
        Group.of("rhm_deep", permuted, FEWER[profile]),
    ]  # fmt: skip


def network_groups(profile: str) -> list[Group]:
    """Deep and shallow networks in one experiment, so that a claim can compare them."""
    return [*deep_groups(profile), *shallow_groups(profile)]


def _permuted(learner: str) -> Choice:
    return lambda c: c.learner == learner and c.control == "permuted positions"


SHALLOW_STATISTICS = {
    "error": each(error, lambda c: at(6, SMALL, learner="fcn1", control="none")(c)),
    "parsed_error": each(error, lambda c: at(6, SMALL, control="parsed tokens")(c)),
    "share": at_least(lambda c: c.learner == "fcn1" and is_plain(c), strings_of),
    "deep_share": sample_size(lambda c: in_grid(c) and c.parameters == SMALL, strings_of),
    "generic_cost": ratio(
        sample_size(lambda c: c.learner == "fcn3" and is_plain(c), scale_of),
        sample_size(lambda c: in_grid(c) and c.parameters == MAIN, scale_of),
    ),
    "generic_size": sample_size(lambda c: c.learner == "fcn3" and is_plain(c), scale_of),
    "generic_permuted": ratio(
        sample_size(_permuted("fcn3"), scale_of),
        sample_size(lambda c: c.learner == "fcn3" and is_plain(c), scale_of),
    ),
}


def kernel_groups(profile: str) -> list[Group]:
    """Tangent-kernel ridge regression over sample sizes, and on parsed tokens."""
    if profile == "smoke":
        return []
    plain = arms(MAIN, (1, 2, 4, 8, 16), learner="kernel")
    parsed = arms(MAIN, (1,), learner="kernel", control="parsed tokens")
    return [
        Group.of("rhm_kernel", plain, FEWER[profile]),
        Group.of("rhm_kernel", parsed, FEWER[profile]),
    ]


KERNEL_STATISTICS = {
    "error": each(error, at(16, control="none")),
    "parsed_error": each(error, at(1, control="parsed tokens")),
}


EXPERIMENTS = (
    Experiment("rhm_layerwise", CHAPTER, layer_groups, measure_networks, LAYER_STATISTICS),
    Experiment("rhm_closed_form", CHAPTER, closed_groups, measure_closed_form, CLOSED_STATISTICS),
    Experiment(
        "rhm_deep",
        CHAPTER,
        network_groups,
        measure_networks,
        {**DEEP_STATISTICS, **SHALLOW_STATISTICS},
    ),
    Experiment("rhm_kernel", CHAPTER, kernel_groups, measure_closed_form, KERNEL_STATISTICS),
)
