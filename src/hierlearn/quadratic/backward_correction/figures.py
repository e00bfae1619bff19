"""The figures of chapter 1. Parameters are named after the experiments that a figure draws."""

from collections.abc import Callable, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from hierlearn.drawing.figures import (
    COLORS,
    INK,
    MARKERS,
    NEUTRAL,
    WIDTH,
    Drawing,
    Series,
    log_axes,
    mark_steps,
    over_seeds,
)
from hierlearn.drawing.steered import Axis, State, Steered
from hierlearn.experiment import Runs
from hierlearn.formatting import format_interval, format_number
from hierlearn.intervals import fit_slope, interval
from hierlearn.quadratic.backward_correction import labels as classification
from hierlearn.quadratic.backward_correction.experiments import (
    alpha_3,
    alpha_4,
    hierarchy_learned,
    wait,
)
from hierlearn.quadratic.backward_correction.samples import (
    n_monomials,
    n_parameters,
    samples_needed,
)
from hierlearn.quadratic.runs import before, final
from hierlearn.statistics import Value, geometric_mean, number

LEVELS = {"gram2": "level 2 (gram2)", "fn3": "level 3", "fn4": "level 4"}
GAP = r"information gap $\alpha_3$"
LEAST = 1e-13  # what curves of errors are raised to


def curve(runs: Runs, arm: str, key: str) -> dict[int, list[float]]:
    """Return an error of the runs that keep their curves at each step, and before each opening."""
    found: dict[int, list[float]] = {}
    for results in runs.of(arm).values():
        for _, m in (one for one in results if "curve" in one.measurement):
            line = dict(zip(m["curve"]["step"], m["curve"][key], strict=True))
            line |= {int(step): errors[key] for step, errors in m.get("before", {}).items()}
            for step, value in line.items():
                found.setdefault(step, []).append(value)
    return found


def openings(runs: Runs) -> dict[str, int]:
    """Return the steps at which an event of the runs of an experiment happens, by its name."""
    configs = [config for arm in runs.arms.values() for config in arm]
    events = {
        f"level {level + 2} opens": step for level, step in enumerate(configs[0].opens) if step
    }
    thaws = [config.thaw for config in configs if config.thaw]
    return events | dict(zip(["thaw"], thaws, strict=False))


def from_to(series: Series, what: str) -> str:
    """Say a series in words, from its first point to its last."""
    ends = (f"{series.at(i)} at {what} {series.x[i]:g}" for i in (0, -1))
    return f"{series.label} " + " and ".join(ends)


def plateau(gap_sweep: Runs) -> Drawing:
    """Draw the errors of level 2 before level 3 opens over the gaps, beside their closed form."""
    fig, axes = plt.subplots(1, 2, sharex=True)
    panels = {"gram2": "error of the features (gram2)", "sin2": "rotation out of the true subspace"}
    said = []
    for index, (ax, (name, title)) in enumerate(zip(axes, panels.items(), strict=True)):
        measured = over_seeds(
            "measured", gap_sweep.points(alpha_3, before(3, name), "staged"), index=index
        )
        formula = over_seeds(
            "closed form", gap_sweep.points(alpha_3, number("plateau", name), "staged")
        )
        measured.draw(ax)
        ax.plot(formula.x, formula.y, "x", color=INK, markersize=9, label=formula.label)
        log_axes(ax, "xy", x_ticks=measured.x)
        ax.set_title(title)
        ax.set_xlabel(GAP)
        ax.legend()
        said.append(f"{title}: {from_to(measured, 'gap')}, {from_to(formula, 'gap')}")
    return Drawing(
        fig,
        alt=f"Level 2 just before level 3 opens, geometric mean of {len(measured.seeds)} seeds. "
        + "; ".join(said)
        + ".",
        caption="Level 2 just before level 3 opens: every seed (thin), geometric mean with 95 % "
        "interval, and the closed form (crosses), which has no free parameter.",
    )


def _levels(runs: Runs, errors: Sequence[str]) -> tuple[list[Series], dict[str, int]]:
    """Return the curves of errors of the reference run, and the steps at which levels open."""
    lines = [
        over_seeds(LEVELS[key], curve(runs, "reference", key), index=index, floor=1e-12)
        for index, key in enumerate(errors)
    ]
    return lines, openings(runs)


