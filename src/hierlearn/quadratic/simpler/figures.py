"""The figures of chapter 6. Parameters are named after the experiments that a figure draws."""

from operator import attrgetter

import matplotlib.pyplot as plt
import numpy as np

from hierlearn.drawing.figures import (
    COLORS,
    INK,
    WIDTH,
    Drawing,
    Series,
    gives,
    log_axes,
    over_seeds,
)
from hierlearn.drawing.steered import Axis, State, Steered
from hierlearn.experiment import Runs
from hierlearn.quadratic.runs import final
from hierlearn.quadratic.simpler.experiments import DEPTHS, MANY, N_QUADRATIC, NARROW_DIMS
from hierlearn.statistics import number

LEAST, LEAST_SHOWN = 1e-16, 1e-6  # what errors are raised to
ROWS = {
    "kernel": "kernel", "predictions": "sequential, predictions",
    "eigen ×1": "sequential, eigen ×1", "eigen ×2": "sequential, eigen ×2",
    "GELU": "two layers, GELU", "powers": "two layers, powers",
    "many powers": f"the same, N = {MANY}", "feature machine": "feature machine",
    "degree 8": "feature machine, degree 8", "staged": "deep, staged",
}  # fmt: skip
ONLY_FOUR = {"many powers": f"powers, N = {MANY}", "degree 8": "machine of degree 8"}
YARDSTICKS = {"best quadratic": ":", "level 4 shut": "--"}


def contest(simple_learners: Runs) -> Drawing:
    """Draw the error of every learner on both depths, one mark a seed, and the yardsticks."""
    n_samples = simple_learners.first("staged, three levels").n_samples
    fig, axes = plt.subplots(1, 2, sharex=True, sharey=True, figsize=(WIDTH, 4.0))
    said = []
    for ax, depth in zip(axes, DEPTHS, strict=True):
        arms = {name: f"{name}, {depth}" for name in (*ROWS, "best quadratic")}
        if depth == "four levels":
            arms |= ONLY_FOUR | {"level 4 shut": "level 4 shut"}
        arms = {name: arm for name, arm in arms.items() if arm in simple_learners.arms}
        for name, arm in arms.items():
            if not simple_learners.of(arm):
                continue
            values = np.maximum(simple_learners.points(lambda c: 0, final("rel"), arm)[0], LEAST)
            median = float(np.median(values))
            said.append(f"{depth}, {ROWS.get(name, name)}: {median:.1e}")
            if name in YARDSTICKS:
                ax.axvline(median, color=INK, linestyle=YARDSTICKS[name], label=name)
                continue
            place = list(ROWS).index(name)
            deep = name == "staged"
            ax.plot(
                values, np.full(len(values), place), linestyle="", marker="D" if deep else "o",
                color=COLORS[1 if deep else 0], alpha=0.5,
            )  # fmt: skip
            ax.plot([median] * 2, [place - 0.3, place + 0.3], color=INK, linewidth=1.5)
        log_axes(ax, "x")
        ax.set_title(depth)
        ax.set_xlabel("relative test error")
    axes[0].set_yticks(range(len(ROWS)), list(ROWS.values()))
    axes[1].legend(loc="lower left")
    return Drawing(
        fig,
        alt=f"Relative test errors at N = {n_samples}, medians of {len(values)} seeds. "
        f"{'; '.join(said)}.",
        caption=f"Relative test error on $N={n_samples}$ samples in dimension 20: one mark a seed, "
        "the short line is the median. Dotted: what the best quadratic leaves; dashed: the staged "
        "network whose level 4 never opens. Rows without marks were not run.",
    )


