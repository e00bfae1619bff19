"""A training step of chapter 8's residual networks beside a plain PyTorch loop, in one process.

    python benchmarks/images.py [--repeats 7] [--small]

The loop is what one writes after He et al.: `nn.Module`, `torch.optim.SGD`, the default layout, no
DataLoader. It has our data (CIFAR-10 where it is at hand, else the images that come with the book;
neither side augments them), batches, rates and shortcuts, and a third side has our layout and our
fused optimizer as well. Before anything is timed all sides must, from the same weights, arrive at
the same losses and weights. They take turns, in CPU seconds of one thread; medians of ratios.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import torch
from engines import Machine, counted
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, cross_entropy, pad, relu

from hierlearn.engine import devices
from hierlearn.images import networks
from hierlearn.images.data import CIFAR10, FASHION_SMALL, load
from hierlearn.images.experiments import deep_arms
from hierlearn.images.runs import BATCH, DECAY, RATE, ImageConfig
from hierlearn.images.target import sized, standardized
from hierlearn.images.training import factor, order, train

N_IMAGES, STEPS = 8192, 5
CLOSE = 5e-3
"""How far losses and weights may be apart after `STEPS` steps, relative to their size."""
CPU = torch.device("cpu")


class Block(nn.Module):
    """A residual block, as one would write it."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(n_out), nn.BatchNorm2d(n_out)
        self.stride, self.more = stride, n_out - n_in

    def forward(self, x: Tensor) -> Tensor:
        """Add what two convolutions make of x; means of 2x2 positions and empty channels."""
        out = self.bn2(self.conv2(relu(self.bn1(self.conv1(x)))))
        if self.stride > 1:
            x = avg_pool2d(x, self.stride, ceil_mode=True)
        return relu(out + pad(x, (0, 0, 0, 0, 0, self.more)))


