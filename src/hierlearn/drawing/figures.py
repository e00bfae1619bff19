"""Figures that follow the page's theme: drawn with matplotlib, shown as inline SVG with alt text.

A figure of the book is a function: its parameters are named after the experiments that it draws
and take their runs; it returns a `Drawing`. `Series` is what it draws and says; `log_axes` and the
other helpers are what several chapters need.
"""

import html
import math
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from cycler import cycler
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogFormatterMathtext, LogLocator, NullFormatter
from numpy.typing import ArrayLike

from hierlearn.drawing import table
from hierlearn.drawing.svg import COLORS, INK, NEUTRAL, PAPER, save, stack, to_svg
from hierlearn.formatting import data_link, format_interval, format_number
from hierlearn.intervals import interval

__all__ = [
    "COLORS", "DASHES", "INK", "MARKERS", "NEUTRAL", "PAPER", "RC", "WIDTH", "Drawing", "Series",
    "band", "gives", "log_axes", "mark_steps", "over_seeds", "save", "style", "to_html", "to_svg",
]  # fmt: skip

Kind = Literal["line", "points", "bound"]
MARKERS = ("o", "s", "^", "D", "v", "P")
DASHES: tuple[Any, ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)), "-", "--")

# Sphinx's own markup for inline math, which MathJax finds.
_MATH = re.compile(r"\$([^$]+)\$")
_SPAN = r'<span class="math notranslate nohighlight">\\(\1\\)</span>'

_SPARSE = 12  # a line with more points than that has a marker at some of them
WIDTH = 7.2  # inches; the text column of the site

RC: dict[Any, Any] = {
    "figure.figsize": (WIDTH, 3.2),
    "figure.constrained_layout.use": True,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "axes.facecolor": "none",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.labelsize": 9.5,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.prop_cycle": cycler(color=COLORS),
    "grid.color": INK,
    "grid.alpha": 0.12,
    "grid.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.labelsize": 8.5,
    "ytick.labelsize": 8.5,
    "legend.facecolor": PAPER,
    "legend.edgecolor": "none",
    "legend.framealpha": 0.8,
    "legend.fontsize": 8.5,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "patch.edgecolor": INK,
    "hatch.color": INK,
    "font.family": "DejaVu Sans",  # comes with matplotlib, so the glyphs are the same everywhere
    "font.size": 9.5,
    "mathtext.fontset": "dejavusans",
    "svg.fonttype": "path",
}


@dataclass(frozen=True, repr=False)
class Shown:
    """What a notebook keeps of a figure: the HTML, and the alt text where there is only text."""

    markup: str
    text: str

    def _repr_html_(self) -> str:
        return self.markup

    def __repr__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Series:
    """One series: a line with its band, single points with error bars, or a bound (no interval).

    `index` picks color, dash and marker together, so that series differ by more than color; a
    series has the same label and index in every state of a steered figure. `seeds` holds the
    values of every seed, where all have all points.
    """

    label: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    index: int = 0
    kind: Kind = "line"
    seeds: tuple[tuple[float, ...], ...] = ()

    def at(self, place: int = -1) -> str:
        """Return the value at a place, as prose has it: "estimate [low, high]"."""
        if not self.low:
            return format_number(self.y[place])
        return format_interval(self.y[place], (self.low[place], self.high[place]))

    def draw(
        self, ax: Axes, *, color: str | None = None, marker: bool = True, every_seed: bool = True
    ) -> None:
        """Draw every seed thin, their mean thick with its band, or single points with error bars.

        A line with many points has a marker at some of them only, and none without `marker`.
        """
        lines, collections = len(ax.lines), len(ax.collections)
        self._draw(ax, color or COLORS[self.index % len(COLORS)], marker, every_seed)
        table.drawn(ax, self, [*ax.lines[lines:], *ax.collections[collections:]])

    def _draw(self, ax: Axes, color: str, marker: bool, every_seed: bool) -> None:
        if self.kind == "bound":
            ax.plot(self.x, self.y, color=color, linestyle=":", label=self.label)
            return
        line = self.kind == "line"
        if line and every_seed and self.seeds:
            ax.plot(self.x, np.array(self.seeds).T, color=color, linewidth=0.6, alpha=0.45)
        if line and self.low:
            band(ax, *map(np.array, (self.x, self.low, self.high)), color=color)
        elif self.low:
            ax.vlines(self.x, self.low, self.high, color=color, linewidth=1.2)
        ax.plot(
            self.x,
            self.y,
            color=color,
            label=self.label,
            linestyle=DASHES[self.index % len(DASHES)] if line else "",
            marker=MARKERS[self.index % len(MARKERS)] if marker or not line else "",
            markevery=math.ceil(len(self.x) / _SPARSE),
        )


