import pytest
import torch

from hierlearn.quadratic.networks import QuadraticNetworks


def networks(widths=(4, 3, 2), n_seeds=2, n_arms=3, dtype=torch.float64):
    net = QuadraticNetworks(n_seeds, n_arms, dim=7, widths=widths, dtype=dtype)
    net.initialize(range(n_seeds), gain=1.0)
    noise = torch.randn(net.theta.shape, generator=torch.Generator().manual_seed(1))
    net.theta.add_(0.3 * noise.to(dtype))
    return net


def draws(net, batch=11):
    generator = torch.Generator().manual_seed(2)

    def normal(*shape):
        return torch.randn(*shape, generator=generator).to(net.theta)

    x = normal(net.n_seeds, batch, net.dim)
    return x, normal(net.n_runs, net.n_levels).abs(), normal(net.n_runs, batch)


def by_autograd(net, x, weights):
    """The networks one by one, in plain autograd; returns outputs and leaf tensors."""
    rows = net.rows.detach().clone().requires_grad_()
    quadratic = [block.detach().clone().requires_grad_() for block in net.quadratic]
    outputs = []
    for r in range(net.n_runs):
        weight = rows.view(net.n_runs, net.n_rows, net.dim)[r]
        points, first = x[r // net.n_arms], weight[net.slices[0]]
        s = points @ first.T
        output = weights[r, 0] * s.square().sum(1)
        for i in range(1, net.n_levels):
            a, b = torch.triu_indices(s.shape[1], s.shape[1])
            phi = s[:, a] * s[:, b]
            if i == 1:
                phi = phi - (first @ first.T)[a, b]
            block = quadratic[i - 1][r]
            s = phi @ block[:, :-1].T + block[:, -1] + points @ weight[net.slices[i]].T
            output = output + weights[r, i] * s.square().sum(1)
        outputs.append(output)
    return torch.stack(outputs), rows, quadratic


@pytest.mark.parametrize("widths", [(4,), (4, 3), (4, 3, 2), (2, 3, 3, 2)])
def test_outputs_and_gradients_agree_with_autograd(widths):
    net = networks(widths)
    x, weights, slope = draws(net)
    z = net.level_outputs(x)
    output = net.head(z, weights).clone()
    net.backward(x, z, slope, head_weights=weights)
    expected, rows, quadratic = by_autograd(net, x, weights)
    assert torch.allclose(output, expected, rtol=1e-10)
    (expected * slope).sum().backward()
    size = net.rows.numel()
    assert torch.allclose(net.grad[:size], rows.grad.flatten(), rtol=1e-9, atol=1e-8)
    rest = torch.cat([block.grad.flatten() for block in quadratic] or [net.grad[:0]])
    assert torch.allclose(net.grad[size:], rest, rtol=1e-9, atol=1e-8)


def test_a_closed_level_contributes_neither_to_the_output_nor_to_the_gradient():
    net = networks()
    x, weights, slope = draws(net)
    weights[:, 1:] = 0
    z = net.level_outputs(x, 1)
    net.backward(x, z, slope, head_weights=weights, n_open=1)
    view = net.grad[: net.rows.numel()].view(net.n_runs, net.n_rows, net.dim)
    assert view[:, net.slices[0]].abs().min() > 0
    assert view[:, net.slices[1]].abs().max() == view[:, net.slices[2]].abs().max() == 0


def test_arms_of_a_seed_start_alike_and_seeds_differ():
    net = QuadraticNetworks(2, 3, dim=7, widths=(4, 3))
    net.initialize([5, 6])
    first = net.level_rows(0)
    assert torch.equal(first[0], first[2])
    assert not torch.equal(first[0], first[3])
    alone = QuadraticNetworks(1, 1, dim=7, widths=(4, 3))
    alone.initialize([6])
    assert torch.equal(alone.quadratic[0][0], net.quadratic[0][3])


def test_owners_name_the_run_and_level_of_every_parameter():
    net = networks((4, 3))
    marked = net.owner.double()
    net.theta.copy_(marked)
    for run in range(net.n_runs):
        for level in range(2):
            assert (net.level_rows(level)[run] == run * 2 + level).all()
        assert (net.quadratic[0][run] == run * 2 + 1).all()
