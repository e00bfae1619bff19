"""The figures of chapter 4. Parameters are named after the experiments that a figure draws."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import starmap
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from hierlearn.drawing.figures import (
    COLORS,
    INK,
    MARKERS,
    NEUTRAL,
    PAPER,
    WIDTH,
    Drawing,
    Series,
    gives,
    log_axes,
    over_seeds,
)
from hierlearn.drawing.steered import Axis, State, Steered
from hierlearn.engine.seeds import stream
from hierlearn.experiment import AbsentArm, Result, Runs
from hierlearn.grammar.experiments import (
    BROKEN,
    CLOSED_STATISTICS,
    DEEP,
    DEEP_STATISTICS,
    FACTORS,
    MAIN,
    READ,
    SEEN,
    SEEN_GRID,
    SMALL,
    TREE_STATISTICS,
    Parameters,
    error,
    frozen_error,
    scale_of,
    sensitivity_of,
    strings_of,
)
from hierlearn.grammar.target import RandomHierarchy
from hierlearn.statistics import Value, number

UNIT = r"$P/n_cm^L$"
CHANCE = "test error over chance"


def short(parameters: Parameters) -> str:
    """Write a grammar as "(8,8,4,3)"."""
    return str(parameters).replace(" ", "")


def whole(
    found: Mapping[int, Sequence[Result]], x: Callable[[Any], float], value: Value = error
) -> dict[float, list[float]]:
    """Return a value at each x, of the seeds that have every point."""
    most = max(map(len, found.values()), default=0)
    points: dict[float, list[float]] = {}
    for config, m in (one for own in found.values() if len(own) == most for one in own):
        points.setdefault(x(config), []).append(value(config, m))
    return dict(sorted(points.items()))


def over_sizes(label: str, runs: Runs, arm: str, value: Value = error, *, index: int = 0) -> Series:
    """Return the mean of a value over the seeds that have every size, against P/P_0."""
    points = whole(runs.of(arm), lambda c: c.n_samples / c.scale, value)
    return over_seeds(label, points, index=index, geometric=False)


def draw_mean(ax: Axes, line: Series) -> None:
    """Draw every seed and their mean, without the interval."""
    replace(line, low=(), high=()).draw(ax)


def run_at(runs: Runs, arms: Mapping[Any, str]) -> list[Any]:
    """Return the keys of those arms that the profile has runs of."""
    return [key for key, arm in arms.items() if arm in runs.arms and runs.of(arm)]


def _deep_at(runs: Runs) -> list[Parameters]:
    return run_at(runs, {p: f"deep, {p}" for p in DEEP["paper"]})


def tree() -> Drawing:
    """Draw one derivation, and the string with every pair exchanged for a synonym."""
    grammar = RandomHierarchy.draw(3, vocab_size=4, n_classes=4, n_synonyms=2, n_levels=3)
    string, label = grammar.sample(1, stream("picture", 3))
    swapped = grammar.swap_synonyms(string, stream("picture", 4), level=1)
    levels = [grammar.symbols_at(string, level=k)[0].tolist() for k in range(4)]
    places = [np.arange(8.0)]
    for _ in range(3):
        places.append(places[-1].reshape(-1, 2).mean(1))
    fig, ax = plt.subplots(figsize=(WIDTH, 3.6))
    for k in range(1, 4):
        for i, symbol in enumerate(levels[k]):
            color = INK if k == 3 else COLORS[symbol]
            for child in (2 * i, 2 * i + 1):
                x = [places[k][i], places[k - 1][child]]
                ax.plot(x, [k, k - 1], color=color, linewidth=1.4, zorder=1)
    other = swapped[0].tolist()
    heights, drawn = (0, 1, 2, 3, -0.75), (*levels, other)
    for height, where, symbols in zip(heights, (*places, places[0]), drawn, strict=True):
        _symbols(ax, height, where, symbols, levels[1])
    words = {3: "class", 2: "level 2", 1: "level 1", 0: "input", -0.75: "a synonym"}
    for height, text in words.items():
        ax.text(-0.75, height, text, ha="right", va="center")
    ax.set(xlim=(-1.8, 7.4), ylim=(-1.15, 3.4))
    ax.axis("off")
    same = int((string == swapped).all(0).view(-1, 2).all(1).sum())
    lines = [" ".join(map(str, one)) for one in (*levels[:3], other)]
    return Drawing(
        fig,
        alt=f"Derivation of the string {lines[0]} from class {'ABCD'[int(label)]} of a grammar "
        f"with 4 symbols, 2 synonyms and 3 levels, by way of {lines[2]} and {lines[1]}; pairs have "
        f"the color of the symbol that wrote them. Below it {lines[3]}, with the same parents: "
        f"{4 - same} of the 4 pairs are exchanged for synonyms.",
        caption="One derivation. Pairs of input symbols have the color of the symbol that wrote "
        "them. The bottom row exchanges every pair for a synonym; the label stays.",
    )


def _symbols(
    ax: Axes, height: float, places: Any, symbols: Sequence[int], parents: Sequence[int]
) -> None:
    """Draw a row of symbols in the color of what wrote them."""
    for i, (place, symbol) in enumerate(zip(places, symbols, strict=True)):
        color = INK if height == 3 else COLORS[parents[i // 2] if height <= 0 else symbol]
        ax.plot(
            place, height, marker="o", markersize=15, color=PAPER, markeredgecolor=color,
            markeredgewidth=2,
        )  # fmt: skip
        text = "ABCD"[symbol] if height == 3 else str(symbol)
        ax.text(place, height, text, ha="center", va="center")


def detectability(rhm_counts: Runs) -> Drawing:
    """Draw the detectability of synonyms over sample sizes, beside the law."""
    runs, said = rhm_counts, []
    fig, ax = plt.subplots(figsize=(WIDTH, 3.8))
    seen, law = number("detectability"), number("law")
    for index, parameters in enumerate(run_at(runs, {p: str(p) for p in SEEN["paper"]})):
        arm, unit = str(parameters), lambda c: c.n_samples / c.scale
        line = over_seeds(short(parameters), runs.points(unit, seen, arm), index=index)
        line.draw(ax)
        expected = runs.points(unit, law, arm)
        ax.plot(
            list(expected), [one[0] for one in expected.values()], color=INK, linestyle="",
            marker="x", markersize=8, label="law" if index == 0 else None,
        )  # fmt: skip
        ends = " and ".join(f"{line.at(i)} at {line.x[i]:g}" for i in (0, -1))
        said.append(f"{parameters}: {ends} P_0")
    shuffled = over_sizes("shuffled labels", runs, "shuffled labels", seen)
    ax.plot(shuffled.x, shuffled.y, color=NEUTRAL, marker="P", linestyle="--", label=shuffled.label)
    log_axes(ax, "xy", x_ticks=SEEN_GRID)
    ax.set_yticks([1, 2, 5, 10], ["1", "2", "5", "10"])
    ax.set_xlabel(r"examples " + UNIT)
    ax.set_ylabel("detectability $R$")
    ax.legend()
    return Drawing(
        fig,
        alt=f"Detectability against sample size, {len(shuffled.seeds)} seeds: "
        f"{'; '.join(said)}. With shuffled labels {np.mean(shuffled.y):.2f}.",
        caption="Detectability of synonyms from labels, without any training: every seed, "
        "geometric mean with 95 % interval, and the law (crosses), which has no free parameter.",
    )


def collapse(rhm_deep: Runs) -> Drawing:
    """Draw the error of the deep network against P and P/P_0, and what layer 2 has merged."""
    fig, axes = plt.subplots(1, 3, sharey=True, figsize=(WIDTH, 3.6))
    said = []
    for index, parameters in enumerate(_deep_at(rhm_deep)[: len(COLORS)]):
        arm = f"deep, {parameters}"
        line = over_sizes(short(parameters), rhm_deep, arm, index=index)
        merged = over_sizes(short(parameters), rhm_deep, arm, sensitivity_of(2, 1), index=index)
        draw_mean(axes[0], replace(line, x=tuple(x * scale_of(parameters) for x in line.x)))
        draw_mean(axes[1], line)
        draw_mean(axes[2], merged)
        two = line.x.index(2)
        said.append(
            f"{parameters} {line.y[two]:.3f} at 2 P_0, S {merged.y[two]:.2f}, and {line.y[-1]:.3f} "
            f"at {line.x[-1]:g} P_0, S {merged.y[-1]:.2f}"
        )
    for ax in axes:
        log_axes(ax, "x")
    for ax in axes[:2]:
        ax.axhline(0.1, color=NEUTRAL, linewidth=0.9, linestyle=":")
    for ax in axes[1:]:
        ax.set_xticks([0.5, 1, 2, 4, 8], ["0.5", "1", "2", "4", "8"])
        ax.set_xlabel(UNIT)
    axes[0].set_xlabel("examples $P$")
    axes[0].set_title(CHANCE)
    axes[1].set_title("the same")
    axes[2].set_title("sensitivity $S_{2,1}$")
    fig.legend(*axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return Drawing(
        fig,
        alt="Test error of the deep network and sensitivity S of layer 2 against sample size, mean "
        f"of {len(line.seeds)} seeds: " + "; ".join(said) + ".",
        caption="Every seed and the mean. Test error of the deep network against the number of "
        "examples and in units of $n_cm^L$; and the sensitivity of layer 2 to synonyms of the "
        "lowest level.",
    )


EXPONENTS = {"n_c": "$n_c$", "m": "$m$", "L": "$L$", "v": "$v$", "s": "$s$"}


def which_law(
    rhm_deep: Runs, rhm_trees: Runs | None = None, rhm_closed_form: Runs | None = None
) -> Drawing:
    """Draw the exponent of P* in every factor, each from grammars that differ in it alone."""
    found = {name: [*DEEP_STATISTICS[f"exponent_{name}"](rhm_deep).values()] for name in FACTORS}
    found["s"] = [*TREE_STATISTICS["exponent_s"](rhm_trees).values()] if rhm_trees else []
    if not all(found[name] for name in FACTORS):
        raise AbsentArm("rhm_deep: n_c alone")
    names = [*EXPONENTS]
    series = {
        "end to end": {float(names.index(k)): values for k, values in found.items() if values}
    }
    if rhm_closed_form:
        clustered = CLOSED_STATISTICS["clustered_exponent"](rhm_closed_form)
        series["clustering"] = {0.15: [*clustered.values()]} if clustered else {}
    fig, ax = plt.subplots(figsize=(WIDTH, 3.0))
    said = []
    for index, (label, points) in enumerate(series.items()):
        if points:
            line = over_seeds(label, points, index=index, kind="points", geometric=False)
            line.draw(ax)
            said += [f"{label}, {names[round(x)]}: {line.at(i)}" for i, x in enumerate(line.x)]
    ax.plot(range(5), (1, 1, 1, 0, 0), "x", color=INK, markersize=9, label=r"$P^*\propto n_cm^L$")
    ax.set_xticks(range(5), EXPONENTS.values())
    ax.set(xlim=(-0.5, 4.5), xlabel="what alone differs", ylabel="exponent of $P^*$")
    ax.legend()
    return Drawing(
        fig,
        alt="Exponent of P*, means with 95 % intervals over seeds. " + "; ".join(said) + ". The "
        "law n_c m^L says 1, 1, 1, 0, 0.",
        caption="Exponent of $P^*$, by what alone differs between grammars $(v,n_c,m,L)$: $n_c$ = "
        "2, 4, 8 in $(8,n_c,4,3)$; $m$ = 2, 4 in $(8,8,m,4)$ and $L$ = 3, 4 in $(8,8,4,L)$, both "
        "as exponents of $m^L$; $v$ = 4, 8, 16 in $(v,4,4,3)$; $s$ = 2, 3, 4 in $(8,4,4,3)$. Means "
        "with 95 % intervals over seeds; crosses: the law.",
    )


def shallow(rhm_deep: Runs) -> Drawing:
    """Draw what correlation and knowing the tree are worth, over sample sizes."""
    panels: dict[Parameters, dict[str, str]] = {
        SMALL: {
            "random rules": f"deep, {SMALL}",
            "Latin square at the top": "no correlation at the top",
            "Latin squares everywhere": "no correlation",
            "one hidden layer": "one hidden layer",
        },
        MAIN: {"deep": f"deep, {MAIN}", "three hidden layers": "three hidden layers"},
    }
    fig, axes = plt.subplots(1, 2, sharey=True, figsize=(WIDTH, 3.5))
    said = []
    for ax, (parameters, learners), shift in zip(axes, panels.items(), (0, 4), strict=True):
        for index, name in enumerate(learners):
            if name in run_at(rhm_deep, learners):
                line = over_sizes(name, rhm_deep, learners[name], index=index and index + shift)
                draw_mean(ax, line)
                said.append(f"{parameters} {name}: {line.y[-1]:.3f} at {line.x[-1]:g} P_0")
        log_axes(ax, "x", x_ticks=(1, 4, 16, 64, 256) if ax is axes[0] else (1, 2, 4, 8, 16))
        ax.set_title(short(parameters))
        ax.set_xlabel(UNIT)
        if ax.get_legend_handles_labels()[0]:
            ax.legend(fontsize=7.5)
        else:
            ax.set_visible(False)
    axes[0].axvline(strings_of(SMALL) / scale_of(SMALL), color=NEUTRAL, lw=0.9, linestyle="--")
    axes[0].set_ylabel(CHANCE)
    return Drawing(
        fig,
        alt=f"Test error over chance against sample size, means over seeds: {'; '.join(said)}.",
        caption="(4,4,4,3): the deep network on random rules, with a Latin square at the top, with "
        "Latin squares at every level, and a network with one hidden layer; dashed, all strings of "
        "the grammar. (8,8,4,3): with the tree and, at paper, without. Every seed that has all "
        "sizes, and the mean.",
    )


def steer_level(rhm_deep: Runs) -> Steered:
    """Let the reader choose examples, the level of the synonyms, and the grammar."""
    grammars = [short(one) for one in _deep_at(rhm_deep)]
    found: dict[tuple[float, str], list[Result]] = {}
    for results in rhm_deep.of("deep over sizes").values():
        for one in results:
            multiple = round(one.config.n_samples / one.config.scale, 2)
            found.setdefault((multiple, short(one.config.parameters)), []).append(one)
    depths = [one.config.n_levels for runs in found.values() for one in runs]
    levels = range(1, min(depths) + 1)
    states = {
        (multiple, level, grammar): _layers(grammar, multiple, level, runs)
        for (multiple, grammar), runs in found.items()
        if any(map(_moves, runs))
        for level in levels
    }
    multiples = sorted({multiple for multiple, _ in found})
    lowest = {1: ", the lowest"}
    return Steered(
        controls={
            "examples": {p: f"{p:g} P₀" for p in multiples},
            "synonyms": {level: f"level {level}" + lowest.get(level, "") for level in levels},
            "grammar": {grammar: grammar for grammar in grammars},
        },
        states=states,
        start=(4, 1, main if (main := short(MAIN)) in grammars else grammars[0]),
        axes=(
            Axis("layer", ticks=range(1, max(depths) + 1)),
            Axis("sensitivity S", ticks=(0, 0.25, 0.5, 0.75, 1)),
        ),
        caption="Sensitivity of the layers to synonyms of a level, after training and before, "
        "geometric mean with 95 % interval over seeds. Grammars are $(v,n_c,m,L)$.",
    )


def _layers(grammar: str, multiple: float, level: int, runs: Sequence[Result]) -> State:
    """Return the sensitivities of all layers after and before training."""
    moving = [one for one in runs if _moves(one)]
    lost = len(runs) - len(moving)
    config = runs[0].config
    when: dict[str, tuple[str, ...]] = {
        "after training": (), "before training": ("sensitivity_at_start",),
    }  # fmt: skip
    layers = range(1, config.n_levels + 1)
    after, before = (
        over_seeds(
            label, {k: [*starmap(sensitivity_of(k, level, *path), moving)] for k in layers},
            index=index, floor=1e-4,
        )
        for index, (label, path) in enumerate(when.items())
    )  # fmt: skip
    said = ", ".join(f"{after.at(k - 1)} in layer {k}" for k in layers)
    return State(
        [after, before],
        f"{grammar}, {config.n_samples} examples ({multiple:g} P₀), synonyms of level {level}: "
        f"sensitivity {said}; before training {before.at(0)} in layer 1 and {before.at()} in "
        f"layer {config.n_levels}. Mean test error over chance: "
        f"{np.mean([error(*one) for one in runs]):.3f}."
        + (
            f" In {lost} of {len(runs)} runs a layer has become constant; they are left out."
            * bool(lost)
        ),
    )


def _moves(one: Result) -> bool:
    """Say whether every layer still tells strings apart: S is at most 2, but for rounding."""
    found = [value for row in one.measurement["sensitivity"] for value in row]
    return all(value is not None and value <= 2 for value in found)


@gives("hint-dirt", "ident4-margin")
def conditions(rhm_counts: Runs) -> Drawing:
    """Draw signal, dirt and margin as the dials are turned."""
    runs, said, numbers = rhm_counts, [], {}
    fig, axes = plt.subplots(3, 1, figsize=(WIDTH, 6.4), sharex=True)
    for index, dial in enumerate(READ):
        for ax, name in zip(axes, ("signal", "dirt", "margin"), strict=True):
            points = runs.points(lambda c: c.t, number(name), f"{dial}, read")
            label = f"{dial}, {READ[dial]} $P_0$"
            line = over_seeds(label, points, index=index, geometric=False)
            replace(line, low=(), high=()).draw(ax, every_seed=False)
            said.append(f"{dial} {name} {line.y[0]:z.1f} to {line.y[-1]:z.1f}")
            numbers[f"{dial}-{name}"] = line.at()
    t = np.linspace(0, 1, 40)
    axes[0].plot(
        t, READ["corr"] * (1 - t**2), color=INK, linewidth=1, linestyle=":",
        label=rf"law for corr, ${READ['corr']}(1-t^2)$",
    )  # fmt: skip
    axes[0].set_title("signal $S$: correlation (i)")
    axes[1].set_title("dirt $W$: clean is 1 (ii)")
    axes[2].set_title("margin $G$: 1 is none (iii)")
    for ax in axes[1:]:
        log_axes(ax, "y")
    axes[2].set_xlabel("turn of the dial $t$")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return Drawing(
        fig,
        alt=f"Signal, dirt and margin from t = 0 to 1, mean of {len(line.seeds)} seeds: "
        f"{'; '.join(said)}.",
        caption="The three conditions, read off the data of (8,8,4,3) without training, mean over "
        "seeds: corr takes the signal to 0, and the margin with it, while the dirt stays at 1; "
        "ident4 takes the margin below 1; hint raises the dirt and nothing else; skip raises it "
        "and lowers the signal; the null dial, shared, moves none by much.",
        numbers={key: numbers[key] for key in ("hint-dirt", "ident4-margin")},
    )


def _curve(runs: Runs, arm: str, label: str, index: int, layer: int | None = None) -> Series:
    """Return the error, or the sensitivity of a layer, over the steps of the last fit."""
    curves = [m["curve"] for results in runs.of(arm).values() for _, m in results]
    steps = max((c["step"] for c in curves), key=len)
    values = [
        c["error"] if layer is None else [one[layer] for one in c["sensitivity"]] for c in curves
    ]
    # A group goes on until its slowest run has ended; the others stay as they were.
    points = {step: [one[min(i, len(one) - 1)] for one in values] for i, step in enumerate(steps)}
    return over_seeds(label, points, index=index, geometric=False)


def thaw(chain_rescue: Runs) -> Drawing:
    """Draw what a thaw does to the error and to the sensitivities of the layers."""
    arms = {
        "thaw of all layers": "corr at 1, thawed",
        "last layer goes on alone": "corr at 1, last layer",
        "end to end, from scratch": "corr, end to end",
    }
    fig, axes = plt.subplots(2, 1, figsize=(WIDTH, 5.6), sharex=True)
    said = []
    for index, (label, arm) in enumerate(arms.items()):
        line = _curve(chain_rescue, arm, label, index)
        replace(line, low=(), high=()).draw(axes[0], marker=False)
        said.append(
            f"{label}: error {line.y[0]:.3f} to {line.y[-1]:.3f} over {line.x[-1]} steps, "
            f"{len(line.seeds)} seeds"
        )
    for layer in range(3):
        label = f"layer {layer + 1}"
        line = _curve(chain_rescue, "corr at 1, thawed", label, layer, layer)
        replace(line, low=(), high=()).draw(axes[1], marker=False, color=COLORS[layer + 3])
        said.append(f"sensitivity of {line.label} {line.at(0)} to {line.at()}")
    axes[0].set_title(CHANCE)
    axes[1].set_title("sensitivity to level 1 in the thaw")
    axes[1].set_xlabel("steps")
    axes[0].legend()
    axes[1].legend()
    axes[1].set_ylim(0, 1.2)
    return Drawing(
        fig,
        alt="On corr at t = 1: " + "; ".join(said) + ".",
        caption="Without correlation at the top. Layerwise training has ended near chance; at step "
        "0 all layers begin to train with the head that is there, or the last layer goes on alone. "
        "Bottom: the lower layers, which had learned nothing of synonymy, learn it in the thaw. "
        "Every seed and the mean.",
    )


PROTOCOLS = {
    "layerwise": "layerwise",
    "end to end": "end to end",
    "clustering": "clustering",
    "look-back 2": "look-back",
}


def dials(
    chain_rescue: Runs, rhm_layerwise: Runs | None = None, rhm_closed_form: Runs | None = None
) -> Drawing:
    """Draw who still learns where a condition is broken."""
    rows = {dial: f"{dial}, {multiple} $P_0$" for dial, (multiple, _) in BROKEN.items()}
    rows["xor"] = "xor, 4 $P_0$"
    stores = [runs for runs in (chain_rescue, rhm_layerwise, rhm_closed_form) if runs]
    fig, ax = plt.subplots(figsize=(WIDTH, 3.4))
    said = []
    for index, (protocol, kind) in enumerate(PROTOCOLS.items()):
        for place, dial in enumerate(rows):
            arm, read = f"{dial}, {kind}", error
            if arm == "corr, layerwise":
                arm, read = "corr at 1, thawed", frozen_error
            runs = next((one for one in stores if arm in one.arms), None)
            results = runs.of(arm).values() if runs else ()
            found = [read(*max(own, key=lambda one: one.config.t)) for own in results]
            if found:
                height = -place - 0.16 * (index - 1.5)
                ax.plot(
                    found, [height] * len(found), color=COLORS[index], marker=MARKERS[index],
                    linestyle="", alpha=0.6, label=protocol,
                )  # fmt: skip
                said.append(f"{dial} {protocol} {np.mean(found):.3f}")
    ax.set_yticks([-place for place in range(len(rows))], list(rows.values()))
    ax.set_xlabel(CHANCE)
    handles, names = ax.get_legend_handles_labels()
    once = dict(zip(names, handles, strict=True))
    fig.legend(once.values(), once, loc="outside lower center", ncols=4)
    return Drawing(
        fig,
        alt="Test error over chance at t = 1, means over seeds: " + "; ".join(said) + ".",
        caption="Who still learns where a condition is broken, $t=1$: test error over chance of "
        "every seed, (8,8,4,3). Look-back 2 trains the newest layer together with the one below.",
    )
