"""The figures of chapter 5. Parameters are named after the experiments that a figure draws."""

from collections.abc import Sequence
from operator import attrgetter
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.axes import Axes

from hierlearn.ball import target as balls
from hierlearn.ball.config import BallConfig
from hierlearn.ball.experiments import DIM, LINEAR, MSE, RADIUS
from hierlearn.ball.measures import polynomial_floor
from hierlearn.ball.runs import CURVE_SHARES
from hierlearn.drawing.figures import (
    COLORS,
    DASHES,
    INK,
    MARKERS,
    WIDTH,
    Drawing,
    Series,
    band,
    gives,
    log_axes,
    over_seeds,
)
from hierlearn.drawing.steered import Axis, State, Steered
from hierlearn.experiment import Runs
from hierlearn.formatting import format_number
from hierlearn.statistics import number

WEAK, CLIPPED = "weak", "weak, clipped in training"
FROZEN, RIDGE = "frozen strong", "frozen, best linear output"
PLAIN = "frozen, no momentum"
PROVED = {"Theorem 8": -1 / 5, "Prop. 12": -1 / 4}
"""Exponents of r in the error that is proved, at constants that are far away."""
ARMS = {"weak, d = 20": WEAK, "clipped, d = 20": CLIPPED, "frozen, d = 10": FROZEN}
"""The networks whose training is shown, as legends have them."""


def level(dim: int) -> float:
    r"""Return the degree-1 level $A_1^2$ of the ball at $\lambda=\sqrt2$."""
    return polynomial_floor(dim, RADIUS, 1)


def plain_ticks(ax: Axes, ticks: Sequence[float]) -> None:
    """Make the vertical axis logarithmic with these ticks, written as plain numbers."""
    ax.set_yscale("log")
    ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()


