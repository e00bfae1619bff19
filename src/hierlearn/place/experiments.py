"""Chapter 9: the map, learners by tasks, its statistics, and the conditions of every task."""

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from hierlearn.experiment import Arms, Experiment, Runs, apart
from hierlearn.place.references import TOLD as TOLD  # for the figures
from hierlearn.place.references import references
from hierlearn.place.runs import (
    MEASURED,
    PLANTED,
    ConditionsConfig,
    MapConfig,
    measure,
    measure_conditions,
)
from hierlearn.place.tasks import SEEDS, Task, tasks
from hierlearn.place.walk import passed, rank
from hierlearn.statistics import Statistic, at_least, crossing, each, number, quotient, ratio

CHAPTER = "09_who_learns_what"
LEARNERS = tuple(references())
TASKS: Mapping[str, Task] = tasks("paper")
LEAST = 10
"""Errors are raised to the threshold over this, before sizes are interpolated."""


ABSENT: Mapping[str, tuple[str, ...]] = {
    "smoke": tuple(
        name for name in TASKS if name not in ("quadratic-2", "quadratic-3", "parity-4")
    ),
    "laptop": (
        "original-3",
        "quadratic-4",
        "perceptron, quadratic-2",
        "kernel ridge, grammar-flat",
        "dense network, grammar-flat",
        "feature machine, images",
        "forest, images",
        *(
            f"{one}, {task}"
            for one in ("feature machine", "boosting", "perceptron", "thawed")
            for task in ("grammar", "grammar-flat", "grammar-xor")
        ),
    ),
    "paper": (),
}
"""Tasks, and cells, that a profile has no time for. None of these cells was a task's best."""
FEW = ("kernel ridge", "feature machine", "forest", "greedy", "staged")
"""Learners of the smoke profile."""


def arms(profile: str) -> Arms:
    """Every learner on every task that it is for; the cheater also on fresh test points."""
    found = {}
    every = references()
    chosen = [every[name] for name in (FEW if profile == "smoke" else every)]
    for task in tasks(profile).values():
        if task.name in ABSENT[profile]:
            continue
        for learner in (*chosen, *PLANTED.values()):
            if learner.takes(task) and f"{learner.name}, {task.name}" not in ABSENT[profile]:
                one = MapConfig(task.name, learner.name, task.ladder, task.n_test)
                found[f"{learner.name}, {task.name}"] = one
        cheater = found[f"cheater, {task.name}"]
        found[f"cheater caught, {task.name}"] = replace(cheater, salt="fresh")
    return found


def condition_arms(profile: str) -> Arms:
    """One an arm: every task that has hidden features to speak of."""
    known = [task for task in TASKS.values() if task.family in MEASURED]
    return {
        one.name: ConditionsConfig(one.name) for one in known if one.name not in ABSENT[profile]
    }


def interpolated(found: dict[str, Any]) -> float:
    """Return the size at which the error crosses the threshold, log-log between rungs.

    A bound where no rung was passed, or already the first; a failure counts as not passed.
    """
    level = found["threshold"]
    if not passed(found):  # the next rung was refused, or there was none
        return at_least(float(found["sizes"][-1])) if found["sizes"] else math.nan
    points = zip(found["sizes"], found["errors"], strict=True)
    return crossing([(n, max(error, level / LEAST)) for n, error in points], level)


def walks(runs: Runs, *names: str) -> dict[int, list[dict[str, Any]]]:
    """Return the walks of some arms by seed."""
    return {seed: [m for _, m in own] for seed, own in runs.of(*names).items()}


def fewest(task: str, *learners: str) -> Statistic:
    """Make the statistic of what the best of some learners needs on a task, see `interpolated`."""

    def statistic(runs: Runs) -> dict[int, float]:
        arms = [f"{learner}, {task}" for learner in learners]
        return {seed: min(map(interpolated, own)) for seed, own in walks(runs, *arms).items()}

    return statistic


