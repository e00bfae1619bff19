"""The figures of chapter 6. Parameters are named after the experiments that a figure draws."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from hierlearn.drawing.figures import (
    COLORS,
    INK,
    WIDTH,
    Drawing,
    Series,
    log_axes,
    over_seeds,
)
from hierlearn.drawing.steered import Axis, State, Steered
from hierlearn.experiment import AbsentArm, Runs
from hierlearn.quadratic.runs import final
from hierlearn.quadratic.simpler.experiments import DEPTHS, THREE

LEAST = 1e-16  # what errors are raised to
Target = tuple[tuple[int, ...], int]
"""The widths of a target, and a number of samples."""


def errors(runs: Runs, arm: str) -> list[float]:
    """Return the final errors of an arm, one a seed."""
    return [final("rel")(*run) for results in runs.of(arm).values() for run in results]


def by_target(runs: Runs, *arms: str) -> dict[Target, list[float]]:
    """Return the final errors of some arms for each target and number of samples."""
    return runs.points(lambda c: (c.widths, c.n_samples), final("rel"), *arms)


def contest(deep_pool: Runs, simple_learners: Runs) -> Drawing:
    """Draw the error of every learner on both depths, one mark a seed."""
    shown = {
        "kernel": "kernel", "predictions": "sequential, predictions",
        "eigen ×1": "sequential, eigen ×1", "eigen ×2": "sequential, eigen ×2",
        "two layers": "two layers, powers", "feature machine": "feature machine",
    }  # fmt: skip
    n_samples = deep_pool.first("three levels").n_samples
    fig, axes = plt.subplots(1, 2, sharex=True, sharey=True, figsize=(WIDTH, 3.6))
    said = []
    for ax, depth in zip(axes, DEPTHS, strict=True):
        lines = {label: _of(simple_learners, f"{arm}, {depth}") for arm, label in shown.items()}
        more = "feature machine of degree 8" if depth == "four levels" else ""
        lines["feature machine, degree 8"] = _of(simple_learners, more)
        lines["deep, staged"] = errors(deep_pool, depth)
        for place, (label, found) in enumerate(lines.items()):
            if found:
                median = _marks(ax, found, place, deep=label.startswith("deep"))
                said.append(f"{depth}, {label}: {median:.1e} ({len(found)} seeds)")
        log_axes(ax, "x")
        ax.set_title(depth)
        ax.set_xlabel("relative test error")
    axes[0].set_yticks(range(len(lines)), list(lines))
    return Drawing(
        fig,
        alt=f"Relative test errors at N = {n_samples}, medians over seeds. "
        + "; ".join(said)
        + ".",
        caption=f"Relative test error on $N={n_samples}$ samples in dimension 20: one mark a seed, "
        "the line is the median. Rows without marks were not run.",
    )


def _of(runs: Runs, arm: str) -> list[float]:
    return errors(runs, arm) if arm else []


def _marks(ax: Axes, found: Sequence[float], place: int, *, deep: bool) -> float:
    """Draw one mark a seed and a line at the median, which is returned."""
    values = np.maximum(found, LEAST)
    ax.plot(
        values, np.full(len(values), place), linestyle="", marker="D" if deep else "o",
        color=COLORS[1 if deep else 0], alpha=0.5,
    )  # fmt: skip
    median = float(np.median(values))
    ax.plot([median] * 2, [place - 0.3, place + 0.3], color=INK, linewidth=1.5)
    return median


ROWS = {"three levels": 2, "four levels": 3}
PANELS = {
    "deep, staged": "over the map",
    "feature machine": "feature machine over the map",
    "sequential, eigen ×1": "eigen ×1 over the map",
}


def map(deep_pool: Runs, simple_learners: Runs) -> Drawing:
    """Draw who succeeds where: errors by index dimension, samples, depth and learner."""
    if not simple_learners.of("feature machine over the map"):
        raise AbsentArm("the map of simple learners")
    every = {
        label: by_target(deep_pool if label.startswith("deep") else simple_learners, arm)
        for label, arm in PANELS.items()
    }
    targets = {
        depth: sorted({w for w, _ in every["feature machine"] if len(w) == n}, key=sum)
        for depth, n in ROWS.items()
    }
    columns = sorted({n for found in every.values() for _, n in found})
    heights = [len(found) for found in targets.values()]
    fig, axes = plt.subplots(
        2, 3, figsize=(WIDTH, 4.6), height_ratios=heights, sharex=True, sharey="row"
    )
    said = []
    for line, (depth, widths) in zip(axes, targets.items(), strict=True):
        for ax, (label, found) in zip(line, every.items(), strict=True):
            said.append(f"{label}, {depth}: {_cells(ax, found, widths, columns)}")
            ax.set_title(label)
        line[0].set_ylabel(f"{depth}, $r$")
    for ax in axes[1]:
        ax.set_xlabel("$N$")
    return Drawing(
        fig,
        alt="Relative test errors, geometric means over seeds. " + "; ".join(said) + ".",
        caption="Who succeeds where: $\\log_{10}$ of the relative test error by index dimension "
        "$r$ (rows), samples $N$ (columns), depth, and learner. The stronger the color, the "
        "smaller the error; a dot: not in this profile.",
    )


def _cells(
    ax: Axes,
    found: dict[Target, list[float]],
    targets: Sequence[tuple[int, ...]],
    columns: Sequence[int],
) -> str:
    """Draw one panel of the map, and say its smallest and its largest error."""
    cells = {}
    for i, widths in enumerate(targets):
        for j, n in enumerate(columns):
            values = found.get((widths, n))
            if not values:
                ax.text(j, i, "·", ha="center", va="center")
                continue
            value = float(np.exp(np.mean(np.log(np.maximum(values, LEAST)))))
            alpha = float(np.clip(-(np.log10(value) + 1) / 20, 0, 0.6))
            box = Rectangle((j - 0.5, i - 0.5), 1, 1, facecolor=COLORS[0], alpha=alpha, linewidth=0)
            ax.add_patch(box)
            said = f"{np.log10(value):.1f}".replace("-", "−")
            ax.text(j, i, said, ha="center", va="center", fontsize=8.5)
            cells[value] = f"{value:.0e} at r={sum(widths)}, N={n}"
    ax.set(xlim=(-0.5, len(columns) - 0.5), ylim=(-0.5, len(targets) - 0.5))
    ax.set_xticks(range(len(columns)), [str(n) for n in columns])
    ax.set_yticks(range(len(targets)), [str(sum(widths)) for widths in targets])
    ax.grid(False)
    below = sum(value < 1e-4 for value in cells)
    return f"from {cells[min(cells)]} to {cells[max(cells)]}, below 1e-4 in {below} of {len(cells)}"


LEARNERS = {
    "feature machine": ("feature machine", "round"),
    "sequential, eigen ×1": ("eigen ×1", "stage"),
    "sequential, predictions": ("predictions", "stage"),
    "best kernel": ("kernel", ""),
}
LAST = 4


def _by_round(deep_pool: Runs, simple_learners: Runs) -> dict[Target, list[Series]]:
    """Return, for each target, the error after each round; level lines of who has no rounds."""
    lines: dict[Target, list[Series]] = {}
    for index, (label, (learner, key)) in enumerate(LEARNERS.items()):
        names = [f"{learner}, {depth}" for depth in DEPTHS]
        names += [f"{learner} over the map"] if f"{learner} over the map" in PANELS.values() else []
        names += [f"{name}, every N" for name in names] if learner == "kernel" else []
        found: dict[Target, list[list[float]]] = {}
        for results in simple_learners.of(*names).values():
            for c, m in results:
                rounds = m[key] if key else [m["final"]["rel"]] * (LAST + 1)
                found.setdefault((c.widths, c.n_samples), []).append(rounds)
        for target, rows in found.items():
            columns = [list(column) for column in zip(*rows, strict=True)]
            places = range(len(columns)) if key else (0, LAST)
            points = {place: columns[place] for place in places}
            line = over_seeds(label, points, index=index, floor=LEAST)
            lines.setdefault(target, []).append(line)
    for target, values in by_target(deep_pool, *DEPTHS, "over the map").items():
        line = over_seeds("deep, staged", {0: values, LAST: values}, index=4, floor=LEAST)
        lines.setdefault(target, []).append(line)
    return lines


def steer_index(simple_learners: Runs, deep_pool: Runs) -> Steered:
    """Let the reader choose target and number of samples, and follow the learners' rounds."""
    lines = _by_round(deep_pool, simple_learners)
    names = {len(widths): depth for depth, widths in DEPTHS.items()}
    targets = sorted({widths for widths, _ in lines}, key=lambda w: (sum(w), len(w)))
    words = {w: f"r = {sum(w)}, {names[len(w)]}" for w in targets}
    return Steered(
        controls={
            "index dimension": words,
            "samples N": {n: f"{n}" for n in sorted({n for _, n in lines})},
        },
        states={
            (widths, n): State(
                found,
                f"{words[widths]}, N = {n}. Relative test error at the last round: "
                + "; ".join(f"{one.label} {one.at()}" for one in found)
                + ".",
            )
            for (widths, n), found in lines.items()
        },
        start=(THREE, deep_pool.first("three levels").n_samples),
        axes=(
            Axis("rounds after the first fit", ticks=range(LAST + 1)),
            Axis("relative test error", log=True),
        ),
        caption="Relative test error in dimension 20 by rounds (updates of the metric, or further "
        "stages); learners without rounds are level lines. Geometric mean over seeds with 95 % "
        "interval.",
    )
