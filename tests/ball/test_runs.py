"""Runs on ball indicators: what a group computes does not depend on its company."""

import math
from dataclasses import replace

import pytest
import torch

from hierlearn.ball import experiments
from hierlearn.ball.config import BallConfig
from hierlearn.ball.runs import measure
from hierlearn.experiment import Group, digest

CPU = torch.device("cpu")
WEAK = BallConfig(
    "trained", "sum", 5, math.sqrt(2), 16, n_steps=60, activation="relu", batch=32, n_test=500
)
STRONG = BallConfig(
    "frozen", "sum", 5, math.sqrt(2), 30, n_steps=40, clip="unit", n_samples=300, rate=1.0,
    momentum=0.99, n_test=500, ridge=True,
)  # fmt: skip


@pytest.mark.parametrize("base", [WEAK, STRONG], ids=["trained", "frozen"])
def test_a_run_measured_in_a_group_agrees_with_the_run_measured_alone(base):
    arms = [base, replace(base, radius=1.2), replace(base, clip="unit")]
    together = measure(Group.of("g", arms, [0, 1]), CPU)
    for index, arm in enumerate(arms):
        alone = measure(Group.of("g", [arm], [1]), CPU)[0]
        assert together[len(arms) + index]["mse"] == pytest.approx(alone["mse"], rel=1e-4)


def test_permuted_labels_teach_nothing():
    config = replace(WEAK, target="permuted", n_steps=400, n_test=4000)
    found = measure(Group.of("g", [config], [0]), CPU)[0]
    assert 0.2 < found["mse"] < 0.35 and abs(found["fractions"][0]) < 0.25


def test_curves_and_profiles_are_kept_only_where_asked_for():
    kept, bare = measure(Group.of("g", [replace(STRONG, curve=True), STRONG], [0]), CPU)
    assert kept["curve"]["step"][-1] == STRONG.n_steps
    assert kept["curve"]["mse"][-1] == pytest.approx(kept["mse"])
    assert kept["converged"] in (True, False) and "converged" not in bare
    assert len(kept["profile"]["mean"]) == len(kept["profile"]["step"]) == 3
    assert "curve" not in bare and "profile" not in bare


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"radius": 2.5}, "inside the support"),
        ({"dim": 1}, "at least 2"),
        ({"width": 0}, "at least 1"),
        ({"n_samples": 0}, "n_samples >= 1"),
        ({"distribution": "uniform", "target": "degree 1", "radius": 1.0}, "'sum' only"),
    ],
)
def test_impossible_runs_are_refused_and_the_error_says_what_is_valid(change, message):
    with pytest.raises(ValueError, match=message):
        replace(STRONG, **change)


@pytest.mark.parametrize("profile", ["smoke", "laptop", "paper"])
def test_no_arm_has_fewer_than_its_seeds(profile):
    for experiment in experiments.EXPERIMENTS:
        runs = [run for one in experiment.groups(profile) for run in one.runs]
        seeds = {digest(run.config): set() for run in runs}
        for run in runs:
            seeds[digest(run.config)].add(run.seed)
        assert all(len(own) >= len(experiments.FEWER[profile]) for own in seeds.values())
