"""The figures of chapter 3. Parameters are named after the experiments that a figure draws."""

from collections.abc import Sequence
from itertools import pairwise

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
    gives,
    log_axes,
    mark_steps,
    over_seeds,
)
from hierlearn.drawing.steered import Axis, State, Steered
from hierlearn.experiment import Runs
from hierlearn.quadratic.layerwise.experiments import (
    alpha_3,
    floor,
    mse,
    rel,
)
from hierlearn.quadratic.runs import before

LEVELS = {2: "gram2", 3: "fn3", 4: "fn4"}
DARKEST, LIGHTEST = 0.0, -8.0


def squared(runs: Runs, arm: str, key: str) -> dict[int, list[float]]:
    """Return an error of the levels at each step, that of level 2 squared as the others are."""
    found: dict[int, list[float]] = {}
    power = 2 if key == "gram2" else 1
    for (_, measurement), *_ in runs.of(arm).values():
        curve = measurement["curve"]
        for step, value in zip(curve["step"], curve[key], strict=True):
            found.setdefault(step, []).append(value**power)
    return found


def _list(series: Series, words: Sequence[str]) -> str:
    """Say every point of a series."""
    said = (f"{word} {series.at(i)}" for i, word in enumerate(words))
    return f"{series.label}: {', '.join(said)}"


def levels_over_time(look_back: Runs) -> Drawing:
    """Draw the errors of four levels over training as bars, greedy above staged."""
    arms = {"greedy": "only the newest level trains", "staged": "all open levels train"}
    opens = look_back.first("greedy").opens
    fig, axes = plt.subplots(2, 1, figsize=(WIDTH, 3.9), sharex=True)
    said = []
    for ax, (arm, words) in zip(axes, arms.items(), strict=True):
        for row, (level, key) in enumerate(LEVELS.items()):
            line = over_seeds(f"{arm} level {level}", squared(look_back, arm, key), floor=1e-16)
            _bar(ax, line, row)
            said.append(f"{line.label} {line.at()} at the end")
            if level < 4:
                moment = int(np.searchsorted(line.x, opens[level - 1])) - 1
                said[-1] += f", after {line.at(moment)} when level {level + 1} opens"
        for opened in opens[1:]:
            ax.axvline(opened, color=INK, linewidth=0.9, linestyle=(0, (3, 2)))
        half = (line.x[1] - line.x[0]) / 2
        ax.set(xlim=(-half, line.x[-1] + half), ylim=(-0.6, 2.6), title=f"{arm}: {words}")
        ax.set_yticks(range(3), [f"level {level}" for level in LEVELS])
        ax.grid(False)
    axes[1].set_xlabel("step")
    return Drawing(
        fig,
        alt=f"Squared feature errors of three levels over {line.x[-1]} steps, geometric means of "
        f"{len(line.seeds)} seeds: " + "; ".join(said) + ".",
        caption="Feature error of each level (rows) over training (columns): full color is a "
        "squared error of 1, blank one of $10^{-8}$. Dashed lines: level 3 opens, then level 4. "
        "Frozen levels keep their error; trained ones are corrected by each newcomer.",
    )


def _bar(ax: Axes, line: Series, row: int) -> None:
    """Draw a curve as a bar, one rectangle for every run of equal shade: no seams."""
    steps, half = line.x, (line.x[1] - line.x[0]) / 2
    share = (np.log10(line.y) - LIGHTEST) / (DARKEST - LIGHTEST)
    shade = np.round(np.clip(share, 0.02, 1), 2)
    edges = [0, *(np.flatnonzero(np.diff(shade)) + 1), len(shade)]
    for first, last in pairwise(edges):
        left, right = steps[first] - half, steps[last - 1] + half
        box = Rectangle(
            (left, row - 0.45), right - left, 0.9, facecolor=COLORS[0], alpha=float(shade[first]),
            linewidth=0, antialiased=False,
        )  # fmt: skip
        ax.add_patch(box)


def steer_look_back(look_back: Runs) -> Steered:
    """Let the reader choose how many of the newest levels train."""
    dial = {
        1: ("greedy", "1, greedy (newest)"),
        2: ("newest two", "2, newest two"),
        3: ("staged", "3, staged (all)"),
    }
    followed = {key: f"level {level}" for level, key in LEVELS.items()}
    followed["rel"] = "relative test error"
    states = {}
    for depth, (arm, words) in dial.items():
        lines = [
            over_seeds(label, squared(look_back, arm, key), index=index, floor=1e-16)
            for index, (key, label) in enumerate(followed.items())
        ]
        text = f"Look-back {words}. After {lines[0].x[-1]} steps: "
        text += ", ".join(f"{one.label} {one.at()}" for one in lines)
        states[(depth,)] = State(lines, text + ".")
    opens = look_back.first("greedy").opens[1:]
    return Steered(
        controls={"look-back depth": {depth: words for depth, (_, words) in dial.items()}},
        states=states,
        start=(1,),
        axes=(Axis("step"), Axis("squared error of the features, relative test error", log=True)),
        steps={f"level {i} opens": step for i, step in enumerate(opens, 3) if step},
        caption="Errors of the levels and of the whole at a look-back depth: geometric mean of "
        f"{len(lines[0].seeds)} seeds with 95 % interval.",
    )


