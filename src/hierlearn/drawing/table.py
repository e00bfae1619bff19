"""The numbers of a figure as CSV, read off what was drawn."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.lines import AxLine
from matplotlib.ticker import FuncFormatter

from hierlearn.intervals import Bound

if TYPE_CHECKING:
    from hierlearn.drawing.figures import Series

COLUMNS = ("panel", "across", "series", "x", "y", "low", "high")
Cells = tuple[object, ...]

DRAWN: WeakKeyDictionary[Axes, list[tuple["Series", set[Artist]]]] = WeakKeyDictionary()
"""By axes, each series that was drawn there, with what matplotlib made of it."""


def drawn(ax: Axes, series: "Series", made: Iterable[Artist] = ()) -> None:
    """Note that `made` draws a series on `ax`, so that its numbers stand in the table."""
    DRAWN.setdefault(ax, []).append((series, set(made)))


def rows(fig: Figure) -> Iterator[Cells]:
    """Give a row for each point of `fig`, in the order of `COLUMNS`.

    A series of means has its intervals; every other line, cloud of points and row of bars has its
    label, if it has one. Of a horizontal or upright line that crosses the panel only y or x is
    there.
    """
    for ax in (ax for ax in fig.axes if ax.get_visible()):
        panel = ax.get_title(loc="left") or ax.get_title() or ax.get_ylabel()
        known = DRAWN.get(ax, [])
        found = [row for one, _ in known for row in series_rows(one)]
        found += _others(ax, set[Artist]().union(*(made for _, made in known)))
        across, up = _words(ax.xaxis), _words(ax.yaxis)
        below = [a for a in fig.axes if a is ax or ax.get_shared_x_axes().joined(a, ax)]
        what = next(filter(None, (one.get_xlabel() for one in below)), "")
        for label, x, y, *ends in found:
            name = "" if str(label).startswith("_") else label
            yield panel, what, name, across.get(x, x), up.get(y, y), *ends


def series_rows(one: "Series") -> Iterator[Cells]:
    """Give label, x, y, low and high of each point of a series."""
    missing = ("",) * len(one.x)
    for cells in zip(one.x, one.y, one.low or missing, one.high or missing, strict=True):
        yield one.label, *cells


def text(head: Sequence[str], table: Iterable[Cells]) -> str:
    """Return a table as CSV, numbers with six significant digits, bounds with their side."""

    def written(one: object) -> object:
        side = one.side if isinstance(one, Bound) else ""
        return f"{side}{one:.6g}" if isinstance(one, float) else one

    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow(head)
    for row in table:
        writer.writerow(map(written, row))
    return out.getvalue()


def _others(ax: Axes, known: set[Artist]) -> Iterator[Cells]:
    for line in (one for one in ax.lines if one not in known and not isinstance(one, AxLine)):
        # Lines that cross the panel have one end of each axis, in shares of it.
        across, up = line.get_transform().contains_branch_seperately(ax.transData)
        points = np.asarray(line.get_xydata(), dtype=np.float64).tolist()
        for x, y in points if across and up else points[:1]:
            yield str(line.get_label()), x if across else "", y if up else "", "", ""
    for cloud in (one for one in ax.collections if one not in known):
        points = np.asarray(cloud.get_offsets(), dtype=np.float64).tolist()
        for x, y in points if len(points) > 1 else ():  # else it is a band, at no place
            yield str(cloud.get_label()), x, y, "", ""
    for bars in (one for one in ax.containers if isinstance(one, BarContainer)):
        for bar in bars.patches:
            yield str(bars.get_label()), bar.get_x() + bar.get_width() / 2, bar.get_height(), "", ""


def _words(axis: Axis) -> dict[object, str]:
    """Return what stands at the ticks of an axis whose ticks are words."""
    formatter = axis.get_major_formatter()
    if not isinstance(formatter, FuncFormatter):
        return {}
    said = {float(place): formatter(place) for place in axis.get_majorticklocs()}
    said = {place: word.replace("-\n", "-").replace("\n", " ") for place, word in said.items()}
    return {place: word for place, word in said.items() if not re.fullmatch(r"[-−+.\de]*", word)}