def levels(gap_sweep: Runs, depth_sweep: Runs | None = None) -> Drawing:
    """Draw the errors of all levels in the course of staged training, at the most levels run."""
    runs = depth_sweep or gap_sweep
    lines, opens = _levels(runs, list(LEVELS) if depth_sweep else list(LEVELS)[:2])
    whole = over_seeds("relative test error", curve(runs, "reference", "rel"), index=5, floor=LEAST)
    fig, axes = plt.subplots(2, 1, figsize=(WIDTH, 5.6), sharex=True)
    said = [f"{line.label} {line.at()} at the end" for line in lines]
    for place, (line, step) in enumerate(zip(lines, opens.values(), strict=False)):
        said[place] += f", after {line.at(line.x.index(step))} when the next level opens"
    for line in lines:
        line.draw(axes[0], marker=False)
    whole.draw(axes[1], marker=False)
    for ax in axes:
        log_axes(ax, "y")
        mark_steps(ax, opens)
    axes[0].set_ylim(top=30)
    axes[0].set_title("errors of the levels")
    axes[0].legend(loc="lower left")
    axes[1].set_title("relative test error of the whole")
    axes[1].set_xlabel("step")
    then = "; then it waits at the height of the next gap." if depth_sweep else "."
    return Drawing(
        fig,
        alt=f"Staged training with {len(lines) + 1} levels, {len(whole.seeds)} seeds over "
        f"{whole.x[-1]} steps: {'; '.join(said)}; relative test error {whole.at()} at the end.",
        caption="Staged training, every seed shown. The error of level 2 is flat while it is alone "
        "and falls when the next level opens" + then,
    )


def level_2(depth_sweep: Runs) -> Drawing:
    """Draw the error of level 2 alone in the course of staged training with four levels."""
    (line,), opens = _levels(depth_sweep, ["gram2"])
    fig, ax = plt.subplots(figsize=(WIDTH, 3))
    line.draw(ax, marker=False)
    log_axes(ax, "y")
    mark_steps(ax, opens)
    ax.set_title("error of the level-2 features, every seed, against the training step")
    when = ", ".join(f"{line.at(line.x.index(s))} when {name} at {s}" for name, s in opens.items())
    return Drawing(
        fig,
        alt=f"Error of the level-2 features over {line.x[-1]} steps, {len(line.seeds)} seeds: "
        f"{when}, and {line.at()} at the end.",
    )


def steer_gap(gap_sweep: Runs) -> Steered:
    """Let the reader choose the gap and go through training."""
    arms: dict[float, list[dict[str, Any]]] = {}
    for results in gap_sweep.of("staged").values():
        for config, m in results:
            arms.setdefault(config.gaps[1], []).append(m)
    gaps = sorted(arms)
    config = next(iter(gap_sweep.of("reference").values()))[0].config
    opened, last = config.opens[1], config.n_steps
    every = {step for gap in gaps for step in _over_time(arms[gap], opened, last, "rel")}
    stops = sorted({opened, last, *sorted(every)[8::8]})
    words = {opened: ", before level 3 opens", last: ", the end"}
    states = {(gap, t): _at_time(arms[gap], gap, t, opened, last) for gap in gaps for t in stops}
    return Steered(
        controls={
            "information gap α₃": {gap: f"{gap:g}" for gap in gaps},
            "time": {t: f"step {t}" + words.get(t, "") for t in stops},
        },
        states={key: state for key, state in states.items() if state},
        start=(config.gaps[1], last),
        axes=(Axis("step"), Axis("error", log=True)),
        steps={"level 3 opens": opened},
        caption="Staged training up to a time, at a gap: geometric mean of "
        f"{len(arms[gaps[0]])} seeds with 95 % interval.",
    )


def _over_time(
    measured: Sequence[dict[str, Any]], opened: int, last: int, key: str
) -> dict[int, list[float]]:
    """Return an error of the seeds at every step on record."""
    found = {
        opened: [m["before"][str(opened)][key] for m in measured],
        last: [m["final"][key] for m in measured],
    }
    for place, step in enumerate(measured[0].get("curve", {"step": []})["step"]):
        found.setdefault(step, [m["curve"][key][place] for m in measured])
    return found