def radii() -> Drawing:
    """Draw the densities of the radius in dimension 10 over histograms of draws."""
    fig, axes = plt.subplots(1, 2, sharey=True)
    generator, edges = torch.Generator().manual_seed(0), np.linspace(0, 2.5, 101)
    grid, said = np.linspace(0.005, 2.495, 700), []
    for index, law in enumerate(balls.DISTRIBUTIONS.values()):
        ax, color = axes[index // 2], COLORS[index]
        drawn = law.draw(100_000, DIM, generator).numpy()
        heights = np.histogram(drawn, edges)[0] / len(drawn) / np.diff(edges)
        ax.stairs(heights, edges, color=color, alpha=0.7, fill=False, linewidth=0.9)
        density = law.density(grid, DIM)
        dash = DASHES[index % 2]
        ax.plot(grid, density, color=color, linestyle=dash, linewidth=1.3, label=law.title)
        bins = zip(edges, edges[1:], strict=False)
        means = [law.density(np.linspace(a + 1e-4, b, 20), DIM).mean() for a, b in bins]
        gap = np.abs(heights - np.array(means)).max()
        said.append(
            f"{law.title}: highest density {density.max():.2f}, largest deviation of a bin "
            f"{gap:.2f}"
        )
    for ax, title in zip(axes, ("the paper's", "ours"), strict=True):
        ax.set_title(title)
        ax.set_xlabel(r"radius $\rho$")
        ax.legend()
    axes[0].set_ylabel("density")
    return Drawing(
        fig,
        alt="Densities of the radius in dimension 10 and histograms of 100000 draws. "
        f"{'; '.join(said)}.",
        caption="The radius in dimension 10: density (line) and 100 000 draws (steps). The density "
        "of the Bessel mixture oscillates; it is the distribution of the paper's Theorem 4.",
    )


def _measured(runs: Runs, arm: str) -> list[dict[str, Any]]:
    return [m for results in runs.of(arm).values() for _, m in results]


@gives(
    "ball-strong", "ball-weak", "ball-weak-parameters", "ball-strong-parameters", "ball-floor",
    "ball-wrong",
)  # fmt: skip
def profiles(ball_sum: Runs) -> Drawing:
    """Draw what weak and strong networks say as a function of the radius, over training."""
    fig, axes = plt.subplots(1, 2, sharey=True, figsize=(WIDTH, 3.6))
    said = []
    for ax, arm in zip(axes, ("weak, d = 20", "frozen, d = 10"), strict=True):
        found = [m["profile"] for m in _measured(ball_sum, arm)]
        said.append(f"{ARMS[arm]}: {_profile(ax, found)}")
        ax.set_title(f"{ARMS[arm]}, $d={ball_sum.first(arm).dim}$")
        ax.set_xlabel(r"$\Vert x\Vert$")
        ax.legend()
    axes[0].set_ylabel("output")
    weak, strong = ball_sum.first("weak, d = 20"), ball_sum.first("frozen, d = 10")
    return Drawing(
        fig,
        alt=f"Mean output against the norm, {len(found)} seeds, at the end of training. "
        f"{'; '.join(said)}. The target is 1 up to 1.41 and 0 beyond.",
        caption="Output against the norm at three times of training, averaged over points and "
        "seeds; the band is the spread over points at the end; dotted: the target. The weak "
        "network draws a line in $t$, here a parabola, which over- and undershoots; the strong one "
        "saturates on both sides.",
        numbers={
            "ball-strong": f"{strong.width} units, {strong.n_samples} samples and "
            f"{strong.n_steps} steps",
            "ball-weak": f"{weak.width} units and {weak.n_steps} steps of {weak.batch} fresh "
            "samples",
            "ball-weak-parameters": str(weak.width * (weak.dim + 2) + 1),
            "ball-strong-parameters": str(strong.width),
            "ball-floor": f"{level(20):.4f}",
            "ball-wrong": _wrong(ball_sum),
        },
    )


def _wrong(runs: Runs) -> str:
    """Say which share of the points is on the wrong side when outputs are cut at one half."""
    said = []
    for dim in (10, 20):
        both = [_measured(runs, f"{arm}, d = {dim}") for arm in ("weak", "frozen")]
        if all(both):
            weak, frozen = (np.median([m["zero_one"] for m in found]) for found in both)
            said.append(f"{weak:.3f} against {frozen:.3f} in {dim} dimensions")
    return ", ".join(said) or "not in this profile"


def _profile(ax: Axes, found: Sequence[dict[str, Any]]) -> str:
    """Draw the mean outputs at the times on record, and say where they end."""
    edges = np.array(found[0]["edges"])
    middle, steps = (edges[1:] + edges[:-1]) / 2, found[0]["step"]
    for index, step in enumerate(steps):
        mean = np.array([one["mean"][index] for one in found], dtype=float)
        spread = np.array([one["sd"][index] for one in found], dtype=float)
        kept = np.isfinite(mean).all(0) & np.isfinite(spread).all(0)
        x, line, sd = middle[kept], mean[:, kept].mean(0), spread[:, kept].mean(0)
        ax.plot(x, line, color=COLORS[index], linestyle=DASHES[index], label=f"step {step}")
    band(ax, x, line - sd, line + sd, color=COLORS[index])
    ax.plot(
        [edges[0], RADIUS, RADIUS, edges[-1]], [1, 1, 0, 0], color=INK, linewidth=0.9,
        linestyle=":",
    )  # fmt: skip
    low, high = np.interp([1.2, 1.6], x, line)
    return f"{low:.2f} at radius 1.2 and {high:.2f} at 1.6, spread {sd.mean():.2f}"


def over_training(runs: Runs, arm: str) -> dict[float, list[float]]:
    """Return the test error of the seeds at each share of the training steps."""
    curves = [m["curve"] for m in _measured(runs, arm)]
    shares = [step / curves[0]["step"][-1] for step in curves[0]["step"]]
    return {share: [one["mse"][i] for one in curves] for i, share in enumerate(shares)}


def mark_level(ax: Axes, dim: int = 20) -> None:
    """Draw the degree-1 level as a dotted line."""
    ax.axhline(level(dim), color=INK, linewidth=0.9, linestyle=":")
    ax.annotate(
        "degree-1 level", (0.99, level(dim)), xytext=(0, -10), textcoords="offset points",
        ha="right", fontsize=8,
    )  # fmt: skip


def proved_rates(ax: Axes, line: Series) -> float:
    """Draw the proved exponents from the first point of a line; return its own, end to end."""
    ends = np.array(line.x)[[0, -1]]
    for dash, (label, power) in zip(("--", "-."), PROVED.items(), strict=True):
        values = line.y[0] * (ends / ends[0]) ** power
        name = f"{label}: $r^{{-1/{-1 / power:.0f}}}$"
        ax.plot(ends, values, color=INK, linestyle=dash, linewidth=0.8, label=name)
    return float(np.log(line.y[-1] / line.y[0]) / np.log(ends[1] / ends[0]))


@gives("ball-rate-sum", "ball-plain-sum", "ball-certified", "ball-certified-share")
def width(ball_sum: Runs) -> Drawing:
    """Draw the errors against the number of hidden units, by dimension."""
    dims = dimensions(ball_sum)
    fig, axes = plt.subplots(1, len(dims), sharey=True, figsize=(WIDTH, 3.8), squeeze=False)
    said, numbers = [], {"ball-rate-sum": "—"}
    for ax, dim in zip(axes[0], dims, strict=True):
        for label, line in by_width(ball_sum, dim).items():
            line.draw(ax, every_seed=False)
            said.append(f"d = {dim}, {label} {_ends(line, 'units')}")
            if label == FROZEN and dim == DIM:
                rate = proved_rates(ax, line)
                said.append(f"its exponent, end to end, {rate:.2f}, those proved -0.25 and -0.20")
                numbers["ball-rate-sum"] = format_number(rate)
        ax.axhline(level(dim), color=INK, linewidth=0.9, linestyle=":")
        said.append(f"degree-1 level {level(dim):.4f}")
        log_axes(ax, "x")
        plain_ticks(ax, [0.02, 0.05, 0.1, 0.2])
        ax.set_title(f"$d={dim}$")
        ax.set_xlabel("hidden units $r$")
    axes[0, 0].set_ylabel("squared test error")
    entries = {
        label: handle
        for ax in axes[0, ::-1]
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)
    }
    axes[0, 0].legend(entries.values(), entries.keys(), fontsize=7.5)
    return Drawing(
        fig,
        alt="Squared test error against the width. " + "; ".join(said) + ".",
        caption="Error against the number of hidden units, after all steps. Dotted: the degree-1 "
        "level $A_1^2$. Dashed: the rates at which the proved errors fall, from the first point "
        "on; their constants are far away.",
        numbers=numbers | {"ball-plain-sum": _plain(ball_sum)} | _certified(ball_sum),
    )