class ResNet(nn.Module):
    """A network of stages of n blocks, and its linear head on means over all positions."""

    def __init__(self, channels: int, widths: Sequence[int], n: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, widths[0], 3, 2, 1, bias=False)
        self.bn = nn.BatchNorm2d(widths[0])
        sizes = [(widths[max(level - 1, 0)], width) for level, width in enumerate(widths)]
        self.blocks = nn.Sequential(*(
            Block(w if i else n_in, w, 2 if level and not i else 1)
            for level, (n_in, w) in enumerate(sizes) for i in range(n)
        ))  # fmt: skip
        self.linear = nn.Linear(widths[-1], 10)

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits."""
        return self.linear(self.blocks(relu(self.bn(self.conv(x)))).mean((2, 3)))


def plain_train(net: ResNet, x: Tensor, y: Tensor, batches: Tensor, *, fused: bool) -> float:
    """Train as `images.training.train` does; return the loss of the last step."""
    optimizer = torch.optim.SGD(
        net.parameters(), lr=RATE, momentum=0.9, nesterov=True, weight_decay=DECAY, fused=fused
    )
    rates = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: factor(step, len(batches)))
    net.train()
    for chosen in batches:
        optimizer.zero_grad()
        loss = cross_entropy(net(x[chosen]), y[chosen])
        loss.backward()
        optimizer.step()
        rates.step()
    return loss.item()


class Case:
    """One network of the book and two plain ones that start with its weights."""

    def __init__(self, config: ImageConfig) -> None:
        images = load(config.data)
        x = sized(images.train_x[:N_IMAGES])
        self.x, self.y = standardized(x, x), torch.from_numpy(images.train_y[:N_IMAGES]).long()
        draws = torch.Generator().manual_seed(0)
        self.batches = order(len(x), STEPS, BATCH, draws)
        channels, widths, last = x.shape[1], config.widths, torch.channels_last
        stages = networks.resnet(
            channels, widths, n_blocks=config.n_blocks, scale=config.scale, generator=draws
        )
        self.depth = networks.depth(stages)
        self.head = networks.head("gap", widths[-1], size=2, generator=draws)
        self.plain, self.near = (ResNet(channels, widths, config.n_blocks) for _ in range(2))
        with torch.no_grad():
            for net in (self.plain, self.near):
                for theirs, own in zip(net.parameters(), self._own(stages), strict=True):
                    theirs.copy_(own)
        self.stages = list(stages.to(memory_format=last))  # type: ignore[call-overload]
        self.near.to(memory_format=last)  # type: ignore[call-overload]
        self.last = self.x.contiguous(memory_format=last)

    def _own(self, stages: Sequence[nn.Module] | nn.ModuleList) -> list[Tensor]:
        return [one for part in (*stages, self.head) for one in part.parameters()]

    def sides(self) -> list[Callable[[], float]]:
        """List what trains ours, the plain network, and the one with our layout and optimizer."""
        own, y, batches = (self.last, self.y, self.batches), self.y, self.batches
        return [
            lambda: train(self.stages, self.head, *own, rate=RATE, decay=DECAY),
            lambda: plain_train(self.plain, self.x, y, batches, fused=False),
            lambda: plain_train(self.near, self.last, y, batches, fused=True),
        ]

    def check(self) -> str:
        """Train each side once; SystemExit unless all have the same loss and weights then."""
        loss, *others = (side() for side in self.sides())

        def flat(parameters: Iterable[Tensor]) -> Tensor:
            return torch.cat([one.detach().flatten() for one in parameters])

        ours = flat(self._own(self.stages))
        weights = [
            float((flat(net.parameters()) - ours).norm() / ours.norm())
            for net in (self.plain, self.near)
        ]
        gap = max(*(abs(one / loss - 1) for one in others), *weights)
        if not gap < CLOSE:
            raise SystemExit(f"the sides do not do the same work: {gap:.1e} apart")
        return f"after {STEPS} steps from the same weights, losses and weights {gap:.0e} apart"


def compare(config: ImageConfig, repeats: int, limits: Machine) -> None:
    """Print the ratios of a step of one network, and where ours spends its time."""
    case = Case(config)
    print(f"{case.depth} layers, {config.data}: {case.check()}")
    rows = []
    for _ in range(repeats):
        row = []
        for side in case.sides():
            start = time.process_time()
            side()
            row.append(1e3 * (time.process_time() - start) / STEPS)
        rows.append(row)
    own, *others = zip(*rows, strict=True)
    print(f"    ours {statistics.median(own):.1f} ms a step", end="")
    for name, side in zip(("plain", "plain, our layout and optimizer"), others, strict=True):
        ratios = sorted(b / a for a, b in zip(own, side, strict=True))
        print(f"; {name} x{statistics.median(ratios):.2f}", end="")
        print(f" [{ratios[0]:.2f}, {ratios[-1]:.2f}]", end="")
    work = counted(case.sides()[0])
    whole, milliseconds = sum(work.seconds.values()), statistics.median(own) * STEPS
    print(
        f"\n    convolutions {work.seconds['products'] / whole:.0%} of the operations' time;",
        end="",
    )
    print(f" roofline {1e3 * work.floor(limits) / milliseconds:.0%} of a step", end="")
    print(f", {work.n_calls // STEPS} operations, {1e3 * milliseconds / work.n_calls:.0f} us each")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the comparison for both networks of the chapter."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--small", action="store_true", help="minimal sizes, to try the script")
    options = parser.parse_args(arguments)
    devices.prepare(CPU)
    limits = Machine.measure(CPU, torch.float32, small=options.small)
    print(f"{devices.describe(CPU)}; torch {torch.__version__}; one thread, CPU time")
    data = FASHION_SMALL.name if options.small or CIFAR10.missing() else CIFAR10.name
    deep = replace(deep_arms("laptop")["joint"], data=data)
    for config in (ImageConfig("joint", data, STEPS), deep):
        compare(replace(config, n_blocks=1) if options.small else config, options.repeats, limits)


if __name__ == "__main__":
    main()
