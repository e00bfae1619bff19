"""Rearranging a figure for a phone: its panels below each other, legends above them."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend

WIDTH = 3.75  # inches; a page of 390 px less its margins
_MAX_PANEL = 2.5  # inches


def stack(fig: Figure) -> None:
    """Make a drawn `fig` `WIDTH` wide, one panel a row; letters keep their size.

    For figures with constrained layout that have been drawn. A panel beside others that took ticks
    and labels of its axes from one of them gets its own. Legends go above their axes, in one
    column, where they hide nothing. Invisible panels are removed.
    """
    for ax in list(fig.axes):
        if not ax.get_visible():
            ax.remove()
    axes = [ax for ax in fig.axes if ax.get_subplotspec() is not None]
    panels = [min(ax.get_position().height * fig.get_figheight(), _MAX_PANEL) for ax in axes]
    for ax in axes:
        spec = ax.get_subplotspec()
        if spec is not None and spec.get_gridspec().ncols > 1:
            _own_labels(ax, axes)
    grid = fig.add_gridspec(len(axes), 1, height_ratios=panels)
    for i, ax in enumerate(axes):
        ax.set_subplotspec(grid[i])
    legends = sum(map(_legend_above, axes)) + sum(_legend_below(fig, one) for one in [*fig.legends])
    fig.set_size_inches(WIDTH, sum(panels) + legends + sum(map(_beyond, axes)))


def _own_labels(ax: Axes, axes: list[Axes]) -> None:
    """Give `ax` the labels of the panels whose x or y axis it shares, and show its ticks' own."""
    for other in axes:
        if ax.get_shared_x_axes().joined(ax, other):
            ax.tick_params(axis="x", labelbottom=True)
            ax.set_xlabel(ax.get_xlabel() or other.get_xlabel())
        if ax.get_shared_y_axes().joined(ax, other):
            ax.tick_params(axis="y", labelleft=True)
            ax.set_ylabel(ax.get_ylabel() or other.get_ylabel())


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
