"""The figures of chapter 2. Parameters are named after the experiments that a figure draws."""

import math

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from hierlearn.cube.experiments import FIT, KERNELS, LEVELS, OTHERS, SUMS
from hierlearn.cube.measures import (
    certified_samples,
    dimension,
    n50,
    n50_over_targets,
    n_samples,
    network_floor,
    relative_error,
    samples_needed,
)
from hierlearn.cube.search import samples_to_search
from hierlearn.cube.target import ParityClass
from hierlearn.drawing.figures import INK, Drawing, Series, gives, log_axes, over_seeds
from hierlearn.drawing.steered import Axis, State, Steered
from hierlearn.experiment import AbsentArm, Runs
from hierlearn.formatting import format_number
from hierlearn.intervals import Bound, fit_slope
from hierlearn.statistics import Value, number

Points = dict[float, list[float]]
"""The values of the seeds, by number of samples."""


def learning_curves(runs: Runs, arm: str) -> dict[ParityClass, Points]:
    """Return the exact errors of a kernel over the number of samples, class by class."""
    found: dict[ParityClass, Points] = {}
    for results in runs.of(arm).values():
        for config, measurement in results:
            points = found.setdefault(config.target, {})
            for n, error in zip(config.sizes, measurement["relative"], strict=True):
                points.setdefault(n, []).append(error)
    return found


# --- kernels ----------------------------------------------------------------------------------

SHOWN = ("poly4", "ntk1", "ntk2", "rbf", "harmonic")


@gives("kernel-checked", "kernel-violations", "kernel-rank", "kernel-apart")
def certificate(kernel_certificates: Runs) -> Drawing:
    """Draw the exact errors of some kernels on one class, and of all runs against their bound."""
    fig, (left, right) = plt.subplots(1, 2)
    said = _over_share(left, kernel_certificates)
    zoo, own = (_against_bound(kernel_certificates, arms) for arms in (OTHERS, ("harmonic",)))
    for points, style, label in ((zoo, "o", "zoo"), (own, "s", "harmonic")):
        shown = np.array([pair for pair in points if pair[0] > 0])
        right.plot(*shown.T, style, markersize=3, alpha=0.5, label=label)
    right.plot([0, 1], [0, 1], color=INK, linestyle=":", label="bound")
    right.set(title="class-averaged error, every run", xlabel="bound")
    right.legend()
    below = [bound - error for bound, error in zoo + own]
    apart = min(error - bound for bound, error in zoo if bound > 0)
    return Drawing(
        fig,
        alt=f"{said} Second panel: none of {len(below)} points lies below the diagonal by more "
        f"than {max(0.0, *below):.0e}.",
        caption="The exact error, averaged over all targets of the class. First panel: one class, "
        "all seeds. Second panel: every kernel, class, sample size and seed against its bound.",
        numbers={
            "kernel-checked": str(len(below)),
            "kernel-violations": str(sum(one > 1e-7 for one in below)),
            "kernel-rank": format_number(_off_rank_formula(kernel_certificates)),
            "kernel-apart": format_number(apart),
        },
    )


def _over_share(ax: Axes, runs: Runs) -> str:
    """Draw the errors on the largest class over N / M; return what that says."""
    parts = []
    for index, kernel in enumerate(SHOWN):
        curves = learning_curves(runs, kernel)
        target = max((c for c in curves if len(c.degrees) == 1), key=lambda c: c.multiplicities)
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


def _off_rank_formula(runs: Runs) -> float:
    """Return how far the harmonic kernel's error is from 1 - rank / M, at most."""
    return max(
        abs(error - (1 - rank / config.target.multiplicities[0]))
        for results in runs.of("harmonic").values()
        for config, measurement in results
        if len(config.degrees) == 1
        for rank, error in zip(measurement["rank"], measurement["relative"], strict=True)
    )


