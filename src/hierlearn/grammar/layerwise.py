"""Chapter 4: layerwise, closed-form and shallow learners on Random Hierarchy Models."""

from typing import Any

from hierlearn.experiment import Arms, Experiment, Group, every
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
    at,
    at_least,
    deep_arms,
    deep_groups,
    error,
    sample_size,
    sized,
    strings_of,
)
from hierlearn.grammar.runs import measure_networks
from hierlearn.statistics import each, number, ratio

# --- layer by layer ---------------------------------------------------------------------------

LAYERED: dict[str, list[Parameters]] = {
    "laptop": [SMALL, MAIN],
    "paper": [SMALL, (8, 8, 2, 4), MAIN, (6, 6, 6, 3), (8, 8, 4, 4)],
}
LAYER_STEPS = {"laptop": (1000, 2000), "paper": (4000, 4000)}
LAYER_GRID = (1, 2, 3, 4, 6, 8)


def layer_arms(profile: str) -> Arms:
    """Layerwise SGD over sample sizes; random lower layers; the three violations."""
    if profile not in LAYERED:
        return {}
    lower, n_steps = LAYER_STEPS[profile]
    schedule = {"lower_steps": lower, "n_steps": n_steps}
    by_size = {str(p): sized(p, LAYER_GRID, **schedule) for p in LAYERED[profile]}
    return {
        **by_size,
        "random lower layers": sized(MAIN, (4, 8), control="random lower layers", **schedule),
        "leak": sized(MAIN, (4,), dial="leak", t=0.5, **schedule),
        "xor": sized(MAIN, (4,), dial="xor", **schedule),
        "no correlation": sized(SMALL, (8,), dial="corrall", t=1.0, **schedule),
        "layerwise": [one for found in by_size.values() for one in found],
        "layerwise at 8 P_0": at(8, by_size[str(MAIN)]),
    }


def layer_groups(profile: str) -> list[Group]:
    """A group for each grammar, one for the random layers, and two for the violations."""
    arms = layer_arms(profile)
    if not arms:
        return []
    parts = [[str(p)] for p in LAYERED[profile]]
    parts += [["random lower layers"], ["leak", "xor"], ["no correlation"]]
    return [Group.of("rhm_layerwise", every(arms, *part), FEWER[profile]) for part in parts]


def _raw(config: HierarchyConfig, measurement: dict[str, Any]) -> float:
    return error(config, measurement) * (1 - 1 / config.n_classes)


LAYER_STATISTICS = {
    "size": sample_size("layerwise"),
    "stage_1": each(number("stages", 0), "layerwise at 8 P_0"),
    "stage_3": each(number("stages", 2), "layerwise at 8 P_0"),
    "random_layers": each(error, "random lower layers", min),
    "latin_error": each(error, "no correlation"),
    "leak_error": each(error, "leak"),
    "xor_error": each(_raw, "xor"),
}

# --- layer by layer, in closed form -----------------------------------------------------------

CLOSED_GRID = (0.5, 0.75, 1, 1.5, 2, 3, 4, 6, 8)


def closed_arms(profile: str) -> Arms:
    """Clustering and ridge regression over sample sizes, and without correlation."""
    if profile == "smoke":
        found = sized((8, 8, 2, 4), CLOSED_GRID, learner="clustered")
        names = ("clustered, (8, 8, 2, 4)", "clustered, m < v", "clustered over sizes")
        return dict.fromkeys(names, found)
    arms: dict[str, Any] = {}
    for learner, grammars in CLOSED.items():
        by_size = {f"{learner}, {p}": sized(p, CLOSED_GRID, learner=learner) for p in grammars}
        arms |= by_size
        arms[f"{learner}, no correlation"] = sized(
            SMALL, (4, 8), learner=learner, dial="corrall", t=1.0
        )
        arms[f"{learner}, shuffled labels"] = sized(
            MAIN, (4,), learner=learner, control="shuffled labels"
        )
        arms[f"{learner} over sizes"] = [one for found in by_size.values() for one in found]
        # With m = v rule draws are often degenerate.
        arms[f"{learner}, m < v"] = [
            one for found in by_size.values() for one in found if one.n_synonyms < one.vocab_size
        ]
    return arms


CLOSED: dict[str, list[Parameters]] = {
    "clustered": DEEP["laptop"], "ridge": [(8, 8, 2, 4), MAIN],
}  # fmt: skip


def closed_groups(profile: str) -> list[Group]:
    """A group for each learner and grammar, and one for each control."""
    arms = closed_arms(profile)
    few = ("ridge", "clustered, no", "clustered, shuffled")
    return [
        Group.of(
            "rhm_closed_form",
            every(arms, name),
            (FEWER if name.startswith(few) else SEEDS)[profile],
        )
        for name in arms
        if not name.endswith(("m < v", "over sizes"))
    ]


