"""The figures of chapter 1's first part. Parameters are named after the experiments drawn."""

from collections.abc import Callable
from functools import partial

import matplotlib.pyplot as plt

from hierlearn.drawing.figures import (
    COLORS,
    INK,
    MARKERS,
    WIDTH,
    Drawing,
    Series,
    log_axes,
    mark_steps,
    over_seeds,
)
from hierlearn.drawing.steered import Axis, State, Steered
from hierlearn.experiment import Runs
from hierlearn.formatting import format_number
from hierlearn.quadratic.original.experiments import (
    DEPTHS,
    ROUNDS,
    SETTLED,
    SHARES,
    factor_a_round,
    gap,
    order,
)
from hierlearn.quadratic.original.runs import error, relative
from hierlearn.statistics import Value, mean, number

LEAST = 1e-15  # where round-off sets in


def rounds(back_and_forth: Runs, arm: str) -> list[Series]:
    r"""Return $e_2$ over $\alpha_3$ after each round of an arm, labelled with its exponent."""
    found = []
    for n in range(ROUNDS + 1):
        found_slope = mean([*order(arm, n)(back_and_forth).values()])
        points = back_and_forth.points(gap, error(2, n), arm)
        label = f"round {n}: exponent {format_number(found_slope)}"
        found.append(over_seeds(label, points, index=n, floor=LEAST))
    return found


def steer_rounds(back_and_forth: Runs) -> Steered:
    """Let the reader choose the gap, and what is followed over the rounds."""
    forms = {"joint": "together", "residual": "to residuals", "frozen": "features frozen"}
    gaps = sorted({config.gaps[1] for config in back_and_forth.arms["joint"]})
    values: dict[str, Callable[[int], Value]] = {
        "error of level 2": partial(error, 2),
        "relative error of the output": relative,
    }
    states = {}
    for alpha in gaps:
        for what, value in values.items():
            lines = []
            for index, (form, label) in enumerate(forms.items()):
                points = {
                    n: back_and_forth.points(gap, value(n), form)[alpha] for n in range(ROUNDS + 1)
                }
                lines.append(over_seeds(label, points, index=index, floor=1e-16))
            text = ", ".join(f"{line.label} {line.at()}" for line in lines)
            states[alpha, what] = State(lines, f"Gap {alpha:g}, {what}, last round: {text}.")
    return Steered(
        controls={
            "gap α₃": {alpha: f"{alpha:g}" for alpha in gaps},
            "followed": {what: what for what in values},
        },
        states=states,
        start=(gaps[len(gaps) // 2], "error of level 2"),
        axes=(Axis("round"), Axis("error", log=True)),
        caption="Back-and-forth at one gap, in three forms: geometric mean of "
        f"{len(lines[0].seeds)} seeds with 95 % interval.",
    )


def without_gap(no_gap: Runs) -> Drawing:
    """Draw the error of level 2 over the rounds without a gap, and its factor beside the linear."""
    fig, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.8))
    config = no_gap.first("joint")
    n_rounds = sum(config.rounds)
    over = {n: no_gap.points(gap, error(2, n), "joint") for n in range(n_rounds + 1)}
    linear, found = (
        no_gap.points(gap, value, "joint") for value in (number("factor"), factor_a_round)
    )
    said = []
    for index, alpha in enumerate(over[0]):
        points = {n: by_gap[alpha] for n, by_gap in over.items()}
        line = over_seeds(rf"$\alpha_3={alpha:g}$", points, index=index, floor=LEAST)
        line.draw(axes[0])
        style = {"color": COLORS[index], "marker": MARKERS[index], "linestyle": ""}
        axes[1].plot(linear[alpha], found[alpha], **style)
        said.append(
            f"gap {alpha:g}: error {line.at()} after {n_rounds}, factor "
            f"{over_seeds('', {0: found[alpha]}).at()}, next to the truth "
            f"{over_seeds('', {0: linear[alpha]}).at()}"
        )
    log_axes(axes[0], "y")
    axes[0].set_xticks(range(0, n_rounds + 1, 5))
    log_axes(axes[1], "xy", x_ticks=(0.1, 0.3, 1, 3))
    axes[1].axline((0.1, 0.1), (1, 1), color=INK, linestyle=":", linewidth=1)
    axes[1].axvline(1, color=INK, linestyle=":", linewidth=1)
    axes[0].set(title="error of level 2", xlabel="round")
    axes[1].set(title="factor a round", xlabel="next to the truth, by linear response")
    axes[0].legend(loc="lower left")
    before, after = SETTLED
    return Drawing(
        fig,
        alt=f"Geometric means of {len(line.seeds)} seeds. {'; '.join(said)}.",
        caption=f"Three levels, $d={config.dim}$, widths {' and '.join(map(str, config.widths))}, "
        "from level 2 alone; at 1 there is no gap. Left, geometric means and every seed. "
        f"Right, every seed: the mean factor of rounds {before + 1} to {after} over that next to "
        "the truth, which attracts left of the upright line.",
    )


