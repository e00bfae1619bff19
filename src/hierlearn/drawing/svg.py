"""A matplotlib figure as an SVG for a web page: the page's colors, the same bytes each time.

Figures are drawn with sentinel colors. On the way out the ink becomes `currentColor`, the series
colors become CSS variables with a light-theme fallback, and every id gets the figure's name as its
prefix, so that one SVG reads well in light and dark and several of them share a page. For phones
`stack` rearranges a figure: its panels below each other, legends above them.
"""

import html
import io
import re
from pathlib import Path
from typing import Any
from unittest.mock import patch

import matplotlib as mpl
import matplotlib.textpath
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.mathtext import MathTextParser

# Okabe and Ito's hues, in the order blue, vermilion, green, purple, orange, sky, with lightness
# moved until each has contrast 3:1 against the page and all stay apart for dichromats. The values
# for the dark theme stand in book/_static/hierlearn.css; tests/drawing/test_figures.py checks both.
COLORS = ("#315f9e", "#d86109", "#1a9356", "#c179af", "#744c00", "#2697e3")
NEUTRAL = "#707070"
INK = "#0b0c0d"  # text, axes, grid: the page's own text color
PAPER = "#fdfefc"  # faces of open markers: the page's own background

_PARSER = MathTextParser("path")  # remembers formulas, as the one that each figure brings
_SAME_STYLE = re.compile(r'<use [^>]*? style="([^"]*)"/>(?:\s*<use [^>]*? style="\1"/>)+')
_MIN_SCALE = 0.8  # a figure shrinks to this share of its width, then it scrolls
NARROW = 3.75  # inches; a page of 390 px less its margins
_MAX_PANEL = 2.5  # inches, on that page


def save(fig: Figure, path: Path, *, name: str, alt: str) -> None:
    """Write `fig` as a standalone SVG on white, for a README or a slide."""
    svg = to_svg(fig, name=name, alt=alt)
    svg = re.sub(r"var\(--[\w-]+, (#\w+)\)", r"\1", svg).replace("currentColor", "#1f2328")
    svg = svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    first = svg.index(">") + 1
    white = '<rect width="100%" height="100%" fill="#ffffff"/>'
    path.write_text(svg[:first] + white + svg[first:] + "\n", encoding="utf-8")


def to_svg(fig: Figure, *, name: str, alt: str) -> str:
    """Return `fig` as an `<svg>` element without header; arguments and errors as in `to_html`."""
    if not re.fullmatch(r"[A-Za-z][\w-]*", name):
        raise ValueError(
            f"figure name {name!r} is not an identifier; use letters, digits, '-' and '_', "
            "starting with a letter"
        )
    check_alt(name, alt)
    buffer, canvas = io.StringIO(), fig.canvas
    fig.set_facecolor("none")
    fixed: dict[Any, Any] = {"svg.fonttype": "path", "mathtext.fontset": "dejavusans"}
    try:  # `savefig` does the same, but draws every figure twice
        one = patch.object(matplotlib.textpath, "MathTextParser", lambda _: _PARSER)
        with mpl.rc_context({**fixed, "svg.hashsalt": name}), one:
            FigureCanvasSVG(fig).print_svg(buffer, metadata={"Date": None})
    finally:
        fig.set_canvas(canvas)
    raw = buffer.getvalue()
    return _root(raw, name, alt) + _prefix_ids(_theme(_inner(raw), name), name) + "</svg>"


def check_alt(name: str, alt: str) -> None:
    """Refuse an alt text that is empty or holds no number (ValueError)."""
    if not alt.strip():
        raise ValueError(f"figure {name!r} has no alt text; say what its data show")
    if not re.search(r"\d", alt):
        raise ValueError(
            f"the alt text of figure {name!r} holds no number: {alt!r}; compute it from the data"
        )


def _inner(raw: str) -> str:
    """Return what stands inside the root element, without metadata and the global style sheet."""
    body = raw[raw.index(">", raw.index("<svg")) + 1 : raw.rindex("</svg>")]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    # It says `* {...}`, which inside a page would reach every element; _root repeats it.
    body = re.sub(r"<defs>\s*<style.*?</style>\s*</defs>", "", body, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->", "", body, flags=re.DOTALL)
    body = re.sub(r'(?<= (?:d|x|y)=")[^"]*', _shorten, body)
    body = _SAME_STYLE.sub(_style_once, body)
    return re.sub(r"\n\s*", "\n", body).strip()


def _style_once(match: re.Match[str]) -> str:
    """Write the style of equal marks once, around them: half the bytes of a scatter."""
    style = f' style="{match[1]}"'
    return f"<g{style}>{match[0].replace(style, '')}</g>"


def _shorten(match: re.Match[str]) -> str:
    """Round a path to hundredths of a point: half the bytes, nothing to see."""
    text = re.sub(r"-?\d+\.\d{3,}", lambda m: f"{round(float(m[0]), 2):g}", match[0])
    return re.sub(r"\s+", " ", text)


def _theme(body: str, name: str) -> str:
    """Replace the sentinels by the page's colors; refuse what would not follow the theme."""
    names = {hex_: f"var(--hl-c{i}, {hex_})" for i, hex_ in enumerate(COLORS, start=1)}
    names |= {INK: "currentColor", PAPER: "var(--hl-paper, #ffffff)"}
    names[NEUTRAL] = f"var(--hl-neutral, {NEUTRAL})"
    found = set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", body))
    unknown = sorted(found - set(names))
    if unknown:
        raise ValueError(
            f"figure {name!r} uses {', '.join(unknown)}, which would not follow the theme; use "
            "figures.COLORS, NEUTRAL, INK and PAPER inside figures.style()"
        )
    return re.sub(r"(?<=: )#[0-9a-f]{6}", lambda m: names.get(m[0], m[0]), body)


def _prefix_ids(body: str, name: str) -> str:
    """Keep the ids that something refers to, each with the figure's name in front."""
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', body))

    def declare(match: re.Match[str]) -> str:
        return f' id="{name}-{match[1]}"' if match[1] in used else ""

    body = re.sub(r' id="([^"]+)"', declare, body)
    return re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", body)


def _root(raw: str, name: str, alt: str) -> str:
    """Return the opening tag with size, role and description."""
    box = re.search(r'viewBox="([\d. -]+)"', raw)
    assert box is not None, "matplotlib writes a viewBox"
    width, height = (round(float(size) * 4 / 3) for size in box[1].split()[2:])  # pt to px
    text = html.escape(alt.strip())
    return (
        f'<svg xmlns:xlink="http://www.w3.org/1999/xlink" width="{width}" height="{height}" '
        f'viewBox="{box[1]}" role="img" aria-label="{text}" style="max-width:100%;height:auto;'
        f"min-width:{round(_MIN_SCALE * width)}px;"
        'stroke-linejoin:round;stroke-linecap:butt">'
        f"<title>{html.escape(name.replace('_', ' ').replace('-', ' '))}</title>"
        f"<desc>{text}</desc>\n"
    )


def stack(fig: Figure) -> None:
    """Make a drawn `fig` `NARROW` inches wide, one panel a row; letters keep their size.

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
    # About how high ticks, label and title are.
    beyond = (0.3 + 0.2 * bool(a.get_xlabel()) + 0.25 * bool(a.get_title(loc="left")) for a in axes)
    fig.set_size_inches(NARROW, sum(panels) + legends + sum(beyond))


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
