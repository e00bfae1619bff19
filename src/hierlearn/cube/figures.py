"""The figures of chapter 2. Parameters are named after the experiments that a figure draws."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from hierlearn.cube.certificates import ErrorsConfig
from hierlearn.cube.experiments import (
    KERNELS,
    OTHERS,
    STAIRCASE_DIM,
    STAIRCASES,
    TWO_LAYER,
    at_better_rate,
    certified_samples,
    dimension,
    kernel_class,
    n50,
    n50_over_targets,
    relative_error,
    relative_floor,
    samples_needed,
)
from hierlearn.cube.runs import NetworkConfig
from hierlearn.cube.target import ParityClass, hierarchy_class
from hierlearn.drawing.figures import INK, Drawing, Series, gives, log_axes, over_seeds
from hierlearn.drawing.steered import Axis, State, Steered
from hierlearn.experiment import Runs, Statistic
from hierlearn.statistics import each

Points = dict[float, list[float]]
"""The values of the seeds, by number of samples."""

# --- what several figures need ----------------------------------------------------------------


def exact(config: ErrorsConfig, measurement: dict[str, Any]) -> tuple[ParityClass, Points]:
    """Return the class of a kernel's run, and its error at each of its sizes."""
    pairs = zip(config.sizes, measurement["relative"], strict=True)
    return config.target, {n: [error] for n, error in pairs}


def trained(config: NetworkConfig, measurement: dict[str, Any]) -> tuple[ParityClass, Points]:
    """Return the class of a network's run, and its error at its number of samples."""
    return kernel_class(config), {config.n_samples: [relative_error(config, measurement)]}


def learning_curves(
    runs: Runs, arm: str, errors: Callable[[Any, Any], tuple[ParityClass, Points]]
) -> dict[ParityClass, Points]:
    """Return the errors of an arm over the number of samples, class by class."""
    found: dict[ParityClass, Points] = {}
    for results in runs.of(arm).values():
        for result in results:
            target, points = errors(*result)
            for n, values in points.items():
                found.setdefault(target, {}).setdefault(n, []).extend(values)
    return found


def largest(targets: Iterable[ParityClass]) -> ParityClass:
    """Return the class of highest degree, and of these the one of largest dimension."""
    return max(targets, key=lambda one: (one.degrees, one.dim))


def bound_of(target: ParityClass, sizes: Sequence[float]) -> Series:
    """Return the relative error that no kernel goes below on a class."""
    floor = tuple(relative_floor(target, int(n)) for n in sizes)
    return Series("bound", tuple(sizes), floor, kind="bound")


def few(ticks: Sequence[float]) -> list[float]:
    """Return the ticks, or every other one where there are many."""
    return [*ticks][:: 2 if len(ticks) > 4 else 1]


def doubled(first: float, last: float) -> list[float]:
    """Return `first`, twice that, and so on, up to `last`."""
    return [first * 2**i for i in range(int(math.log2(last / first)) + 1)]


# --- kernels ----------------------------------------------------------------------------------

SHOWN = ("poly4", "ntk1", "ntk2", "rbf", "harmonic")


@gives("kernel-checked", "kernel-violations")
def certificate(kernel_certificates: Runs, kernel_hierarchy: Runs) -> Drawing:
    """Draw the exact errors of some kernels on one class, and of all runs against their bound."""
    fig, (left, right) = plt.subplots(1, 2)
    said = _over_share(left, kernel_certificates)
    both = kernel_certificates, kernel_hierarchy
    zoo = [pair for runs in both for pair in _against_bound(runs, OTHERS) if pair[0] > 0]
    tight = [pair for runs in both for pair in _against_bound(runs, ("harmonic",)) if pair[0] > 0]
    every = [pair for runs in both for pair in _against_bound(runs, tuple(runs.arms))]
    right.plot(*np.transpose(zoo), "o", markersize=2.5, alpha=0.5, label="zoo")
    right.plot(*np.transpose(tight), "s", markersize=3.5, alpha=0.7, label="harmonic")
    right.plot([0, 1], [0, 1], color=INK, linestyle=":", label="bound")
    right.set(title="class-averaged error, every run", xlabel="bound")
    right.legend()
    return Drawing(
        fig,
        alt=f"{said} Second panel: none of {len(zoo) + len(tight)} points lies below the diagonal "
        f"by more than {max(0.0, max(bound - error for bound, error in every)):.0e}.",
        caption="The exact error, averaged over all targets of the class. First panel: one class, "
        "all seeds. Second panel: every kernel, class, sample size and seed against its bound.",
        numbers={
            "kernel-checked": str(len(every)),
            "kernel-violations": str(sum(error < bound - 1e-7 for bound, error in every)),
        },
    )


