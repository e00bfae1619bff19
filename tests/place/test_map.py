"""The map's statistics on made-up walks: who needs what, who ranks last, what is only a bound."""

import math
from types import SimpleNamespace

import matplotlib.pyplot as plt
import pytest
import torch

from hierlearn.drawing.figures import style
from hierlearn.experiment import Group, every
from hierlearn.intervals import Bound
from hierlearn.place import figures
from hierlearn.place.experiments import (
    ABSENT,
    EXPERIMENTS,
    STATISTICS,
    TASKS,
    arms,
    behind,
    fewest,
    interpolated,
    others,
)
from hierlearn.place.runs import ConditionsConfig, measure_conditions
from hierlearn.place.tasks import tasks

MAP, CONDITIONS = EXPERIMENTS


def walked(errors, threshold=0.1, first=64, rungs=6, failure=None):
    sizes = [first * 2**i for i in range(len(errors))]
    return {"sizes": sizes, "errors": list(errors), "threshold": threshold, "failure": failure,
            "fits": len(errors), "rungs": rungs}  # fmt: skip


def records(**walks):
    """Records of the laptop profile: every cell as the constant, but for those given by name."""
    found = []
    for name, config in arms("laptop").items():
        one = walks.get(name.replace(", ", "__").replace(" ", "_").replace("-", "_"))
        for seed in range(3):
            m = one or walked([1.0] * len(config.ladder), first=config.ladder[0])
            found.append(SimpleNamespace(config=config.as_dict(), seed=seed, measurement=m))
    return MAP.runs("laptop", found)


def test_a_size_is_interpolated_between_rungs_and_a_bound_at_the_ends():
    between = interpolated(walked([1.0, 0.4, 0.05]))
    assert not isinstance(between, Bound)
    assert 128 < between < 256
    assert interpolated(walked([1.0, 0.1001, 0.01])) == pytest.approx(128, rel=0.01)
    never, at_once = interpolated(walked([1.0] * 6)), interpolated(walked([0.01]))
    assert (float(never), never.side) == (2048, "≥")
    assert (float(at_once), at_once.side) == (64, "≤")
    assert math.isnan(interpolated(walked([], failure="it refused")))
    refused = interpolated(walked([1.0, 0.5], failure="it refused"))
    assert (float(refused), refused.side) == (128, "≥")


def test_the_least_of_several_is_no_bound_because_another_one_is():
    runs = records(kernel_ridge__quadratic_3=walked([1.0, 0.4, 0.05]))
    found = fewest("quadratic-3", "kernel ridge", "forest")(runs)
    assert set(found) == {0, 1, 2}
    assert not isinstance(found[0], Bound)
    assert isinstance(fewest("quadratic-3", "forest")(runs)[0], Bound)


def test_who_is_told_is_none_of_the_others():
    assert "staged" not in others("quadratic-3")
    assert "dense network" in others("grammar")
    assert "dense network" not in others("quadratic-3")
    assert "forest" not in others("ball", "forest")


def test_nobody_ranks_behind_the_constant_unless_somebody_fails():
    assert behind(records(), "constant") == {0: 0, 1: 0, 2: 0}
    failed = records(forest__ball=walked([1.0, 1.0], failure="it refused"))
    assert behind(failed, "constant")[0] == 1
    passed = records(neighbors__ball=walked([1.0, 0.01]))
    assert behind(passed, "neighbors")[0] > 5


def test_the_cheater_counts_as_caught_by_its_smallest_error_on_any_task():
    runs = records(cheater__ball=walked([0.0]), cheater_caught__ball=walked([0.95, 0.9]))
    assert STATISTICS["caught"](runs)[0] == 0.95
    assert STATISTICS["uncaught"](runs)[0] == 1.0


def test_every_learner_meets_every_task_that_it_is_for_and_the_profiles_differ_in_sizes():
    names = set(arms("laptop"))
    assert {f"neighbors, {name}" for name in TASKS if name not in ABSENT["laptop"]} <= names
    assert not {name for name in ABSENT["laptop"] if ", " in name} & names
    assert set(ABSENT["laptop"]) <= set(TASKS) | set(arms("paper"))
    assert "staged, grammar" not in names
    assert "joint, grammar-xor" in names
    for profile in ("smoke", "laptop"):
        ladders = {one.ladder for one in every(arms(profile))}
        assert ladders <= {task.ladder for task in tasks(profile).values()}


def test_conditions_know_which_of_them_a_task_breaks():
    def of(name):
        (found,) = measure_conditions(
            Group.of("c", [ConditionsConfig(name)], [9800]), torch.device("cpu")
        )
        return found

    assert of("quadratic-2")["signal"] == pytest.approx(1, abs=0.1)
    three = of("quadratic-3")
    assert three["inner"] > 0.2
    assert 0 < three["outer"] < 0.1 < three["margin"]
    assert of("parity-4")["signal"] == 0 < of("staircase-3")["signal"]
    assert of("grammar")["margin"] == pytest.approx(1)
    assert of("grammar-flat")["signal"] == 0 < of("grammar-xor")["signal"]
    assert of("grammar-xor")["margin"] is None  # two parents cannot be told apart


def test_the_picture_says_who_passes_where_and_the_table_who_leads():
    runs = records(
        kernel_ridge__ball=walked([1.0, 0.4, 0.05]), forest__ball=walked([1.0] * 5 + [0.05])
    )
    with style():
        drawn = figures.who_learns_what(runs)
    plt.close("all")
    assert "ball: kernel ridge at 3.9 (2 of 7 pass" in drawn.alt
    assert "parity-4: nobody (0 of 7 pass" in drawn.alt
    table = figures.winners(runs)
    assert "<td>ball</td><td>kernel ridge</td><td>256</td><td>forest</td><td>3.0 *</td>" in table
    assert "<td>parity of 4 bits</td><td>nobody</td><td>&gt;2048</td>" in table


def test_the_steered_map_counts_who_has_learned_by_a_rung():
    runs = records(kernel_ridge__ball=walked([1.0, 0.4, 0.05]))
    steered = figures.steer_samples(runs)
    first, last = (steered.states[rung, "not told"].text for rung in (0, 5))
    assert "kernel ridge has learned 0 of 8" in first
    assert "kernel ridge has learned 1 of 8" in last
