"""Training step of quadratic networks: one batch, against the same networks one after the other.

    python benchmarks/quadratic_engine.py [--repeats 7] [--steps 60]

Three ways to train the same runs, timed in turn in one single-threaded process, in CPU seconds:
the batched engine; the same engine, one run at a time; and a plain PyTorch module with autograd and
torch.optim.Adam, one run at a time. Then where a batched step spends its time, and the speed of its
matrix products against the same products alone.
"""

import argparse
import time
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hierlearn.engine.seeds import stream
from hierlearn.quadratic.networks import QuadraticNetworks
from hierlearn.quadratic.protocols import Protocol, compile_plan
from hierlearn.quadratic.target import QuadraticTeachers
from hierlearn.quadratic.training import Batches, Loop, Task

DIM, WIDTHS, BATCH = 20, (4, 3, 2), 256


class Module(nn.Module):
    """One network as one would write it, with autograd."""

    def __init__(self, net: QuadraticNetworks, run: int) -> None:
        super().__init__()
        self.rows = nn.ParameterList(net.level_rows(i)[run].clone() for i in range(net.n_levels))
        self.blocks = nn.ParameterList(block[run].clone() for block in net.quadratic)
        self.pairs = [torch.triu_indices(k, k) for k in WIDTHS]

    def forward(self, x: Tensor, amplitudes: Tensor) -> Tensor:
        """Compute the output at `x`."""
        s = x @ self.rows[0].T
        output = amplitudes[0] * s.square().sum(1)
        for level, block in enumerate(self.blocks, start=1):
            i, j = self.pairs[level - 1]
            phi = s[:, i] * s[:, j]
            if level == 1:
                phi = phi - (self.rows[0] @ self.rows[0].T)[i, j]
            s = phi @ block[:, :-1].T + block[:, -1] + x @ self.rows[level].T
            output = output + amplitudes[level] * s.square().sum(1)
        return output


def setting(
    n_seeds: int, n_arms: int, n_steps: int, dim: int = DIM, widths: tuple[int, ...] = WIDTHS
) -> Loop:
    """A loop that trains n_seeds * n_arms runs from step 0 with every level open."""
    gaps = tuple(0.2**level for level in range(len(widths)))
    teachers = QuadraticTeachers.draw(range(n_seeds), dim=dim, widths=widths, skip=0.8)
    amplitudes = teachers.amplitudes(torch.tensor(gaps).expand(n_seeds, n_arms, -1))
    target = torch.cat([amplitudes, torch.zeros(n_seeds, n_arms, 1 + len(widths))], 2)
    net = QuadraticNetworks(n_seeds, n_arms, dim=dim, widths=widths)
    net.initialize(range(n_seeds))
    n_runs = n_seeds * n_arms
    plan = compile_plan([Protocol(opens=(0,) * len(widths))] * n_runs, [gaps] * n_runs, n_steps)
    return Loop(net, Task(teachers, range(n_seeds), amplitudes, target), plan, BATCH)


def engine_seconds(n_seeds: int, n_arms: int, n_steps: int, **sizes: Any) -> float:
    """CPU seconds a step of the batched engine, setup excluded."""
    loop, marks = setting(n_seeds, n_arms, n_steps, **sizes), []
    loop.run(lambda step: marks.append(time.process_time()), [5, n_steps])
    return (marks[1] - marks[0]) / (n_steps - 5)


def autograd_seconds(n_steps: int) -> float:
    """CPU seconds a step of one network with autograd and torch.optim.Adam."""
    loop = setting(1, 1, n_steps)
    module, task = Module(loop.net, 0), loop.task
    optimizer = torch.optim.Adam(module.parameters(), lr=1e-2, betas=(0.9, 0.99))
    generator = stream("training data", 0)
    for step in range(n_steps):
        if step == 5:
            start = time.process_time()
        x = torch.randn(1, BATCH, DIM, generator=generator)
        y = task.amplitudes[0, 0] @ task.teachers.level_sums(x)[0]
        residual = module(x[0], task.amplitudes[0, 0]) - y
        optimizer.zero_grad()
        (residual - residual.mean()).square().mean().backward()
        optimizer.step()
    return (time.process_time() - start) / (n_steps - 5)


def parts(n_seeds: int, n_arms: int, repeats: int) -> dict[str, float]:
    """Median CPU microseconds of the parts of one batched step."""
    loop = setting(n_seeds, n_arms, 10)
    loop.run(lambda step: None, [])
    net, batches = loop.net, Batches(loop.task, BATCH, loop.net.theta)
    x = batches.x
    z = net.level_outputs(x)
    slope = torch.ones(net.n_runs, BATCH)
    left, right = torch.randn(n_seeds, n_arms * net.n_rows, DIM), x.mT.contiguous()
    work = {
        "draw the inputs": lambda: [
            row.normal_(generator=g) for row, g in zip(x, batches.generators, strict=True)
        ],
        "target": lambda: loop.task.teachers.level_sums(x),
        "forward": lambda: net.head(net.level_outputs(x), loop._head),
        "backward": lambda: net.backward(x, z, slope, head_weights=loop._head),
        "Adam": lambda: loop._adam(loop.sizes[0]),
        "(the products with x alone, forward and backward)": lambda: (
            torch.bmm(left, right),
            torch.bmm(z.view(n_seeds, -1, BATCH), x),
        ),
    }
    return {
        name: 1e6 * float(np.median([_once(f) for _ in range(repeats)])) for name, f in work.items()
    }


def _once(function, times: int = 20) -> float:  # type: ignore[no-untyped-def]
    function()
    start = time.process_time()
    for _ in range(times):
        function()
    return (time.process_time() - start) / times


def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--steps", type=int, default=60)
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"L = 4, d = {DIM}, batch {BATCH}; median CPU ms a step, ratios pair by pair")
    print("runs    batched  one by one  ratio  autograd loop  ratio")
    for n_seeds, n_arms in ((1, 1), (8, 1), (8, 2), (8, 8), (16, 16)):
        n_runs, rows = n_seeds * n_arms, []
        for _ in range(options.repeats):
            batched = engine_seconds(n_seeds, n_arms, options.steps)
            single = engine_seconds(1, 1, options.steps) * n_runs
            rows.append((batched, single, autograd_seconds(options.steps) * n_runs))
        times = 1e3 * np.median(rows, 0)
        ratios = [np.median([row[i] / row[0] for row in rows]) for i in (1, 2)]
        print(
            f"{n_runs:4d} {times[0]:10.3f} {times[1]:11.3f} {ratios[0]:6.1f}"
            f" {times[2]:14.3f} {ratios[1]:6.1f}"
        )
    print("\n64 runs, CPU microseconds of the parts of a step")
    for name, microseconds in parts(8, 8, options.repeats).items():
        print(f"{microseconds:8.0f}  {name}")


if __name__ == "__main__":
    main()
