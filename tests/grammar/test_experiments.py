"""Experiments of chapter 4: statistics, and small runs end to end."""

import math
from functools import partial
from types import SimpleNamespace

import pytest
import torch

from hierlearn.experiment import Group, Runs
from hierlearn.grammar.config import HierarchyConfig, draw_problem
from hierlearn.grammar.experiments import exponent_of, sample_size, sample_sizes, steps_to_level
from hierlearn.grammar.networks import PatchNetworks, Shape
from hierlearn.grammar.runs import measure_networks
from hierlearn.grammar.target import RandomHierarchy
from hierlearn.grammar.trees import LocalNetworks, TreeConfig, draw_tree, measure_trees

CPU = torch.device("cpu")


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


def test_a_sample_size_that_rests_on_a_network_which_has_not_fitted_is_a_bound():
    p, ends = (4, 4, 4, 3), ((256, 0.9), (512, 0.5), (1024, 0.02))
    for unfitted, side in ((256, None), (512, "≤"), (1024, None)):
        own = [(p, n, {"error": e, "converged": n != unfitted}) for n, e in ends]
        found = sample_sizes(runs(own), "deep")[0][p]
        assert getattr(found, "side", None) == side
        assert found == 1024 if side else 512 < found < 1024


def test_the_exponent_of_a_planted_law_is_found_and_none_of_a_bound():
    found = []
    for n in (2, 4, 8):
        found += at((8, n, 4, 3), _1=0.9, **{f"_{round(100_000 * n**0.7)}": 0.1})
    fitted = partial(exponent_of, arm="deep", size=lambda c: c.n_classes)
    assert fitted(runs(found))[0] == pytest.approx(0.7, abs=1e-4)
    assert math.isnan(fitted(runs([*found, *at((8, 16, 4, 3), _1=0.9)]))[0])


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


def test_trees_of_three_train_and_test_on_different_strings_with_the_labels_of_their_grammar():
    config = TreeConfig(4, 4, 3, 2, 3, 60, n_test=40)
    train, labels, test, truth = draw_tree(config, 1)
    grammar = RandomHierarchy.draw(
        1, vocab_size=4, n_classes=4, n_synonyms=3, n_levels=2, branching=3
    )
    assert train.shape == (60, 9) and len(torch.unique(torch.cat([train, test]), dim=0)) == 100
    assert torch.equal(grammar.parse(train)[0], labels)
    assert torch.equal(grammar.parse(test)[0], truth)


def test_own_weights_that_are_equal_compute_what_shared_ones_do_and_can_fit():
    shape = Shape(4, 3, 8, (3, 2), 4)
    generators = [torch.Generator().manual_seed(s) for s in (1, 2)]
    net = PatchNetworks(shape, generators)
    head = net.new_head(2)
    local = LocalNetworks(shape, generators, CPU)
    with torch.no_grad():
        for layer, q in enumerate((2, 1)):
            local.weights[layer].copy_(net.weights[layer].repeat_interleave(q, 0))
            local.biases[layer].copy_(net.biases[layer].repeat_interleave(q, 0)[:, None])
        local.head.copy_(head.weights)
    x = torch.randint(4, (2, 7, 6), generator=generators[0])
    assert torch.allclose(local.logits(x), net.logits(x, head), atol=1e-6)
    (found,) = measure_trees(
        Group.of("t", [TreeConfig(4, 2, 2, 2, 3, 20, shared=False, width=8, n_test=9)], [0]), CPU
    )
    assert found["converged"] and found["loss"] < 1e-3 and 0 <= found["error"] <= 2