def _at_time(
    measured: Sequence[dict[str, Any]], gap: float, step: int, opened: int, last: int
) -> State | None:
    """Return what is on record of a gap up to a step; None where nothing is yet."""
    followed = {"gram2": LEVELS["gram2"], "fn3": LEVELS["fn3"], "rel": "relative test error"}
    errors = {
        key: {t: v for t, v in _over_time(measured, opened, last, key).items() if t <= step}
        for key in followed
    }
    if not errors["rel"]:
        return None
    now = max(errors["rel"])
    lines = [
        over_seeds(
            label, errors[key], index=i, kind="line" if 0 in errors["rel"] else "points",
            floor=LEAST,
        )
        for i, (key, label) in enumerate(followed.items())
    ]  # fmt: skip
    formula = geometric_mean([m["plateau"]["gram2"] for m in measured])
    late = "" if now == step else f", the last on record before {step}"
    text = f"Gap {gap:g}, step {now}{late}: "
    text += ", ".join(f"{one.label} {one.at()}" for one in lines)
    text += f". For level 2 alone the closed form says {format_number(formula)}."
    bound = Series("level 2 alone, closed form", (0, opened), (formula,) * 2, index=3, kind="bound")
    return State([*lines, bound], text)


def next_gap(depth_sweep: Runs) -> Drawing:
    """Draw the errors of levels 2 and 3 before level 4 opens over its gap, with guides."""
    fig, axes = plt.subplots(1, 2, sharex=True)
    said = []
    panels = {"gram2": "level 2 (gram2)", "fn3": "level 3 (squared)"}
    for power, (ax, (key, title)) in enumerate(zip(axes, panels.items(), strict=True), 1):
        points = depth_sweep.points(alpha_4, before(4, key), "staged")
        measured = over_seeds("measured", points, index=power - 1)
        measured.draw(ax)
        _guide(ax, measured, power)
        log_axes(ax, "xy", x_ticks=measured.x)
        ax.set_title(title)
        ax.set_xlabel(r"next gap $\alpha_4$")
        ax.legend()
        said.append(f"{title}: {from_to(measured, 'gap')}")
    return Drawing(
        fig,
        alt="Errors after level 3 has trained and before level 4 opens, "
        f"{len(measured.seeds)} seeds: " + "; ".join(said),
        caption="Before level 4 opens, level 2 is wrong in proportion to the next gap, and level 3 "
        "to its square.",
    )


def _guide(ax: Axes, series: Series, power: int) -> None:
    """Draw a power law through the last point."""
    y = series.y[-1] * (np.array(series.x) / series.x[-1]) ** power
    slope = f"slope {power}".replace("-", "−")
    ax.plot(series.x, y, color=INK, linewidth=0.9, linestyle=":", label=slope)


def sgd(plain_sgd: Runs, gradient_paths: Runs) -> Drawing:
    """Draw staged and greedy training by plain SGD, and by Adam."""
    fig, axes = plt.subplots(1, 2, sharey=True)
    said = []
    arms = {"staged": "both paths (staged)", "greedy": "neither (greedy)"}
    for ax, name, runs in zip(axes, ("SGD", "Adam"), (plain_sgd, gradient_paths), strict=True):
        for index, (label, arm) in enumerate(arms.items()):
            points = curve(runs, label if name == "SGD" else arm, "rel")
            line = over_seeds(label, points, index=index, floor=LEAST)
            line.draw(ax, marker=False)
            said.append(f"{name} {label} {line.at()}")
        log_axes(ax, "y")
        ax.set_title(name)
        ax.set_xlabel("step")
    axes[0].legend(loc="lower left")
    axes[0].set_ylabel("relative test error")
    return Drawing(
        fig,
        alt=f"Final relative test errors, geometric means of {len(line.seeds)} seeds: "
        + ", ".join(said)
        + ".",
        caption="Staged and greedy training by plain SGD with one learning rate, and by Adam.",
    )


