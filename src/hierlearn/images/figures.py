"""The figures of chapter 8. Parameters are named after the experiments that a figure draws."""

import base64
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from hierlearn.drawing import table
from hierlearn.drawing.figures import (
    COLORS,
    DASHES,
    INK,
    MARKERS,
    WIDTH,
    Drawing,
    Series,
    gives,
    over_seeds,
)
from hierlearn.experiment import Runs
from hierlearn.images.experiments import ACCURACY, CE, DIAL, STAGES_STATISTICS, over
from hierlearn.images.target import SIZE
from hierlearn.statistics import Statistic, difference, each, number

ALONE, MORE, CORRECTED = "alone", "alone, twice as long", "under higher stages"
NAMES = {"solo": ALONE, "more": MORE, "corrected": CORRECTED, "joint": "joint from the start"}
LABELS = {"": "true labels", ", shallow": "shallow labels"}
HEADS = {"": "head: means over all positions", ", pool": "head: means over 2x2 positions"}
UPPER, PROBE = number("upper_accuracy"), number("probe")
GAINS = {MORE: ("solo", "more"), CORRECTED: ("solo", "corrected")}


def _values(runs: Runs, statistic: Statistic) -> list[float]:
    """One number a seed, in the order of the seeds."""
    found = statistic(runs)
    return [found[seed] for seed in sorted(found)]


def _said(values: Sequence[float]) -> str:
    return over_seeds("", {0: values}, geometric=False).at()


def _panels(runs: Runs, suffixes: dict[str, str], arm: str) -> list[str]:
    """The suffixes of which this profile has the arm; AbsentArm where it has none."""
    runs.first(arm)
    return [suffix for suffix in suffixes if runs.of(f"{arm}{suffix}")]


def _one_scale(axes: Sequence[Axes]) -> None:
    """Let panels with different centers span equally much in x and y."""
    for letter in "xy":
        ends = [getattr(ax, f"get_{letter}lim")() for ax in axes]
        half = max(high - low for low, high in ends) / 2
        for ax, (low, high) in zip(axes, ends, strict=True):
            middle = (low + high) / 2
            getattr(ax, f"set_{letter}lim")(middle - half, middle + half)


def _slopes(ax: Axes, runs: Runs, arms: Sequence[str], index: int) -> str:
    """Draw an accuracy over the arms, a thin line a seed and the mean; say it."""
    columns = np.array([_values(runs, each(ACCURACY, arm)) for arm in arms])
    places = range(len(arms))
    ax.plot(places, columns, color=COLORS[index], linewidth=0.7, alpha=0.6)
    ax.plot(
        places, columns.mean(1), color=COLORS[index], marker=MARKERS[index], linestyle=DASHES[0],
    )  # fmt: skip
    for place, mean in zip(places, columns.mean(1), strict=True):
        ax.annotate(
            f"{mean:.3f}", (place, mean), xytext=(7, -11), textcoords="offset points", fontsize=8,
        )  # fmt: skip
    ax.set_xticks([*places], [arm.partition(",")[0].replace("-", "-\n") for arm in arms])
    ax.margins(x=0.15, y=0.2)
    return ", ".join(
        f"{arm.partition(',')[0]} {_said(list(own))}"
        for arm, own in zip(arms, columns, strict=True)
    )


@gives("images-freezing", "images-oracle", "images-freezing-shallow")
def dial(images_stages: Runs) -> Drawing:
    """Draw the accuracy over how far training reaches down, every seed, for both labels."""
    names = [*DIAL[:1], "look-back 2", *DIAL[1:]]
    panels = _panels(images_stages, LABELS, "greedy")
    fig, axes = plt.subplots(1, len(panels), figsize=(WIDTH, 3.3), squeeze=False)
    said = []
    for index, (ax, suffix) in enumerate(zip(axes[0], panels, strict=True)):
        arms = [name + suffix for name in names if images_stages.arms.get(name + suffix)]
        said.append(f"{LABELS[suffix]}: {_slopes(ax, images_stages, arms, index)}")
        ax.set_title(LABELS[suffix])
    _one_scale(list(axes[0]))
    axes[0, 0].set_ylabel("test accuracy")
    config = images_stages.first("greedy")
    return Drawing(
        fig,
        alt=f"Test accuracy, {len(images_stages.of('greedy'))} seeds. {'; '.join(said)}.",
        caption=f"Test accuracy after {config.n_steps} steps on the same batches: every seed "
        "(thin) and the mean; each stage frozen before the next opens (greedy), nothing frozen "
        "(all), and one phase under the last head alone (joint). All but joint restart the "
        "learning rate at every stage.",
        numbers={
            "images-freezing": _said(_values(images_stages, STAGES_STATISTICS["freezing"])),
            "images-oracle": _said(_values(images_stages, STAGES_STATISTICS["oracle"])),
            "images-freezing-shallow": _said(
                _values(images_stages, over(CE, "greedy, shallow", "all, shallow"))
            )
            if panels[1:]
            else "—",
        },
    )


