"""Figures: the same bytes, no id twice, alt text that says something, colors that show."""

import csv
import io
import re
from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

from hierlearn.drawing import figures, svg
from hierlearn.intervals import Bound, IntervalError, interval

CSS = Path(__file__).resolve().parents[1].parent / "book/_static/hierlearn.css"
ALT = "The error falls from 1 to 0.1."
# How dichromats see linear RGB (Machado, Oliveira, and Fernandes 2009, severity 1).
PROTANOPIA = [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]
DEUTERANOPIA = [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]
TRITANOPIA = [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]]


@pytest.fixture
def fig() -> Any:
    with figures.style():
        figure, ax = plt.subplots()
        points = {1: [1, 1.1], 2: [0.4, 0.5], 4: [0.1, 0.2]}
        figures.over_seeds("a $\\alpha_3$", points).draw(ax)
        ax.plot([1, 2, 4], [1, 1, 1], "o", color=figures.NEUTRAL, markerfacecolor=figures.PAPER)
        figures.mark_steps(ax, {"level 3": 2})
        figures.log_axes(ax, x_ticks=[1, 2, 4])
        ax.legend()
    yield figure
    plt.close(figure)


def theme(name: str) -> dict[str, str]:
    """The variables of a theme, as the style sheet gives them."""
    block = re.search(rf'html\[data-theme="{name}"\][^{{]*\{{(.*?)\}}', CSS.read_text(), re.DOTALL)
    assert block is not None
    return dict(re.findall(r"--hl-([\w-]+): (#[0-9a-f]{6});", block[1]))


def linear(color: str) -> Any:
    """Linear RGB of a hex color."""
    value = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """Contrast ratio of WCAG 2."""
    low, high = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) for c in (one, other))
    return (high + 0.05) / (low + 0.05)


