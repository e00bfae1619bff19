"""The figures of chapter 1. Parameters are named after the experiments that a figure draws."""

import matplotlib.pyplot as plt

from hierlearn.drawing.figures import INK, Drawing, log_axes, over_seeds
from hierlearn.experiment import Runs
from hierlearn.quadratic.backward_correction.experiments import alpha_3
from hierlearn.quadratic.reading import before
from hierlearn.statistics import number


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
        ax.set_xlabel(r"information gap $\alpha_3$")
        ax.legend()
        ends = " to ".join(f"{measured.at(i)} at gap {measured.x[i]:g}" for i in (0, -1))
        said.append(f"{title}: from {ends}, closed form {formula.at(0)} and {formula.at()}")
    return Drawing(
        fig,
        alt=f"Level 2 just before level 3 opens, geometric mean of {len(measured.seeds)} seeds. "
        + "; ".join(said)
        + ".",
        caption="Level 2 just before level 3 opens: every seed (thin), geometric mean with 95 % "
        "interval, and the closed form (crosses), which has no free parameter.",
    )