def steer_kernel(kernel_certificates: Runs) -> Steered:
    """Draw the errors of a kernel on every class of a dimension, beside the bounds."""
    curves = {name: learning_curves(kernel_certificates, name) for name in KERNELS}
    classes = [one for one in curves["harmonic"] if len(one.degrees) == 1]
    dims = sorted({target.dim for target in classes})
    n_seeds = len(kernel_certificates.of("harmonic"))
    return Steered(
        controls={
            "dimension d": {dim: f"{dim}" for dim in dims},
            "kernel": {name: name for name in KERNELS},
        },
        states={
            (dim, name): _at_dimension(dim, name, {c: curves[name][c] for c in classes})
            for dim in dims
            for name in KERNELS
        },
        start=(dims[0], "ntk2"),
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
        floor = tuple(target.floor(int(n)) for n in line.x)
        bound = Series(f"bound, degree {degree}", line.x, floor, index=index, kind="bound")
        lines += [line, bound]
        ends = " to ".join(
            f"{line.at(i)} at N = {line.x[i]} (bound {floor[i]:.2g})" for i in (0, -1)
        )
        parts.append(f"degree {degree} ({target.multiplicities[0]} targets) from {ends}")
    return State(lines, f"Kernel {kernel} in dimension {dim}: {'; '.join(parts)}.")


@gives("kernel-exponents")
def half_error(kernel_half_error: Runs) -> Drawing:
    """Draw the samples for error one half over the number of targets, over the dimension."""
    fig, (left, right) = plt.subplots(1, 2, sharey=True)
    said, growths = [], []
    for index, arm in enumerate((*FIT, "laplace, degree 2")):
        if not kernel_half_error.of(arm):
            continue
        needs, shares = (
            kernel_half_error.points(dimension, value, arm) for value in (n50, n50_over_targets)
        )
        kernel, degree = arm.split(", degree ")
        ax = left if degree == "2" else right
        line = over_seeds(kernel if degree == "2" else arm, shares, index=index)
        line.draw(ax)
        said.append(f"{arm}: {line.at(0)} at dimension {line.x[0]}, {line.at()} at {line.x[-1]}")
        if arm in FIT and len(shares) > 3:
            dims = [*needs]
            own = fit_slope(dims, [math.exp(np.log(values).mean()) for values in needs.values()])
            targets = fit_slope(dims, [math.comb(dim, int(degree)) for dim in dims])
            growths.append(f"{arm}: {own:.2f} against {targets:.2f}")
    for ax, title in ((left, "degree 2"), (right, "degrees 3 and 4")):
        ax.axhline(0.5, color=INK, linestyle=":", linewidth=1)
        ax.set(title=title, xlabel="dimension $d$", ylim=(0, 2.6))
        if ax.lines[1:]:
            ax.legend()
    left.set_ylabel(r"$N_{50}/\binom{d}{k}$")
    return Drawing(
        fig,
        alt="Samples for class-averaged error one half, over the number of targets. "
        f"{'; '.join(said)}.",
        caption="Samples for class-averaged error ½ over the number of targets, all seeds; dotted: "
        "the certificate, one half.",
        numbers={"kernel-exponents": "; ".join(growths) or "—"},
    )


# --- networks ---------------------------------------------------------------------------------


@gives("kernel-search")
def sparsity(network_sums: Runs, monomial_search: Runs) -> Drawing:
    """Draw the network's error on sums of s parities, and the samples that the search needs."""
    fig, (left, right) = plt.subplots(1, 2)
    said = []
    for index, name in enumerate(SUMS):
        if not network_sums.of(name):
            continue
        line = over_seeds(name, network_sums.points(n_samples, relative_error, name), index=index)
        line.draw(left)
        said.append(f"{name} {line.at()}")
    bound = over_seeds("bound", network_sums.points(n_samples, network_floor, name), kind="bound")
    bound.draw(left, color=INK)
    dim = network_sums.first(name).dim
    log_axes(left, "xy", x_ticks=bound.x)
    left.set(title=f"deep network, $d={dim}$", xlabel="samples $N$", ylabel="relative error")
    left.legend()
    searched = {
        terms: monomial_search.points(dimension, number("n_samples"), name)[dim]
        for name, terms in SUMS.items()
        if terms
    }
    search = over_seeds("search of all monomials", searched, index=3)
    network = _network_needs(network_sums)
    for line in (*network, search):
        line.draw(right)
    floor = certified_samples(network_sums.first(name).parities)
    right.axhline(floor, color=INK, linestyle=":", label="any kernel, at least")
    log_axes(right, "xy", x_ticks=search.x)
    right.set(title=f"samples for error 0.1, $d={dim}$", xlabel="number of parities $s$")
    right.legend()
    return Drawing(
        fig,
        alt=f"Deep network in dimension {dim}, relative error at N = {bound.x[-1]} on sums of "
        f"{', '.join(said)}; bound {bound.y[-1]:.2g}. Samples for error 0.1: the search needs "
        f"{search.at(0)} for one parity and {search.at()} for {search.x[-1]}, any kernel at least "
        f"{floor:.0f}.",
        caption="Sums of s random parities of degree 4, which share no hierarchy. First panel: the "
        "deep network; dotted: no kernel goes below, on average over the class. Second panel: "
        "samples for relative error 0.1; the network where its grid of N reaches that.",
        numbers={"kernel-search": search.at()},
    )


def _network_needs(runs: Runs) -> list[Series]:
    """Return the network's samples for error 0.1, at the s at which every seed reaches it."""
    found: Points = {}
    for name, terms in SUMS.items():
        values = [n for needs in samples_needed(runs, name).values() for n in needs.values()]
        if terms and values and not any(isinstance(n, Bound) for n in values):
            found[terms] = values
    return [over_seeds("deep network", found)] if found else []


@gives("kernel-search-computed", "kernel-search-measured", "kernel-network-over-search")
def growth(network_samples: Runs, monomial_search: Runs) -> Drawing:
    """Draw the samples for error 0.1 over the dimension: network, search, and what kernels need."""
    fig, axes = plt.subplots(1, 2, sharey=True)
    parts, ratio = [], math.nan
    for ax, name in zip(axes, ("parity of degree 4", "staircase, 3 levels"), strict=True):
        points = _needs(network_samples, name)
        network = over_seeds("deep network", {one.dim: n for one, n in points.items()})
        floor = tuple(certified_samples(one) for one in points)
        network.draw(ax)
        Series("any kernel, at least", network.x, floor, index=1).draw(ax)
        parts.append(
            f"{name}: network {network.at(0)} samples at dimension {network.x[0]} and "
            f"{network.at()} at {network.x[-1]}, any kernel at least {floor[0]:.3g} and "
            f"{floor[-1]:.3g}"
        )
        if name.startswith("parity"):
            found = monomial_search.points(dimension, number("n_samples"), "1 parity")
            search = over_seeds("search of all monomials", found, index=3)
            search.draw(ax)
            ratio = network.y[-1] / search.y[search.x.index(network.x[-1])]
            computed = samples_to_search(math.comb(int(network.x[-1]), 4))
            parts.append(f"search {search.at(0)} and {search.at()}, computed {computed:.1f}")
        log_axes(ax, "xy", x_ticks=network.x)
        ax.set(title=name, xlabel="dimension $d$")
    axes[0].legend()
    axes[0].set_ylabel("samples for relative error 0.1")
    return Drawing(
        fig,
        alt=f"Samples for relative error 0.1, geometric means over seeds. {'; '.join(parts)}.",
        caption="Samples for relative error 0.1: the deep network, the number below which the "
        "certificate excludes every kernel, and the search of all monomials for one parity.",
        numbers={
            "kernel-search-computed": f"{computed:.1f}",
            "kernel-search-measured": search.at(),
            "kernel-network-over-search": format_number(ratio),
        },
    )


def _needs(runs: Runs, arm: str) -> dict[ParityClass, list[float]]:
    """Return N10 by class, of the seeds whose grid of N brackets it in every dimension."""
    found = [
        one
        for one in samples_needed(runs, arm).values()
        if not any(isinstance(n, Bound) or math.isnan(n) for n in one.values())
    ]
    if not found:
        raise AbsentArm(f"{runs.name}: {arm} with error 0.1 inside the grid of N")
    return {target: [one[target] for one in found] for target in found[0]}


@gives("kernel-deep", "kernel-two-dim", "kernel-void", "kernel-units")
def two_layer(two_layer: Runs) -> Drawing:
    """Draw test and training errors of two-layer networks on three levels, over the rate."""
    fig, axes = plt.subplots(1, 2, sharey=True)
    amplitudes, n, lengths = LEVELS["3 levels"]
    arm = "two-layer, 3 levels"
    share = amplitudes[-1] ** 2 / sum(a**2 for a in amplitudes)
    deep = over_seeds("deep", two_layer.points(n_samples, relative_error, "deep, 3 levels"))
    dim, width = (getattr(two_layer.first(arm), name) for name in ("dim", "width"))
    said = [f"deep network {deep.at()}"]
    values: dict[str, Value] = {"test": relative_error, "training": number("train")}
    for ax, (which, value) in zip(axes, values.items(), strict=True):
        for index, steps in enumerate(lengths):
            every = two_layer.points(lambda c: (c.n_steps, c.rate), value, arm)
            points = {rate: values for (n_steps, rate), values in every.items() if n_steps == steps}
            line = over_seeds(f"{steps} steps", points, index=index)
            line.draw(ax)
            least = line.at(line.y.index(min(line.y)))
            said.append(f"{which} error after {steps} steps at least {least}")
        ax.axhline(share, color=INK, linestyle=":", label="the third level's share")
        log_axes(ax, "x", x_ticks=line.x)
        ax.set(title=f"two layers of width {width}, {which} error", xlabel="peak learning rate")
    axes[0].set_ylabel("relative error")
    axes[0].legend()
    return Drawing(
        fig,
        alt=f"Staircase of three levels, N = {n}: {'; '.join(said)}; the third level's share of "
        f"the energy is {share:.2f}.",
        caption=f"Two-layer polynomial networks on the staircase of three levels, $N={n}$: test "
        "and training error over the peak learning rate, after few and after many steps.",
        numbers={
            "kernel-deep": deep.at(),
            "kernel-two-dim": str(dim),
            "kernel-units": str(width),
            "kernel-void": str(dim // 2 ** len(amplitudes)),
        },
    )
