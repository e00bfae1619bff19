"""The figures of chapter 5. Parameters are named after the experiments that a figure draws."""

from collections.abc import Mapping, Sequence
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
from hierlearn.experiment import AbsentArm, Runs
from hierlearn.statistics import Value, number

ARMS = {"weak": "weak", "weak, clipped": "weak, clipped in training", "frozen": "frozen strong"}
"""The networks that keep their curves, as legends have them."""

WEAK, FROZEN = "weak, trained in all layers", "frozen strong, gradient descent"
RIDGE = "frozen features, best linear output"


def level(dim: int = DIM) -> float:
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
        + "; ".join(said)
        + ".",
        caption="The radius in dimension 10: density (line) and 100 000 draws (steps). The density "
        "of the Bessel mixture oscillates; it is the distribution of the paper's Theorem 4.",
    )


def _measured(runs: Runs, arm: str) -> list[dict[str, Any]]:
    return [m for results in runs.of(arm).values() for _, m in results]


@gives("ball-strong", "ball-weak", "ball-weak-parameters", "ball-strong-parameters", "ball-floor")
def profiles(ball_sum: Runs) -> Drawing:
    """Draw what weak and strong networks say as a function of the radius, over training."""
    fig, axes = plt.subplots(1, 2, sharey=True, figsize=(WIDTH, 3.6))
    said = []
    for ax, arm in zip(axes, ("weak", "frozen"), strict=True):
        found = [m["profile"] for m in _measured(ball_sum, arm)]
        said.append(f"{ARMS[arm]}: {_profile(ax, found)}")
        ax.set_title(ARMS[arm])
        ax.set_xlabel(r"$\Vert x\Vert$")
        ax.legend()
    axes[0].set_ylabel("output")
    weak, strong = ball_sum.first("weak"), ball_sum.first("frozen")
    return Drawing(
        fig,
        alt=f"Mean output against the norm, {len(found)} seeds, at the end of training. "
        + "; ".join(said)
        + ". The target is 1 up to 1.41 and 0 beyond.",
        caption="Output against the norm at three times of training, averaged over points and "
        "seeds; the band is the spread over points at the end; dotted: the target. The weak "
        "network draws a line in $t$, here a parabola, which over- and undershoots; the strong one "
        "saturates on both sides.",
        numbers={
            "ball-strong": f"{strong.width} units, {strong.n_samples} samples and "
            f"{strong.n_steps} steps",
            "ball-weak": f"{weak.width} units and {weak.n_steps} steps of {weak.batch} fresh "
            "samples",
            "ball-weak-parameters": str(weak.width * (DIM + 2) + 1),
            "ball-strong-parameters": str(strong.width),
            "ball-floor": f"{level():.4f}",
        },
    )


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


def mark_level(ax: Axes) -> None:
    """Draw the degree-1 level of dimension 10 as a dotted line."""
    ax.axhline(level(), color=INK, linewidth=0.9, linestyle=":")
    ax.annotate(
        "degree-1 level", (0.99, level()), xytext=(0, -10), textcoords="offset points",
        ha="right", fontsize=8,
    )  # fmt: skip


def scattered(ax: Axes, label: str, points: Mapping[Any, Sequence[float]], index: int) -> Series:
    """Draw every seed as a dot, their geometric means as a line, and the interval as a band.

    The points may have different numbers of seeds.
    """
    for x, values in points.items():
        ax.plot(
            [x] * len(values), values, color=COLORS[index], linestyle="", marker=".",
            markersize=3, alpha=0.5,
        )  # fmt: skip
    line = over_seeds(label, points, index=index)
    line.draw(ax, every_seed=False)
    return line


def width(ball_sum: Runs) -> Drawing:
    """Draw the errors against the number of hidden units, dimension 10."""
    if not ball_sum.of("frozen over widths"):
        raise AbsentArm("the sweep of widths")
    relu = [c for c in ball_sum.arms[f"weak class, d = {DIM}"] if c.activation == "relu"]
    weak: dict[int, list[float]] = {}
    for results in ball_sum.of(f"weak class, d = {DIM}").values():
        for config, m in (one for one in results if one.config in relu):
            weak.setdefault(config.width, []).append(MSE(config, m))
    strong = {
        value: ball_sum.points(attrgetter("width"), value, "frozen over widths")
        for value in (MSE, LINEAR)
    }
    fig, ax = plt.subplots(figsize=(WIDTH, 3.8))
    lines = [
        scattered(ax, WEAK, dict(sorted(weak.items())), 0),
        scattered(ax, FROZEN, strong[MSE], 2),
        scattered(ax, RIDGE, strong[LINEAR], 3),
    ]
    ax.axhline(level(), color=INK, linewidth=0.9, linestyle=":")
    widths = [x for line in lines for x in line.x]
    ticks = (32, 100, 300, 1000, 4000, 16_000)
    log_axes(ax, "x", x_ticks=[r for r in ticks if min(widths) <= r <= max(widths)])
    plain_ticks(ax, [0.02, 0.05, 0.1, 0.2])
    ax.set_xlabel("hidden units $r$")
    ax.set_ylabel("squared test error")
    ax.legend()
    said = (
        f"{line.label} from {line.at(0)} at {line.x[0]} units to {line.at()} at {line.x[-1]}"
        for line in lines
    )
    return Drawing(
        fig,
        alt="Squared test error against the width, dimension 10. "
        + "; ".join(said)
        + f". The degree-1 level is {level():.3f}.",
        caption="Error against the number of hidden units. Dotted: the degree-1 level $A_1^2$.",
    )