def _over_share(ax: Axes, runs: Runs) -> str:
    """Draw the errors on the largest class over N / M; return what that says."""
    parts = []
    for index, kernel in enumerate(SHOWN):
        curves = learning_curves(runs, kernel, exact)
        target = largest(curves)
        (n_targets,) = target.multiplicities
        points = {n / n_targets: errors for n, errors in curves[target].items()}
        line = over_seeds(kernel, points, index=index)
        line.draw(ax)
        parts.append(f"{kernel} {line.at(0)} to {line.at()}")
    x = (line.x[0], line.x[-1])
    bound = Series("bound", x, tuple(1 - share for share in x), kind="bound")
    bound.draw(ax, color=INK)
    ax.set_title(f"parities of degree {target.degrees[0]}, $d={target.dim}$")
    ax.set_xlabel(r"samples over targets, $N/\binom{d}{k}$")
    ax.legend()
    return (
        f"Exact class-averaged error in dimension {target.dim}, degree {target.degrees[0]}, as N "
        f"grows from {x[0]:.2f} to {x[1]:.2f} times the number of targets: {', '.join(parts)}; "
        f"the bound falls from {bound.at(0)} to {bound.at()}."
    )


def _against_bound(runs: Runs, arms: tuple[str, ...]) -> list[tuple[float, float]]:
    """List bound and error at every size of every run of these arms."""
    measured = [m for results in runs.of(*arms).values() for _, m in results]
    return [pair for m in measured for pair in zip(m["bound"], m["relative"], strict=True)]


def steer_kernel(kernel_certificates: Runs) -> Steered:
    """Draw the errors of a kernel on every class of a dimension, beside the bounds."""
    curves = {name: learning_curves(kernel_certificates, name, exact) for name in KERNELS}
    dims = sorted({target.dim for target in curves["harmonic"]})
    n_seeds = len(kernel_certificates.of("harmonic"))
    return Steered(
        controls={
            "dimension d": {dim: f"{dim}" for dim in dims},
            "kernel": {name: name for name in KERNELS},
        },
        states={
            (dim, name): _at_dimension(dim, name, curves[name]) for dim in dims for name in KERNELS
        },
        start=(largest(curves["harmonic"]).dim, "ntk2"),
        axes=(Axis("samples N", log=True), Axis("class-averaged error")),
        caption=f"Exact class-averaged error over the sample size: mean of {n_seeds} seeds with "
        "95 % interval, and the bound.",
    )


def _at_dimension(dim: int, kernel: str, curves: dict[ParityClass, Points]) -> State:
    lines, parts = [], []
    for target in sorted((one for one in curves if one.dim == dim), key=lambda one: one.degrees):
        degree = target.degrees[0]
        index = degree - 2 + (degree == 4)  # the third dash is dotted, as the bounds are
        line = over_seeds(f"degree {degree}", curves[target], index=index, floor=1e-12)
        floor = bound_of(target, line.x)
        lines += [line, replace(floor, label=f"bound, degree {degree}", index=index)]
        ends = " to ".join(
            f"{line.at(i)} at N = {line.x[i]} (bound {floor.y[i]:.2g})" for i in (0, -1)
        )
        parts.append(f"degree {degree} ({target.multiplicities[0]} targets) from {ends}")
    return State(lines, f"Kernel {kernel} in dimension {dim}: {'; '.join(parts)}.")


