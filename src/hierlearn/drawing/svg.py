"""A matplotlib figure as an SVG for a web page: the page's colors, the same bytes each time.

Figures are drawn with sentinel colors. On the way out the ink becomes `currentColor`, the series
colors become CSS variables with a light-theme fallback, and every id gets the figure's name as its
prefix, so that one SVG reads well in light and dark and several of them share a page.
"""

import html
import io
import re
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

# Okabe and Ito's hues, in the order blue, vermilion, green, purple, orange, sky, with lightness
# moved until each has contrast 3:1 against the page and all stay apart for dichromats. The values
# for the dark theme stand in book/_static/hierlearn.css; tests/drawing/test_figures.py checks both.
COLORS = ("#315f9e", "#d86109", "#1a9356", "#c179af", "#744c00", "#2697e3")
NEUTRAL = "#707070"
INK = "#0b0c0d"  # text, axes, grid: the page's own text color
PAPER = "#fdfefc"  # faces of open markers: the page's own background

_SAME_STYLE = re.compile(r'<use [^>]*? style="([^"]*)"/>(?:\s*<use [^>]*? style="\1"/>)+')
_MIN_SCALE = 0.8  # a figure shrinks to this share of its width, then it scrolls
_SAVE: dict[Any, Any] = {
    "svg.fonttype": "path",
    "mathtext.fontset": "dejavusans",
}


def save(fig: Figure, path: Path, *, name: str, alt: str, qualitative: bool = False) -> None:
    """Write `fig` as a standalone SVG on white, for a README or a slide."""
    svg = to_svg(fig, name=name, alt=alt, qualitative=qualitative)
    svg = re.sub(r"var\(--[\w-]+, (#\w+)\)", r"\1", svg).replace("currentColor", "#1f2328")
    svg = svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
    first = svg.index(">") + 1
    white = '<rect width="100%" height="100%" fill="#ffffff"/>'
    path.write_text(svg[:first] + white + svg[first:] + "\n", encoding="utf-8")


def to_svg(
    fig: Figure, *, name: str, alt: str, qualitative: bool = False, other_colors: bool = False
) -> str:
    """Return `fig` as an `<svg>` element without header; arguments and errors as in `to_html`."""
    if not re.fullmatch(r"[A-Za-z][\w-]*", name):
        raise ValueError(
            f"figure name {name!r} is not an identifier; use letters, digits, '-' and '_', "
            "starting with a letter"
        )
    check_alt(name, alt, qualitative)
    raw = _drawn(fig, name)
    body = _theme(_inner(raw), name, other_colors)
    return _root(raw, name, alt) + _prefix_ids(body, name) + "</svg>"


def _drawn(fig: Figure, name: str) -> str:
    """Return what matplotlib writes; `savefig` does the same, but draws every figure twice."""
    buffer, canvas = io.StringIO(), fig.canvas
    fig.set_facecolor("none")
    try:
        with mpl.rc_context({**_SAVE, "svg.hashsalt": name}):
            FigureCanvasSVG(fig).print_svg(buffer, metadata={"Date": None})
    finally:
        fig.set_canvas(canvas)
    return buffer.getvalue()


def check_alt(name: str, alt: str, qualitative: bool = False) -> None:
    """Refuse an alt text that is empty or, unless `qualitative`, holds no number (ValueError)."""
    if not alt.strip():
        raise ValueError(f"figure {name!r} has no alt text; say what its data show")
    if not qualitative and not re.search(r"\d", alt):
        raise ValueError(
            f"the alt text of figure {name!r} holds no number: {alt!r}; compute it from the data, "
            "or pass qualitative=True where there is no number to give"
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


def _theme(body: str, name: str, other_colors: bool) -> str:
    """Replace the sentinels by the page's colors; refuse what would not follow the theme."""
    names = {hex_: f"var(--hl-c{i}, {hex_})" for i, hex_ in enumerate(COLORS, start=1)}
    names |= {INK: "currentColor", PAPER: "var(--hl-paper, #ffffff)"}
    names[NEUTRAL] = f"var(--hl-neutral, {NEUTRAL})"
    found = set(re.findall(r"(?:fill|stroke): (#[0-9a-f]{6})", body))
    unknown = sorted(found - set(names))
    if unknown and not other_colors:
        raise ValueError(
            f"figure {name!r} uses {', '.join(unknown)}, which would not follow the theme; use "
            "figures.COLORS, NEUTRAL, INK and PAPER inside figures.style(), or other_colors=True"
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