def lab(rgb: Any) -> Any:
    """CIELAB of linear RGB."""
    matrix = [[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]
    xyz = np.array(matrix) @ np.clip(rgb, 0, 1) / [0.95047, 1, 1.08883]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_one_figure_drawn_twice_has_the_same_bytes(fig: Figure) -> None:
    first = figures.to_html(fig, name="one", alt=ALT)
    assert first == figures.to_html(fig, name="one", alt=ALT)
    assert "<metadata" not in first and "<style" not in first and "<?xml" not in first


def test_two_figures_on_a_page_share_no_id(fig: Figure) -> None:
    page = [figures.to_html(fig, name=name, alt=ALT) for name in ("one", "two")]
    ids = re.findall(r'\bid="([^"]+)"', "".join(page))
    assert len(ids) == len(set(ids)) > 10


def test_every_reference_inside_a_figure_finds_its_target(fig: Figure) -> None:
    page = figures.to_html(fig, name="one", alt=ALT)
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', page))
    assert used and used <= set(re.findall(r'\bid="([^"]+)"', page))


@pytest.mark.parametrize("alt", ["", "  ", "The error falls."])
def test_a_figure_whose_alt_text_says_no_number_is_refused(fig: Figure, alt: str) -> None:
    with pytest.raises(ValueError, match="alt text"):
        figures.to_html(fig, name="one", alt=alt)


@pytest.mark.parametrize("name", ["", "a b", "1st", 'a"'])
def test_a_name_that_cannot_be_an_id_is_refused(fig: Figure, name: str) -> None:
    with pytest.raises(ValueError, match="identifier"):
        figures.to_html(fig, name=name, alt=ALT)


def test_the_numbers_of_a_figure_are_those_that_were_drawn() -> None:
    fig, ax = plt.subplots()
    line = figures.over_seeds("means", {1: [1.0, 4.0], 2: [2.0, 8.0]})
    line.draw(ax)
    ax.plot([1, 2], [5, 6], label="law")
    ax.scatter([1, 2], [7, 8], label="cloud")
    ax.bar([1, 2], [9, 10], label="bars")
    figures.table.drawn(ax, figures.Series("known", (1.0,), (Bound(3, "≥"),)))
    ax.axhline(0.5, label="floor")
    ax.axvline(3)
    ax.set(title="error", xlabel="round")
    ax.set_xticks([1, 2], ["one", "two"])
    head, *rows = csv.reader(io.StringIO(figures.Drawing(fig, ALT).csv(), newline=""))
    plt.close(fig)
    assert head == ["panel", "across", "series", "x", "y", "low", "high"]
    assert all(row[:2] == ["error", "round"] for row in rows)
    found = {name: [row[3:] for row in rows if row[2] == name] for name in (row[2] for row in rows)}
    assert set(found) == {
        "means",
        "law",
        "floor",
        "cloud",
        "bars",
        "known",
        "",
    }  # and every seed is no series
    assert [row[0] for row in found["means"]] == ["one", "two"]
    means = [[float(value) for value in row[1:]] for row in found["means"]]
    np.testing.assert_allclose(means, np.transpose([line.y, line.low, line.high]), rtol=1e-5)
    assert found["law"] == [["one", "5", "", ""], ["two", "6", "", ""]]
    assert found["cloud"] == [["one", "7", "", ""], ["two", "8", "", ""]]
    assert found["bars"] == [["one", "9", "", ""], ["two", "10", "", ""]]
    assert found["known"] == [["one", "≥3", "", ""]]
    assert found["floor"] == [["", "0.5", "", ""]] and found[""] == [["3", "", "", ""]]


def test_a_figure_without_numbers_has_no_link_to_them(fig: Figure) -> None:
    head = "panel,x\r\n"
    pages = [figures.to_html(fig, name="one", alt=ALT, data=head + row) for row in ("", "a,1\r\n")]
    assert ["Numbers as CSV" in page for page in pages] == [False, True]
    assert all("address of this figure" in page for page in pages)


def test_text_from_outside_cannot_become_markup(fig: Figure) -> None:
    page = figures.to_html(
        fig, name="one", alt='2 < 3 "quoted"', caption="<b> $a<b$", command="<i>", cost="<u>"
    )
    assert not re.search(r"<(b|i|u)>", page)
    assert 'aria-label="2 &lt; 3 &quot;quoted&quot;"' in page
    assert r"\(a&lt;b\)" in page


def test_without_a_command_the_caption_says_why(fig: Figure) -> None:
    text = figures.to_html(fig, name="one", alt=ALT, cost="No <records>.")
    assert '<p class="hl-recompute">No &lt;records&gt;.</p>' in text and "<code>" not in text


def test_every_color_of_a_figure_follows_the_theme(fig: Figure) -> None:
    page = figures.to_html(fig, name="one", alt=ALT)
    outside = re.sub(r"var\(--hl-[\w-]+, #[0-9a-f]{6}\)", "", page)
    assert not re.search(r": #[0-9a-f]{3,6}", outside)
    assert "currentColor" in page and "var(--hl-c1, " in page and "var(--hl-paper, " in page


def test_a_color_outside_the_palette_is_refused_by_name(fig: Figure) -> None:
    fig.axes[0].plot([1, 2], [1, 1], color="#123456")
    with pytest.raises(ValueError, match="#123456"):
        figures.to_html(fig, name="one", alt=ALT)


def test_show_displays_the_html_and_closes_the_figure(fig: Figure, capsys: Any) -> None:
    page = figures.Drawing(fig, ALT).show("one")
    assert page.startswith('<figure class="hl-figure" id="fig-one">')
    assert not plt.fignum_exists(fig.number)  # type: ignore[attr-defined]
    assert capsys.readouterr().out == f"Figure one: {ALT}\n"


def test_a_saved_figure_stands_alone(fig: Figure, tmp_path: Path) -> None:
    figures.save(fig, tmp_path / "f.svg", name="one", alt=ALT)
    text = (tmp_path / "f.svg").read_text()
    assert text.startswith('<svg xmlns="http://www.w3.org/2000/svg"')
    assert "var(" not in text and "currentColor" not in text and "#315f9e" in text


def test_a_band_is_the_interval_of_the_claims() -> None:
    values = np.exp(np.random.default_rng(0).normal(size=(3, 8)))
    drawn = figures.over_seeds("a", dict(enumerate(values)))
    for i, column in enumerate(values):
        one = interval(column, "log-t")
        assert (drawn.y[i], drawn.low[i], drawn.high[i]) == (one.estimate, one.low, one.high)


def test_a_geometric_mean_of_zero_needs_a_floor() -> None:
    with pytest.raises(IntervalError, match="floor"):
        figures.over_seeds("a", {1: [0.0, 1.0]})
    assert figures.over_seeds("a", {1: [0.0, 1.0]}, floor=1e-12).y == pytest.approx((1e-6,))


def test_one_seed_has_no_band() -> None:
    one = figures.over_seeds("a", {1: [1.0], 2: [2.0]})
    assert one.y == one.low == one.high == (1.0, 2.0)


def test_unknown_axes_are_refused() -> None:
    with pytest.raises(ValueError, match="'xy'"):
        figures.log_axes(Figure().add_subplot(), "z")


def test_the_light_theme_is_the_fallback_of_the_figures() -> None:
    colors = theme("light")
    assert tuple(colors[f"c{i}"] for i in range(1, 7)) == figures.COLORS
    assert colors["neutral"] == figures.NEUTRAL


@pytest.mark.parametrize("name", ["light", "dark"])
def test_series_have_contrast_3_and_badges_4_5_to_the_page(name: str) -> None:
    colors = theme(name)
    series = [*(f"c{i}" for i in range(1, 7)), "neutral"]
    badges = ["supported", "refuted", "inconclusive", "reported", "not-run", "stale"]
    for ground in (colors["paper"], colors["panel"]):
        assert min(contrast(colors[key], ground) for key in badges) >= 4.5
    assert min(contrast(colors[key], colors["paper"]) for key in series) >= 3


@pytest.mark.parametrize("name", ["light", "dark"])
@pytest.mark.parametrize("vision", [np.eye(3), PROTANOPIA, DEUTERANOPIA, TRITANOPIA])
def test_series_stay_apart_for_every_kind_of_color_vision(name: str, vision: Any) -> None:
    colors = theme(name)
    keys = [*(f"c{i}" for i in range(1, 7)), "neutral"]
    seen = {key: lab(np.array(vision) @ linear(colors[key])) for key in keys}
    nearest = min(float(np.linalg.norm(seen[a] - seen[b])) for a, b in combinations(keys, 2))
    assert nearest >= 14, "a difference of 2.3 is just noticeable in CIELAB"


def panels() -> tuple[Figure, Any]:
    with figures.style():
        fig, axes = plt.subplots(1, 2, sharey=True)
        for ax in axes:
            for i in range(2):
                ax.plot([1, 2], [i, 1], label=f"series {i}")
            ax.set_title("a title")
            ax.legend()
        axes[0].set_ylabel("error")
        fig.savefig(io.BytesIO())
    return fig, axes


def test_on_a_phone_panels_stand_below_each_other_with_ticks_labels_and_legends_of_their_own() -> (
    None
):
    fig, axes = panels()
    with figures.style():
        svg.stack(fig)
        fig.draw_without_rendering()
    upper, lower = (ax.get_window_extent() for ax in axes)
    assert upper.y0 > lower.y1 and abs(upper.x0 - lower.x0) < 1
    assert fig.get_figwidth() == svg.NARROW
    assert [ax.get_ylabel() for ax in axes] == ["error", "error"]
    assert axes[1].yaxis.get_tick_params()["labelleft"] and axes[1].get_yticklabels()
    for ax, box in zip(axes, (upper, lower), strict=True):
        legend, title = ax.get_legend().get_window_extent(), ax._left_title.get_window_extent()
        assert box.y1 - 1 <= legend.y0 and legend.y1 <= title.y0 + 1
        assert 0 <= legend.x0 and legend.x1 <= fig.bbox.x1


def test_on_a_phone_every_panel_of_a_grid_has_its_labels() -> None:
    with figures.style():
        fig, axes = plt.subplots(2, 2, sharex=True, sharey=True)
        axes[1, 0].set_xlabel("step")
        axes[0, 0].set_ylabel("error")
        fig.savefig(io.BytesIO())
        svg.stack(fig)
    assert {(ax.get_xlabel(), ax.get_ylabel()) for ax in axes.flat} == {("step", "error")}
    assert all(ax.get_xticklabels() and ax.get_yticklabels() for ax in axes.flat)


def test_the_second_drawing_is_for_phones_and_shares_no_id(capsys: Any) -> None:
    page = figures.Drawing(panels()[0], ALT).show("one")
    assert page.count("<svg") == 2 and 'class="hl-narrow" style="display:none"' in page
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))


def test_marks_of_one_style_say_it_once(fig: Figure) -> None:
    (ax,) = fig.axes
    ax.plot(range(50), range(50), marker="o", linestyle="", color=figures.COLORS[0])
    page = figures.to_html(fig, name="one", alt=ALT)
    marks = re.findall(r"<g style=[^>]*>((?:\s*<use [^>]*/>)+)\s*</g>", page)
    assert any(group.count("<use") == 50 and "style" not in group for group in marks)


def test_a_matplotlibrc_of_the_reader_has_no_say_in_a_figure():
    with matplotlib.rc_context({"lines.dash_capstyle": "round", "legend.fontsize": 30.0}):
        with figures.style():
            assert matplotlib.rcParams["lines.dash_capstyle"] == "butt"
            assert matplotlib.rcParams["legend.fontsize"] == figures.RC["legend.fontsize"]
        assert matplotlib.rcParams["legend.fontsize"] == 30