@gives("narrow-gelu", "narrow-certificate")
def few_units(narrow_layers: Runs) -> Drawing:
    """Draw the errors of two-layer networks of few units over the width, and the certificate."""
    fig, axes = plt.subplots(1, len(NARROW_DIMS), sharey=True, figsize=(WIDTH, 3.4))
    said = []
    for ax, (target, dim) in zip(axes, NARROW_DIMS.items(), strict=True):
        powers = (f"{target}, polynomial", f"{target}, eight units")
        drawn = {
            "powers 1, 2, 4": (powers, "rel"), "GELU": ((f"{target}, GELU",), "rel"),
            "certificate": (powers, "certificate"),
        }  # fmt: skip
        for index, (label, (arms, key)) in enumerate(drawn.items()):
            points = narrow_layers.points(attrgetter("width"), number(key), *arms)
            line = over_seeds(
                label, points, index=index, floor=LEAST_SHOWN,
                kind="bound" if key == "certificate" else "line",
            )  # fmt: skip
            line.draw(ax, color=INK if key == "certificate" else None)
            said.append(
                f"{target}, {label}: {line.at(0)} with 1 unit, {line.at()} with {line.x[-1]}"
            )
        log_axes(ax, x_ticks=line.x)
        ax.set_title(f"{target}, $d={dim}$")
        ax.set_xlabel("units $r$")
    axes[0].set_ylabel("relative error")
    axes[0].legend(loc="lower left")
    gelu, bound = (
        narrow_layers.points(attrgetter("width"), number(key), "three levels, GELU")
        for key in ("rel", "certificate")
    )
    widest = max(gelu)
    return Drawing(
        fig,
        alt=f"Relative error, geometric means of {len(gelu[widest])} seeds. {'; '.join(said)}.",
        caption="Error of two-layer networks that are trained on the exact population loss, over "
        "the number of units; dotted: the certificate (2.3). Left: the sum of the fourth powers of "
        f"{NARROW_DIMS['fourth powers']} coordinates, right: the three-level target. What is "
        "smaller than $10^{-6}$ is drawn there.",
        numbers={
            "narrow-gelu": f"{np.median(gelu[widest]):.2g}",
            "narrow-certificate": f"{np.median(bound[widest]):.1g}",
        },
    )


LEARNERS = {
    "feature machine": ("feature machine", "round"),
    "sequential, eigen ×1": ("eigen ×1", "stage"),
    "deep, staged": ("staged", ""),
    "best quadratic": ("best quadratic", ""),
    "level 4 shut": ("level 4 shut", ""),
}
LAST = 4


def steer_index(simple_learners: Runs) -> Steered:
    """Let the reader choose target and number of samples, and follow the learners' rounds."""
    lines: dict[tuple[tuple[int, ...], int], list[Series]] = {}
    machines = simple_learners.of(*_names(simple_learners, "feature machine")).values()
    sizes = {(c.widths, c.n_samples) for own in machines for c, _ in own}
    for target in sorted(sizes, key=lambda one: (len(one[0]), one)):
        for index, (label, (learner, key)) in enumerate(LEARNERS.items()):
            rows = [
                m[key] if key else [m["final"]["rel"]] * (LAST + 1)
                for results in simple_learners.of(*_names(simple_learners, learner)).values()
                for c, m in results
                if c.widths == target[0] and c.n_samples in (target[1], N_QUADRATIC)
            ]
            if rows:
                columns = [list(column) for column in zip(*rows, strict=True)]
                places = range(len(columns)) if key else (0, LAST)
                points = {place: columns[place] for place in places}
                line = over_seeds(label, points, index=index, floor=LEAST)
                lines.setdefault(target, []).append(line)
    names = {len(widths): depth for depth, widths in DEPTHS.items()}
    words = {w: f"r = {sum(w)}, {names[len(w)]}" for w, _ in lines}
    reference = simple_learners.first("staged, three levels")
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
        start=(reference.widths, reference.n_samples),
        axes=(
            Axis("rounds after the first fit", ticks=range(LAST + 1)),
            Axis("relative test error", log=True),
        ),
        caption="Relative test error in dimension 20 by rounds (updates of the metric, or further "
        "stages); what has no rounds is a level line. Geometric mean over seeds with 95 % "
        "interval.",
    )


def _names(runs: Runs, learner: str) -> list[str]:
    ends = (*(f", {depth}" for depth in DEPTHS), " over r", "")
    return [name for end in ends if (name := learner + end) in runs.arms]
