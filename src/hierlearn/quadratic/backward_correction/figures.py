"""The figures of chapter 1's last part. Parameters are named after the experiments drawn."""

from typing import Any

import matplotlib.pyplot as plt

from hierlearn.drawing.figures import INK, WIDTH, Drawing, gives, log_axes, mark_steps, over_seeds
from hierlearn.experiment import Runs
from hierlearn.quadratic.backward_correction.experiments import JOINT, LEARNED, levels_of

LEVELS = {2: "level 2", 3: "level 3", 4: "level 4", 5: "level 5"}
LEAST = 1e-13  # what curves of errors are raised to


def curve(runs: Runs, arm: str, key: str) -> dict[int, list[float]]:
    """Return an error of the runs that keep their curves at each step, and before each opening.

    Those that diverge are left out; see `diverged`.
    """
    found: dict[int, list[float]] = {}
    for results in runs.of(arm).values():
        for _, m in (one for one in results if "curve" in one.measurement):
            if _diverges(m):
                continue
            line = dict(zip(m["curve"]["step"], m["curve"][key], strict=True))
            line |= {int(step): errors[key] for step, errors in m.get("before", {}).items()}
            for step, value in line.items():
                found.setdefault(step, []).append(value)
    return found


def _diverges(measurement: dict[str, Any]) -> bool:
    return any(None in line for line in measurement["curve"].values())


def diverged(runs: Runs, arm: str) -> str:
    """Say how many runs of an arm diverge, if any does."""
    curves = [m for own in runs.of(arm).values() for _, m in own if "curve" in m]
    n = sum(map(_diverges, curves))
    return f" {n} of {len(curves)} seeds diverged, not drawn." if n else ""


def openings(runs: Runs) -> dict[str, int]:
    """Return the steps at which the levels of an experiment open, by a name."""
    configs = [config for arm in runs.arms.values() for config in arm]
    return {f"level {level + 2} opens": step for level, step in enumerate(configs[0].opens) if step}


def joint(joint_sgd: Runs) -> Drawing:
    """Draw every level's error in joint training by plain SGD, at the most levels that are run."""
    arm = [f"{n} levels" for n in JOINT if joint_sgd.arms.get(f"{n} levels")][-1]
    config = joint_sgd.first(arm)
    fig, axes = plt.subplots(2, 1, figsize=(WIDTH, 5.6))
    said = []
    for index, level in enumerate(levels_of(config)):
        points = curve(joint_sgd, arm, f"fn{level}")
        line = over_seeds(LEVELS[level], points, index=index, floor=LEAST)
        line.draw(axes[0], marker=False)
        said.append(f"{line.label} {line.at()}")
    for index, name in enumerate(("3 levels", "level 3 shut")):
        line = over_seeds(name, curve(joint_sgd, name, "gram2"), index=index, floor=LEAST)
        line.draw(axes[1], marker=False)
        said.append(f"error of level 2 (gram2), {name}: {line.at()} at step {line.x[-1]}")
    for ax in axes:
        log_axes(ax, "y")
        ax.legend(loc="lower left")
    axes[0].axhline(1, color=INK, linestyle=":", linewidth=1)
    axes[0].set_title("share of its own part of y that a level does not explain")
    axes[1].set_title("three levels: error of the features of level 2 (gram2)")
    axes[1].set_xlabel("step")
    return Drawing(
        fig,
        alt=f"Joint plain SGD, {arm}, after {config.n_steps} steps: {'; '.join(said)}.",
        caption="All levels open from step 0, plain SGD with one rate. Every seed thin."
        + diverged(joint_sgd, arm),
    )


@gives("learned", "learned-tenth")
def when_learned(joint_sgd: Runs) -> Drawing:
    """Draw the step at which each level is learned in joint training, by number of levels."""
    fig, ax = plt.subplots(figsize=(WIDTH, 3.4))
    said, numbers, tenths = [], [], []
    depths = [n for n in JOINT if joint_sgd.of(f"{n} levels")]
    for index, n_levels in enumerate(depths):
        arm = f"{n_levels} levels"
        curves = {
            level: curve(joint_sgd, arm, f"fn{level}") for level in levels_of(joint_sgd.first(arm))
        }
        steps = {level: _learned_at(points) for level, points in curves.items()}
        whole = {level: found for level, found in steps.items() if found}
        line = over_seeds(arm, whole, index=index)
        line.draw(ax, every_seed=False)
        n_seeds = len(joint_sgd.of(arm))
        learned = min(len(found) for found in steps.values())
        numbers.append(f"{learned} of {n_seeds} with {n_levels}")
        ends = zip(*(points[max(points)] for points in curves.values()), strict=True)
        below = sum(max(own) < 0.1 for own in ends)
        tenths.append(f"{below} of {n_seeds} with {n_levels}")
        when = (f"level {x:g} {line.at(i)}" for i, x in enumerate(line.x))
        said.append(f"{arm}: {', '.join(when)}")
    log_axes(ax, "y")
    ax.set_xticks([*LEVELS][: len(depths)])
    ax.set_xlabel("level")
    ax.set_title(f"step at which a level leaves less than {LEARNED:g} of its own part of y")
    ax.legend()
    return Drawing(
        fig,
        alt="Step at which a level is learned, geometric means of the seeds that learn it. "
        f"{'; '.join(said)}.",
        caption="Joint plain SGD at one gap ratio; more levels have a smaller rate and more steps. "
        "Geometric means of the seeds that learn a level.",
        numbers={"learned": ", ".join(numbers), "learned-tenth": ", ".join(tenths)},
    )  # fmt: skip


def _learned_at(points: dict[int, list[float]]) -> list[float]:
    """Return, for each seed that learns a level, the first step on record at which it has."""
    found = []
    for values in zip(*points.values(), strict=True):
        below = [step for step, value in zip(points, values, strict=True) if value < LEARNED]
        found += [float(max(below[0], 1))] if below else []
    return found


def level_2(staged_levels: Runs) -> Drawing:
    """Draw the error of level 2 in the course of staged training with four levels."""
    opens = openings(staged_levels)
    line = over_seeds("level 2", curve(staged_levels, "staged", "gram2"), floor=1e-12)
    fig, ax = plt.subplots(figsize=(WIDTH, 3))
    line.draw(ax, marker=False)
    shut = over_seeds("level 4 shut", curve(staged_levels, "level 4 shut", "gram2"), index=1)
    shut.draw(ax, marker=False)
    log_axes(ax, "y")
    mark_steps(ax, opens)
    ax.set_title("error of the features of level 2 (gram2), every seed, against the step")
    ax.legend(loc="lower left")
    when = ", ".join(f"{line.at(line.x.index(s))} when {name} at {s}" for name, s in opens.items())
    return Drawing(
        fig,
        alt=f"Error of the level-2 features over {line.x[-1]} steps, {len(line.seeds)} seeds: "
        f"{when}, and {line.at()} at the end; with level 4 shut {shut.at()}.",
        caption="Adam, levels opened one after the other. Level 2 waits at the height of the next "
        "gap, and falls when that level opens.",
    )
