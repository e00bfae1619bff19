"""The map as one picture, steered by sample size, and the table of conditions; chapter 9."""

from collections.abc import Iterable
from html import escape
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedFormatter

from hierlearn.claims.verdicts import holm
from hierlearn.drawing import table
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
from hierlearn.formatting import format_interval, format_number, table_html
from hierlearn.intervals import Bound, interval
from hierlearn.place.experiments import LEARNERS, TASKS, TOLD, lead, walks
from hierlearn.place.score import needed, order, paired, sided, written
from hierlearn.place.walk import passed as walk_passed

SHORT = {
    "quadratic-2": "quadratic, 2 levels", "quadratic-3": "quadratic, 3 levels",
    "quadratic-4": "quadratic, 4 levels", "original-3": "original, 3 levels",
    "parity-4": "parity of 4 bits", "staircase-3": "staircase of bits", "grammar": "grammar",
    "grammar-flat": "grammar, no signal", "grammar-xor": "grammar, XOR", "ball": "ball",
    "images": "images",
}  # fmt: skip
CODES = {
    "quadratic-2": "q2", "quadratic-3": "q3", "quadratic-4": "q4", "original-3": "o3",
    "parity-4": "p4", "staircase-3": "s3", "grammar": "G", "grammar-flat": "G(i)",
    "grammar-xor": "Gx", "ball": "ball", "images": "im",
}  # fmt: skip
DARKEST, FLOOR, LEAST, TINY = 0.55, 1e-3, 1e-8, 1e-12


def _columns(runs: Runs) -> list[str]:
    """Return the tasks that the profile has, in the table's order."""
    return [name for name in TASKS if runs.of(f"constant, {name}")]


def _cell(runs: Runs, learner: str, task: str) -> dict[int, dict[str, Any]]:
    """Return the walks of a cell by seed; none where the learner is not for the task."""
    arm = f"{learner}, {task}"
    found = walks(runs, arm) if arm in runs.arms else {}
    return {seed: one for seed, [one] in found.items()}


def _over(size: float, unit: float) -> float:
    return Bound(size / unit, size.side) if isinstance(size, Bound) else size / unit


def _text(value: float) -> str:
    """Write a median in few letters: 13, 2, .41; bounds as ≤ and >."""
    digits = 2 if value >= 0.1 else 1
    text = f"{float(f'{value:.{digits}g}'):g}".removeprefix("0" if value < 1 else "")
    return sided(value, text)


@gives("map-told-staged")
def who_learns_what(map: Runs) -> Drawing:
    """Draw the map: rows learners, columns tasks, in each cell what is needed, by its median."""
    columns = _columns(map)
    every = {
        (learner, task): (_over(needed(found)[1], TASKS[task].unit), found)
        for learner in LEARNERS
        for task in columns
        if (found := list(_cell(map, learner, task).values()))
    }
    rows = [[n for n in LEARNERS if (n in TOLD) == told] for told in (False, True)]
    fig, axes = plt.subplots(
        2, 1, figsize=(WIDTH, 5.0), gridspec_kw={"height_ratios": [len(one) for one in rows]}
    )
    titles = ("not told the architecture", "told the architecture")
    for ax, names, title in zip(axes, rows, titles, strict=True):
        _draw(ax, names, columns, every)
        ax.set_title(title, fontsize=9)
    axes[0].xaxis.tick_top()
    axes[0].tick_params(labeltop=True)
    axes[0].set_xticks(
        range(len(columns)), [SHORT[one] for one in columns], fontsize=7, rotation=35, ha="left",
        rotation_mode="anchor",
    )  # fmt: skip
    return Drawing(
        fig,
        alt=" ".join(_said(columns, every)),
        caption="Samples needed, median over seeds, in units of the task's own law (images: "
        "thousands), so that columns are not to be compared with each other: the fuller the color, "
        "the lower on the task's ladder of sizes. Frames: the fewest "
        "of a column, among those told and among the others. Pale: more than the most that was "
        "tried. Empty: not for this task, or not run at this profile.",
        numbers={"map-told-staged": _staged_lead(map)},
    )


def _staged_lead(runs: Runs) -> str:
    """What the best of those not told needs over the staged network, three quadratic levels."""
    leads = list(lead("quadratic-3", "staged")(runs).values())
    if len(leads) < 2 or not np.isfinite(leads).all():
        return "—"
    found = interval(leads, "log-t")
    return format_interval(found.estimate, (found.low, found.high))


