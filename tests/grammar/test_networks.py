"""Patch networks: gradients, grouping, stages, and the peer's forward pass."""

import pytest
import torch

from hierlearn.engine.seeds import stream
from hierlearn.grammar.networks import (
    BATCH,
    PatchNetworks,
    Shape,
    TrainingSets,
    _Fit,
    forward,
    read_out,
)
from hierlearn.grammar.target import RandomHierarchy

SHAPE = Shape(vocab_size=4, n_classes=4, width=8, patches=(2, 2, 2), fan_in=4)
DENSE = Shape(vocab_size=4, n_classes=4, width=8, patches=(8, 1), fan_in=8)


def grammar(seed):
    return RandomHierarchy.draw(seed, vocab_size=4, n_classes=4, n_synonyms=2, n_levels=3)


def problem(runs):
    """Training sets of (seed, P) runs."""
    draws = [grammar(s).sample_distinct(p, stream("test data", s)) for s, p in runs]
    return TrainingSets(
        torch.cat([x for x, _ in draws]).int(), torch.cat([y for _, y in draws]),
        [p for _, p in runs], [stream(f"test order {p}", s) for s, p in runs],
    )  # fmt: skip


def networks(runs, shape=SHAPE):
    return PatchNetworks(shape, [stream("test layers", s) for s, _ in runs])


def train(runs, **options):
    net = networks(runs)
    head = net.new_head(3)
    found = net.fit(problem(runs), head, lowest=1, **options)
    return [*net.weights, *net.biases, head.weights], found


@pytest.mark.parametrize(
    ("shape", "stage", "lowest"), [(SHAPE, 3, 1), (SHAPE, 2, 2), (DENSE, 2, 1)]
)
def test_hand_written_gradients_are_those_of_autograd(shape, stage, lowest):
    net = networks([(0, 0), (1, 0)], shape)
    for name in ("weights", "biases"):
        setattr(net, name, [t.double() for t in getattr(net, name)])
    net.eye = net.eye.double()
    head = net.new_head(stage)
    head.weights = head.weights.double()
    strings, labels = grammar(0).sample(64, stream("test", 0))
    x, y = strings.int().expand(2, -1, -1), labels.expand(2, -1)[:, :, None]
    job = _Fit(net, TrainingSets(x[0], y[0, :, 0], [64], []), head, lowest)
    job.ones = torch.ones(2, 1, 64 * 4, dtype=torch.float64)
    by_hand = job._gradients(x, y)
    parameters = [p.requires_grad_() for p in job.trained()]
    top = forward_out_of_place(shape, net, x, stage)
    logits = read_out(shape, top, head.weights * 1, 64)
    loss = torch.nn.functional.cross_entropy(logits.mT, y[..., 0], reduction="none").mean(1).sum()
    for mine, tape in zip(by_hand, torch.autograd.grad(loss, parameters), strict=True):
        torch.testing.assert_close(mine, tape, rtol=1e-10, atol=1e-14)


def forward_out_of_place(shape, net, strings, stage):
    """The same network, written in the obvious way."""
    a = torch.nn.functional.one_hot(strings.long(), shape.vocab_size).double()
    for layer in range(stage):
        scale = (shape.width if layer else shape.fan_in) ** -0.5
        patches = a.reshape(len(a), -1, shape.inputs_of(layer))
        a = torch.relu(scale * patches @ net.weights[layer] + 0.1 * net.biases[layer][:, None])
    return a


def test_a_group_trains_exactly_as_its_members_alone_and_drops_finished_runs():
    runs = [(0, 128), (1, 128), (0, 60), (2, 200)]
    together, found = train(runs, n_steps=1200, tolerance=0.02)
    steps = [one["steps"] for one in found]
    assert len(set(steps)) > 1 and min(steps) < 1200
    for r, run in enumerate(runs):
        alone, (one,) = train([run], n_steps=1200, tolerance=0.02)
        assert one == found[r]
        for a, b in zip(together, alone, strict=True):
            assert torch.equal(a[r], b[0])


def test_layers_below_the_lowest_stay_as_they_are():
    runs = [(0, 128)]
    net = networks(runs)
    before = [w.clone() for w in net.weights]
    net.fit(problem(runs), net.new_head(2), lowest=2, n_steps=10)
    changed = [not torch.equal(a, b) for a, b in zip(before, net.weights, strict=True)]
    assert changed == [False, True, False]


def test_an_epoch_holds_every_string_once_and_small_sets_are_repeated():
    sets = problem([(0, 3 * BATCH), (1, 50)])
    epoch = torch.cat([sets.order(0, 2).flatten(), sets.order(0, 1).flatten()])
    assert sorted(epoch.tolist()) == list(range(3 * BATCH))
    small = sets.order(1, 4)
    assert int(small.min()) >= 3 * BATCH and int(small.max()) < 3 * BATCH + 50
    assert small.shape == (4, BATCH)


def test_the_observer_sees_a_run_that_was_dropped_as_it_ended():
    runs = [(0, 128), (2, 200)]
    net, seen = networks(runs), []
    head = net.new_head(3)
    found = net.fit(
        problem(runs), head, lowest=1, n_steps=1500, tolerance=0.02,
        observe=lambda step: seen.append((step, net.weights[0].clone())),
    )  # fmt: skip
    for r, one in enumerate(found):
        for step, weights in seen:
            assert torch.equal(weights[r], net.weights[0][r]) == (step >= one["steps"])


def test_positions_and_inputs_follow_the_tree():
    assert [SHAPE.positions(stage) for stage in (1, 2, 3)] == [4, 2, 1]
    assert [SHAPE.inputs_of(layer) for layer in range(3)] == [8, 16, 16]
    assert [DENSE.positions(stage) for stage in (1, 2)] == [1, 1]
    strings = torch.zeros(1, 5, 8, dtype=torch.int32)
    net = networks([(0, 0)])
    layers = forward(SHAPE, net.eye, net.weights, net.biases, strings, 3)
    assert layers[-1].shape == (1, 5, 8)
