"""Figures that the reader steers: every state is computed from the records when the page is made.

`Steered` shows a static figure of one state, which paper and readers without JavaScript get, and
puts the table of all states beside it, from which book/_static/steered.js draws the others. The
script computes no statistic: it maps the numbers of the table to places on the screen.
"""

import html
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from hierlearn.drawing import figures, table
from hierlearn.drawing.figures import Series
from hierlearn.drawing.svg import check_alt
from hierlearn.formatting import format_number


@dataclass(frozen=True)
class Axis:
    """An axis: label in plain text, scale, ticks (none: chosen from the data), and their names."""

    label: str
    log: bool = False
    ticks: Sequence[float] = ()
    names: Sequence[str] = ()


@dataclass(frozen=True)
class State:
    """What is drawn for one setting of the controls, and the sentence that says it in numbers."""

    series: Sequence[Series]
    text: str


@dataclass(frozen=True)
class Steered:
    """What the function of a steered figure returns.

    Args:
        controls: each control's label, and its values with the words that say them. Numbers make
            a slider, strings a menu; a control of one value is only stated.
        states: by the controls' values; settings that are missing are shown as not measured.
        start: the setting that is shown first, and alone where there is no JavaScript.
        axes: horizontal and vertical; all states share their limits.
        caption: as in `figures.to_html`.
        steps: vertical lines, as in `figures.mark_steps`.
        numbers: as in `figures.Drawing`.
    """

    controls: Mapping[str, Mapping[Any, str]]
    states: Mapping[tuple[Any, ...], State]
    start: tuple[Any, ...]
    axes: tuple[Axis, Axis]
    caption: str
    steps: Mapping[str, float] = field(default_factory=dict)
    numbers: Mapping[str, str] = field(default_factory=dict)

    @property
    def alt(self) -> str:
        """What the first state says."""
        return self.states[self.start].text

    @property
    def fig(self) -> Figure:
        """The figure of the first state."""
        return self._static(self._axes())

    def csv(self) -> str:
        """Return the numbers of every state as CSV; where the controls stand comes first."""
        words = list(self.controls.values())
        return table.text(
            [*self.controls, *table.COLUMNS[2:]],
            (
                (*(said[value] for said, value in zip(words, key, strict=True)), *row)
                for key, state in self.states.items()
                for one in state.series
                for row in table.series_rows(one)
            ),
        )

    def show(self, name: str, command: str = "", cost: str = "") -> str:
        """Display the figure, and return its HTML: the same input, the same bytes.

        Arguments as in `figures.to_html`. Raises ValueError: no controls or values for one, states
        or a start outside them, a text without a number, a series that cannot be drawn, a
        logarithmic axis with values that are not positive, or a start that was not measured.
        """
        self._check(name)
        axes = self._axes()
        fig = self._static(axes)
        figure = figures.to_html(
            fig, name=name, alt=self.alt, caption=self.caption, command=command, cost=cost,
            data=self.csv(),
        )  # fmt: skip
        plt.close(fig)
        markup = (
            f'<div class="hl-steered" data-hl-steer="{name}">\n{figure}\n'
            f'<p class="hl-steer-start">Shown: {html.escape(self.alt)}</p>\n'
            f'<script type="application/json">{self._table(axes)}</script>\n</div>'
        )
        display(figures.Shown(markup, f"Figure {name}: {self.alt}"))
        return markup

    def _check(self, name: str) -> None:
        empty = [label for label, values in self.controls.items() if not values]
        if not self.controls or empty:
            raise ValueError(f"figure {name!r} needs controls with values; without any: {empty}")
        settings = set(product(*self.controls.values()))
        if unknown := [key for key in self.states if key not in settings]:
            valid = "; ".join(f"{label}: {list(words)}" for label, words in self.controls.items())
            raise ValueError(f"figure {name!r} has states {unknown} outside its controls ({valid})")
        if self.start not in self.states:
            raise ValueError(f"figure {name!r} starts at {self.start}, which is none of its states")
        indices: dict[str, int] = {}
        for state in self.states.values():
            check_alt(name, state.text)
            for one in state.series:
                series = f"series {one.label!r} of figure {name!r}"
                lengths = {
                    len(part) for part in (one.x, one.y, one.low or one.x, one.high or one.x)
                }
                if lengths == {0} or len(lengths) > 1:
                    raise ValueError(f"{series} has parts of lengths {lengths}")
                if not np.isfinite([*one.x, *one.y, *one.low, *one.high]).all():
                    raise ValueError(f"{series} has values that are not finite")
                if indices.setdefault(one.label, one.index) != one.index:
                    raise ValueError(f"{series} changes its index")

    def _axes(self) -> dict[str, dict[str, Any]]:
        every = [one for state in self.states.values() for one in state.series]
        across = [value for one in every for value in one.x]
        up = [value for one in every for value in (*one.y, *one.low, *one.high)]
        return {"x": _axis(self.axes[0], across), "y": _axis(self.axes[1], up)}

    def _table(self, axes: dict[str, dict[str, Any]]) -> str:
        """Return the table of all states as JSON, safe inside a script element."""
        values = [list(words) for words in self.controls.values()]
        styles: dict[str, dict[str, str]] = {}
        for state in self.states.values():
            for one in state.series:
                styles.setdefault(one.label, _style(one))
        places = {label: place for place, label in enumerate(styles)}

        def place_of(key: tuple[Any, ...]) -> str:
            return ",".join(str(one.index(v)) for one, v in zip(values, key, strict=True))

        table = {
            "controls": [
                {
                    "label": label,
                    "words": list(words.values()),
                    "slider": not any(isinstance(value, str) for value in words),
                }
                for label, words in self.controls.items()
            ],
            "start": place_of(self.start),
            "axes": axes,
            "steps": [[label, _short(step)] for label, step in self.steps.items()],
            "styles": list(styles.values()),
            "states": {
                place_of(key): {
                    "text": state.text,
                    "series": [_numbers(one, places[one.label]) for one in state.series],
                }
                for key, state in self.states.items()
            },
        }
        text = json.dumps(table, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
        return text.replace("<", "\\u003c")

    def _static(self, axes: dict[str, dict[str, Any]]) -> Figure:
        with figures.style():
            fig, ax = plt.subplots(figsize=(figures.WIDTH, 3.4))
            for one in self.states[self.start].series:
                one.draw(ax, every_seed=False)
            for which, axis in axes.items():
                ax.set(**{f"{which}scale": "log" if axis["log"] else "linear"})
                ax.set(**{f"{which}lim": axis["limits"]})
                places, texts = zip(*axis["ticks"], strict=True)
                ax.set(**{f"{which}ticks": places, f"{which}ticklabels": texts})
            ax.minorticks_off()
            ax.set_xlabel(axes["x"]["label"])
            ax.set_title(axes["y"]["label"])
            figures.mark_steps(ax, self.steps)
            ax.legend()
        return fig


def _axis(axis: Axis, values: list[float]) -> dict[str, Any]:
    """Return label, scale, limits and ticks with their texts, for both ways of drawing."""
    least, most = min(*values, *axis.ticks), max(*values, *axis.ticks)
    if axis.log and least <= 0:
        raise ValueError(f"the logarithmic axis {axis.label!r} cannot show {least}")
    a, b = (math.log10(v) if axis.log else v for v in (least, most))
    margin = 0.04 * (b - a) or 0.5
    low, high = a - margin, b + margin
    if axis.log:
        low, high = 10**low, 10**high
    ticks = list(axis.ticks) or _ticks(axis.log, low, high)
    texts = list(axis.names) or [_tick_text(tick) for tick in ticks]
    return {
        "label": axis.label,
        "log": axis.log,
        "limits": [_short(low), _short(high)],
        "ticks": [[_short(tick), text] for tick, text in zip(ticks, texts, strict=True)],
    }


def _ticks(log: bool, low: float, high: float) -> list[float]:
    if not log:
        found = MaxNLocator(6).tick_values(low, high)
    elif high / low >= 100:
        found = LogLocator(10, numticks=7).tick_values(low, high)
    else:
        found = LogLocator(10, (1, 2, 5), numticks=9).tick_values(low, high)
    return [float(tick) for tick in found if low <= tick <= high]


def _tick_text(tick: float) -> str:
    """Return 0.001, 2 or 1000 in plain, and what is smaller or larger as 10⁻⁷."""
    if tick == 0 or 1e-3 <= abs(tick) < 1e4:
        return f"{float(f'{tick:.4g}'):g}".replace("-", "−")
    return format_number(tick).removeprefix("1.00×")


def _short(value: float) -> float | int:
    """Round to four significant digits; whole numbers lose their point."""
    rounded = float(f"{value:.4g}")
    return int(rounded) if rounded == int(rounded) else rounded


def _numbers(one: Series, style: int) -> dict[str, Any]:
    parts = {"x": one.x, "y": one.y, "low": one.low, "high": one.high}
    kept = {key: [_short(v) for v in part] for key, part in parts.items() if part}
    return {"style": style, "kind": one.kind, **kept}


def _style(one: Series) -> dict[str, str]:
    """Return color, dash (in line widths) and marker of a series, for the script."""
    dash = figures.DASHES[one.index % len(figures.DASHES)]
    lengths = {"-": (), "--": (3.7, 1.6)}[dash] if isinstance(dash, str) else dash[1]
    bound = one.kind == "bound"
    return {
        "label": one.label,
        "color": f"var(--hl-c{one.index % len(figures.COLORS) + 1})",
        "dash": " ".join(f"{v:g}" for v in ((1, 1.65) if bound else lengths)),
        "marker": "" if bound else figures.MARKERS[one.index % len(figures.MARKERS)],
    }