def half_error(kernel_half_error: Runs) -> Drawing:
    """Draw the samples that poly4 needs for error one half, and the same over the targets."""
    fig, (left, right) = plt.subplots(1, 2)
    dims: list[float] = []
    said = []
    for degree, index in {1: 0, 2: 1, 3: 3, 4: 4}.items():  # the third dash is dotted
        arm = f"poly4, degree {degree}"
        if not kernel_half_error.of(arm):
            continue
        points, shares = (
            kernel_half_error.points(dimension, value, arm) for value in (n50, n50_over_targets)
        )
        line = over_seeds(f"degree {degree}", points, index=index)
        line.draw(left)
        half = [math.comb(int(dim), degree) / 2 for dim in line.x]
        left.plot(line.x, half, color=INK, linestyle=":", linewidth=1)
        over_seeds(line.label, shares, index=index).draw(right)
        dims += line.x
        said.append(
            f"{line.label}: {line.at(0)} at dimension {line.x[0]}, {line.at()} at {line.x[-1]}, "
            f"where there are {math.comb(int(line.x[-1]), degree)} targets"
        )
    for ax, which in ((left, "xy"), (right, "x")):
        log_axes(ax, which, x_ticks=doubled(8, max(dims)))
        ax.set_xlabel("dimension $d$")
    right.axhline(0.5, color=INK, linestyle=":", linewidth=1)
    left.set(title="$N_{50}$ of poly4")
    right.set(title="the same over the number of targets", ylim=(0, 2.4))
    left.legend()
    return Drawing(
        fig,
        alt="Samples that the kernel poly4 needs for class-averaged error one half. "
        f"{'; '.join(said)}.",
        caption="Samples for class-averaged error ½, all seeds; dotted: the certificate, half the "
        "number of targets. Second panel: both over the number of targets.",
    )


# --- networks ---------------------------------------------------------------------------------


def staircase(network_samples: Runs, kernel_hierarchy: Runs) -> Drawing:
    """Draw the errors of the deep network and of the best kernel on the staircases."""
    fig, axes = plt.subplots(1, 2, sharey=True)
    kernels = [learning_curves(kernel_hierarchy, kernel, exact) for kernel in KERNELS]
    parts = []
    for ax, (name, amplitudes) in zip(axes, STAIRCASES.items(), strict=True):
        target = hierarchy_class(STAIRCASE_DIM, amplitudes)
        points = {n: _least(one[target][n] for one in kernels) for n in kernels[0][target]}
        lines = [over_seeds("best kernel", points, index=1)]
        if deep := learning_curves(network_samples, name, trained).get(target):
            lines.insert(0, over_seeds("deep network", deep))
        for line in lines:
            line.draw(ax)
        ends = min(points), max(n for line in lines for n in line.x)
        bound = bound_of(target, np.unique(np.geomspace(*ends, 80).astype(int)).tolist())
        n_shown = sum(error > 1e-3 for error in bound.y)
        replace(bound, x=bound.x[:n_shown], y=bound.y[:n_shown]).draw(ax, color=INK)
        log_axes(ax, "xy", x_ticks=few(doubled(*ends)))
        ax.set(title=f"{len(amplitudes)} levels, $d={STAIRCASE_DIM}$", xlabel="samples $N$")
        said = [f"{one.label} {one.at(0)} to {one.at()} at N = {one.x[-1]}" for one in lines]
        parts.append(f"{len(amplitudes)} levels: {', '.join(said)}")
    axes[0].set_ylabel("relative error")
    axes[0].legend(loc="lower left")
    return Drawing(
        fig,
        alt=f"Relative error on the staircase, geometric means over seeds. {'; '.join(parts)}.",
        caption="The staircase: exact error of the best kernel of the zoo, the water-filling bound "
        "for all kernels, and the deep network.",
    )


