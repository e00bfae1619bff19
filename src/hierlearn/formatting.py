"""Numbers, intervals and shares as text, and lines for the user."""

import math
from collections.abc import Iterable, Sequence
from urllib.parse import quote

import click

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def format_number(value: float | int | None) -> str:
    """Return a number at 3 significant digits: 0.982, 1230, 1.2×10⁻⁷; a dash where there is none.

    Whole numbers below a million are exact; others below 0.001 or from 10⁴ on are scientific.
    """
    if value is None or math.isnan(value):
        return "—"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if value == int(value) and abs(value) < 1e6:
        return str(int(value)).replace("-", "−")
    if not 1e-3 <= abs(value) < 1e4:
        mantissa, exponent = f"{value:.2e}".split("e")
        return f"{mantissa}×10{str(int(exponent)).translate(_SUPERSCRIPTS)}".replace("-", "−")
    digits = max(0, 2 - math.floor(math.log10(abs(float(f"{value:.3g}")))))
    return f"{float(f'{value:.3g}'):.{digits}f}".replace("-", "−")


def format_interval(
    estimate: float | None, interval: Sequence[float] | None, side: str | None = None
) -> str:
    """Return "estimate [low, high]", the form in which prose is glued; a dash without a number.

    An estimate that is a bound has its `side` before it: "≥ 30 [12, ∞)".
    """
    if estimate is None or interval is None:
        return "—"
    low, high = interval
    sign = f"{side} " if side else ""
    ends = ("(" if low == -math.inf else "[", ")" if high == math.inf else "]")
    text = f"{ends[0]}{format_number(low)}, {format_number(high)}{ends[1]}"
    return f"{sign}{format_number(estimate)} {text}"


def percent(share: float | None) -> str:
    """Return a share as a percentage at the resolution of the resamplings; a dash for None."""
    return "—" if share is None else f"{100 * share:.2f}".rstrip("0").rstrip(".") + " %"


def table_html(label: str, head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in HTML, which scrolls by itself where it is wider than the page."""
    cells = ["".join(f"<th>{word}</th>" for word in head)]
    cells += ["".join(f"<td>{word}</td>" for word in row) for row in rows]
    body = "".join(f"<tr>{line}</tr>" for line in cells)
    return (
        '<div class="hl-scroll" style="overflow-x:auto" tabindex="0" role="group" '
        f'aria-label="{label}">\n<table class="table">{body}</table></div>'
    )


def data_link(text: str, name: str, content: str) -> str:
    """Return a link in HTML to a CSV file that it holds itself; the site puts it aside."""
    address = "data:text/csv;charset=utf-8," + quote(content)
    return f'<a class="hl-download" download="{name}" href="{address}">{text}</a>'


def say(text: str) -> None:
    """Write a line for the user, not for a pipe."""
    click.echo(text, err=True)


def columns(lines: Sequence[Sequence[str]]) -> str:
    """Return the cells of `lines` aligned, two spaces apart."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
