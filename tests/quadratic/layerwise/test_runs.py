"""Freezing, look-back, the free readout and the switched target of the layerwise experiments."""

from dataclasses import replace

import pytest
import torch

from hierlearn.engine.seeds import stream
from hierlearn.experiment import Group
from hierlearn.quadratic import runs
from hierlearn.quadratic.config import QuadraticConfig
from hierlearn.quadratic.networks import QuadraticNetworks
from hierlearn.quadratic.protocols import Protocol, compile_plan
from hierlearn.quadratic.target import QuadraticTeachers
from hierlearn.quadratic.training import Batches, Loop, Task

CPU = torch.device("cpu")
SHORT = QuadraticConfig(
    dim=6, widths=(3, 2), gaps=(1, 0.3), opens=(0, 20), n_steps=60, batch=32, n_test=100
)


def measured(*arms: QuadraticConfig, seeds=(7,)) -> list[dict]:
    return runs.measure(Group.of("test", arms, seeds), CPU)


def watched(
    *protocols: Protocol, widths=(3, 2, 2), n_steps=40, readout=False
) -> tuple[Loop, QuadraticNetworks, dict[int, torch.Tensor], dict[int, torch.Tensor]]:
    """Train on a small target; keep parameters and moments at every step."""
    gaps = (1.0, 0.3, 0.1)[: len(widths)]
    teachers = QuadraticTeachers.draw([5], dim=6, widths=widths, skip=0.8)
    amplitudes = teachers.amplitudes(torch.tensor([[gaps]]).expand(1, len(protocols), -1))
    net = QuadraticNetworks(1, len(protocols), dim=6, widths=widths, readout=readout)
    net.initialize([5])
    target = torch.zeros(1, len(protocols), 2 * len(widths) + 1)
    target[:, :, : len(widths)] = amplitudes
    plan = compile_plan(protocols, [gaps] * len(protocols), n_steps)
    loop = Loop(net, Task(teachers, [5], amplitudes, target), plan, batch=16)
    weights, moments = {}, {}

    def observe(step: int) -> None:
        weights[step] = net.theta.clone()
        moments[step] = torch.stack([loop._adam.first, loop._adam.second])

    loop.run(observe, range(n_steps + 1))
    return loop, net, weights, moments


@pytest.mark.parametrize("look_back", [1, 2])
def test_a_frozen_level_keeps_its_weights_and_its_moments_bit_for_bit(look_back):
    opens = (0, 10, 20)
    _, net, weights, moments = watched(Protocol(opens=opens, look_back=look_back))
    for level, start in enumerate(opens):
        owned = net.owner == level
        frozen_from = [*opens, 10**9][level + look_back] if level + look_back < 3 else 40
        for step in (start, frozen_from):
            assert torch.equal(weights[step][owned], weights[min(step, 40)][owned])
        assert torch.equal(weights[frozen_from][owned], weights[40][owned])
        assert torch.equal(moments[frozen_from][:, owned], moments[40][:, owned])
        assert not torch.equal(weights[start][owned], weights[frozen_from][owned])


def test_a_level_that_is_shut_does_not_move_nor_gather_moments():
    _, net, weights, moments = watched(Protocol(opens=(0, 10, 20)))
    for level, start in enumerate((0, 10, 20)):
        owned = net.owner == level
        assert torch.equal(weights[0][owned], weights[start][owned])
        assert not moments[start][:, owned].any()


def test_thawed_levels_move_again_from_the_thaw_on():
    _, net, *kept = watched(Protocol(opens=(0, 10, 20), look_back=1, thaw=30))
    first = net.owner == 0
    for seen in kept:
        assert torch.equal(seen[10][..., first], seen[30][..., first])
        assert not torch.equal(seen[30][..., first], seen[31][..., first])


def test_looking_back_at_every_level_is_staged_training():
    staged, full = measured(SHORT, replace(SHORT, look_back=2))
    assert staged["final"] == pytest.approx(full["final"], rel=1e-3)


def test_the_gradient_of_the_free_readout_is_that_of_autograd():
    net = QuadraticNetworks(2, 3, dim=5, widths=(2, 2), dtype=torch.float64, readout=True)
    net.initialize([1, 2])
    generator = stream("test", 0)
    x = torch.randn(2, 7, 5, generator=generator, dtype=torch.float64)
    slope = torch.randn(6, 7, generator=generator, dtype=torch.float64)
    form = torch.randn(6, 5, 5, generator=generator, dtype=torch.float64)
    net.readout.copy_(form + form.mT)
    expected = torch.einsum(
        "rbi,rij,rbj->rb", x.repeat_interleave(3, 0), net.readout, x.repeat_interleave(3, 0)
    )
    torch.testing.assert_close(net.read_out(x), expected)
    leaf = net.readout.clone().requires_grad_()
    twice = x.repeat_interleave(3, 0)
    (torch.einsum("rbi,rij,rbj->rb", twice, leaf, twice) * slope).sum().backward()
    net.backward_readout(x, slope)
    torch.testing.assert_close(net._grad_readout, leaf.grad)


def test_the_readout_waits_for_level_3_and_stays_symmetric():
    _, net, weights, moments = watched(
        Protocol(opens=(0, 10), look_back=1), widths=(3, 2), readout=True
    )
    start = net.theta.numel() - 36
    assert not weights[10][start:].any() and not moments[10][:, start:].any()
    assert weights[40][start:].any()
    torch.testing.assert_close(net.readout, net.readout.mT)


def test_a_free_readout_removes_what_a_quadratic_form_can_explain():
    base = replace(SHORT, n_steps=400, opens=(0, 100), look_back=1)
    plain = measured(base)[0]["final"]["rel"]
    free = measured(replace(base, readout=True))[0]["final"]["rel"]
    assert free < plain / 2


def test_the_switched_target_leaves_level_2_unbiased_and_the_full_one_does_not():
    base = replace(SHORT, opens=(0, 400), n_steps=800)
    switched, full = measured(replace(base, target="debiased, then full"), base)
    assert switched["before"]["400"]["gram2"] < 0.3 * full["before"]["400"]["gram2"]
    assert switched["final"]["rel"] < 0.1 * switched["before"]["400"]["rel"]


def test_an_oracle_replaces_level_2_when_its_level_opens_and_not_before():
    base = replace(
        SHORT, widths=(3, 2, 2), gaps=(1, 0.3, 0.1), opens=(0, 15, 30), look_back=2, oracle=True
    )
    late = measured(replace(base, oracle_level=4))[0]
    assert late["before"]["30"]["gram2"] > 1e-2
    assert late["final"]["gram2"] < 1e-5


def test_a_switched_target_needs_the_bias_form_among_its_functions():
    teachers = QuadraticTeachers.draw([1], dim=5, widths=(2, 2), skip=0.8)
    amplitudes = teachers.amplitudes(torch.tensor([[[1.0, 0.3]]]))
    target, early = torch.zeros(1, 1, 5), torch.zeros(1, 1, 5)
    early[0, 0, 2] = -1
    task = Task(teachers, [1], amplitudes, target, early_target=early)
    batches = Batches(task, 8, torch.zeros(1))
    assert batches.read(*batches.draw())[1].shape == (1, 5, 8)