def joint(joint_training: Runs) -> Drawing:
    """Draw the final error of every seed in joint training from scratch."""
    fig, ax = plt.subplots(figsize=(WIDTH, 2.6))
    said, numbers = [], {}
    for index, arm in enumerate(("three levels", "four levels")):
        ours = [run for results in joint_training.of(arm).values() for run in results]
        errors = np.sort([final("rel")(*run) for run in ours])
        heights = index + np.linspace(-0.15, 0.15, len(errors))
        ax.plot(
            errors, heights, color=COLORS[index], linestyle="", marker=MARKERS[index], alpha=0.8
        )
        stuck = int((~(errors <= 1e-4)).sum())  # a diverged run counts as stuck
        whole = sum(hierarchy_learned(*run) for run in ours)
        said.append(
            f"{arm}: {stuck} of {len(errors)} seeds end above 1e-4, best {errors[0]:.0e}, "
            f"worst {errors[-1]:.0e}"
        )
        numbers[f"joint-{index + 3}"] = f"{stuck} of {len(errors)}"
        numbers[f"joint-{index + 3}-whole"] = f"{whole} of {len(errors)}"
    ax.set_yticks([0, 1], ["three levels", "four levels"])
    ax.set_ylim(-0.6, 1.6)
    log_axes(ax, "x")
    ax.set_xlabel("final relative test error, one mark a seed")
    return Drawing(
        fig,
        alt="Joint training from scratch by Adam. " + "; ".join(said) + ".",
        caption="Joint training from scratch by Adam, every seed.",
        numbers=numbers,
    )


def order(learning_order: Runs) -> Drawing:
    """Draw by how many steps level 3 lags behind level 2 in joint training, over the gaps."""
    fig, ax = plt.subplots(figsize=(WIDTH, 3.4))
    said = []
    for index, (arm, label) in enumerate({"SGD": "plain SGD", "Adam": "Adam"}.items()):
        line = over_seeds(label, learning_order.points(alpha_3, wait, arm), index=index)
        line.draw(ax)
        said.append(from_to(line, "gap"))
        if arm == "SGD":
            _guide(ax, line, -2)
    log_axes(ax, "xy", x_ticks=line.x)
    ax.set_xlabel(GAP)
    ax.set_title("steps by which level 3 lags behind level 2")
    ax.legend()
    halves = {
        arm: [m["half"] for results in learning_order.of(arm).values() for _, m in results]
        for arm in ("Adam", "SGD, four levels")
    }
    adam, four = halves.values()
    later = sum(h["4"] is not None and h["3"] is not None and h["4"] > h["3"] for h in four)
    return Drawing(
        fig,
        alt="Lag of level 3 behind level 2 in joint training, steps, geometric means of "
        f"{len(line.seeds)} seeds: " + "; ".join(said) + ".",
        caption="Joint training from scratch: steps between the moments at which level 2 and "
        "level 3 are half learned.",
        numbers={
            "order-4": f"{later} of {len(four)}",
            "never-4": f"{sum(h['4'] is None for h in four)} of {len(four)}",
            "adam-never": f"{sum(h['3'] is None for h in adam)} of {len(adam)}",
        },
    )