def depth(exact_depth: Runs) -> Drawing:
    """Draw the error of level 2 over the rounds, for three to five levels, joint and frozen."""
    fig, ax = plt.subplots(figsize=(WIDTH, 3.6))
    said = []
    for index, arm in enumerate(DEPTHS):
        config = exact_depth.first(arm)
        n_rounds = sum(config.rounds)
        points = {
            n: [error(2, n)(*run) for own in exact_depth.of(arm).values() for run in own]
            for n in range(n_rounds + 1)
        }
        degree = 2 ** (len(config.widths) + 1)
        line = over_seeds(f"{arm}, degree {degree}", points, index=index, floor=LEAST)
        line.draw(ax, every_seed=False)
        said.append(f"{line.label}: {line.at(0)} at first, {line.at()} after {n_rounds} rounds")
    mark_steps(ax, {"level 4 opens": 3, "level 5 opens": 6})
    frozen = exact_depth.points(lambda c: 0, error(2), f"{arm}, frozen")[0]
    level = over_seeds("frozen", {0: frozen})
    ax.axhline(level.y[0], color=INK, linestyle=":", label="features frozen")
    log_axes(ax, "y")
    ax.set_xlabel("round")
    ax.set_title("error of level 2")
    ax.legend(loc="lower left")
    return Drawing(
        fig,
        alt=f"Error of level 2, geometric means of {len(line.seeds)} seeds. {'; '.join(said)}. "
        f"With frozen features it stays at {level.at()}.",
        caption="Each level that opens corrects level 2 again. Geometric means, 95 % intervals.",
    )


def denominators(unseen_level: Runs) -> Drawing:
    """Draw the errors of levels 2 and 3 over the gap of an unseen level 4, for each gap of 3."""
    fig, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.8))
    said = []
    for ax, level in zip(axes, (2, 3), strict=True):
        for index, alpha in enumerate(sorted({g for g, _ in _cells(unseen_level)})):
            points = {
                b: unseen_level.points(lambda c: tuple(c.gaps[1:]), error(level), ARM)[alpha, b]
                for a, b in _cells(unseen_level)
                if a == alpha
            }
            line = over_seeds(rf"$\alpha_3={alpha:g}$", points, index=index)
            line.draw(ax, every_seed=False)
            said.append(f"level {level} at gaps {alpha:g}, {line.x[-1]:g}: {line.at()}")
        log_axes(ax, "xy", x_ticks=line.x)
        ax.set_title(f"error of level {level}")
        ax.set_xlabel(r"gap of the unseen level, $\alpha_4$")
    axes[1].legend()
    return Drawing(
        fig,
        alt=f"Geometric means of {len(line.seeds)} seeds. {'; '.join(said)}.",
        caption="A learner of three levels on a target of four, after convergence. The error of "
        r"level 2 follows $\alpha_4$, whatever $\alpha_3$; that of level 3 follows "
        r"$\alpha_4/\alpha_3$: the denominators of Theorem 2.",
    )


ARM = "unseen level 4"


def _cells(runs: Runs) -> list[tuple[float, float]]:
    return sorted(tuple(config.gaps[1:]) for config in runs.arms[ARM])


def samples(exact_samples: Runs) -> Drawing:
    """Draw the error of level 2 over the samples in units of the columns, for each dimension."""
    fig, axes = plt.subplots(1, 3, sharey=True, figsize=(WIDTH, 3.4))
    said = []
    for ax, arm in zip(axes, DEPTHS, strict=True):
        every = exact_samples.points(
            lambda c: (c.dim, c.n_samples), lambda c, m: error(2)(c, m), arm
        )
        for index, dim in enumerate(sorted({d for d, _ in every})):
            sizes = sorted(n for d, n in every if d == dim)
            points = {s: every[dim, n] for s, n in zip(SHARES, sizes, strict=True)}
            line = over_seeds(f"d = {dim}", points, index=index, floor=LEAST)
            line.draw(ax, every_seed=False)
            said.append(f"{arm}, d = {dim}: {line.at(2)} at {SHARES[2]:g}, {line.at(3)} at "
                        f"{SHARES[3]:g}")  # fmt: skip
        ax.axvline(1, color=INK, linestyle=":", linewidth=1)
        log_axes(ax, "y")
        ax.set_title(arm)
        ax.set_xlabel("samples over columns, n/p")
    axes[0].set_ylabel(r"error of level 2, $e_2$")
    axes[-1].legend()
    return Drawing(
        fig,
        alt=f"Error of level 2, geometric means of {len(line.seeds)} seeds; n/p is the ratio of "
        f"samples to columns. {'; '.join(said)}.",
        caption="As many samples as there are columns, about the square of the dimension, are "
        "enough at three, four and five levels.",
    )


def labels(exact_labels: Runs) -> Drawing:
    """Draw the error of level 2 from labels over the gap, alone and fitted with level 3."""
    fig, axes = plt.subplots(1, 2, figsize=(WIDTH, 3.4))
    said = []
    panels = {"error": "error of level 2", "wrong": "share of wrong labels"}
    for ax, (key, title) in zip(axes, panels.items(), strict=True):
        for index, arm in enumerate(("level 2 alone", "both levels")):
            points = exact_labels.points(lambda c: c.gap, number(key), arm)
            line = over_seeds(arm, points, index=index, floor=1e-5)
            line.draw(ax, every_seed=False)
            said.append(f"{title}, {arm}: {line.at()} at gap {line.x[-1]:g}")
        log_axes(ax, "xy", x_ticks=line.x)
        ax.set_title(title)
        ax.set_xlabel(r"gap $\alpha_3$")
    axes[0].legend()
    return Drawing(
        fig,
        alt=f"Geometric means of {len(line.seeds)} seeds. {'; '.join(said)}.",
        caption="From labels alone, after the last v. Geometric means with 95 % intervals.",
    )