@gives("images-probe-shallow")
def crossing(images_stages: Runs) -> Drawing:
    """Draw what a stage is worth to a head of its own and to fresh higher stages: arrows a seed."""
    panels = _panels(images_stages, LABELS, "solo")
    fig, axes = plt.subplots(1, len(panels), figsize=(WIDTH, 3.7), squeeze=False)
    said, fallen = [], "—"
    for ax, suffix in zip(axes[0], panels, strict=True):
        for index, (start, end) in enumerate((("solo", "joint"), ("more", "corrected"))):
            x, y = (
                np.array([_values(images_stages, each(v, arm + suffix)) for arm in (start, end)])
                for v in (PROBE, UPPER)
            )
            for seed in range(x.shape[1]):
                ax.annotate(
                    "", (x[1, seed], y[1, seed]), (x[0, seed], y[0, seed]),
                    arrowprops={"arrowstyle": "->", "color": COLORS[index], "linewidth": 1.2},
                )  # fmt: skip
            ax.plot(
                x[0], y[0], color=COLORS[index], linestyle="", marker=MARKERS[index],
                label=f"{NAMES[start]} →\n{NAMES[end]}",
            )  # fmt: skip
            ax.plot(x[1], y[1], color=COLORS[index], linestyle="", marker=".")
            fallen = _said(list(x[0] - x[1])) if end == "joint" else fallen
            said.append(
                f"{LABELS[suffix]}, from {NAMES[start]} to {NAMES[end]}: own head "
                f"{x[0].mean():.3f} to {x[1].mean():.3f}, fresh higher stages {y[0].mean():.3f} to "
                f"{y[1].mean():.3f}"
            )
        ax.set(title=LABELS[suffix], xlabel="accuracy of a linear head on stage 1")
        ax.margins(0.12)
    _one_scale(list(axes[0]))
    axes[0, 0].set_ylabel("accuracy of fresh stages above it")
    axes[0, 0].legend(fontsize=7.5)
    return Drawing(
        fig,
        alt=f"Stage 1, frozen and read in two ways, means of {x.shape[1]} seeds. "
        f"{'; '.join(said)}.",
        caption="Stage 1 of each seed, frozen, before (marker) and after (arrow's head): to the "
        "right what a linear head of its own makes of it, upwards what fresh higher stages make of "
        "it. Up and to the left: better for what comes above, worse on its own. The panels have "
        "one scale.",
        numbers={"images-probe-shallow": fallen if panels[1:] else "—"},
    )


@gives("images-above-wide", "images-fixed", "images-corrected")
def confound(images_stages: Runs) -> Drawing:
    """Draw what stage 1 gains by as many steps alone, and by as many under higher stages."""
    panels = _panels(images_stages, HEADS, "solo")
    fig, axes = plt.subplots(1, len(panels), sharey=True, figsize=(WIDTH, 3.2), squeeze=False)
    said = []
    upper = number("upper_ce")
    for ax, suffix in zip(axes[0], panels, strict=True):
        for index, (label, (before, after)) in enumerate(GAINS.items()):
            one, two = (
                np.array(_values(images_stages, each(upper, arm + suffix)))
                for arm in (before, after)
            )
            _bar(ax, index, one - two)
            said.append(f"{HEADS[suffix]}, {label}: {_said(list(one - two))}")
        ax.set_xticks([0, 1], ["as many steps\nalone", "as many steps\nunder higher stages"])
        ax.set_title(HEADS[suffix])
    axes[0, 0].set_ylabel("gain of stage 1 (nats)")
    numbers = dict.fromkeys(("images-above-wide", "images-fixed", "images-corrected"), "—")
    if images_stages.of("fixed, pool"):
        unmatched = _values(images_stages, STAGES_STATISTICS["unmatched_pool"])
        said.append(f"everything trained on, against stage 1 fixed: {_said(unmatched)}")
        wide = difference(each(upper, "corrected"), each(upper, "more, pool"))
        numbers = {"images-above-wide": _said(_values(images_stages, wide))} | {
            f"images-{arm}": _said(_values(images_stages, each(ACCURACY, f"{arm}, pool")))
            for arm in ("fixed", "corrected")
        }
    return Drawing(
        fig,
        alt="Cross-entropy of fresh higher stages on a stage 1 trained alone, minus that on "
        "the same stage after as many steps more. " + "; ".join(said) + ".",
        caption="What stage 1 gains for fresh higher stages by training on after it was trained "
        "alone: under its own head, or with higher stages on top; mean and every seed. Comparing a "
        "stage that stops with one that goes on under higher stages counts the whole right bar; "
        "only its excess over the left one can be backward correction."
        + ("" if panels[1:] else " The 2x2 head is run at the paper profile."),
        numbers=numbers,
    )


