"""An optimiser: Muon (Jordan 2024), on the book's deep networks.

Matrices move along the nearest semi-orthogonal matrix to their momentum, everything else by Adam.
"""

import torch


class Muon:
    """Muon for matrices and Adam for the rest, both with a rate that falls linearly to zero."""

    def __init__(self, parameters, n_steps, rate=0.02, momentum=0.95):
        self.n_steps, self.rate, self.momentum, self.step_number = n_steps, rate, momentum, 0
        self.matrices = [p for p in parameters if p.ndim >= 2]
        self.moments = [torch.zeros_like(p) for p in self.matrices]
        self.adam = torch.optim.Adam([p for p in parameters if p.ndim < 2], lr=3e-3)
        self.all = list(parameters)

    def zero_grad(self):
        """Forget gradients."""
        for one in self.all:
            one.grad = None

    @torch.no_grad()
    def step(self):
        """Move all parameters once."""
        left = 1 - self.step_number / self.n_steps
        self.step_number += 1
        for p, moment in zip(self.matrices, self.moments, strict=True):
            moment.mul_(self.momentum).add_(p.grad)
            update = orthogonal(p.grad.add(moment, alpha=self.momentum).flatten(1))
            stretch = max(1, update.shape[0] / update.shape[1]) ** 0.5
            p.sub_(update.view_as(p), alpha=self.rate * left * stretch)
        for group in self.adam.param_groups:
            group["lr"] = 3e-3 * left
        self.adam.step()


def orthogonal(g, n_steps=5):
    """Approximate U V^T of g = U S V^T by Newton and Schulz's iteration, of degree five."""
    x = g / (g.norm() + 1e-7)
    tall = x.shape[0] > x.shape[1]
    x = x.mT if tall else x
    for _ in range(n_steps):
        a = x @ x.mT
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x.mT if tall else x


def optimizer(parameters, n_steps):
    """Return what `place` trains with."""
    return Muon(parameters, n_steps)
