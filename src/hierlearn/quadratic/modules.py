r"""A protocol for a network of your own: any `torch.nn.Module` whose output is a sum of levels.

The experiments train batches of built-in networks with hand-written gradients. Here one module is
trained, by autograd, under the same `Protocol`: which levels are open, which are trained, and at
what rate comes from the same tables.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from hierlearn.engine.doors import at_least, checked, plain
from hierlearn.quadratic.protocols import ADAM_BETAS, Protocol, compile_plan
from hierlearn.quadratic.target import QuadraticTeachers

Batch = tuple[Float[Tensor, "batch dim"], Float[Tensor, "batch"]]
Loss = Callable[[Tensor, Tensor], Tensor]


@checked
def fresh_batches(
    teachers: QuadraticTeachers, gaps: Sequence[float], *, size: int, generator: torch.Generator
) -> Iterator[Batch]:
    r"""Yield batches $x\sim N(0,I_d)$, $y=\sum_la_l\mathrm{Sum}(h_l)(x)$ of one target forever.

    Args:
        teachers: one target, drawn for one seed.
        gaps: amplitude ratios $\alpha_l$, one a level.
        size: samples a batch.
        generator: the only source of randomness.

    Raises:
        ValueError: unless there is one target, one finite gap a level, and a size of at least 1.
    """
    n_seeds, n_levels = teachers.scale.shape
    if n_seeds != 1:
        raise ValueError(f"teachers must be one target, drawn for one seed; got {n_seeds}")
    if len(gaps) != n_levels or not all(map(math.isfinite, gaps)):
        raise ValueError(
            f"gaps must be {n_levels} finite numbers, one for each level of the target; "
            f"got {tuple(gaps)}"
        )
    at_least(1, size=size)
    return _fresh_batches(plain(teachers), gaps, size, generator)


def _fresh_batches(
    teachers: QuadraticTeachers, gaps: Sequence[float], size: int, generator: torch.Generator
) -> Iterator[Batch]:
    amplitudes = teachers.amplitudes(teachers.scale.new_tensor([[list(gaps)]]))[0]
    dim, dtype = teachers.first.shape[2], teachers.first.dtype
    while True:
        x = torch.randn(size, dim, generator=generator, dtype=dtype)
        yield x, (amplitudes @ teachers.level_sums(x[None]))[0, 0]


@checked
def train(
    net: nn.Module,
    protocol: Protocol,
    *,
    batches: Iterator[Batch],
    n_steps: int,
    gaps: Sequence[float] | None = None,
    loss: Loss = nn.functional.mse_loss,
) -> Callable[[Tensor], Tensor]:
    r"""Train `net` in place by Adam under `protocol`, and return its prediction $\hat y(x)$.

    `net(x)` must return the outputs of its levels, `[batch, level]`, from level 2 up; the
    prediction is the sum $\hat y$ of those that are open. `net.levels` must be an
    `nn.ModuleList` whose entries own the parameters of the levels, in the same order. Parameters
    that belong to no level, an offset for example, move like the newest level. A parameter with
    `requires_grad=False` never does.

    - joint training: `Protocol(opens=(0, 0))`
    - staged: `Protocol(opens=(0, 500))`, level 3 from step 500 on
    - greedy layerwise: `Protocol(opens=(0, 500), look_back=1)`
    - look-back: the same with a larger `look_back`; thawing: with `thaw`

    Args:
        net: the module; its levels are the protocol's.
        protocol: when levels open, which are trained, and how fast.
        batches: an iterator of inputs and targets, `([batch, dim], [batch])`.
        n_steps: total number of steps.
        gaps: amplitude ratios $\alpha_l$ that the rates of lower levels are scaled with, one a
            level; equal by default.
        loss: of prediction and target.

    Raises:
        ValueError: when levels, gaps and protocol do not fit, a stage would begin after `n_steps`,
            `batches` end before, or a batch is not of inputs and one target for each.
    """
    levels, protocol = _levels(net, protocol), plain(protocol)
    plan = compile_plan([protocol], [gaps or [1.0] * len(levels)], n_steps)
    owned = {id(p) for level in levels for p in level.parameters()}
    free = [p for p in net.parameters() if id(p) not in owned]
    owners = [list(level.parameters()) for level in levels] + [free]
    optimizer = torch.optim.Adam([{"params": own} for own in owners], betas=ADAM_BETAS)
    gate = torch.zeros(len(levels))
    for step in range(n_steps):
        gate = torch.tensor(protocol.open_levels(step), dtype=torch.float32)
        rates = plan.rates[step, 0].tolist()
        rates.append(max(rates))  # what belongs to no level moves like the newest
        x, y = _next(batches, step, n_steps)
        optimizer.zero_grad(set_to_none=True)
        prediction = _sum(net(x), gate)
        if prediction.shape != y.shape:
            raise ValueError(
                f"the module must return one row for each of {len(y)} inputs; got "
                f"{len(prediction)} rows"
            )
        loss(prediction, y).backward()
        for own, rate, group in zip(owners, rates, optimizer.param_groups, strict=True):
            group["lr"] = rate
            if rate == 0:  # frozen: no step, and the clock of its moments stands still
                for parameter in own:
                    parameter.grad = None
        optimizer.step()
    return lambda x: _sum(net(x), gate).detach()


def _next(batches: Iterator[Batch], step: int, n_steps: int) -> Batch:
    batch = next(batches, None)
    if batch is None:
        raise ValueError(f"batches must last for {n_steps} steps; they ended after {step}")
    x, y = batch
    if y.shape != x.shape[:1]:
        raise ValueError(
            f"a batch must be inputs [batch, dim] and targets [batch]; got shapes {list(x.shape)} "
            f"and {list(y.shape)}"
        )
    return x, y


def _sum(outputs: Tensor, gate: Tensor) -> Tensor:
    if outputs.ndim != 2 or outputs.shape[1] != len(gate):
        raise ValueError(
            f"the module must return the outputs of its {len(gate)} levels, [batch, {len(gate)}]; "
            f"got shape {list(outputs.shape)}"
        )
    return outputs @ gate.to(outputs)


def _levels(net: nn.Module, protocol: Protocol) -> nn.ModuleList:
    levels = getattr(net, "levels", None)
    if not isinstance(levels, nn.ModuleList) or len(levels) != len(protocol.opens):
        got = f"{len(levels)}" if isinstance(levels, nn.ModuleList) else "none"
        raise ValueError(
            f"the protocol opens {len(protocol.opens)} levels, so the module needs an attribute "
            f"`levels`, a torch.nn.ModuleList of as many modules; got {got}"
        )
    return levels
