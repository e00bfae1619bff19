import json
from dataclasses import replace

import pytest
import torch

from hierlearn.experiment import PROFILES, Group, every
from hierlearn.quadratic.runs import QuadraticConfig, measure
from hierlearn.registry import EXPERIMENTS

SMALL = QuadraticConfig(
    dim=8, widths=(3, 2), gaps=(1, 0.2), opens=(0, 40), n_steps=120, n_test=300, curve=True
)
CPU = torch.device("cpu")


def first(*arms, seeds=(1,)):
    return measure(Group.of("test", arms, seeds), CPU)


@pytest.mark.parametrize("profile", PROFILES)
def test_every_run_belongs_to_one_group_and_its_config_survives_json(profile):
    keys = [run.key for e in EXPERIMENTS.values() for g in e.groups(profile) for run in g.runs]
    assert len(keys) == len(set(keys)) > 0
    for config in (c for e in EXPERIMENTS.values() for c in every(e.arms(profile))):
        assert type(config)(**json.loads(json.dumps(config.as_dict()))) == config


@pytest.mark.parametrize("profile", PROFILES)
def test_no_quadratic_run_is_trained_twice_under_two_names(profile):
    mine = [e for e in EXPERIMENTS.values() if e.measure is measure]
    runs = [
        (str(sorted(r.config.items())), r.seed)
        for e in mine
        for g in e.groups(profile)
        for r in g.runs
    ]
    assert len(runs) == len(set(runs))


def test_profiles_differ_in_sizes_not_in_experiments_that_the_paper_profile_lacks():
    for experiment in EXPERIMENTS.values():
        if experiment.groups("laptop"):
            assert experiment.groups("paper"), experiment.name


def test_the_same_group_measures_the_same_bit_for_bit():
    arms = [SMALL, replace(SMALL, look_back=1)]
    assert first(*arms, seeds=(1, 2)) == first(*arms, seeds=(1, 2))


def test_a_measurement_hardly_depends_on_the_arms_and_seeds_beside_it():
    beside = first(SMALL, replace(SMALL, gaps=(1, 0.4)), seeds=(1, 2))[0]
    alone = first(SMALL)[0]
    # float32 and another shape of matrix product: equal to rounding before chaos sets in
    assert beside["before"]["40"]["rel"] == pytest.approx(alone["before"]["40"]["rel"], rel=1e-3)
    assert beside["plateau"]["gram2"] == pytest.approx(alone["plateau"]["gram2"], rel=1e-5)


def test_errors_are_measured_just_before_a_stage_and_at_the_end():
    result = first(SMALL)[0]
    assert set(result["before"]) == {"40"}
    assert result["curve"]["step"][0] == 0 and result["curve"]["step"][-1] == 120
    assert result["curve"]["rel"][-1] == result["final"]["rel"]
    assert len(result["curve"]["step"]) <= 60


def test_levels_two_and_three_are_learned_and_the_greedy_network_stalls():
    base = replace(SMALL, opens=(0, 300), n_steps=1500)
    staged, greedy, permuted = first(
        base, replace(base, look_back=1), replace(base, target="permuted")
    )
    assert staged["final"]["rel"] < 1e-5 < greedy["final"]["rel"]
    assert permuted["final"]["rel"] > 0.9


def test_a_diverging_run_is_recorded_as_such_and_does_not_harm_the_others():
    base = replace(SMALL, optimizer="sgd", opens=(0, 0), lower_rate=0.0)
    base = replace(base, n_steps=400)
    good, bad = first(replace(base, rate=0.01), replace(base, rate=10.0))
    assert set(bad["final"].values()) == {None}
    assert not bad["converged"]
    assert good["final"]["rel"] < 1


def test_the_oracle_is_the_truth_up_to_rotation_and_stays_frozen():
    oracle = first(replace(SMALL, look_back=1, oracle=True))[0]
    assert oracle["final"]["gram2"] < 1e-6 < oracle["before"]["40"]["gram2"]


def test_a_config_has_a_gap_for_each_level():
    with pytest.raises(ValueError, match="one entry a level; got 2, 3 and 2"):
        replace(SMALL, gaps=(1, 0.2, 0.1))


def test_a_run_has_converged_when_it_is_exact_or_no_longer_moves():
    done, stuck, moving = first(
        replace(SMALL, opens=(0, 300), n_steps=3000),
        replace(SMALL, opens=(0, None), n_steps=3000),
        replace(SMALL, opens=(0, 300), n_steps=3000, rate=1e-3),
    )
    assert done["converged"] and done["final"]["rel"] < 1e-6
    assert stuck["converged"] and stuck["final"]["rel"] > 1e-4
    assert not moving["converged"]
