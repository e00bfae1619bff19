"""The figures of Theorem 7's learner in chapter 4; parameters are named after experiments."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np

from hierlearn.drawing.figures import (
    COLORS,
    INK,
    MARKERS,
    NEUTRAL,
    WIDTH,
    Drawing,
    log_axes,
    over_seeds,
)
from hierlearn.experiment import Runs
from hierlearn.grammar.layerwise_theorem.experiments import (
    BESIDE,
    GRAMMARS,
    LITTLE,
    MUCH,
    SOME,
    examples,
    scans,
)
from hierlearn.grammar.layerwise_theorem.runs import LEVEL, TheoremConfig
from hierlearn.statistics import geometric_mean, number


def sample_sizes(rhm_theorem_sizes: Runs) -> Drawing:
    """Draw the size that every draw of every grammar needs, against P_0 and against the law."""
    fig, axes = plt.subplots(1, 2, sharey=True, figsize=(WIDTH, 3.7))
    ratios: dict[str, list[float]] = {}
    everything: list[tuple[np.ndarray, int]] = []
    for parameters in GRAMMARS["paper"]:
        name = str(parameters).replace(" ", "")
        found = [one for own in rhm_theorem_sizes.of(str(parameters)).values() for one in own]
        if not found:
            continue
        law, size = np.array([pair for one in found for pair in scans(one)]).T
        scale, depth = found[0].config.scale, parameters[2]
        shift = scale * np.exp(np.linspace(-0.08, 0.08, len(law)))  # so that draws do not hide
        looks = {"marker": MARKERS[depth - 2], "color": COLORS[depth - 2], "linestyle": ""}
        label = f"$L={depth}$" if depth not in [p for _, p in everything] else None
        axes[0].plot(shift, size, markersize=3, alpha=0.6, label=label, **looks)
        axes[1].plot(law, size, markersize=3, alpha=0.6, **looks)
        ratios[name] = [geometric_mean([*(size / of)]) for of in (law, scale)]
        everything.append((law, depth))
    of_law, of_scale = np.array(list(ratios.values())).T
    constant = geometric_mean([*of_law])
    ends = np.array([min(x.min() for x, _ in everything), max(x.max() for x, _ in everything)])
    axes[1].plot(ends, constant * ends, color=INK, linewidth=1.2, linestyle="--")
    ends = np.array([axes[0].get_xlim()[0] + 1, axes[0].get_xlim()[1]]).clip(min=20)
    axes[0].plot(ends, ends * geometric_mean([*of_scale]), color=NEUTRAL, lw=1.2, ls="--")
    for ax, label in zip(axes, ("$P_0=vm^L$", r"law $mv\,m^L/K_\rho^2$"), strict=True):
        log_axes(ax)
        ax.set_xlabel(label)
    axes[0].set_ylabel("examples of the lowest stage")
    axes[0].legend()
    said = "; ".join(f"{name} {one:.2f} and {other:.1f}" for name, (one, other) in ratios.items())
    return Drawing(
        fig,
        alt=f"Examples that the lowest stage needs, of {sum(len(x) for x, _ in everything)} draws "
        f"of {len(ratios)} grammars, against P_0 and against the law. Needed over law and over "
        f"P_0, geometric means: {said}.",
        caption="What Theorem 7's learner needs for a tenth of the error of guessing: every draw. "
        "Left: against $P_0=vm^L$ (dashed: proportional). Right: against $mv\\,m^L/K_\\rho^2$, "
        "with $K_\\rho$ read off each draw (dashed: one constant for all).",
    )


def one_stage(rhm_theorem_stages: Runs) -> Drawing:
    """Draw the lowest stage and its law, the next over examples below it, and over bandwidths."""
    runs = rhm_theorem_stages
    fig, axes = plt.subplots(1, 3, figsize=(WIDTH, 3.2))

    def below(config: TheoremConfig) -> float:
        return (config.n_below or config.n_samples) / config.scale

    words = []
    panels = (("lowest stage", "lowest stage", 0), ("next stage", "over examples below", 1))
    for ax, (title, arm, stage) in zip(axes[:2], panels, strict=True):
        if not runs.of(arm):
            continue
        line = over_seeds("measured", runs.points(below, number("rms", stage), arm))
        line.draw(ax)
        law = runs.points(below, number("law", stage), arm)
        means = [np.mean(one) for one in law.values()]
        ax.plot([*law], means, color=INK, linestyle="", marker="x", markersize=7, label="law")
        said = ", ".join(f"{line.at(i)} at {x:g} P_0" for i, x in enumerate(line.x))
        words.append(f"{title.capitalize()}, {len(line.seeds or law)} draws: {said}.")
        log_axes(ax, "xy", x_ticks=line.x[:: 1 if stage == 0 else 2])
        ax.set(title=title, xlabel="its $N/P_0$" if stage == 0 else "$N/P_0$ of the lowest")
    for index, n in enumerate((LITTLE, SOME, MUCH)):
        if runs.of(f"window, {n}"):
            points = runs.points(lambda c: c.bandwidth, number("rms", 1), f"window, {n}")
            line = over_seeds(f"${n}\\,P_0$", points, index=index)
            replace(line, seeds=()).draw(axes[2])
            best = int(np.argmin(line.y))
            words.append(
                f"At {n} P_0: {line.at(0)} at a bandwidth of {line.x[0]:.2g} distances, "
                f"least {line.at(best)} at {line.x[best]:.2g}, {line.at()} at {line.x[-1]:.2g}."
            )
    log_axes(axes[2], "xy", x_ticks=(0.0625, 0.25, 1))
    axes[2].set(xlabel=r"bandwidth $\sigma/\rho$", title="next stage", ylim=(0.03, 1.7))
    axes[0].set_ylabel("rms of $h-q$")
    scales = (0.03, 0.05, 0.08), (0.05, 0.1, 0.2), (0.05, 0.1, 0.2, 0.5)
    for ax, ticks in zip(axes, scales, strict=True):
        ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        if ax.get_legend_handles_labels()[0]:
            ax.legend(loc="upper right")
    return Drawing(
        fig,
        alt="Root mean square of h - q. " + " ".join(words),
        caption="$(8,8,4,3)$, exact kernel: distance of tokens from their label laws. Left: the "
        "lowest stage, every draw and mean, and the law without a free parameter. Middle: the next "
        "stage, its own $32P_0$ examples fixed, against those of the lowest. Right: the next stage "
        "against its bandwidth in units of the least distance between tokens.",
    )


def beside(rhm_theorem_beside: Runs) -> Drawing:
    """Draw the errors of Theorem 7's learner and of the chapter's others on the same draws."""
    fig, ax = plt.subplots(figsize=(WIDTH, 3.6))
    said = []
    for index, name in enumerate(BESIDE):
        points = rhm_theorem_beside.points(examples, number("error"), name)
        line = over_seeds(name, points, index=index, geometric=False)
        replace(line, seeds=(), low=(), high=()).draw(ax)
        said.append(
            f"{name} {line.y[0]:.2f} at {line.x[0]:.2g} and {line.y[-1]:.3f} at "
            f"{line.x[-1]:.2g} P_0"
        )
    log_axes(ax, "x", x_ticks=(1, 2, 4, 8, 16))
    ax.axhline(LEVEL, color=NEUTRAL, linewidth=0.8, linestyle=":")
    ax.set(xlabel="all examples over $P_0$", ylabel="test error over chance")
    ax.legend()
    return Drawing(
        fig,
        alt=f"Error over chance against all examples, {len(line.seeds)} draws of (8,8,4,3) with "
        f"uniform first tokens, means: {'; '.join(said)}.",
        caption="$(8,8,4,3)$ with uniform first tokens: five learners on the same draws, means. "
        "Theorem 7's learner has fresh examples at every stage, all of which count.",
    )
