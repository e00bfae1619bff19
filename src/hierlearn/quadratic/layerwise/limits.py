r"""Chapter 3: the limits of the failure: wider levels, larger budgets, smaller steps, restarts."""

from collections.abc import Sequence
from dataclasses import replace

from hierlearn.experiment import Experiment, Group, Measured, Statistic
from hierlearn.quadratic.layerwise.experiments import (
    CHAPTER,
    FEWER,
    SEEDS,
    STEPS_3,
    at,
    looks,
    rel,
    three_levels,
)
from hierlearn.quadratic.layerwise.runs import measure
from hierlearn.quadratic.reading import Choice, each, final, rows
from hierlearn.statistics import ratio

WIDTHS = {
    "smoke": ((4, 3), (8, 6)),
    "laptop": ((4, 3), (4, 6), (8, 6), (12, 6)),
    "paper": ((4, 3), (4, 6), (8, 6), (12, 6), (16, 6), (20, 6)),
}


def width_groups(profile: str) -> list[Group]:
    """Staged and greedy training of networks wider than the target: a group for every width."""
    base = three_levels(profile)
    groups = []
    for widths in WIDTHS[profile]:
        arms = [replace(base, learner_widths=widths, look_back=k) for k in (None, 1)]
        groups.append(Group.of("width", arms, SEEDS[profile]))
    return groups


def _width_gain(records: Sequence[Measured]) -> dict[int, float]:
    """Greedy error at the target's width over that at the widest."""
    widest = max(tuple(c.learner_widths or ()) for r in rows(records).values() for c, _ in r)
    narrow = each(rel, lambda c: c.look_back == 1 and c.learner_widths == c.widths)
    wide = each(rel, lambda c: c.look_back == 1 and c.learner_widths == widest)
    return ratio(narrow, wide)(records)


def _least_cost(records: Sequence[Measured]) -> dict[int, float]:
    """The smallest ratio of greedy to staged error over the widths."""
    widths = {c.learner_widths for r in rows(records).values() for c, _ in r}
    ratios = [
        ratio(
            each(rel, at(looks(1), learner_widths=w)), each(rel, at(looks(None), learner_widths=w))
        )(records)
        for w in widths
    ]
    return {seed: min(found[seed] for found in ratios) for seed in ratios[0]}


WIDTH_STATISTICS = {
    "least_cost": _least_cost,
    "softening": _width_gain,
    "staged_worst": each(final("rel"), looks(None), max),
}

RATES = (1e-2, 3e-3, 1e-3)
N_RESTARTS = 4


def budget_groups(profile: str) -> list[Group]:
    """Greedy training with smaller steps and from other starts; with four times the budget."""
    if profile == "smoke":
        return []
    base = replace(three_levels(profile), look_back=1)
    arms = [replace(base, rate=r) for r in RATES]
    arms += [replace(base, restart=n) for n in range(1, N_RESTARTS)]
    third, n_steps = STEPS_3[profile]
    longer = replace(base, opens=(0, 4 * third), n_steps=4 * n_steps)
    arms_longer = [longer, replace(longer, look_back=None)]
    return [
        Group.of("greedy_remedies", arms, FEWER[profile]),
        Group.of("greedy_remedies", arms_longer, FEWER[profile]),
    ]


def _remedy(choice: Choice) -> Statistic:
    """The best error that a remedy reaches, over that of the plain greedy run."""

    def statistic(records: Sequence[Measured]) -> dict[int, float]:
        runs = rows(records)
        found = {}
        for seed, group_ in runs.items():
            shortest = min(c.n_steps for c, _ in group_)
            plain = min(
                rel(c, m) for c, m in group_
                if c.n_steps == shortest and c.restart == 0 and c.rate == RATES[0]
            )  # fmt: skip
            found[seed] = min(rel(c, m) for c, m in group_ if choice(c)) / plain
        return found

    return statistic


def _longest(records: Sequence[Measured], look_back: int | None) -> dict[int, float]:
    steps = max(c.n_steps for r in rows(records).values() for c, _ in r)
    return each(rel, at(looks(look_back), n_steps=steps))(records)


def _longer_over_plain(records: Sequence[Measured]) -> dict[int, float]:
    steps = min(c.n_steps for r in rows(records).values() for c, _ in r)
    plain = each(rel, at(looks(1), n_steps=steps, restart=0, rate=RATES[0]))(records)
    return {seed: value / plain[seed] for seed, value in _longest(records, 1).items()}


REMEDY_STATISTICS = {
    "longer": _longer_over_plain,
    "smaller_steps": _remedy(lambda c: c.rate < RATES[0]),
    "restarts": _remedy(lambda c: c.restart > 0),
    "staged_longer": lambda records: _longest(records, None),
}

EXPERIMENTS = (
    Experiment("width", CHAPTER, width_groups, measure, WIDTH_STATISTICS),
    Experiment("greedy_remedies", CHAPTER, budget_groups, measure, REMEDY_STATISTICS),
)