def _least(errors: Iterable[list[float]]) -> list[float]:
    """Return the smallest error of each seed."""
    return [min(own) for own in zip(*errors, strict=True)]


def growth(network_samples: Runs) -> Drawing:
    """Draw the samples for error 0.1 over the dimension: the network's, and what kernels need."""
    fig, (left, right) = plt.subplots(1, 2, sharey=True)
    titles = {"parity of degree 4": "one parity of degree 4", **{name: name for name in STAIRCASES}}
    lines: list[Series] = []
    parts = []
    for name, title in titles.items():
        if not (points := _growth(network_samples, name)):
            continue
        line = over_seeds(title, {one.dim: n for one, n in points.items()}, index=len(lines))
        floor = tuple(certified_samples(one) for one in points)
        lines.append(line)
        line.draw(left)
        Series(title, line.x, floor, index=line.index).draw(right)
        parts.append(
            f"{title}: network {line.at(0)} samples at dimension {line.x[0]} and {line.at()} at "
            f"{line.x[-1]}, any kernel at least {floor[0]:.3g} and {floor[-1]:.3g}"
        )
    dims = [dim for line in lines for dim in line.x]
    for ax, title in ((left, "deep network"), (right, "any kernel, at least")):
        log_axes(ax, "xy", x_ticks=doubled(min(dims), max(dims)))
        ax.set(title=title, xlabel="dimension $d$")
    left.legend(loc="upper left")
    left.set_ylabel("samples for relative error 0.1")
    return Drawing(
        fig,
        alt=f"Samples for relative error 0.1, geometric means over seeds. {'; '.join(parts)}.",
        caption="Samples for relative error 0.1: the deep network, all seeds, and the number below "
        "which the certificate excludes every kernel (same marks).",
    )


def _growth(runs: Runs, arm: str) -> dict[ParityClass, list[float]]:
    """Return N10 by class, of the seeds that reach it in every dimension."""
    found = [
        one for one in samples_needed(runs, arm).values() if np.isfinite([*one.values()]).all()
    ]
    return {target: [one[target] for one in found] for target in (found[0] if found else ())}


def two_layer(two_layer: Runs) -> Drawing:
    """Draw the errors of two-layer and of deep networks on the same samples of the staircases."""
    fig, axes = plt.subplots(1, 2, sharey=True)
    networks: dict[str, Callable[[str], Statistic]]
    networks = {"deep": partial(each, relative_error), "two-layer": at_better_rate}
    parts = []
    for ax, (name, (sizes, width, _)) in zip(axes, TWO_LAYER.items(), strict=True):
        target = hierarchy_class(STAIRCASE_DIM, STAIRCASES[name])
        lines = []
        for index, (label, make) in enumerate(networks.items()):
            statistics = {n: make(f"{label}, {name}, N={n}") for n in sizes}
            errors: Points = {n: [*one(two_layer).values()] for n, one in statistics.items()}
            lines.append(over_seeds(label, errors, index=index))
            lines[-1].draw(ax)
        replace(bound_of(target, sizes), label="bound for kernels").draw(ax, color=INK)
        log_axes(ax, "xy", x_ticks=[*sizes])
        ax.set_title(f"{len(target.degrees)} levels, two-layer width {width}")
        ax.set_xlabel("samples $N$")
        said = ", ".join(f"{line.label} {line.at()}" for line in lines)
        parts.append(f"{len(target.degrees)} levels at N = {sizes[-1]}: {said}")
    axes[0].set_ylabel("relative error")
    axes[1].legend(loc="lower left")
    return Drawing(
        fig,
        alt=f"Staircase in dimension {STAIRCASE_DIM}, geometric means over seeds. "
        f"{'; '.join(parts)}.",
        caption="Two-layer polynomial networks at the better of two learning rates, "
        f"$d={STAIRCASE_DIM}$. With two levels they too go below the bound for kernels; with three "
        "they lag behind.",
    )