def _error_at(config: BallConfig, m: dict[str, Any], label: str, share: float) -> float | None:
    """Return the error at a share of the steps; None where none was recorded."""
    if share == 1:
        return m["linear_mse" if label == RIDGE else "mse"]
    curve = {} if label == RIDGE else m.get("curve", {})
    found = dict(zip(curve.get("step", ()), curve.get("mse", ()), strict=True))
    return found.get(round(share * config.n_steps))


def _classes(runs: Runs) -> dict[str, list[tuple[BallConfig, dict[str, Any]]]]:
    """Return the runs of the sum at the median radius by class, whatever their dimension."""
    found: dict[str, list[tuple[BallConfig, dict[str, Any]]]] = {}
    every = [one for name in runs.arms for results in runs.of(name).values() for one in results]
    for config, m in {id(one.measurement): one for one in every}.values():
        if config.target == "ball" and config.radius == RADIUS:
            for label in _labels(config):
                found.setdefault(label, []).append((config, m))
    return found


def _labels(config: BallConfig) -> list[str]:
    if config.learner == "trained":
        label = {"none": WEAK, "unit": "weak, clipped in training"}.get(config.clip)
        return [label] if label and config.activation == "relu" else []
    if config.clip != "unit" or config.momentum == 0:
        return []
    return ["frozen strong", RIDGE] if config.ridge else ["frozen strong"]


def _at_share(
    found: Mapping[str, Sequence[tuple[BallConfig, dict[str, Any]]]], dim: int, share: float
) -> tuple[list[Series], str]:
    """Return the series of a dimension at a time, and the sentence that says their ends."""
    lines, said = [], []
    for index, label in enumerate((WEAK, "weak, clipped in training", "frozen strong", RIDGE)):
        points: dict[int, list[float]] = {}
        samples: dict[int, str] = {}
        for c, m in found[label]:
            value = _error_at(c, m, label, share) if c.dim == dim else None
            if value is not None:
                points.setdefault(c.width, []).append(value)
                strong = c.learner == "frozen"
                samples[c.width] = f" and {c.n_samples} samples" if strong else ""
        if points:
            one = over_seeds(label, points, index=index)
            ends = dict.fromkeys((0, len(one.x) - 1))
            words = (f"{one.at(i)} at {one.x[i]} units{samples[int(one.x[i])]}" for i in ends)
            said.append(f"{label} {', '.join(words)}")
            lines.append(one)
    return lines, "; ".join(said)


