"""Rearranging a figure for a phone: its panels below each other, legends above them."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend

WIDTH = 3.75  # inches; a page of 390 px less its margins
_MAX_PANEL = 2.5  # inches


def stack(fig: Figure) -> None:
    """Make a drawn `fig` `WIDTH` wide, one panel a row; letters keep their size.

    For figures with constrained layout that have been drawn. A panel that took ticks and label of
    the y axis from the first of its row gets its own. Legends go above their axes, where they hide
    nothing, in one column. Invisible panels are removed.
    """
    for ax in list(fig.axes):
        if not ax.get_visible():
            ax.remove()
    axes = [ax for ax in fig.axes if ax.get_subplotspec() is not None]
    panels = [min(ax.get_position().height * fig.get_figheight(), _MAX_PANEL) for ax in axes]
    beside = {ax: _first_of_row(ax, axes) for ax in axes}
    grid = fig.add_gridspec(len(axes), 1, height_ratios=panels)
    for i, ax in enumerate(axes):
        first = beside[ax]
        if first is not ax and ax.get_shared_y_axes().joined(ax, first):
            ax.tick_params(axis="y", labelleft=first.yaxis.get_tick_params()["labelleft"])
            ax.set_ylabel(ax.get_ylabel() or first.get_ylabel())
        ax.set_subplotspec(grid[i])
    legends = sum(map(_legend_above, axes)) + sum(_legend_below(fig, one) for one in [*fig.legends])
    fig.set_size_inches(WIDTH, sum(panels) + legends + sum(map(_beyond, axes)))


def _first_of_row(ax: Axes, axes: list[Axes]) -> Axes:
    row = _row(ax)
    return next(other for other in axes if _row(other) == row)


def _row(ax: Axes) -> int:
    spec = ax.get_subplotspec()
    assert spec is not None
    return spec.rowspan.start


def _legend_above(ax: Axes) -> float:
    """Put a legend between the axes and its title; return its height in inches."""
    if ax.get_legend() is None:
        return 0.0
    height = _inches(ax.legend(loc="lower left", bbox_to_anchor=(0, 1)))
    if title := ax.get_title(loc="left"):
        ax.set_title(title, loc="left", pad=72 * height + 8)
    return height


def _legend_below(fig: Figure, legend: Legend) -> float:
    """Write a legend of the figure anew, in one column; return its height in inches."""
    legend.remove()
    names = [text.get_text() for text in legend.get_texts()]
    handles = [handle for handle in legend.legend_handles if handle is not None]
    return _inches(fig.legend(handles, names, loc="outside lower center"))


def _inches(legend: Legend) -> float:
    figure = legend.get_figure(root=True)
    assert figure is not None
    return float(legend.get_window_extent().height / figure.dpi)


def _beyond(ax: Axes) -> float:
    """Return about how high ticks, label and title are, in inches."""
    return 0.3 + 0.2 * bool(ax.get_xlabel()) + 0.25 * bool(ax.get_title(loc="left"))
