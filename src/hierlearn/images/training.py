"""Training a network of stages: one phase, in which the stages below some level are frozen."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from hierlearn.engine.doors import at_least, check_finite, check_indices, checked
from hierlearn.images.networks import N_CLASSES

WARM_UP = 0.15
"""Share of the steps over which the rate rises."""
LAST = 0.05
"""Share of the steps over which the training loss at the end is averaged."""


@checked
def order(n: int, n_steps: int, batch: int, generator: torch.Generator) -> Int64[Tensor, "step b"]:
    """Draw the batches: indices of `n` images, each once an epoch; more steps only add batches."""
    at_least(1, n=n, batch=batch)
    at_least(0, n_steps=n_steps)
    n_epochs = math.ceil(n_steps * batch / n)
    drawn = [torch.randperm(n, generator=generator) for _ in range(n_epochs)]
    return torch.cat([torch.zeros(0, dtype=torch.int64), *drawn])[: n_steps * batch].view(-1, batch)


def factor(step: int, n_steps: int) -> float:
    """Return the factor on the rate: it rises over `WARM_UP`, then falls to 0 as a cosine."""
    rise = max(1, round(WARM_UP * n_steps))
    if step < rise:
        return (step + 1) / rise
    return (1 + math.cos(math.pi * (step - rise) / max(1, n_steps - rise))) / 2


@checked
def train(
    stages: Sequence[nn.Module],
    head: nn.Module,
    x: Float[Tensor, "image channel height width"],
    y: Int64[Tensor, "image"],
    batches: Int64[Tensor, "step b"],
    *,
    rate: float,
    decay: float,
    lowest: int = 0,
) -> float:
    """Train the stages from `lowest` up and the head in place; return the training loss at the end.

    One phase: SGD with Nesterov's momentum 0.9 and weight decay, the rate as `factor` says. The
    stages below `lowest` are frozen, in eval mode: the statistics of their BN are frozen, too.

    Args:
        stages: of a network, from the images up.
        head: what reads the last of them.
        x: all training images.
        y: their classes.
        batches: one row of indices a step.
        rate: the largest learning rate.
        decay: weight decay, of whatever is trained.
        lowest: the first stage that is trained.
    """
    at_least(0, rate=rate, decay=decay, lowest=lowest)
    check_indices(len(x), batches=batches)
    check_finite(x=x)
    check_indices(N_CLASSES, y=y)
    frozen, opened = stages[:lowest], nn.ModuleList([*stages[lowest:], head])
    for stage in frozen:
        stage.eval()
    opened.train()
    optimizer = torch.optim.SGD(
        opened.parameters(), rate, momentum=0.9, nesterov=True, weight_decay=decay, fused=True
    )
    losses = []
    for step, chosen in enumerate(batches):
        optimizer.param_groups[0]["lr"] = rate * factor(step, len(batches))
        z = x[chosen]
        with torch.no_grad():
            for stage in frozen:
                z = stage(z)
        for part in opened:
            z = part(z)
        loss = cross_entropy(z, y[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    last = losses[-max(1, round(LAST * len(losses))) :]
    return float(torch.stack(last).mean()) if last else math.nan