def _draw(ax: Axes, names: list[str], columns: list[str], every: dict[Any, Any]) -> None:
    for i, name in enumerate(names):
        for j, task in enumerate(columns):
            if (name, task) not in every:
                continue
            value, found = every[name, task]
            lost = isinstance(value, Bound) and value.side == "≥"
            least = min(v for (n, t), (v, _) in every.items() if t == task and n in names)
            if not lost:
                rung = float(np.median([len(one["sizes"]) - 1 for one in found]))
                alpha = DARKEST * (1 - 0.8 * rung / max(found[0]["rungs"] - 1, 1))
                ax.add_patch(
                    Rectangle((j - 0.47, i - 0.46), 0.94, 0.92, color=COLORS[0], alpha=alpha, lw=0)
                )
                if value == least:
                    ax.add_patch(
                        Rectangle((j - 0.47, i - 0.46), 0.94, 0.92, fill=False, ec=INK, lw=1.2)
                    )
            ax.text(
                j, i, _text(value), ha="center", va="center", fontsize=6.8,
                alpha=0.55 if lost else 1, color=INK,
            )  # fmt: skip
        table.drawn(ax, _row(name, columns, every))
    # Not as FuncFormatter, whose words the table would put for numbers of the rows.
    ax.set_yticks(range(len(names)))
    ax.yaxis.set_major_formatter(FixedFormatter(names))
    ax.tick_params(axis="y", labelsize=8)
    # Of the table: these labels are not drawn.
    ax.set_xticks(range(len(columns)), [SHORT[one] for one in columns])
    ax.set(xlim=(-0.5, len(columns) - 0.5), ylim=(len(names) - 0.5, -0.5))
    ax.set_xlabel("task, in units of its law").set_visible(False)
    ax.tick_params(length=0, labelbottom=False)
    ax.grid(False)
    ax.spines[:].set_visible(False)


def _row(learner: str, columns: list[str], every: dict[Any, Any]) -> Series:
    """Return a row of the map: what each task needs in its unit, its least and most over seeds."""
    known = {j: every[learner, task] for j, task in enumerate(columns) if (learner, task) in every}
    ends = [
        [_over(one, TASKS[columns[j]].unit) for one in needed(found)]
        for j, (_, found) in known.items()
    ]
    low, middle, high = zip(*ends, strict=True) if ends else ((), (), ())
    return Series(learner, tuple(map(float, known)), middle, low, high)


def _said(columns: list[str], every: dict[Any, Any]) -> Iterable[str]:
    """Say who needs fewest on each task, among those told and among the others."""
    for task in columns:
        parts = []
        for told in (False, True):
            own = {n: v for (n, t), (v, _) in every.items() if t == task and (n in TOLD) == told}
            passed = {n: v for n, v in own.items() if getattr(v, "side", "") != "≥"}
            if own:
                best = min(passed, key=passed.__getitem__, default="nobody")
                number = f" at {_text(passed[best])}" if passed else ""
                lasts = [
                    float(np.median([one["errors"][-1] for one in every[name, task][1]]))
                    for name in own
                ]
                left = f"errors left {min(lasts):.2g} to {max(lasts):.2g}"
                parts.append(f"{best}{number} ({len(passed)} of {len(own)} pass, {left})")
        yield f"{task}: {', told: '.join(parts)}."


SHOWN = {
    "not told": ("kernel ridge", "feature machine", "forest", "boosting", "perceptron",
                 "two layers"),
    "told": tuple(TOLD),
}  # fmt: skip


def steer_samples(map: Runs) -> Steered:
    """Let the reader choose a rung of all ladders: who has learned by then?"""
    columns = _columns(map)
    n_rungs = max(m["rungs"] for own in map.of(f"constant, {columns[0]}").values()
                  for _, m in own)  # fmt: skip
    states = {}
    for rung in range(n_rungs):
        for group, names in SHOWN.items():
            series = [
                Series("threshold", (0.0, len(columns) - 1.0), (1.0, 1.0), index=2, kind="bound")
            ]
            said = []
            for index, name in enumerate(names):
                points = {
                    j: [_at(one, rung) for one in found]
                    for j, task in enumerate(columns)
                    if (found := _cell(map, name, task).values())
                }
                if not points:
                    continue
                one = over_seeds(name, points, index=index, kind="points", floor=FLOOR)
                series.append(one)
                n, mean = sum(y < 1 for y in one.y), float(np.exp(np.mean(np.log(one.y))))
                said.append(f"{name} has learned {n} of {len(points)} (mean {mean:.3g})")
            states[rung, group] = State(series, f"Rung {rung + 1}: {'; '.join(said)}.")
    return Steered(
        controls={
            "rung of the ladders": {k: f"{k + 1} of {n_rungs}" for k in range(n_rungs)},
            "learners": {group: group for group in SHOWN},
        },
        states=states,
        start=(n_rungs - 1, "not told"),
        axes=(
            Axis("task", ticks=range(len(columns)), names=[CODES[one] for one in columns]),
            Axis("error over threshold", log=True),
        ),
        caption="Test error over the task's threshold, geometric means over seeds; whoever passed "
        "on a lower rung keeps that error. "
        + "; ".join(f"{CODES[one]}: {SHORT[one]}" for one in columns)
        + ".",
    )