def steer_dimension(ball_sum: Runs) -> Steered:
    """Let the reader choose the dimension and the time; the width is the axis."""
    classes, weak = _classes(ball_sum), ball_sum.first("weak")
    shares = [
        step / weak.n_steps for step in _measured(ball_sum, "weak")[0]["curve"]["step"]
    ]  # fmt: skip
    dims = sorted({c.dim for found in classes.values() for c, _ in found})
    found = {(d, share): _at_share(classes, d, share) for d in dims for share in shares}
    ends = [w for lines, _ in found.values() for one in lines for w in (one.x[0], one.x[-1])]
    states = {}
    for (d, share), (lines, said) in found.items():
        bound = Series(
            "degree-1 level", (min(ends), max(ends)), (level(d),) * 2, index=4, kind="bound"
        )
        text = f"Dimension {d}, after {100 * share:.3g} % of the steps: {said}. "
        if lines:
            text += f"The degree-1 level is {bound.at()}."
            states[d, share] = State([*lines, bound], text)
    return Steered(
        controls={
            "dimension d": {d: f"{d}" for d in dims},
            "time": {share: f"{100 * share:.3g} % of the steps" for share in shares},
        },
        states=states,
        start=(DIM, 1),
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


def dimension(ball_sum: Runs) -> Drawing:
    """Draw the errors of both classes, and the certificate, against the dimension."""
    if not ball_sum.of("frozen over dimensions"):
        raise AbsentArm("other dimensions")
    by_dim, strong = attrgetter("dim"), ball_sum.first("frozen")
    weak_arms = [name for name in ball_sum.arms if name in ("weak", "weak, d = 5")]
    weak_arms += ["weak, d = 20", "weak, d = 30"]
    fig, ax = plt.subplots(figsize=(WIDTH, 3.8))
    errors = {
        "weak": (0, ball_sum.points(by_dim, MSE, *weak_arms)),
        f"frozen strong, $r={strong.width}$": (
            2, ball_sum.points(by_dim, MSE, "frozen over dimensions"),
        ),
    }  # fmt: skip
    said = []
    for label, (index, points) in errors.items():
        line = over_seeds(label, points, index=index)
        line.draw(ax, every_seed=False)
        said.append(f"{label.replace('$', '')} {', '.join(line.at(i) for i in range(len(points)))}")
    for name in (name for name in ball_sum.arms if name.startswith("large, d = ")):
        if ball_sum.of(name):
            said.append(_larger(ax, ball_sum, name))
    proved = ball_sum.points(by_dim, number("certificate"), *weak_arms)
    means = [float(np.mean(values)) for values in proved.values()]
    ax.plot(
        list(proved), means, color=COLORS[4], linestyle="", marker=MARKERS[4],
        label="certificate of the weak networks",
    )  # fmt: skip
    said.append("certificate " + ", ".join(f"{one:.4f}" for one in means))
    dims = list(line.x)
    levels = [level(int(d)) for d in dims]
    ax.plot(dims, levels, color=INK, linestyle=":", linewidth=1, label="degree-1 level")
    ax.set_xticks(dims)
    ax.set_ylim(bottom=-0.004)
    ax.set_xlabel("dimension $d$")
    ax.set_ylabel("squared test error")
    ax.legend()
    return Drawing(
        fig,
        alt=f"Squared test error at dimensions {', '.join(f'{d:g}' for d in dims)}. "
        + "; ".join(said)
        + ".",
        caption="Error against the dimension, means over seeds. The certificate proves part of the "
        "weak plateau from dimension 20 on and next to nothing in dimension 10. With a fixed "
        "number of units and samples the strong network loses its advantage as the dimension "
        "grows; in dimension 20 more of both bring it back.",
    )


def _larger(ax: Axes, runs: Runs, name: str) -> str:
    """Draw every seed of a larger frozen network, and say their mean."""
    config, values = runs.first(name), [m["mse"] for m in _measured(runs, name)]
    ax.plot(
        [config.dim] * len(values), values, color=COLORS[2], linestyle="", marker=MARKERS[1],
        label=f"frozen strong, $r={config.width}$",
    )  # fmt: skip
    return f"with {config.width} units {np.mean(values):.3f} at dimension {config.dim}"


def uniform(ball_radii: Runs) -> Drawing:
    """Draw the errors on the uniform radius against the width, and against the sample size."""
    swept = bool(ball_radii.of("over samples"))
    fig, axes = plt.subplots(1, 1 + swept, figsize=(WIDTH, 3.4), squeeze=False)
    said = []
    for index, dim in enumerate((10, 30)):
        if not ball_radii.of(name := f"uniform, d = {dim}"):
            continue
        for color, label, value in ((2, "clipped", MSE), (3, "linear", LINEAR)):
            points = ball_radii.points(attrgetter("width"), value, name)
            line = over_seeds(f"{label}, $d={dim}$", points, index=index)
            line.draw(axes[0, 0], color=COLORS[color])
            said.append(f"{label} output in dimension {dim} {_ends(line, 'units')}")
    axes[0, 0].set_title("uniform radius: width")
    axes[0, 0].set_xlabel("frozen hidden units $r$")
    log_axes(axes[0, 0], "x", x_ticks=line.x)
    if swept:
        for index, label, key in ((2, "test", "mse"), (5, "training", "train_mse")):
            line = over_seeds(label, _whole(ball_radii, "over samples", number(key)), index=index)
            line.draw(axes[0, 1])
            said.append(f"{label} error {_ends(line, 'samples')}")
        axes[0, 1].set_title("uniform radius, $d=10$: samples, $r=300$")
        axes[0, 1].set_xlabel("samples $n$")
        log_axes(axes[0, 1], "x", x_ticks=line.x)
    for ax in axes[0]:
        plain_ticks(ax, [0.01, 0.02, 0.05, 0.1])
        ax.legend()
    axes[0, 0].set_ylabel("squared test error")
    return Drawing(
        fig,
        alt="Uniform radius, frozen hidden layer, geometric means over seeds: "
        + "; ".join(said)
        + ".",
        caption="Uniform radius. Gradient descent on the clipped output, and the best linear "
        "output on the same features, against the width; and the clipped one against the number of "
        "samples.",
    )


def _ends(line: Series, what: str) -> str:
    return f"from {line.at(0)} at {line.x[0]} {what} to {line.at()} at {line.x[-1]}"


def _whole(runs: Runs, arm: str, value: Value) -> dict[int, list[float]]:
    """Return a value over the sample sizes, of the seeds that have all of them."""
    found = runs.of(arm)
    most = max(map(len, found.values()))
    whole = [results for results in found.values() if len(results) == most]
    points: dict[int, list[float]] = {}
    for config, m in (one for results in whole for one in results):
        points.setdefault(config.n_samples, []).append(value(config, m))
    return dict(sorted(points.items()))
