r"""Chapter 3: the limits of the failure: wider levels, larger budgets, smaller steps, restarts."""

from dataclasses import replace

from hierlearn.experiment import Arms, Experiment, Group, Runs, every
from hierlearn.quadratic.layerwise.experiments import (
    CHAPTER,
    FEWER,
    SEEDS,
    STEPS_3,
    cost,
    rel,
    three_levels,
)
from hierlearn.quadratic.layerwise.runs import measure
from hierlearn.quadratic.runs import final
from hierlearn.statistics import each, ratio

WIDTHS = {
    "smoke": ((4, 3), (8, 6)),
    "laptop": ((4, 3), (4, 6), (8, 6), (12, 6)),
    "paper": ((4, 3), (4, 6), (8, 6), (12, 6), (16, 6), (20, 6)),
}


def width_arms(profile: str) -> Arms:
    """Staged and greedy training of networks as wide as the target and wider."""
    base = three_levels(profile)
    arms = {
        name: [
            replace(base, learner_widths=widths, look_back=look_back) for widths in WIDTHS[profile]
        ]
        for name, look_back in {"staged": None, "greedy": 1}.items()
    }
    return {**arms, "greedy, narrowest": arms["greedy"][0], "greedy, widest": arms["greedy"][-1]}


def width_groups(profile: str) -> list[Group]:
    """A group for every width, with both arms."""
    arms = width_arms(profile)
    pairs = zip(arms["staged"], arms["greedy"], strict=True)
    return [Group.of("width", pair, SEEDS[profile]) for pair in pairs]


def _least_cost(runs: Runs) -> dict[int, float]:
    """The smallest ratio of greedy to staged error over the widths."""
    errors = [
        {seed: {c.learner_widths: rel(c, m) for c, m in own} for seed, own in runs.of(name).items()}
        for name in ("greedy", "staged")
    ]
    greedy, staged = errors
    return {s: min(own[w] / staged[s][w] for w in own) for s, own in greedy.items()}


WIDTH_STATISTICS = {
    "least_cost": _least_cost,
    "softening": cost("greedy, narrowest", "greedy, widest"),
    "staged_worst": each(final("rel"), "staged", max),
}

RATES = (1e-2, 3e-3, 1e-3)
N_RESTARTS = 4


def remedy_arms(profile: str) -> Arms:
    """Greedy training with smaller steps and from other starts; with four times the budget."""
    if profile == "smoke":
        return {}
    base = replace(three_levels(profile), look_back=1)
    third, n_steps = STEPS_3[profile]
    longer = replace(base, opens=(0, 4 * third), n_steps=4 * n_steps)
    return {
        "greedy": base,
        "smaller steps": [replace(base, rate=rate) for rate in RATES[1:]],
        "restarts": [replace(base, restart=n) for n in range(1, N_RESTARTS)],
        "longer": longer,
        "staged, longer": replace(longer, look_back=None),
    }


def remedy_groups(profile: str) -> list[Group]:
    """One group with the plain budget, and one with four times as much."""
    arms = remedy_arms(profile)
    parts = (("greedy", "smaller steps", "restarts"), ("longer", "staged, longer"))
    return [
        Group.of("greedy_remedies", every(arms, *part), FEWER[profile]) for part in parts if arms
    ]


REMEDY_STATISTICS = {
    "longer": cost("longer", "greedy"),
    "smaller_steps": ratio(each(rel, "smaller steps", min), each(rel, "greedy")),
    "restarts": ratio(each(rel, "restarts", min), each(rel, "greedy")),
    "staged_longer": each(rel, "staged, longer"),
}

EXPERIMENTS = (
    Experiment("width", CHAPTER, width_groups, measure, WIDTH_STATISTICS, width_arms),
    Experiment("greedy_remedies", CHAPTER, remedy_groups, measure, REMEDY_STATISTICS, remedy_arms),
)
