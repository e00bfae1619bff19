"""Every engine's step against its floor, in groups and one by one; on a GPU also against the CPU.

    python benchmarks/gpu.py [--device auto] [--seeds 8] [--repeats 5] [--small]

The steps are those of real groups, with the shapes of the book's laptop profile. Without a GPU the
table is that of one CPU core, in CPU seconds. TF32 is off. On CUDA steps are captured in graphs,
as in the book, and once more run eagerly (`HIERLEARN_EAGER`), so that the gain is seen.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context

import torch
from engines import Machine, Work, counted, seconds, watching

from hierlearn.ball import runs as ball_runs
from hierlearn.ball.config import BallConfig
from hierlearn.cube import runs as parity_networks
from hierlearn.cube.exact_error import CubeKernel, class_average_errors
from hierlearn.cube.target import ParityClass, draw_points, hamming
from hierlearn.engine import capture, devices
from hierlearn.engine.kernels import ZOO, polynomial_kernel, ridge_predictions
from hierlearn.experiment import Group
from hierlearn.grammar import config as hierarchy
from hierlearn.grammar import runs as hierarchy_networks
from hierlearn.images import networks as residual
from hierlearn.images.data import FASHION_SMALL
from hierlearn.images.runs import BATCH, DECAY, RATE, ImageConfig
from hierlearn.images.training import order, train
from hierlearn.quadratic import runs as quadratic
from hierlearn.quadratic.config import QuadraticConfig
from hierlearn.quadratic.simpler import runs as simple_learners

STEPS = 5
Make = Callable[[Sequence[int], int, bool], Group]
"""Seeds, arms, and whether sizes are minimal, to a group."""


def _quadratic(seeds: Sequence[int], n_arms: int, small: bool) -> Group:
    base = QuadraticConfig(
        dim=8 if small else 20, widths=(4, 3, 2), gaps=(1, 0.2, 0.04), opens=(0, 0, 0),
        n_steps=STEPS, n_test=50, batch=32 if small else 256,
    )  # fmt: skip
    arms = [replace(base, rate=1e-3 * (1 + arm)) for arm in range(n_arms)]
    return Group.of("benchmark", arms, seeds)


def _parities(seeds: Sequence[int], n_arms: int, small: bool) -> Group:
    base = parity_networks.NetworkConfig(
        16 if small else 32, (1.0, 0.8, 0.64), 400, STEPS, n_test=50,
        batch=32 if small else 256, width=8 if small else 32,
    )  # fmt: skip
    arms = [replace(base, rate=1e-3 * (1 + arm)) for arm in range(n_arms)]
    return Group.of("benchmark", arms, seeds)


def _strings(seeds: Sequence[int], n_arms: int, small: bool) -> Group:
    base = hierarchy.HierarchyConfig(
        8, 8, 4, 3, 512, n_steps=STEPS, n_test=50, width=8 if small else 64
    )
    arms = [replace(base, n_samples=512 + arm) for arm in range(n_arms)]
    return Group.of("benchmark", arms, seeds)


def _balls(seeds: Sequence[int], n_arms: int, small: bool) -> Group:
    base = BallConfig(
        "trained", "sum", 10, 1.4, width=16 if small else 256, n_steps=STEPS, activation="relu",
        batch=32 if small else 256, n_test=200,
    )  # fmt: skip
    arms = [replace(base, radius=1.4 + 1e-3 * arm) for arm in range(n_arms)]
    return Group.of("benchmark", arms, seeds)


def _two_layer(seeds: Sequence[int], n_arms: int, small: bool) -> Group:
    config = simple_learners.SimpleConfig(
        "two-layer", 200, width=16 if small else 512, rate=1e-3, n_steps=8, powers=(1, 2, 4)
    )
    more = [seed + 100 * arm for arm in range(n_arms) for seed in seeds]
    return Group.of("benchmark", [config], more)


ENGINES: dict[str, tuple[Callable, Make, int]] = {
    "quadratic (ch. 1, 3, 6)": (quadratic.measure, _quadratic, 8),
    "normalized powers (ch. 2)": (parity_networks.measure, _parities, 4),
    "patches (ch. 4)": (hierarchy_networks.measure_networks, _strings, 3),
    "one hidden layer (ch. 5)": (ball_runs.measure, _balls, 4),
    "two layers (ch. 6)": (simple_learners.measure, _two_layer, 1),
}
"""Engine to its measure, its groups, and the arms of a group."""


def engine_step(name: str, seeds: Sequence[int], n_arms: int, device: torch.device, small: bool):  # type: ignore[no-untyped-def]
    """Return the step of an engine as the book runs it on `device`, and its work."""
    measure, make, _ = ENGINES[name]
    with watching() as watch:
        measure(make(seeds, n_arms, small), device)
    given = tuple(one.to(device) for one in watch.given)
    return watch.again(device), counted(lambda: watch.step(*given))


NETWORKS = {"14": {}, "110": {"widths": (8, 16, 32), "n_blocks": 18, "scale": 0.2}}
"""Layers of the residual networks of chapter 8 to what sets them apart at laptop."""


def residual_steps(device: torch.device, small: bool) -> dict[str, Callable[[], object]]:
    """Five joint steps of each network of chapter 8, on noise in the shape of CIFAR-10, halved."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(STEPS * BATCH, 3, 16, 16, generator=generator).to(device)
    x = x.contiguous(memory_format=torch.channels_last)
    y = torch.randint(10, (len(x),), generator=generator).to(device)
    batches = order(len(x), STEPS, 8 if small else BATCH, generator).to(device)

    def steps(stages: torch.nn.ModuleList, head: torch.nn.Module) -> Callable[[], object]:
        return lambda: train([*stages], head, x, y, batches, rate=RATE, decay=DECAY)

    found = {}
    for layers, differs in NETWORKS.items():
        config = ImageConfig("joint", FASHION_SMALL.name, STEPS, **differs)
        stages = residual.resnet(
            3, config.widths, n_blocks=config.n_blocks, scale=config.scale, generator=generator
        ).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        head = residual.head("gap", config.widths[-1], size=2, generator=generator).to(device)
        found[f"{layers} layers, {STEPS} steps (ch. 8)"] = steps(stages, head)
    return found