def hard(ball_sum: Runs) -> Drawing:
    """Draw the errors at the radii among which the proof of Theorem 5 finds its own."""
    weak, strong = (ball_sum.first(f"{arm}, radii") for arm in ("weak", "frozen"))
    fig, ax = plt.subplots(figsize=(WIDTH, 3.2))
    said = []
    of_arm = {WEAK: ("weak", "mse"), FROZEN: ("frozen", "mse"), RIDGE: ("frozen", "linear_mse")}
    for index, (label, (arm, key)) in zip((0, 2, 3), of_arm.items(), strict=True):
        points = ball_sum.points(attrgetter("radius"), number(key), f"{arm}, radii")
        line = over_seeds(label, points, index=index)
        line.draw(ax)
        said.append(f"{label} " + ", ".join(map(line.at, range(len(line.x)))))
    for m, dash in ((1, ":"), (2, "--")):
        levels = [polynomial_floor(DIM, radius, m) for radius in line.x]
        ax.plot(line.x, levels, color=INK, linestyle=dash, linewidth=0.9, label=f"degree {m}")
        said.append(f"degree {m} leaves " + ", ".join(f"{one:.3f}" for one in levels))
    plain_ticks(ax, [0.04, 0.06, 0.08, 0.1])
    ax.set(xlabel=r"radius $\lambda$ of the ball", ylabel="squared test error")
    ax.legend(fontsize=7.5)
    return Drawing(
        fig,
        alt=f"At the radii {', '.join(f'{radius:.3f}' for radius in line.x)}: {'; '.join(said)}.",
        caption=f"The radii of the proof, $d={DIM}$, $m=2$: weak networks of {weak.width} units "
        f"after {weak.n_steps} steps, frozen strong ones of {strong.width} units, and what the "
        "best polynomials of degree 1 and 2 in $t$ leave.",
    )