def others(task: str, *absent: str) -> list[str]:
    """List the learners that are not told the architecture and are for a task, but for some."""
    every = references()
    free = [one for one in every.values() if not one.told and one.takes(TASKS[task])]
    return [one.name for one in free if one.name not in absent]


def behind(runs: Runs, learner: str) -> dict[int, float]:
    """Count the learners that rank behind another, over all tasks, by seed."""
    counts: dict[int, float] = {}
    for task in TASKS:
        own = walks(runs, f"{learner}, {task}") if f"{learner}, {task}" in runs.arms else {}
        arms = [arm for one in LEARNERS if (arm := f"{one}, {task}") in runs.arms]
        for seed, found in walks(runs, *arms).items():
            place = rank(own[seed][0])
            counts[seed] = counts.get(seed, 0) + sum(rank(m) > place for m in found)
    return counts


def _first_errors(runs: Runs, *, planted: str, combine: Any) -> dict[int, float]:
    """Combine the errors on first rungs where points do not come again: bits and images do."""
    endless = [one.name for one in TASKS.values() if one.family in ("quadratic", "ball")]
    arms = [arm for task in endless if (arm := f"{planted}, {task}") in runs.arms]
    return {seed: combine(m["errors"][0] for m in own) for seed, own in walks(runs, *arms).items()}


def lead(task: str, learner: str, *absent: str) -> Statistic:
    """Make the statistic of what the best not told, but for some, needs over what another does."""
    return ratio(fewest(task, *others(task, learner, *absent)), fewest(task, learner))


def last_error(learner: str, task: str) -> Statistic:
    """Make the statistic of the error on the last rung that was tried."""
    return each(number("errors", -1), f"{learner}, {task}")


def excess(learner: str, task: str) -> Statistic:
    """Make the statistic of the error on the last rung that was tried, over the threshold."""
    return each(quotient(number("errors", -1), number("threshold")), f"{learner}, {task}")


def over(task: str, learner: str, other: str) -> Statistic:
    """Make the statistic of what a learner needs over what another one does."""
    return ratio(fewest(task, learner), fewest(task, other))


STATISTICS: dict[str, Statistic] = {
    "constant": partial(behind, learner="constant"),
    "caught": partial(_first_errors, planted="cheater caught", combine=min),
    "uncaught": partial(_first_errors, planted="cheater", combine=max),
    "greedy_three": excess("greedy", "quadratic-3"),
    "staged_three": excess("staged", "quadratic-3"),
    "machine_three": lead("quadratic-3", "feature machine"),
    "layers_three": lead("quadratic-3", "two layers"),
    "layers_parity": lead("parity-4", "two layers"),
    "kernel_parity": lead("parity-4", "kernel ridge"),
    "told_grammar": lead("grammar", "joint"),
    "told_three": lead("quadratic-3", "joint"),
    "greedy_flat": last_error("greedy", "grammar-flat"),
    "joint_flat": last_error("joint", "grammar-flat"),
    "greedy_xor": over("grammar-xor", "greedy", "joint"),
    "greedy_grammar": over("grammar", "greedy", "joint"),
    "free_xor": each(
        number("errors", -1), tuple(f"{one}, grammar-xor" for one in others("grammar-xor")), min
    ),
    "joint_xor": last_error("joint", "grammar-xor"),
    "kernel_ball": lead("ball", "kernel ridge", "feature machine"),
    "layers_ball": lead("ball", "two layers"),
}

CONDITION_STATISTICS = {
    "outer_three": each(number("outer"), "quadratic-3"),
    "margin_grammar": each(number("margin"), "grammar"),
}

EXPERIMENTS = (
    Experiment(
        "map", CHAPTER, apart("map", arms, SEEDS), measure, STATISTICS, arms,
        ("effort",),
    ),
    Experiment(
        "map_conditions", CHAPTER, apart("map_conditions", condition_arms, SEEDS),
        measure_conditions, CONDITION_STATISTICS, condition_arms,
        budget="computed, nothing is trained",
    ),
)  # fmt: skip