def _bar(ax: Axes, place: int, values: NDArray[np.float64]) -> None:
    ax.bar(place, values.mean(), width=0.6, color=COLORS[place], alpha=0.75, label="mean")
    spread = place + np.linspace(-0.12, 0.12, len(values))
    dots = ax.plot(spread, values, color=INK, linestyle="", marker=".", markersize=5)
    every = Series("a seed", (float(place),) * len(values), tuple(values.tolist()))
    table.drawn(ax, every, dots)
    ax.axhline(0, color=INK, linewidth=0.7)


@gives("images-depth", "images-deep-steps", "images-deep-greedy", "images-deep-joint")
def deep(images_stages: Runs, images_deep: Runs, images_full: Runs | None = None) -> Drawing:
    """Draw greedy against joint training in the networks, a line a seed."""
    panels = {images_stages: "14 layers", images_deep: "110 layers"}
    if images_full:
        panels[images_full] = "110 layers, 32x32 pixels"
    config = images_deep.first("joint")
    fig, axes = plt.subplots(1, len(panels), sharey=True, figsize=(WIDTH, 3.2))
    said = []
    for index, (ax, (runs, title)) in enumerate(zip(axes, panels.items(), strict=True)):
        arms = [arm for arm in DIAL if runs.arms.get(arm)]
        said.append(f"{title}: {_slopes(ax, runs, arms, index)}")
        ax.set_title(title)
    axes[0].set_ylabel("test accuracy")
    numbers = {
        f"images-deep-{arm}": _said(_values(images_deep, each(ACCURACY, arm)))
        for arm in ("greedy", "joint")
    }
    n_layers = 2 * config.n_blocks * len(config.widths) + 2
    return Drawing(
        fig,
        alt=f"Test accuracy, means of {len(images_deep.of('joint'))} seeds. {'; '.join(said)}.",
        caption=f"Residual networks of 14 and of {n_layers} layers, every seed. The deep one has "
        f"channels {', '.join(map(str, config.widths))} and {config.n_steps} steps; the panels are "
        "not to be compared with each other.",
        numbers=numbers | {"images-depth": str(n_layers), "images-deep-steps": str(config.n_steps)},
    )


@gives(*(f"images-purity-{name}" for name in NAMES))
def seen(images_stages: Runs) -> Drawing:
    """Draw the mean of the test images that excite each channel of stage 1 most, for one seed."""
    rows = {name: label for name, label in NAMES.items() if images_stages.arms.get(name)}
    images_stages.first("solo")
    fig, axes = plt.subplots(len(rows), 1, figsize=(WIDTH, 1.15 * len(rows)))
    purity = {}
    for ax, (name, label) in zip(axes, rows.items(), strict=True):
        found = images_stages.of(name)
        shares = [found[seed][0].measurement["seen"]["purity"] for seed in found]
        purity[name] = _said(shares)
        share = Series("share of the commonest class", tuple(map(float, found)), tuple(shares))
        table.drawn(ax, share)
        ax.set_xlabel("seed")  # of the table: the axes are off
        tiles = found[min(found)][0].measurement["seen"]["means"]
        ax.imshow(_row(tiles), interpolation="nearest")
        ax.set_title(label)
        ax.set_axis_off()
    return Drawing(
        fig,
        alt=f"For {len(tiles)} channels of stage 1, the mean of the test images that excite it "
        "most. Share of the commonest class among these, mean over channels: "
        + "; ".join(f"{rows[name]} {value}" for name, value in purity.items())
        + ".",
        caption="What excites the first stage. Each tile is the mean of the 50 test images where "
        "one channel, averaged over positions, is largest (one seed; the channels of a column have "
        "the same start; contrast stretched).",
        numbers={f"images-purity-{name}": purity.get(name, "—") for name in NAMES},
    )


def _row(texts: Sequence[str]) -> NDArray[np.uint8]:
    """Place tiles of `SIZE` x `SIZE`, in colors, beside each other, with transparent gaps."""
    tiles = []
    for text in texts:
        flat = np.frombuffer(base64.b64decode(text), np.uint8).reshape(-1, SIZE, SIZE)
        colors = np.broadcast_to(flat, (3, SIZE, SIZE)).transpose(1, 2, 0)
        opaque = np.dstack([colors, np.full((SIZE, SIZE), 255, np.uint8)])
        tiles.append(np.pad(opaque, ((0, 0), (1, 1), (0, 0))))
    return np.hstack(tiles)
