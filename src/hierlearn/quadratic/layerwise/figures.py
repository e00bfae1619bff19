"""The figures of chapter 3. Parameters are named after the experiments that a figure draws."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

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
from hierlearn.drawing.table import drawn
from hierlearn.experiment import Runs
from hierlearn.intervals import Bound
from hierlearn.quadratic.layerwise.experiments import DEPTHS, alpha_3, floor, mse, rel, steps_needed
from hierlearn.quadratic.runs import before
from hierlearn.statistics import slope

LEVELS = {2: "gram2", 3: "fn3", 4: "fn4"}
DARKEST, LIGHTEST = 0.0, -8.0


def squared(runs: Runs, arm: str, key: str) -> dict[int, list[float]]:
    """Return an error at each step over the seeds, gram2 squared as the others are."""
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


@gives("plateau-4", "plateau-3")
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
        numbers={
            "plateau-4": _over_plateau(look_back, lambda m: m["plateau_4"]),
            "plateau-3": _over_plateau(look_back, lambda m: m["plateau"]["gram2"]),
        },
    )


def _over_plateau(runs: Runs, predicted: Callable[[dict[str, Any]], float]) -> str:
    """Say the error of level 2 just before level 3 opens, over what a closed form gives."""
    found = [
        before(3, "gram2")(config, m) / predicted(m)
        for own in runs.of("staged").values()
        for config, m in own
    ]
    return over_seeds("", {0: found}).at()


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
    drawn(ax, line)


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
        points = {i: runs.points(lambda c: 0, rel, arm)[0] for i, arm in enumerate(arms.values())}
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


@gives("second-minima", "settled-lower", "minimum-slope", "readout-slope")
def gap(frozen_features: Runs, free_readout: Runs | None = None) -> Drawing:
    """Draw the mean squared error at three levels over the gap, and the minima where it settles."""
    fig, ax = plt.subplots(figsize=(WIDTH, 3.9))
    arms = [("greedy", frozen_features, "rel")]
    if free_readout:
        arms.append(("greedy, free readout", free_readout, "readout"))
    said = []
    for index, (arm, runs, part) in enumerate(arms):
        line = over_seeds(arm, runs.points(alpha_3, mse, arm), index=index, floor=1e-13)
        line.draw(ax)
        predicted = frozen_features.points(alpha_3, floor(part), "greedy")
        level = over_seeds("_" if index else "minimum next to the truth", predicted)
        ax.plot(level.x, level.y, "x", color=INK, markersize=9, label=level.label)
        said += [
            f"{arm} {line.at(i)} at gap {line.x[i]:g} (predicted {level.at(i)})" for i in (0, -1)
        ]
    lowest = frozen_features.points(alpha_3, floor("minima"), "greedy")
    under = over_seeds("lowest minimum found", lowest)
    ax.plot(under.x, under.y, "_", color=INK, markersize=12, label=under.label)
    log_axes(ax, "xy", x_ticks=line.x)
    ax.set(xlabel=r"information gap $\alpha_3$", ylabel="mean squared error")
    ax.legend(loc="lower right")
    greedy = list(frozen_features.of("greedy").values())
    second = sum(any(_lower(m) < 0.95 for _, m in own) for own in greedy)
    runs_ = [m for own in greedy for _, m in own]
    below = sum(m["final"]["rel"] / m["floor"]["rel"] < (1 + _lower(m)) / 2 for m in runs_)
    slopes = {
        part: list(slope(alpha_3, floor(part), "greedy")(frozen_features).values())
        for part in ("rel", "readout")
    }
    return Drawing(
        fig,
        alt=f"Mean squared error at three levels, geometric means of {len(line.seeds)} seeds: "
        f"{'; '.join(said)}.",
        caption="Mean squared error at three levels against the gap. Marks: minima of the "
        "population loss above the closed-form bias of level 2, without and with a free quadratic "
        "readout.",
        numbers={
            "second-minima": f"{second} of {len(greedy)}",
            "settled-lower": f"{below} of {len(runs_)}",
            "minimum-slope": over_seeds("", {0: slopes["rel"]}).at(),
            "readout-slope": over_seeds("", {0: slopes["readout"]}).at(),
        },
    )


def _lower(measurement: dict[str, Any]) -> float:
    """Return the lowest minimum found, over the one next to the truth."""
    return float(measurement["floor"]["minima"][0] / measurement["floor"]["rel"])


@gives("turns-stuck", "short-turns-stuck", "turns-moving")
def turns(turns: Runs) -> Drawing:
    """Draw what is lost of level 3 while the levels take turns, and while all train at once."""
    fig, ax = plt.subplots(figsize=(WIDTH, 4.2))
    said = []
    for index, arm in enumerate(turns.arms):
        line = over_seeds(arm, squared(turns, arm, "lost"), index=index, floor=1e-13)
        line.draw(ax, marker=False)
        said.append(f"{arm} {line.at()}")
    config = turns.first("in turn")
    log_axes(ax, "y")
    mark_steps(ax, {"level 3 opens": config.opens[-1]})
    ax.set(xlabel="step", ylabel="mean squared error / level 3's part of y")
    ax.legend(loc="lower left")
    stuck = {}
    for arm in ("in turn", "in short turns"):
        ends = [m["final"]["lost"] for own in turns.of(arm).values() for _, m in own]
        stuck[arm] = f"{sum(end > 0.01 for end in ends)} of {len(ends)}"
    moving = sum(not m["converged"] for own in turns.of("in turn").values() for _, m in own)
    return Drawing(
        fig,
        alt=f"Error in units of level 3's own part of y after {config.n_steps} steps, geometric "
        f"means of {len(ends)} seeds: " + "; ".join(said) + ".",
        caption=f"What is lost of level 3. In turn: {config.turn} steps of level 3 alone, then as "
        f"many of level 2 alone, and so on (short turns: {config.turn // 5}). All arms have the "
        "same number of steps.",
        numbers={
            "turns-stuck": stuck["in turn"],
            "short-turns-stuck": stuck["in short turns"],
            "turns-moving": f"{moving} of {len(ends)}",
        },
    )


@gives("depth-learned", "depth-staged", "depth-joint")
def depth(depth: Runs) -> Drawing:
    """Draw the shortest training after which every level is learned, against the depth."""
    fig, ax = plt.subplots(figsize=(WIDTH, 3.4))
    needed, numbers, tried = {}, [], set()
    for index, protocol in enumerate(("staged", "joint")):
        steps = {n: steps_needed(depth, f"{protocol}, {n} levels") for n in DEPTHS}
        learned = {
            n: [value for value in found.values() if not isinstance(value, Bound)]
            for n, found in steps.items() if found
        }  # fmt: skip
        line = over_seeds(
            protocol, {n: found for n, found in learned.items() if found}, index=index
        )
        line.draw(ax, every_seed=False)
        tried |= set(learned)
        counts = [f"{len(found)} of {len(steps[n])} at L = {n}" for n, found in learned.items()]
        numbers.append(f"{protocol} {', '.join(counts)}")
        needed[protocol] = [f"{line.at(i)} at L = {n:g}" for i, n in enumerate(line.x)]
    log_axes(ax, "y")
    ax.set_xticks(sorted(tried))
    ax.set(
        xlabel="number of levels L, counted with the input", ylabel="steps until all are learned"
    )
    ax.legend(loc="upper left")
    return Drawing(
        fig,
        alt="Steps of the shortest training after which every level is learned, geometric means of "
        "the seeds that learn: "
        + "; ".join(f"{protocol} {', '.join(one)}" for protocol, one in needed.items())
        + f". Seeds that learn: {'; '.join(numbers)}.",
        caption="Adam, one gap ratio of 0.2; lengths double from one try to the next; geometric "
        "mean of the seeds that learn. Staged: levels open at fixed shares of the whole. Joint: "
        "all from step 0, at one rate.",
        numbers={
            "depth-learned": "; ".join(numbers),
            **{f"depth-{protocol}": ", ".join(one) for protocol, one in needed.items()},
        },
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