def dial(frozen_features: Runs, look_back: Runs) -> Drawing:
    """Draw the final error against how many of the newest levels train, at two depths."""
    words = {"greedy": "greedy\n(newest)", "newest two": "newest two", "staged": "staged\n(all)"}
    panels = {
        "three levels": (frozen_features, {"greedy": "greedy at 0.2", "staged": "staged at 0.2"}),
        "four levels": (look_back, {name: name for name in words}),
    }
    fig, axes = plt.subplots(1, 2, sharey=True)
    said = []
    for index, (ax, (title, (runs, arms))) in enumerate(zip(axes, panels.items(), strict=True)):
        points = {i: _values(runs, arm) for i, arm in enumerate(arms.values())}
        line = over_seeds(title, points, index=index)
        line.draw(ax)
        ax.set_xticks(range(len(arms)), [words[name] for name in arms])
        ax.set_xlim(-0.4, len(arms) - 0.6)
        log_axes(ax, "y")
        ax.set_title(title)
        said.append(_list(line, list(arms)))
    axes[0].set_ylabel("final relative test error")
    return Drawing(
        fig,
        alt="Final error against look-back, geometric means and intervals of "
        f"{len(line.seeds)} seeds. " + "; ".join(said) + ".",
        caption="Final relative error against how many of the newest levels train: every seed, "
        "geometric mean, 95 % interval. Errors below $10^{-12}$ are float32 noise and are raised "
        "to it.",
    )


def _values(runs: Runs, arm: str) -> list[float]:
    return [rel(*run) for results in runs.of(arm).values() for run in results]


def gap(frozen_features: Runs, free_readout: Runs | None = None) -> Drawing:
    """Draw the mean squared error at three levels over the gap, with the predicted floors."""
    fig, ax = plt.subplots(figsize=(WIDTH, 3.9))
    arms = [("greedy", frozen_features, "rel"), ("staged", frozen_features, "")]
    if free_readout:
        arms.insert(1, ("greedy, free readout", free_readout, "readout"))
    said = []
    for index, (arm, runs, part) in enumerate(arms):
        line = over_seeds(arm, runs.points(alpha_3, mse, arm), index=index, floor=1e-13)
        line.draw(ax)
        ends = [f"{line.at(i)} at gap {line.x[i]:g}" for i in (0, -1)]
        said.append(f"{arm} {' and '.join(ends)}")
        if part:
            predicted = frozen_features.points(alpha_3, floor(part), "greedy")
            level = over_seeds("predicted floor" if index == 0 else "_", predicted)
            ax.plot(level.x, level.y, "x", color=INK, markersize=9, label=level.label)
            said[-1] += f" (predicted {level.at(0)} and {level.at()})"
    log_axes(ax, "xy", x_ticks=line.x)
    ax.set(xlabel=r"information gap $\alpha_3$", ylabel="mean squared error")
    ax.legend(loc="center right")
    return Drawing(
        fig,
        alt=f"Mean squared error at three levels, geometric means of {len(line.seeds)} seeds: "
        + "; ".join(said)
        + ".",
        caption="Mean squared error at three levels against the gap. Crosses: the floor that the "
        "closed-form bias of level 2 implies, without and with a free quadratic readout.",
    )


@gives("thaw-stuck")
def thaw(frozen_features: Runs) -> Drawing:
    """Draw the error over training of greedy training, thawed or not, and of staged training."""
    thawed = frozen_features.first("greedy, then thawed")
    fig, ax = plt.subplots(figsize=(WIDTH, 3.6))
    arms = {"greedy": "greedy at 0.2", "greedy, then thawed": "", "staged": "staged at 0.2"}
    lines = [
        over_seeds(
            label, squared(frozen_features, arm or label, "rel"), index=index, floor=1e-13
        )
        for index, (label, arm) in enumerate(arms.items())
    ]  # fmt: skip
    for line in lines:
        line.draw(ax, marker=False)
    log_axes(ax, "y")
    mark_steps(ax, {"level 3 opens": thawed.opens[1], "thaw": thawed.thaw})
    ax.set(xlabel="step", ylabel="relative test error")
    ax.legend(loc="lower left")
    runs = (results[0] for results in frozen_features.of("greedy, then thawed").values())
    gains = [before(4, "rel")(*run) / rel(*run) for run in runs]
    return Drawing(
        fig,
        alt=f"Relative error over {lines[0].x[-1]} steps, final geometric means of "
        f"{len(lines[0].seeds)} seeds: "
        + "; ".join(f"{line.label} {line.at()}" for line in lines)
        + ".",
        caption="Thawing level 2 halfway through stage 3 releases the error from its floor in some "
        "seeds and not in others; thin lines are seeds, thick ones geometric means.",
        numbers={"thaw-stuck": f"{sum(not gain >= 10 for gain in gains)} of {len(gains)}"},
    )


def width(width: Runs) -> Drawing:
    """Draw the final errors of networks as wide as the target and wider."""
    fig, ax = plt.subplots(figsize=(WIDTH, 3.6))
    widths = [config.learner_widths for config in width.arms["greedy"]]
    words = [f"at widths {a}, {b}" for a, b in widths]
    said = []
    for index, arm in enumerate(("greedy", "staged")):
        points = width.points(lambda c: widths.index(c.learner_widths), rel, arm)
        line = over_seeds(arm, points, index=index)
        line.draw(ax)
        said.append(_list(line, words))
    ax.set_xticks(range(len(widths)), [f"{a}, {b}" for a, b in widths])
    log_axes(ax, "y")
    ax.set(xlabel="widths $m_2, m_3$ of the network", ylabel="final relative test error")
    ax.legend()
    return Drawing(
        fig,
        alt=f"Three levels, geometric means of {len(line.seeds)} seeds: " + "; ".join(said) + ".",
        caption="Overparametrized levels ($d=20$; the target has widths 4, 3) soften the failure: "
        "the greedy error falls, the staged one rises, and their ratio shrinks from narrow to "
        "wide.",
    )
