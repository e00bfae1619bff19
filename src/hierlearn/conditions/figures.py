"""The figures and the table of chapter 7; parameters are named after experiments."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from hierlearn.conditions.bits import after_look_backs
from hierlearn.conditions.experiments import DIMS, INNER, INSIDE, OUTSIDE
from hierlearn.conditions.runs import N_LOOK_BACKS, THEOREM_SCALE
from hierlearn.drawing.figures import (
    COLORS,
    DASHES,
    INK,
    MARKERS,
    WIDTH,
    Drawing,
    Series,
    log_axes,
    over_seeds,
)
from hierlearn.drawing.steered import Axis, State, Steered
from hierlearn.experiment import Runs
from hierlearn.formatting import format_number, table_html
from hierlearn.statistics import Value, number

LEAST, ROUNDING = 1e-31, 1e-15
LEARNED = {
    "clustered, t = 0.0": "clustering, $t=0$",
    f"clustered, t = {INSIDE}": f"clustering, $t={INSIDE}$",
    f"clustered, t = {OUTSIDE}": f"clustering, $t={OUTSIDE}$",
    f"ridge, hint, t = {OUTSIDE}": f"ridge, $t={OUTSIDE}$",
}


def _means(runs: Runs, arm: str, *values: Value) -> np.ndarray:
    """Return values at every configuration of an arm, means over seeds: `[value, config]`."""
    rows: dict[Any, list[list[float]]] = {}
    for own in runs.of(arm).values():
        for config, found in own:
            rows.setdefault(config, []).append([value(config, found) for value in values])
    return np.array([np.mean(one, 0) for one in rows.values()]).T


def what_decides(
    decide_bits: Runs,
    decide_quadratic: Runs,
    decide_grammar: Runs,
    decide_theorem: Runs | None = None,
) -> Drawing:
    """Draw what frozen outputs leave, what frozen features leave, and errors on grammars."""
    fig, axes = plt.subplots(1, 3, figsize=(WIDTH, 3.3))
    said = [
        *_outputs(axes[0], decide_bits, decide_quadratic),
        *_features(axes[1], decide_bits, decide_quadratic),
        *_errors(axes[2], decide_grammar, decide_theorem),
    ]
    for ax, place in zip(axes[1:], ("best", "upper right"), strict=True):
        ax.legend(fontsize=7, loc=place)
    return Drawing(
        fig,
        alt="; ".join(said) + ".",
        caption="What is left of the upper level. Left: outputs frozen, after $n$ look-backs, on "
        "$\\delta^{2n+1}(1-\\delta)$: bits of any bias (circles), Gaussian hierarchies of any skip "
        "(squares, fitted to samples, $n=0$). Middle: features frozen, everything above fitted "
        "freely; bits with a margin leave a rounding error. Right: layerwise learners on (8,8,4,3) "
        "with the dial hint, error over chance (of Theorem 7's the examples of the lowest stage). "
        "Means over seeds.",
    )


def _outputs(ax: Axes, bits: Runs, quadratic: Runs) -> Iterator[str]:
    looks: dict[str, Any] = {
        "color": COLORS[0],
        "linestyle": "",
        "marker": MARKERS[0],
        "markersize": 4,
    }
    dirt = np.linspace(0, 1, 101)
    for n in range(3):
        law = [after_look_backs(one, n) for one in dirt]
        ax.plot(dirt, law, color=INK, linestyle=DASHES[n], linewidth=1)
        for arm in ("even", "beyond the margin"):
            ax.plot(*_means(bits, arm, INNER, number("outputs", n)), **looks)
        peak = (2 * n + 1) / (2 * n + 2), max(law) - 0.01
        ax.annotate(f"$n={n}$", peak, ha="center", va="top", fontsize=8)
    x, y = _means(quadratic, "all", INNER, number("outputs"))
    ax.plot(x, y, **looks | {"color": COLORS[1], "marker": MARKERS[1]})
    ax.set(xlabel=r"inner dirt $\delta$", title="frozen outputs leave")
    yield f"Frozen outputs leave {y.min():.3f} to {y.max():.3f} of Gaussian hierarchies"


def _features(ax: Axes, bits: Runs, quadratic: Runs) -> Iterator[str]:
    drawn = {
        "below the margin": (bits, "bits, margin > 0"),
        "over skips": (quadratic, "Gauss"),
        "beyond the margin": (bits, "bits, margin < 0"),
    }
    for index, (arm, (runs, label)) in enumerate(drawn.items()):
        x, y = _means(runs, arm, number("outer"), number("readout"))
        ax.plot(
            x, y, color=COLORS[index], marker=MARKERS[index], markersize=4, label=label,
            linestyle="-" if runs is quadratic else "",
        )  # fmt: skip
        yield f"frozen features, {label}: {format_number(y.min())} to {format_number(y.max())}"
    log_axes(ax)
    ax.set_xticks([1e-6, 1e-4, 1e-2])
    ax.set(xlabel="outer dirt $D$", title="frozen features leave")


def _errors(ax: Axes, grammar: Runs, theorem: Runs | None) -> Iterator[str]:
    drawn = [(grammar, arm, label) for arm, label in LEARNED.items()]
    if theorem:
        drawn.append((theorem, f"hint, t = {OUTSIDE}", f"Theorem 7, $t={OUTSIDE}$"))
    for index, (runs, arm, label) in enumerate(drawn):
        if not runs.of(arm):
            continue
        points = runs.points(lambda c: c.n_samples / THEOREM_SCALE, number("error"), arm)
        line = over_seeds(label, points, index=index, geometric=False)
        replace(line, low=(), high=(), seeds=()).draw(ax)
        yield f"{label}: error {line.at(0)} to {line.at()} at {line.x[-1]:g} P_0"
    log_axes(ax, "x", x_ticks=(1, 4, 16, 64, 256))
    ax.set(xlabel="$P/P_0$", title="grammars, test error", ylim=(-0.04, 1.25))


def steer_bias(decide_bits: Runs) -> Steered:
    """Let the reader turn the bias of the bits, and look back."""
    found: dict[float, list[dict[str, Any]]] = {}
    for own in decide_bits.of("even", "beyond the margin").values():
        for config, measurement in own:
            if config.amplitude == 1:
                found.setdefault(config.bias, []).append(measurement)
    looks, states = range(N_LOOK_BACKS + 1), {}
    for bias, runs in sorted(found.items()):
        dirt, margin = (float(np.mean([m[key] for m in runs])) for key in ("inner", "margin"))
        law = tuple(max(after_look_backs(dirt, n), LEAST) for n in looks)
        outputs = {n: [m["outputs"][n] for m in runs] for n in looks}
        kept = [m["readout"] for m in runs]
        series = [
            over_seeds("outputs frozen", outputs, floor=LEAST),
            Series("law", tuple(looks), law, index=2, kind="bound"),
            over_seeds("features frozen", {0: kept, looks[-1]: kept}, index=1, floor=LEAST),
        ]
        said = f"left with outputs frozen {series[0].at(0)}, after {looks[-1]} look-backs "
        states[(bias,)] = State(
            series,
            f"b = {bias:g}: inner dirt {dirt:.3f}, margin {margin:z.2f}; {said}{series[0].at()}, "
            f"with features frozen {series[2].at()}.",
        )
    return Steered(
        controls={"bias b of the bits": {bias: f"b = {bias:g}" for (bias,) in states}},
        states=states,
        start=(0.5,),
        axes=(Axis("look-backs n", ticks=looks), Axis("left of the upper level", log=True)),
        caption="What is left of the products of four, $a=1$: with the output of stage 1 frozen, "
        "after n look-backs, and its law; and with its features frozen and a free readout.",
    )


def chain(decide_chain: Runs) -> Drawing:
    """Draw the share of products that Appendix C's learner finds, over sample sizes."""
    fig, ax = plt.subplots(figsize=(WIDTH, 2.8))
    said = []
    for index, dim in enumerate(DIMS["paper"]):
        if not decide_chain.of(arm := f"d = {dim}"):
            continue
        points = decide_chain.points(
            lambda c: 2 * c.n_samples / (c.dim * (c.dim - 1)), number("recovered"), arm
        )
        line = over_seeds(f"$d={dim}$", points, index=index, geometric=False)
        replace(line, low=(), high=()).draw(ax)
        said.append(f"d = {dim}: {line.y[0]:.2f} at {line.x[0]:.2f} to {line.y[-1]:.2f}")
    ax.set(xlabel="samples a pair of bits", ylabel="products found")
    ax.legend()
    return Drawing(
        fig,
        alt="Share of products found, by samples a pair: " + "; ".join(said) + ".",
        caption="Appendix C's layerwise learner on uniform bits: share of all products, degrees 2 "
        "to $d$, that it finds. Every seed, and means.",
    )


ROWS = {
    "bits, b = 0.69": ("decide_bits", "before the end"),
    "bits, b = 0.75": ("decide_bits", "after the end"),
    "Gauss, no skip": ("decide_quadratic", "no skip"),
    "Gauss, skip 0.8": ("decide_quadratic", "large skip"),
    f"grammar, t = {INSIDE}": ("decide_grammar", "inside, most data"),
    f"grammar, t = {OUTSIDE}": ("decide_grammar", "outside, most data"),
}


def table(runs: dict[str, Runs]) -> str:
    """Write the conditions of one target of every kind as an HTML table, medians over seeds."""
    head = ["target", "signal", "inner δ", "outer <i>D</i>", "margin", "frozen features leave"]
    lines = []
    for label, (experiment, arm) in ROWS.items():
        found = [m for own in runs[experiment].of(arm).values() for _, m in own]
        left = "readout" if "readout" in found[0] else "error"
        keys = ("signal", "inner", "outer", "margin", left)
        medians = [float(np.median([m.get(key, np.nan) for m in found])) for key in keys]
        texts = [format_number(0 if abs(one) < ROUNDING else one) for one in medians]
        lines.append([label, *texts])
    return table_html("The conditions", head, lines)