def _at(found: dict[str, Any], rung: int) -> float:
    """Return the error over the threshold on a rung, or on the last one that was tried."""
    errors = found["errors"]
    return float(errors[min(rung, len(errors) - 1)] / found["threshold"])


def winners(map: Runs) -> str:
    """Write who needs fewest on each task of those not told, and by how much, as an HTML table.

    The lead is over the second, in rungs; a star where Holm's correction over the tasks that
    somebody passes leaves it.
    """
    rows, ps = {}, {}
    for task in _columns(map):
        found = {n: w for n in LEARNERS if n not in TOLD and (w := _cell(map, n, task))}
        first, second, *_ = order({name: {task: w} for name, w in found.items()})
        ahead = paired(found[first], found[second])
        passes = any(walk_passed(one) for one in found[first].values())
        if passes:
            ps[task] = ahead.p
        needs = escape(written(found[first].values()))
        best = [first, needs, second, f"{ahead.rungs:.1f}"]
        rows[task] = best if passes else ["nobody", needs, "", ""]
    stands = holm(ps)
    return table_html(
        "Who needs fewest",
        ["task", "fewest", "samples, median and range", "before", "rungs"],
        [
            [SHORT[task], *row[:-1], row[-1] + " *" * stands.get(task, False)]
            for task, row in rows.items()
        ],
    )


def conditions(map_conditions: Runs, map: Runs) -> str:
    """Write the conditions of each task, medians over seeds, beside greedy and joint training."""
    rows = []
    for task in (one for one in _columns(map) if one in map_conditions.arms):
        found = [m for own in map_conditions.of(task).values() for _, m in own]
        unit, name = f"{TASKS[task].unit:g}", TASKS[task].unit_name
        words = [SHORT[task], f"P₀ = {unit}" if name == "P_0" else f"{unit} {name}"]
        for key in ("signal", "inner", "outer", "margin"):
            known = [one[key] for one in found if one[key] is not None]
            value = float(np.median(known)) if known else None
            words.append(format_number(value if value is None or abs(value) > TINY else 0.0))
        for learner in ("greedy", "joint"):
            own = _cell(map, learner, task)
            words.append(escape(written(own.values())) if own else "—")
        rows.append(words)
    head = ["task", "unit", "signal", "inner δ", "outer <i>D</i>", "margin", "greedy", "joint"]
    return table_html("The conditions of each task", head, rows)


def dirt(decide_quadratic: Runs, decide_grammar: Runs) -> Drawing:
    """Draw what frozen features leave against their outer dirt, for chapter 7's two families."""
    fig, ax = plt.subplots(figsize=(WIDTH, 2.9))
    clean = {
        (seed, config.n_samples): m["error"]
        for seed, own in decide_grammar.of("clustered, t = 0.0").items()
        for config, m in own
    }
    turned = ("inside, most data", "read off", "outside, most data")
    families = {
        "Gaussian hierarchies, over skips": (decide_quadratic, ("over skips",), "readout"),
        "grammars, over turns of a dial": (decide_grammar, turned, "error"),
    }
    said = []
    for index, (label, (runs, arms, key)) in enumerate(families.items()):
        points: dict[float, list[float]] = {}
        for arm in arms:
            found: dict[Any, list[tuple[float, float]]] = {}
            for seed, own in runs.of(arm).items():
                for config, m in own:
                    excess = m[key] - (clean[seed, config.n_samples] if key == "error" else 0.0)
                    found.setdefault(config, []).append((m["outer"], excess))
            for pairs in found.values():
                points[float(np.mean([d for d, _ in pairs]))] = [e for _, e in pairs]
        one = over_seeds(label, points, index=index, floor=LEAST, kind="points")
        one.draw(ax)
        ends = f"{one.at(0)} at D = {format_number(one.x[0])} to {one.at()}"
        said.append(f"{label}: {ends} at D = {format_number(one.x[-1])}")
    log_axes(ax)
    ax.set(xlabel="outer dirt $D$", ylabel="excess error")
    ax.legend()
    return Drawing(
        fig,
        alt="; ".join(said) + ".",
        caption="What greedy training leaves, over what it leaves without dirt: a free readout of "
        "frozen features on Gaussian hierarchies, in units of level 3 (chapter 7); clustering on "
        "the dial hint, test error over chance. Means over seeds; below $10^{-8}$ raised to it.",
    )
