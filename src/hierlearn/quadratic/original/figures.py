"""The figures of chapter 1's first part. Parameters are named after the experiments drawn."""

import html
import math
from collections.abc import Callable
from functools import partial
from statistics import median

import matplotlib.pyplot as plt

from hierlearn.drawing.figures import (
    COLORS,
    INK,
    MARKERS,
    WIDTH,
    Drawing,
    Series,
    Shown,
    gives,
    log_axes,
    mark_steps,
    over_seeds,
)
from hierlearn.drawing.steered import Axis, State, Steered
from hierlearn.experiment import Runs
from hierlearn.formatting import format_interval, format_number
from hierlearn.quadratic.original import sgd
from hierlearn.quadratic.original.algorithm import written_thresholds
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
from hierlearn.statistics import Value, each, mean, number, ratio

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
            n: exact_depth.points(lambda c: 0, error(2, n), arm)[0] for n in range(n_rounds + 1)
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
        every = exact_samples.points(lambda c: (c.dim, c.n_samples), error(2), arm)
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


BESIDE = (
    "level 3 never opened", "features frozen", "detached", sgd.ALL_UNDONE, "independent level 3",
    "no clip",
)  # fmt: skip


def _path(algorithm_1: Runs, arm: str, value: Value) -> dict[int, list[float]]:
    """Return `value` of runs cut off after each point of their paths, until they diverge."""
    points: dict[int, list[float]] = {}
    for own in algorithm_1.of(arm).values():
        for config, m in own:
            for i, step in enumerate(m["path"]["step"]):
                path = {key: [column[i]] for key, column in m["path"].items()}
                if path["loss"] != [None]:
                    points.setdefault(step, []).append(value(config, {**m, "path": path}))
    return points


def _spread(found: dict[int, float]) -> str:
    """Return median and range over the seeds that have a number."""
    kept = [one for one in found.values() if math.isfinite(one)]
    return format_interval(median(kept), (min(kept), max(kept))) if kept else "—"


@gives(
    "constant-3", "no-gap-shut", "thresholds-written", "alone-clipped", "alone-unclipped",
)  # fmt: skip
def levels(algorithm_1: Runs) -> Drawing:
    """Draw the levels of Algorithm 1 over time, and level 2 in the arms beside it."""
    config = algorithm_1.first("as run")
    fig, axes = plt.subplots(1, 2, sharey=True, figsize=(WIDTH, 4.4))
    shown: dict[str, Value] = {
        "level 2": sgd.error(2),
        "level 3": sgd.error(3),
        "root of the relative error": lambda c, m: m["path"]["rel"][-1] ** 0.5,
    }
    left = {name: _path(algorithm_1, "as run", value) for name, value in shown.items()}
    right = {arm: _path(algorithm_1, arm, sgd.error(2)) for arm in BESIDE if algorithm_1.of(arm)}
    closed = over_seeds("", {0: [*each(number("plateau"), "as run")(algorithm_1).values()]})
    said = []
    for ax, lines in zip(axes, (left, right), strict=True):
        for index, (name, points) in enumerate(lines.items()):
            line = over_seeds(name, points, index=index)
            line.draw(ax, marker=False, every_seed=False)
            said.append(f"{name} {line.at()} at step {line.x[-1]:g}")
        ax.axhline(closed.y[0], color=INK, linestyle=":", label="level 2 alone, closed form")
        mark_steps(ax, {"level 3 may open": config.holds[0]})
        log_axes(ax, "y")
        ax.set(
            xlabel="step", ylim=(3e-5, 3), xticks=range(0, config.n_steps + 1, config.n_steps // 3)
        )
        ax.legend(loc="lower left", fontsize=7.5)
    axes[0].set_title("as run: levels 2 and 3, and the output")
    axes[1].set_title("level 2 in other arms")
    stuck = algorithm_1.of("no gap, thresholds as written").values()
    held, plateau = sgd.error(2, sgd.HELD), number("plateau")
    alone = {
        arm: _spread(ratio(each(held, arm), each(plateau, arm))(algorithm_1))
        for arm in ("as run", "no clip")
    }
    return Drawing(
        fig,
        alt=f"Errors over {config.n_steps} steps of Algorithm 1, geometric means of "
        f"{len(algorithm_1.of('as run'))} seeds: {'; '.join(said)}. Level 2 alone by "
        f"the closed form: {closed.at()}.",
        caption="Geometric means with 95 % intervals; without the clip, until a run diverges.",
        numbers={
            "constant-3": _spread(each(sgd.constant(3), "as run")(algorithm_1)),
            "alone-clipped": alone["as run"],
            "alone-unclipped": alone["no clip"],
            "thresholds-written": ", ".join(map(format_number, written_thresholds(config.gaps))),
            "no-gap-shut": f"{sum(not own[0].measurement['opened'] for own in stuck)} of "
            f"{len(stuck)}" if stuck else "—",
        },
    )  # fmt: skip


def changes(algorithm_1: Runs) -> Shown:
    """Tabulate how Algorithm 1 as run differs from the paper's, and what undoing a change does."""
    config = algorithm_1.first("as run")
    runs = [own[0].measurement for own in algorithm_1.of("as run").values()]
    counts = sorted({m["counted"] for m in runs})
    filled = {
        "batch": config.batch, "rate": config.rate, "clip": config.clip, "k": config.widths[0],
        "third": config.thresholds[2] / config.gaps[1] ** 2, "hold": config.holds[0],
        "checked": sgd.CHECKED, "counted": f"{counts[0]} to {counts[-1]}",
    }  # fmt: skip
    rows = [
        (["—", "nothing is undone"], "as run"),
        *(([text.format(**filled) for text in texts], arm) for *texts, arm in sgd.CHANGES),
        (["3, 4, 5, 7 and 8 together", ""], sgd.ALL_UNDONE),
    ]
    head = "as written|as run, and why|undone: e₂|e₃|relative error".split("|")
    cells = [[*map(html.escape, texts), *_ends(algorithm_1, arm)] for texts, arm in rows]
    body = "".join(
        f"<tr>{''.join(f'<td class=px-2>{cell}</td>' for cell in row)}</tr>" for row in cells
    )
    top = "".join(f"<th class=px-2>{cell}</th>" for cell in head)
    return Shown(
        '<div class="hl-scroll" style="overflow-x:auto" tabindex="0" role="group" '
        'aria-label="Changes"><table style="min-width:42rem">'
        f"<tr>{top}</tr>{body}</table></div>",
        "\n".join(" | ".join(row) for row in cells),
    )


def _ends(algorithm_1: Runs, arm: str | None) -> list[str]:
    """Return $e_2$, $e_3$ and the relative error at an arm's end: median and range over seeds."""
    runs = algorithm_1.of(arm) if arm else {}
    found = []
    for value in (sgd.error(2), sgd.error(3), number("path", "rel", -1)) if runs else ():
        ends = [value(*own[0]) for own in runs.values()]
        lost = sum(math.isnan(one) for one in ends)
        if lost:
            return [f"diverges in {lost} of {len(ends)} seeds", "", ""]
        found.append(format_interval(median(ends), (min(ends), max(ends))))
    return found or ["—"] * 3
