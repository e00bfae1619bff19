"""Experiments of chapter 4: identity, groups, statistics, and one small run end to end."""

from types import SimpleNamespace

import pytest
import torch

from hierlearn.experiment import PROFILES, Group, Runs
from hierlearn.grammar.config import HierarchyConfig, draw_problem
from hierlearn.grammar.experiments import (
    CHAPTER,
    exponent_in,
    sample_size,
    sample_sizes,
    sized,
    steps_to_level,
)
from hierlearn.grammar.layerwise_theorem.runs import TheoremConfig
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
                config = TheoremConfig if "theorem" in experiment.name else HierarchyConfig
                assert config(**run.config).as_dict() == run.config


def test_training_and_test_strings_are_different_and_prefixes_of_one_draw():
    small, large = (draw_problem(HierarchyConfig(4, 4, 4, 3, p), 3) for p in (100, 300))
    assert torch.equal(small.test, large.test) and torch.equal(small.train, large.train[:100])
    both = torch.cat([large.train, large.test])
    assert len(torch.unique(both, dim=0)) == len(both)


def test_a_thaw_begins_where_layerwise_training_ended():
    config = HierarchyConfig(
        4, 4, 2, 2, 16, lower_steps=100, n_steps=100, after="thaw", after_steps=100, trace=50,
        n_test=8, width=8,
    )  # fmt: skip
    (found,) = measure_networks(Group.of("test", [config], [0]), CPU)
    assert found["frozen"]["error"] == found["curve"]["error"][0] == found["stages"][-1]
    first = [layer[0] for layer in found["frozen"]["sensitivity"]]
    assert found["curve"]["sensitivity"][0] == first
    assert found["curve"]["step"][0] == 0 and len(found["stages"]) == 2


def runs(points):
    """Records of grammars at sample sizes, with errors: (grammar, P, measurement)."""
    configs = {(g, n): HierarchyConfig(*g, n) for g, n, _ in points}
    records = [
        SimpleNamespace(config=configs[g, n].as_dict(), seed=0, measurement=m) for g, n, m in points
    ]
    return Runs("toy", {"deep": list(configs.values())}, records)


def at(grammar, **errors):
    return [(grammar, int(n[1:]), {"error": e}) for n, e in errors.items()]


def test_the_sample_size_is_where_the_error_crosses_a_tenth_and_a_bound_where_it_does_not():
    crossing = runs(at((4, 4, 4, 3), _256=0.4, _1024=0.025))
    assert sample_sizes(crossing, "deep")[0][(4, 4, 4, 3)] == pytest.approx(512)
    assert sample_size("deep")(crossing)[0] == pytest.approx(2)
    stuck = sample_size("deep")(runs(at((4, 4, 4, 3), _256=0.8, _1024=0.5)))[0]
    assert (stuck, stuck.side) == (pytest.approx(4), "≥")


def test_the_exponents_of_a_planted_law_are_found():
    grammars = [(8, 2, 4, 3), (8, 8, 4, 3), (16, 8, 4, 3), (8, 8, 2, 4), (8, 8, 4, 4)]
    found = []
    for v, n, m, depth in grammars:
        size = 100 * n**0.5 * m ** (0.75 * depth) * v**0.25
        found += at((v, n, m, depth), _1=0.9, **{f"_{round(1000 * size)}": 0.1})
    planted = runs(found)
    fitted = [exponent_in(factor, "deep")(planted)[0] for factor in range(3)]
    assert fitted == pytest.approx([0.5, 0.75, 0.25], abs=1e-4)


def test_steps_to_a_level_that_is_not_reached_are_a_lower_bound():
    curves = {100: [0.9, 0.5, 0.1], 200: [0.9, 0.8, 0.7]}
    first, second = (
        steps_to_level("deep")(
            runs([((4, 4, 4, 3), n, {"curve": {"step": [0, 50, 100], "error": e}})])
        )
        for n, e in curves.items()
    )
    assert first[0] == 100 and not hasattr(first[0], "side")
    assert (second[0], second[0].side) == (100, "≥")


def test_a_run_is_converged_only_where_it_has_fitted_its_data_or_stopped_moving():
    config = HierarchyConfig(4, 4, 2, 2, 16, n_steps=2000, n_test=8, width=8)
    short = HierarchyConfig(4, 4, 2, 2, 16, n_steps=100, n_test=8, width=8)
    (long,) = measure_networks(Group.of("test", [config], [0]), CPU)
    (cut,) = measure_networks(Group.of("test", [short], [0]), CPU)
    assert long["converged"] and long["loss"] < 1e-3
    assert not cut["converged"] and cut["loss"] > 0.05


def test_arms_that_do_not_share_a_network_cannot_form_a_group():
    with pytest.raises(ValueError, match="must share a shape"):
        Group.of("test", [*sized((4, 4, 4, 3), (1,)), *sized((4, 4, 4, 3), (1,), width=8)], [0])
    with pytest.raises(ValueError, match="learner is 'oracle'; valid: 'cnn'"):
        HierarchyConfig(4, 4, 4, 3, 10, learner="oracle")