def over_seeds(
    label: str,
    points: Mapping[Any, ArrayLike],
    *,
    index: int = 0,
    kind: Kind = "line",
    geometric: bool = True,
    floor: float = -math.inf,
) -> Series:
    """Return the series of means over seeds with 95 % intervals.

    `points` holds at each x the values of the seeds, as many as there are, those below `floor`
    raised to it; the mean is geometric and the interval a t interval on the log, or both are
    arithmetic. One seed has no interval: low and high are its value. Raises IntervalError as
    `intervals.interval` does.
    """
    x = sorted(points)
    columns = [np.maximum(np.asarray(points[place], dtype=np.float64), floor) for place in x]
    t = "log-t" if geometric else "t"
    found = [interval(column, t if len(column) > 1 else "range") for column in columns]
    rows = [(one.estimate, one.low, one.high) for one in found]
    y, low, high = (tuple(row[i] for row in rows) for i in range(3))
    kind = "points" if kind == "line" and len(x) == 1 else kind
    whole = len({len(column) for column in columns}) == 1
    seeds = tuple(map(tuple, np.array(columns).T.tolist())) if whole else ()
    return Series(label, tuple(x), y, low, high, index, kind, seeds)


def gives(*keys: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declare the keys under which a figure function gives numbers to the prose.

    Where the profile lacks the figure, a dash stands for each.
    """

    def declare(function: Callable[..., Any]) -> Callable[..., Any]:
        function.numbers = keys  # type: ignore[attr-defined]  # no attribute of every Callable
        return function

    return declare


@dataclass(frozen=True)
class Drawing:
    """What a figure function returns: the figure, what it says, and the line below it.

    `alt` is computed from what is drawn and holds its numbers; `caption` is plain text with
    formulas between dollar signs; `numbers` are texts for the prose, by the key that it glues.
    """

    fig: Figure
    alt: str
    caption: str = ""
    numbers: Mapping[str, str] = field(default_factory=dict)

    def csv(self) -> str:
        """Return the numbers that it draws, as CSV."""
        return table.text(table.COLUMNS, table.rows(self.fig))

    def show(self, name: str, command: str = "", cost: str = "") -> str:
        """Display it under a name as `to_html` makes it, close it, and return the HTML.

        On a phone a second SVG takes its place, with the panels below each other.
        """
        markup = to_html(
            self.fig, name=name, alt=self.alt, caption=self.caption, command=command, cost=cost,
            data=self.csv(), narrow=True,
        )  # fmt: skip
        plt.close(self.fig)
        display(Shown(markup, f"Figure {name}: {self.alt}"))
        return markup


def style() -> AbstractContextManager[None]:
    """Return the context in which figures are drawn: `with figures.style(): ...`.

    A matplotlibrc of the reader's has no say. A notebook may instead do
    `matplotlib.rcParams.update(figures.RC)` once.
    """
    return mpl.style.context(["default", RC])


def to_html(
    fig: Figure,
    *,
    name: str,
    alt: str,
    caption: str = "",
    command: str = "",
    cost: str = "",
    data: str = "",
    narrow: bool = False,
) -> str:
    """Return `fig` as a `<figure>` element with an inline SVG: the same input, the same bytes.

    Args:
        fig: the figure; it stays open.
        name: unique on its page; letters, digits, `-` and `_`; it salts and prefixes the ids.
        alt: what the figure shows, computed from the data it draws; it must hold a digit.
        caption: plain text; formulas between dollar signs.
        command: the one command that recomputes what the figure draws.
        cost: what that takes; without a command, a sentence that says why there is none.
        data: the numbers that it draws, as CSV; where it has only the head there is no link.
        narrow: add a second SVG for phones; this changes `fig`.

    Raises:
        ValueError: bad `name` or `alt`, or a color that would not follow the theme.
    """
    parts = [
        f'<figure class="hl-figure" id="fig-{name}">',
        f'<div class="hl-scroll" style="overflow-x:auto" tabindex="0" role="group" '
        f'aria-label="Figure {name}">\n{to_svg(fig, name=name, alt=alt)}</div>',
    ]
    if narrow:
        with style():
            stack(fig)
        svg = to_svg(fig, name=f"{name}-narrow", alt=alt)
        parts.append(f'<div class="hl-narrow" style="display:none">\n{svg}</div>')
    below = []
    if caption:
        below.append(f"<p>{_MATH.sub(_SPAN, html.escape(caption))}</p>")
    # Spans, so that no line ends inside an option.
    words = " ".join(f"<span>{html.escape(word)}</span>" for word in command.split(" "))
    told = ", ".join(
        filter(None, [command and f"Recompute: <code>{words}</code>", html.escape(cost)])
    )
    if data:
        links = [f'<a href="#fig-{name}">address of this figure</a>']
        if data.count("\n") > 1:  # rows below the head
            links.insert(0, data_link("Numbers as CSV", f"{name}.csv", data))
        told += f'{told and " "}<span class="hl-links">{", ".join(links)}</span>'
    if told:
        below.append(f'<p class="hl-recompute">{told}</p>')
    if below:
        parts += ["<figcaption>", *below, "</figcaption>"]
    return "\n".join([*parts, "</figure>"])


def band(ax: Axes, x: ArrayLike, low: ArrayLike, high: ArrayLike, *, color: str) -> None:
    """Shade between `low` and `high`."""
    ax.fill_between(np.asarray(x), np.asarray(low), np.asarray(high), color=color, alpha=0.18, lw=0)


def mark_steps(ax: Axes, steps: Mapping[str, float | int]) -> None:
    """Draw a thin vertical line at each step, with its label at the top of the axes."""
    for i, (label, step) in enumerate(steps.items()):
        ax.axvline(step, color=NEUTRAL, linewidth=0.9, linestyle=(0, (3, 2)))
        ax.annotate(
            label,
            (step, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(3, -2 - 10 * (i % 2)),  # neighbors need not be far apart
            textcoords="offset points",
            va="top",
            fontsize=8,
        )


def log_axes(ax: Axes, which: str = "xy", *, x_ticks: Iterable[float] | None = None) -> None:
    """Make the axes named in `which` logarithmic, with few ticks and none without a label.

    `x_ticks` puts ticks at these places, written as plain numbers: gaps, dimensions, counts.
    """
    if not which or set(which) - {"x", "y"}:
        raise ValueError(f"axes {which!r} are unknown; name 'x', 'y' or 'xy'")
    for letter in which:
        axis = ax.xaxis if letter == "x" else ax.yaxis
        (ax.set_xscale if letter == "x" else ax.set_yscale)("log")
        axis.set_major_locator(LogLocator(base=10, numticks=7))
        axis.set_major_formatter(LogFormatterMathtext(base=10))
        axis.set_minor_formatter(NullFormatter())
    if x_ticks is not None:
        ax.set_xticks(list(x_ticks))
        ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ax.minorticks_off()
