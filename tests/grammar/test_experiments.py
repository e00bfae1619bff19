"""Experiments of chapter 4: identity, groups, statistics, and one small run end to end."""

from types import SimpleNamespace

import pytest
import torch

from hierlearn.experiment import PROFILES, Group, Runs
from hierlearn.grammar.config import HierarchyConfig, draw_problem
from hierlearn.grammar.experiments import (
    CHAPTER,
    at_least,
    sample_size,
    sample_sizes,
    scale_of,
    sized,
)
from hierlearn.grammar.runs import measure_networks
from hierlearn.registry import EXPERIMENTS

CPU = torch.device("cpu")
OURS = [e for e in EXPERIMENTS.values() if e.chapter == CHAPTER]


@pytest.mark.parametrize("experiment", OURS, ids=lambda e: e.name)
def test_every_configuration_survives_json_and_no_run_is_listed_twice(experiment):
    for profile in PROFILES:
        keys = [run.key for one in experiment.groups(profile) for run in one.runs]
        assert len(set(keys)) == len(keys)
        for one in experiment.groups(profile):
            for run in one.runs:
                assert HierarchyConfig(**run.config).as_dict() == run.config


def test_training_and_test_strings_are_different_and_prefixes_of_one_draw():
    small, large = (draw_problem(HierarchyConfig(4, 4, 4, 3, p), 3) for p in (100, 300))
    assert torch.equal(small.test, large.test) and torch.equal(small.train, large.train[:100])
    both = torch.cat([large.train, large.test])
    assert len(torch.unique(both, dim=0)) == len(both)


def test_parsed_tokens_determine_the_label():
    problem = draw_problem(HierarchyConfig(4, 4, 4, 3, 500, control="parsed tokens"), 1)
    code = problem.train[:, 0].long() * 4 + problem.train[:, 1]
    joint = torch.bincount(code * 4 + problem.labels, minlength=64).view(16, 4)
    assert problem.train.shape[1] == 2
    assert bool(((joint > 0).sum(1) <= 1).all())


def test_a_thaw_begins_where_layerwise_training_ended():
    config = HierarchyConfig(
        4, 4, 2, 2, 16, lower_steps=50, n_steps=50, after="thaw", after_steps=100, trace=50,
        n_test=8, width=8,
    )  # fmt: skip
    (found,) = measure_networks(Group.of("test", [config], [0]), CPU)
    assert found["frozen"]["error"] == found["curve"]["error"][0] == found["stages"][-1]
    first = [layer[0] for layer in found["frozen"]["sensitivity"]]
    assert found["curve"]["sensitivity"][0] == first
    assert found["curve"]["step"][0] == 0 and len(found["stages"]) == 2


def runs(sizes_and_errors):
    configs = {n: HierarchyConfig(4, 4, 4, 3, n) for n, _ in sizes_and_errors}
    records = [
        SimpleNamespace(config=configs[n].as_dict(), seed=0, measurement={"error": e})
        for n, e in sizes_and_errors
    ]
    return Runs("toy", {"deep": list(configs.values())}, records)


def test_the_sample_size_is_where_the_error_crosses_a_tenth():
    crossing = runs([(256, 0.4), (1024, 0.025)])
    assert sample_sizes(crossing, "deep")[0][(4, 4, 4, 3)] == pytest.approx(512)
    assert sample_size("deep")(crossing)[0] == pytest.approx(2)
    stuck = runs([(256, 0.8), (1024, 0.5)])
    assert at_least("deep", scale_of)(stuck)[0] == 4
    assert at_least("deep", scale_of)(runs([(256, 0.8)])) == {}


def test_arms_that_do_not_share_a_network_cannot_form_a_group():
    with pytest.raises(ValueError, match="must share a shape"):
        Group.of("test", [*sized((4, 4, 4, 3), (1,)), *sized((4, 4, 4, 3), (1,), width=8)], [0])
    with pytest.raises(ValueError, match="learner is 'oracle'; valid: 'cnn'"):
        HierarchyConfig(4, 4, 4, 3, 10, learner="oracle")