CLOSED_STATISTICS = {
    "clustered_size": sample_size("clustered, m < v"),
    "ridge_size": sample_size("ridge, m < v"),
    "latin_error": each(error, ("clustered, no correlation", "ridge, no correlation"), min),
    "shuffled_error": each(error, ("clustered, shuffled labels", "ridge, shuffled labels"), min),
}

# --- shallow learners -------------------------------------------------------------------------

SHALLOW = {
    "laptop": ((6, 32, 64, 120), 6000, (4, 8, 12, 16, 24), 4000),
    "paper": ((2, 6, 16, 32, 64, 96, 120), 20_000, (2, 4, 6, 8, 12, 16, 24, 32), 10_000),
}


def shallow_arms(profile: str) -> dict[str, Any]:
    """Networks that do not know the tree, of one and of three hidden layers."""
    one = {"learner": "fcn1", "width": 256}
    parsed = sized(SMALL, (6,), n_steps=1500, control="parsed tokens", **one)
    if profile == "smoke":
        few = sized(SMALL, (6,), n_steps=1500, **one)
        return {"one hidden layer": few, "one hidden layer at 6 P_0": few, "parsed tokens": parsed}
    multiples, n_steps, generic, generic_steps = SHALLOW[profile]
    three = {"learner": "fcn3", "width": 128, "n_steps": generic_steps}
    found = sized(SMALL, multiples, n_steps=n_steps, **one)
    return {
        "one hidden layer": found,
        "one hidden layer at 6 P_0": at(6, found),
        "parsed tokens": parsed,
        "three hidden layers": sized(MAIN, generic, **three),
        "three hidden layers, permuted": sized(
            MAIN, generic, control="permuted positions", **three
        ),
    }


def network_arms(profile: str) -> Arms:
    """Deep and shallow networks in one experiment, so that a claim can compare them."""
    return deep_arms(profile) | shallow_arms(profile)


def network_groups(profile: str) -> list[Group]:
    """A group for each grammar of the deep networks, and for each size of the shallow ones."""
    arms, seeds = network_arms(profile), SEEDS[profile]
    groups = deep_groups(profile, arms)
    if profile == "smoke":
        names = ("one hidden layer", "parsed tokens")
        return groups + [Group.of("rhm_deep", every(arms, name), range(6)) for name in names]
    reference = every(arms, "one hidden layer at 6 P_0")
    for one in every(arms, "one hidden layer"):
        groups.append(Group.of("rhm_deep", [one], seeds if one in reference else FEWER[profile]))
    groups.append(Group.of("rhm_deep", every(arms, "parsed tokens"), seeds))
    for name in ("three hidden layers", "three hidden layers, permuted"):
        groups.append(Group.of("rhm_deep", every(arms, name), FEWER[profile]))
    return groups


SHALLOW_STATISTICS = {
    "error": each(error, "one hidden layer at 6 P_0"),
    "parsed_error": each(error, "parsed tokens"),
    "share": at_least("one hidden layer", strings_of),
    "deep_share": sample_size(f"deep, {SMALL}, up to 6 P_0", strings_of),
    "generic_cost": ratio(
        sample_size("three hidden layers"), sample_size(f"deep, {MAIN}, up to 6 P_0")
    ),
    "generic_permuted": ratio(
        sample_size("three hidden layers, permuted"), sample_size("three hidden layers")
    ),
}


def kernel_arms(profile: str) -> Arms:
    """Tangent-kernel ridge regression over sample sizes, and on parsed tokens."""
    if profile == "smoke":
        return {}
    plain = sized(MAIN, (1, 2, 4, 8, 16), learner="kernel")
    return {
        "kernel": plain,
        "kernel, parsed tokens": sized(MAIN, (1,), learner="kernel", control="parsed tokens"),
        "kernel at 16 P_0": plain[-1],
    }


def kernel_groups(profile: str) -> list[Group]:
    """A group over the sizes, and one on parsed tokens."""
    arms = kernel_arms(profile)
    names = ("kernel", "kernel, parsed tokens") if arms else ()
    return [Group.of("rhm_kernel", every(arms, name), FEWER[profile]) for name in names]


KERNEL_STATISTICS = {
    "error": each(error, "kernel at 16 P_0"),
    "parsed_error": each(error, "kernel, parsed tokens"),
}

EXPERIMENTS = (
    Experiment(
        "rhm_layerwise", CHAPTER, layer_groups, measure_networks, LAYER_STATISTICS, layer_arms
    ),
    Experiment(
        "rhm_closed_form", CHAPTER, closed_groups, measure_closed_form, CLOSED_STATISTICS,
        closed_arms,
    ),
    Experiment(
        "rhm_deep", CHAPTER, network_groups, measure_networks,
        {**DEEP_STATISTICS, **SHALLOW_STATISTICS}, network_arms,
    ),
    Experiment(
        "rhm_kernel", CHAPTER, kernel_groups, measure_closed_form, KERNEL_STATISTICS, kernel_arms
    ),
)  # fmt: skip