def samples(kernel_samples: Runs, pool_size: Runs) -> Drawing:
    """Draw the samples that reach relative error 1e-4 over the dimension, with counts beside."""
    fig, ax = plt.subplots(figsize=(WIDTH, 3.8))
    said = []
    learners = {"kernel": kernel_samples, "staged": pool_size}
    labels_of = {"kernel": "kernel ridge regression", "staged": "staged network"}
    for index, (arm, runs) in enumerate(learners.items()):
        found = [by_dim for _, by_dim in sorted(samples_needed(runs, arm).items())]
        whole = [by_dim for by_dim in found if np.isfinite(list(by_dim.values())).all()]
        if not whole:
            continue
        points = {dim: [by_dim[dim] for by_dim in whole] for dim in whole[0]}
        line = over_seeds(labels_of[arm], points, index=index)
        line.draw(ax)
        reached = f"{len(whole)} of {len(found)} seeds reach it in every dimension"
        said.append(f"{from_to(line, 'dimension')} samples ({reached})")
    net_dims = sorted({config.dim for config in pool_size.arms["staged"]})
    grid = sorted({*net_dims, min(config.dim for config in kernel_samples.arms["kernel"])})
    ax.plot(
        grid, [n_monomials(d) for d in grid], color=INK, linestyle=":", linewidth=1,
        label=r"monomials of degree $\leq 4$",
    )  # fmt: skip
    ax.plot(
        grid, [n_parameters(d) for d in grid], color=NEUTRAL, linestyle="--", linewidth=1,
        label="network parameters",
    )  # fmt: skip
    log_axes(ax, "xy", x_ticks=grid)
    ax.set_xlabel("input dimension $d$")
    ax.set_ylabel(r"samples for relative error $10^{-4}$")
    ax.legend()
    return Drawing(
        fig,
        alt="Samples needed for relative error 1e-4, geometric means over seeds: "
        + "; ".join(said)
        + ".",
        caption="Samples that reach relative error $10^{-4}$ against the dimension. Dotted: the "
        "number of monomials of degree at most 4, which the kernel must determine one by one. "
        "Dashed: the number of parameters of the network.",
        numbers={
            "parameter-exponent": format_number(
                fit_slope(net_dims, [n_parameters(d) for d in net_dims])
            ),
            "largest-dim": str(net_dims[-1]),
        },
    )


def labels(labels: Runs) -> Drawing:
    """Draw what three ways to train reach from binary labels, over the gaps."""
    panels: dict[str, tuple[str, Value]] = {
        "shape2": ("level 2, after rescaling", final("shape2")),
        "err": ("clean test error", classification.clean_error),
    }
    arms = {"level 3 shut": "level 3 never opens", "greedy": "greedy", "staged": "staged"}
    fig, axes = plt.subplots(1, 2, sharex=True)
    said = []
    for index, (arm, label) in enumerate(arms.items()):
        for ax, (title, value) in zip(axes, panels.values(), strict=True):
            line = over_seeds(label, labels.points(alpha_3, value, arm), index=index)
            line.draw(ax)
            said.append(f"{title}: {from_to(line, 'gap')}")
    for ax, (title, _) in zip(axes, panels.values(), strict=True):
        log_axes(ax, "xy", x_ticks=line.x)
        ax.set_title(title)
        ax.set_xlabel(GAP)
    axes[0].legend()
    return Drawing(
        fig,
        alt=f"Training on binary labels, geometric means of {len(line.seeds)} seeds. "
        + "; ".join(said)
        + ".",
        caption="From labels alone: the error of level 2 and the clean test error of three ways to "
        "train. The first two leave the same level 2.",
        numbers={
            "joint-shape": _range_of(labels, final("shape2")),
            "joint-err": _range_of(labels, classification.clean_error),
        },
    )


def _range_of(runs: Runs, value: Callable[[Any, dict[str, Any]], float]) -> str:
    """Say the median and the range over seeds of joint training."""
    found = interval([value(*run) for one in runs.of("joint").values() for run in one], "range")
    return format_interval(found.estimate, (found.low, found.high))


def flips(labels: Runs, label_noise: Runs) -> Drawing:
    """Draw the clean error of greedy over staged training against the share of flipped labels."""
    found = {0.0: classification.LABEL_STATISTICS["frozen_cost"](labels)}
    found |= {
        share: classification.flip_ratio(share)(label_noise) for share in classification.FLIPS
    }
    points = {share: [ratios[seed] for seed in sorted(ratios)] for share, ratios in found.items()}
    line = over_seeds("greedy over staged", points)
    fig, ax = plt.subplots(figsize=(WIDTH, 3))
    line.draw(ax)
    ax.axhline(1, color=INK, linestyle=":", linewidth=1)
    log_axes(ax, "y")
    ax.set_xlabel("share of flipped training labels")
    ax.set_title("clean test error of greedy over staged training")
    return Drawing(
        fig,
        alt="Clean test error of greedy over staged training, geometric means of "
        f"{len(line.seeds)} seeds: "
        + ", ".join(f"{line.at(i)} at {100 * share:g} % flips" for i, share in enumerate(line.x))
        + ".",
        caption="The advantage of staged training against label noise, every seed. Dotted: no "
        "advantage.",
    )
