"""Figures that the reader steers: every state is computed from the records when the page is made.

`steer` shows a static figure of one state, which paper and readers without JavaScript get, and puts
the table of all states beside it, from which book/_static/steered.js draws the others. The script
computes no statistic: it maps the numbers of the table to places on the screen.
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

from hierlearn.drawing import figures
from hierlearn.drawing.figures import Series, over_seeds
from hierlearn.drawing.svg import check_alt
from hierlearn.formatting import format_number


@dataclass(frozen=True)
class Axis:
    """An axis: its label in plain text, its scale, and its ticks (none: chosen from the data)."""

    label: str
    log: bool = False
    ticks: Sequence[float] = ()


@dataclass(frozen=True)
class State:
    """What is drawn for one setting of the controls, and the sentence that says it in numbers."""

    series: Sequence[Series]
    text: str


__all__ = ["Axis", "Series", "State", "Steered", "over_seeds", "steer"]

Controls = Mapping[str, Mapping[Any, str]]
States = Mapping[tuple[Any, ...], State]


def steer(
    *,
    name: str,
    controls: Controls,
    states: States,
    start: tuple[Any, ...],
    axes: tuple[Axis, Axis],
    caption: str,
    command: str,
    cost: str = "",
    steps: Mapping[str, float] | None = None,
) -> str:
    """Display the figure, and return its HTML: the same input, the same bytes.

    Args:
        name: as in `figures.to_html`.
        controls: each control's label, and its values with the words that say them. Numbers make
            a slider, strings a menu; a control of one value is only stated.
        states: by the controls' values; settings that are missing are shown as not measured.
        start: the setting that is shown first, and alone where there is no JavaScript.
        axes: horizontal and vertical; all states share their limits.
        caption: as in `figures.to_html`.
        command: as in `figures.to_html`.
        cost: as in `figures.to_html`.
        steps: vertical lines, as in `figures.mark_steps`.

    Raises:
        ValueError: a control without values, a state that is no setting of the controls or whose
            text holds no number, a value that cannot be drawn, a start that was not measured.
    """
    _check(name, controls, states, start)
    x, y = _axes(axes, states)
    fig = _static(states[start], (x, y), steps or {})
    figure = figures.to_html(
        fig, name=name, alt=states[start].text, caption=caption, command=command, cost=cost
    )
    plt.close(fig)
    table = _table(controls, states, start, {"x": x, "y": y}, steps or {})
    text = html.escape(states[start].text)
    markup = (
        f'<div class="hl-steered" data-hl-steer="{name}">\n{figure}\n'
        f'<p class="hl-steer-start">Shown: {text}</p>\n'
        f'<script type="application/json">{table}</script>\n</div>'
    )
    display(figures.Shown(markup, f"Figure {name}: {states[start].text}"))
    return markup


@dataclass(frozen=True)
class Steered:
    """What the function of a steered figure returns; see `steer` for the fields."""

    controls: Controls
    states: States
    start: tuple[Any, ...]
    axes: tuple[Axis, Axis]
    caption: str
    steps: Mapping[str, float] | None = None
    numbers: Mapping[str, str] = field(default_factory=dict)

    @property
    def alt(self) -> str:
        """What the first state says."""
        return self.states[self.start].text

    def show(self, name: str, command: str = "", cost: str = "") -> str:
        """Display it as `steer` does, under a name."""
        return steer(
            name=name, controls=self.controls, states=self.states, start=self.start,
            axes=self.axes, caption=self.caption, command=command, cost=cost, steps=self.steps,
        )  # fmt: skip


def _check(name: str, controls: Controls, states: States, start: tuple[Any, ...]) -> None:
    empty = [label for label, values in controls.items() if not values]
    if not controls or empty:
        raise ValueError(f"figure {name!r} needs controls with values; without any: {empty}")
    settings = set(product(*controls.values()))
    unknown = [key for key in states if key not in settings]
    if unknown:
        valid = "; ".join(f"{label}: {list(values)}" for label, values in controls.items())
        raise ValueError(f"figure {name!r} has states {unknown} outside its controls ({valid})")
    if start not in states:
        raise ValueError(f"figure {name!r} starts at {start}, which is none of its states")
    indices: dict[str, int] = {}
    for state in states.values():
        check_alt(name, state.text)
        for one in state.series:
            _check_series(name, one)
            if indices.setdefault(one.label, one.index) != one.index:
                raise ValueError(f"series {one.label!r} of figure {name!r} changes its index")


def _check_series(name: str, one: Series) -> None:
    lengths = {len(part) for part in (one.x, one.y, one.low or one.x, one.high or one.x)}
    if lengths == {0} or len(lengths) > 1:
        raise ValueError(f"series {one.label!r} of figure {name!r} has parts of lengths {lengths}")
    if not np.isfinite([*one.x, *one.y, *one.low, *one.high]).all():
        raise ValueError(f"series {one.label!r} of figure {name!r} has values that are not finite")


def _axes(axes: tuple[Axis, Axis], states: States) -> list[dict[str, Any]]:
    every = [one for state in states.values() for one in state.series]
    data = [v for s in every for v in s.x], [v for s in every for v in (*s.y, *s.low, *s.high)]
    return [_axis(axis, values) for axis, values in zip(axes, data, strict=True)]


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
    return {
        "label": axis.label,
        "log": axis.log,
        "limits": [_short(low), _short(high)],
        "ticks": [[_short(tick), _tick_text(tick)] for tick in ticks],
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


def _table(
    controls: Controls,
    states: States,
    start: tuple[Any, ...],
    axes: dict[str, Any],
    steps: Mapping[str, float],
) -> str:
    """Return the table of all states as JSON, safe inside a script element."""
    values = [list(one) for one in controls.values()]
    styles: dict[str, dict[str, str]] = {}
    for state in states.values():
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
            for label, words in controls.items()
        ],
        "start": place_of(start),
        "axes": axes,
        "steps": [[label, _short(step)] for label, step in steps.items()],
        "styles": list(styles.values()),
        "states": {
            place_of(key): {
                "text": state.text,
                "series": [_numbers(one, places[one.label]) for one in state.series],
            }
            for key, state in states.items()
        },
    }
    text = json.dumps(table, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c")


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


def _static(
    state: State, axes: tuple[dict[str, Any], dict[str, Any]], steps: Mapping[str, float]
) -> Figure:
    with figures.style():
        fig, ax = plt.subplots(figsize=(figures.WIDTH, 3.4))
        for one in state.series:
            one.draw(ax, every_seed=False)
        x, y = axes
        for which, axis in {"x": x, "y": y}.items():
            ax.set(**{f"{which}scale": "log" if axis["log"] else "linear"})
            ax.set(**{f"{which}lim": axis["limits"]})
            places, texts = zip(*axis["ticks"], strict=True)
            ax.set(**{f"{which}ticks": places, f"{which}ticklabels": texts})
        ax.minorticks_off()
        ax.set_xlabel(x["label"])
        ax.set_title(y["label"])
        figures.mark_steps(ax, steps)
        ax.legend()
    return fig
