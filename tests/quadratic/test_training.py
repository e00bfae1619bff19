import copy

import pytest
import torch

from hierlearn.quadratic.networks import QuadraticNetworks
from hierlearn.quadratic.protocols import Protocol, compile_plan
from hierlearn.quadratic.target import QuadraticTeachers
from hierlearn.quadratic.training import Batches, Loop, Task, basis

DIM, WIDTHS, GAPS = 6, (3, 2), (1.0, 0.3)


def setting(protocols, n_steps, *, seeds=(0,), dtype=torch.float64, **changes):
    """One arm a protocol."""
    n_seeds, n_arms = len(seeds), len(protocols)
    teachers = QuadraticTeachers.draw(seeds, dim=DIM, widths=WIDTHS, skip=0.8, dtype=dtype)
    gaps = torch.tensor(GAPS, dtype=dtype).expand(n_seeds, n_arms, -1)
    amplitudes = teachers.amplitudes(gaps)
    target = torch.zeros(n_seeds, n_arms, 5, dtype=dtype)
    target[:, :, :2] = amplitudes
    task = Task(teachers, seeds, amplitudes, target, **changes)
    net = QuadraticNetworks(n_seeds, n_arms, dim=DIM, widths=WIDTHS, dtype=dtype)
    net.initialize(seeds)
    plan = compile_plan(list(protocols) * n_seeds, [GAPS] * (n_seeds * n_arms), n_steps)
    return net, task, plan


def train(net, task, plan, **options):
    Loop(net, task, plan, 16, **options).run(lambda step: None, [])
    return net.theta.clone()


def reference(net, task, plan, optimizer):
    """The first run alone: autograd and torch.optim on leaf copies of its parameters."""
    leaves = [net.level_rows(0)[0], net.level_rows(1)[0], net.quadratic[0][0]]
    first, second, block = (leaf.detach().clone().requires_grad_() for leaf in leaves)
    groups = [{"params": [first]}, {"params": [second, block]}]
    if optimizer == "adam":
        steps = torch.optim.Adam(groups, lr=1.0, betas=(0.9, 0.99), eps=1e-12)
    else:
        steps = torch.optim.SGD(groups, lr=1.0)
    batches = Batches(task, 16, net.theta)
    a = task.amplitudes[0, 0]
    i, j = torch.triu_indices(3, 3)
    for step in range(len(plan.rates)):
        for level, group in enumerate(steps.param_groups):
            group["lr"] = float(plan.rates[step, 0, level])
        x, functions = batches.read(*batches.draw())
        y = task.target[0, 0, :2] @ functions[0]
        s = x[0] @ first.T
        phi = s[:, i] * s[:, j] - (first @ first.T)[i, j]
        t = phi @ block[:, :-1].T + block[:, -1] + x[0] @ second.T
        residual = a[0] * s.square().sum(1) + a[1] * t.square().sum(1) - y
        loss = (residual - residual.mean()).square().mean()
        steps.zero_grad()
        loss.backward()
        steps.step()
    return [first, second, block]


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_the_loop_agrees_with_autograd_and_torch_optim(optimizer):
    joint = Protocol(opens=(0, 0), lower_rate=0.5)
    net, task, plan = setting([joint, joint], 60)
    expected = reference(copy.deepcopy(net), task, plan, optimizer)
    train(net, task, plan, optimizer=optimizer)
    found = [net.level_rows(0)[0], net.level_rows(1)[0], net.quadratic[0][0]]
    for ours, theirs in zip(found, expected, strict=True):
        assert torch.allclose(ours, theirs.detach(), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_a_batch_of_runs_equals_the_runs_one_by_one(optimizer):
    protocols = [Protocol(opens=(0, 10)), Protocol(opens=(0, 10), look_back=1)]
    net, task, plan = setting(protocols, 40, seeds=(3, 4))
    train(net, task, plan, optimizer=optimizer)
    for s, seed in enumerate((3, 4)):
        for arm, protocol in enumerate(protocols):
            alone, task_1, plan_1 = setting([protocol], 40, seeds=(seed,))
            train(alone, task_1, plan_1, optimizer=optimizer)
            run = s * 2 + arm
            # not bit for bit: the arms of a seed share one matrix product
            assert torch.allclose(net.level_rows(0)[run], alone.level_rows(0)[0], rtol=1e-9)
            assert torch.allclose(net.quadratic[0][run], alone.quadratic[0][0], rtol=1e-8)


def test_float32_and_float64_training_settle_on_the_same_level_two():
    forms = []
    for dtype in (torch.float32, torch.float64):
        net, task, plan = setting([Protocol(opens=(0, None))], 800, dtype=dtype)
        train(net, task, plan)
        rows = net.level_rows(0)[0].double()
        forms.append(rows.T @ rows)
    assert torch.allclose(*forms, atol=1e-4)


def test_freezing_at_a_stage_overrides_the_protocol():
    net, task, plan = setting([Protocol(opens=(0, 10))], 30)
    seen = {}

    def at_start(stage):
        if stage == 0:
            return None
        net.level_rows(0).fill_(0.5)
        return torch.tensor([[True, False]])

    Loop(net, task, plan, 16, at_start=at_start).run(
        lambda step: seen.update({step: net.level_rows(0).clone()}), [30]
    )
    assert (seen[30] == 0.5).all()


def test_the_basis_ends_with_an_independent_copy_of_the_levels():
    _, task, _ = setting([Protocol(opens=(0, 10))], 20)
    x = torch.randn(1, 50_000, DIM, generator=torch.Generator().manual_seed(0)).double()
    functions = basis(task.teachers, x)[0]
    correlation = torch.corrcoef(functions)
    assert correlation[:2, 3:].abs().max() < 0.03
    assert torch.allclose(functions[:2].mean(1), functions[3:].mean(1))
    assert correlation[1, 2] > 0.1  # the bias form is the part of level 3 that level 2 sees


def test_a_pool_is_drawn_from_again_and_again():
    _, task, _ = setting([Protocol(opens=(0, 10))], 20)
    task.n_samples = 7
    batches = Batches(task, 64, torch.zeros(1, dtype=torch.float64))
    points = torch.cat([batches.read(*batches.draw())[0][0] for _ in range(4)])
    assert len(points.unique(dim=0)) == 7
    x, functions = batches.read(*batches.draw())
    assert torch.allclose(task.teachers.level_sums(x), functions)