def _plain(runs: Runs) -> str:
    """Say where gradient descent without momentum is after half of its steps and all of them."""
    found = _measured(runs, "plain")
    if not found:
        return "—"
    steps, errors = found[0]["curve"]["step"], np.array([m["curve"]["mse"] for m in found])
    half, last = np.median(errors, 0)[[steps.index(steps[-1] // 2), -1]]
    best = np.median([m["linear_mse"] for m in found])
    return (
        f"{half:.3f} after {steps[-1] // 2} steps and {last:.3f} after {steps[-1]} (the best "
        f"linear output on its features: {best:.3f})"
    )


def _certified(runs: Runs) -> dict[str, str]:
    """Say what the reference network in dimension 20 cannot go below, by its own weights."""
    found = [(m["certificate"], m["mse"]) for m in _measured(runs, "weak, d = 20")]
    bound, error = np.median(found, 0)
    return {
        "ball-certified": format_number(bound),
        "ball-certified-share": f"{100 * bound / error:.0f} %",
    }


def dimensions(runs: Runs) -> list[int]:
    """List the dimensions in which this profile trains weak networks."""
    return [dim for dim in (10, 20) if runs.arms.get(f"weak, d = {dim}")]


def by_width(runs: Runs, dim: int, share: float = 1.0) -> dict[str, Series]:
    """Return the errors over the width at a share of the steps, by class; those on record."""
    strong = "frozen over widths" if dim == DIM else f"frozen, d = {dim}"
    classes = {
        WEAK: (f"every weak, d = {dim}", "mse"), CLIPPED: (f"clipped, d = {dim}", "mse"),
        FROZEN: (strong, "mse"), RIDGE: (strong, "linear_mse"),
    } | ({PLAIN: ("plain", "mse")} if dim == DIM else {})  # fmt: skip
    found = {}
    for index, (label, (arm, key)) in enumerate(classes.items()):
        if not runs.arms.get(arm) or (key == "linear_mse" and share < 1):
            continue

        def at(config: BallConfig, m: dict[str, Any], key: str = key) -> float:
            if share == 1:
                return float(m[key])
            curve = m["curve"]
            return float(curve["mse"][curve["step"].index(round(share * config.n_steps))])

        found[label] = over_seeds(label, runs.points(attrgetter("width"), at, arm), index=index)
    return found


def steer_dimension(ball_sum: Runs) -> Steered:
    """Let the reader choose the dimension and the time; the width is the axis."""
    dims = dimensions(ball_sum)
    states = {}
    for dim in dims:
        for share in CURVE_SHARES[1:]:
            lines = by_width(ball_sum, dim, share)
            said = "; ".join(f"{label} {_ends(line, 'units')}" for label, line in lines.items())
            ends = [x for line in lines.values() for x in line.x]
            bound = Series(
                "degree-1 level", (min(ends), max(ends)), (level(dim),) * 2, index=5, kind="bound"
            )
            text = f"Dimension {dim}, after {100 * share:.3g} % of the steps: {said}. "
            text += f"The degree-1 level is {bound.at()}."
            states[dim, share] = State([*lines.values(), bound], text)
    return Steered(
        controls={
            "dimension d": {dim: f"{dim}" for dim in dims},
            "time": {share: f"{100 * share:.3g} % of the steps" for share in CURVE_SHARES[1:]},
        },
        states=states,
        start=(dims[-1], 1.0),
        axes=(Axis("hidden units r", log=True), Axis("squared test error", log=True)),
        caption="Squared test error against the width, at a dimension and a time: geometric mean "
        "over seeds with 95 % interval.",
    )


def spectrum(ball_sum: Runs) -> Drawing:
    """Draw the learned fraction of each radial harmonic of the target."""
    degrees = np.array([1, 3, 5, 7])
    fig, ax = plt.subplots(figsize=(WIDTH, 3.2))
    said = []
    for index, (arm, label) in enumerate(ARMS.items()):
        values = np.array([m["fractions"] for m in _measured(ball_sum, arm)])
        place, mean, color = degrees + 0.18 * (index - 1), values.mean(0), COLORS[index]
        ax.plot(
            np.repeat(place[None], len(values), 0).T, values.T, color=color, linestyle="",
            marker=".", markersize=4, alpha=0.5,
        )  # fmt: skip
        ax.plot(
            place, mean, color=color, linestyle=DASHES[index], linewidth=1.2,
            marker=MARKERS[index], label=label,
        )  # fmt: skip
        said.append(f"{label} " + ", ".join(f"{one:.2f}" for one in mean))
    ax.axhline(0, color=INK, linewidth=0.7)
    ax.axhline(1, color=INK, linewidth=0.7, linestyle=":")
    ax.set_xticks(degrees)
    ax.set_xlabel("degree $k$ of the harmonic")
    ax.set_ylabel("learned fraction $g_k$")
    ax.legend()
    return Drawing(
        fig,
        alt="Learned fractions of the harmonics of degree 1, 3, 5, 7, means of "
        f"{len(values)} seeds: " + "; ".join(said) + ".",
        caption="Learned fraction of each radial harmonic of the target (even ones are absent at "
        "the median), every seed. Small dots at high degree scatter with the finite test sample.",
    )


@gives("ball-rate-uniform")
def uniform(ball_uniform: Runs) -> Drawing:
    """Draw the errors on the uniform radius against the width, and against the sample size."""
    swept = bool(ball_uniform.of("over samples"))
    fig, axes = plt.subplots(1, 1 + swept, sharey=True, figsize=(WIDTH, 3.4), squeeze=False)
    said = []
    outputs = {"clipped output": MSE, "linear output": LINEAR}
    for index, (label, value) in enumerate(outputs.items()):
        points = ball_uniform.points(attrgetter("width"), value, "over widths")
        line = over_seeds(label, points, index=index + 2)
        line.draw(axes[0, 0])
        said.append(f"{label} {_ends(line, 'units')}")
        if value is MSE:
            rate = proved_rates(axes[0, 0], line)
            said.append(f"its exponent, end to end, {rate:.2f}, those proved -0.25 and -0.20")
    axes[0, 0].set_title("uniform radius: width")
    axes[0, 0].set_xlabel("frozen hidden units $r$")
    log_axes(axes[0, 0], "x", x_ticks=line.x)
    if swept:
        for index, label, key in ((2, "test", "mse"), (5, "training", "train_mse")):
            points = ball_uniform.points(attrgetter("n_samples"), number(key), "over samples")
            line = over_seeds(label, points, index=index)
            line.draw(axes[0, 1], every_seed=False)
            said.append(f"{label} error {_ends(line, 'samples')}")
        axes[0, 1].set_title("uniform radius: samples, $r=300$")
        axes[0, 1].set_xlabel("samples $n$")
        log_axes(axes[0, 1], "x", x_ticks=line.x)
    for ax in axes[0]:
        plain_ticks(ax, [0.005, 0.01, 0.02, 0.05, 0.1])
        ax.legend(fontsize=7.5)
    axes[0, 0].set_ylabel("squared test error")
    return Drawing(
        fig,
        alt=f"Uniform radius, frozen hidden layer, geometric means over seeds: {'; '.join(said)}.",
        caption="Uniform radius, $d=10$. Gradient descent on the clipped output, and the best "
        "linear output on the same features, against the width, with the proved rates; and the "
        "clipped one against the number of samples.",
        numbers={"ball-rate-uniform": format_number(rate)},
    )


def _ends(line: Series, what: str) -> str:
    last = f"{line.at()} at {line.x[-1]} {what}"
    return last if len(line.x) == 1 else f"from {line.at(0)} at {line.x[0]} to {last}"