def solves(device: torch.device, small: bool) -> dict[str, Callable[[], object]]:
    """The dense solves of chapters 2 and 6, in float64."""
    n, m = (40, 50) if small else (800, 2000)
    generator = torch.Generator().manual_seed(0)
    target = ParityClass(16, (3,), (1.0,))
    points = draw_points(n, 16, generator).to(device)
    kernel, distances = CubeKernel.of(ZOO["ntk2"], 16), hamming(points, points)
    x = torch.randn(m, 20, generator=generator, dtype=torch.float64).to(device)
    gram, y = polynomial_kernel(x, x, degree=4), x[:, 0] * x[:, 1]
    ridges = (1e-8, 1e-6, 1e-4, 1e-2)
    return {
        f"exact class averages, N = {n} (ch. 2)": lambda: class_average_errors(
            kernel, target, distances, ridges=ridges
        ),
        f"kernel ridge, N = {m}, 4 ridges (ch. 6)": lambda: ridge_predictions(
            gram, gram, y, ridges=ridges
        ),
    }


def launches(function: Callable[[], object], work: Work, device: torch.device) -> int:
    """Kernels launched in one call, by the profiler; on the CPU the operations called."""
    if device.type == "cpu":
        return work.n_calls
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as found:
        function()
        torch.cuda.synchronize()
    return sum(e.device_type == torch.autograd.DeviceType.CUDA for e in found.events())


def line(name: str, n_runs: int, taken: float, work: Work, machine: Machine, n: int) -> str:
    """One row of the table; the fraction is the larger floor over the time."""
    roof, launch = work.floor(machine), n * machine.launch
    return (
        f"{name:40s} {n_runs:5d} {1e3 * taken:9.3f} {work.flops / 1e6:10.4g} "
        f"{work.n_bytes / 1e6:9.4g} {n:8d} {roof / taken:7.2f} {launch / taken:8.2f} "
        f"{max(roof, launch) / taken:9.2f}"
    )


def table(device: torch.device, options: argparse.Namespace) -> None:
    """Print the tables of the steps, of the residual networks, and of the solves."""
    times = 2 if options.small else 20

    def median(function: Callable[[], object], n: int = times) -> float:
        return statistics.median(seconds(function, device, times=n) for _ in range(options.repeats))

    single, double = (
        Machine.measure(device, dtype, small=options.small)
        for dtype in (torch.float32, torch.float64)
    )
    print(f"float32: {single}\nfloat64: {double}")
    print(f"{'':40s}  runs        ms     MFLOP  MB moved launches  of roof of launch  of floor")
    seeds = range(options.seeds)
    for name, (_, _, n_arms) in ENGINES.items():
        step, work = engine_step(name, seeds, n_arms, device, options.small)
        alone, _ = engine_step(name, seeds[:1], 1, device, options.small)
        n_runs = options.seeds * n_arms
        taken, one = median(step), median(alone)
        print(line(name, n_runs, taken, work, single, launches(step, work, device)))
        print(f"{'':46s} one by one takes {n_runs * one / taken:.1f} times as long", end="")
        if device.type == "cuda":
            print(against(name, seeds, n_arms, taken, options), end="")
        print()
    for make, machine in ((residual_steps, single), (solves, double)):
        for name, whole in make(device, options.small).items():
            work = counted(whole)
            taken = median(whole, 1)
            print(line(name, 1, taken, work, machine, launches(whole, work, device)))


def against(
    name: str, seeds: Sequence[int], n_arms: int, taken: float, options: argparse.Namespace
) -> str:
    """Say what the graph gains over the same step run eagerly, and over two CPU cores.

    On these, two processes share the arms.
    """
    cuda = torch.device("cuda")
    os.environ[capture.EAGER] = "1"
    try:
        eager, _ = engine_step(name, seeds, n_arms, cuda, options.small)
    finally:
        del os.environ[capture.EAGER]
    arms_of_one = max(n_arms // 2, 1)
    with ProcessPoolExecutor(2, get_context("spawn")) as pool:
        given = name, [*seeds], arms_of_one, options.small
        both = [pool.submit(cpu_step_seconds, *given) for _ in range(2)]
        slow = max(one.result() for one in both)
    slow *= n_arms / (2 * arms_of_one)
    ratios = seconds(eager, cuda, times=20) / taken, slow / taken
    return f"; eagerly {ratios[0]:.1f}; two CPU cores {ratios[1]:.1f}"


def cpu_step_seconds(name: str, seeds: Sequence[int], n_arms: int, small: bool) -> float:
    """Wall seconds of a step on one core, for some two seconds, while another process does so."""
    cpu = torch.device("cpu")
    devices.prepare(cpu)
    step, _ = engine_step(name, seeds, n_arms, cpu, small)
    n, start = 0, time.perf_counter()
    while time.perf_counter() - start < 2:
        step()
        n += 1
    return (time.perf_counter() - start) / n


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto", choices=devices.DEVICES)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="minimal sizes, to try the script")
    options = parser.parse_args(arguments)
    device = devices.resolve(options.device)
    devices.prepare(device)
    print(f"{devices.describe(device)}; torch {torch.__version__}; TF32 off", end="; ")
    print("one thread, CPU time" if device.type == "cpu" else "graphs, time between events")
    table(device, options)


if __name__ == "__main__":
    main()
