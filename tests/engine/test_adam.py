"""One optimizer: against PyTorch's own, and against a hand-rolled sum where parameters are held."""

import pytest
import torch

from hierlearn.engine.adam import Adam, step_sizes

BETAS = (0.9, 0.99)


def gradients(n_steps=20, n=6):
    return torch.randn(n_steps, n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def trained(grads, sizes, moving=None):
    theta, grad = (
        torch.ones(grads.shape[1], dtype=torch.float64),
        torch.zeros(grads.shape[1]).double(),
    )
    optimizer = Adam(theta, grad, BETAS, epsilon=1e-12)
    for step, (given, size) in enumerate(zip(grads, sizes, strict=True)):
        if moving is not None:
            optimizer.hold(moving[step])
        grad.copy_(given)
        optimizer.step(size if moving is None else size * moving[step])
    return theta


def test_it_is_adam_as_torch_has_it():
    grads = gradients()
    theta = torch.ones(6, dtype=torch.float64, requires_grad=True)
    reference = torch.optim.Adam([theta], lr=0.03, betas=BETAS, eps=1e-12)
    for given in grads:
        theta.grad = given.clone()
        reference.step()
    rates = torch.full((len(grads), 1), 0.03)
    torch.testing.assert_close(trained(grads, step_sizes(rates, BETAS)), theta.detach())


def test_a_held_parameter_neither_moves_nor_ages():
    grads = gradients()
    moving = torch.ones(20, 6, dtype=torch.float64)
    moving[5:12, 2] = 0
    sizes = step_sizes(0.03 * moving, BETAS)
    with_pause = trained(grads, sizes, moving)
    kept = torch.tensor([*range(5), *range(12, 20)])
    without = trained(grads[kept], step_sizes(torch.full((13, 1), 0.03), BETAS))
    torch.testing.assert_close(with_pause[2], without[2])


def test_the_first_step_is_the_rate_whatever_the_gradient():
    sizes = step_sizes(torch.full((1, 1), 0.5), BETAS)
    moved = trained(torch.tensor([[1e-3, -4.0, 7.0]], dtype=torch.float64), sizes)
    assert (1 - moved).tolist() == pytest.approx([0.5, -0.5, 0.5])
