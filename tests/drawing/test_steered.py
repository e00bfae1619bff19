"""Steered figures: a complete table of states, honest gaps, and a page that works by keyboard."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import matplotlib

matplotlib.use("agg")

import numpy as np
import pytest

from hierlearn.drawing import figures, steered
from hierlearn.intervals import interval

SEEDS = np.exp(np.random.default_rng(0).normal(size=(6, 3)))
CONTROLS = {"gap": {0.1: "small", 0.2: "large"}, "learner": {"a": "first", "b": "second"}}
CHAPTERS = 8
UNSTEERED = {"08_real_images"}  # compares protocols; there is no parameter to move
LARGEST = 300_000


def state(factor: float = 1.0, text: str = "It is 1.") -> steered.State:
    points = {x: factor * SEEDS[:, i] for i, x in enumerate((1, 2, 4))}
    bound = steered.Series("bound", (1, 4), (factor, factor), index=1, kind="bound")
    return steered.State([figures.over_seeds("measured", points), bound], text)


def figure(**changes: Any) -> str:
    arguments: dict[str, Any] = {
        "controls": CONTROLS,
        "states": {(0.1, "a"): state(), (0.2, "a"): state(2, "It is 2."), (0.2, "b"): state(3)},
        "start": (0.1, "a"),
        "axes": (steered.Axis("x", log=True), steered.Axis("y", log=True)),
        "caption": "c",
    }
    return steered.Steered(**arguments | changes).show("one", command="hierlearn run")


def table(markup: str) -> dict[str, Any]:
    found = re.findall(r'<script type="application/json">(.*?)</script>', markup, re.DOTALL)
    assert len(found) == 1
    return json.loads(found[0])


def test_the_same_input_gives_the_same_bytes() -> None:
    assert figure() == figure()


def test_the_numbers_of_every_state_come_with_the_settings_of_its_controls() -> None:
    held = re.search(r'href="data:text/csv[^,]*,([^"]*)"', figure())
    assert held
    rows = list(csv.DictReader(io.StringIO(unquote(held[1]), newline="")))
    assert list(rows[0]) == ["gap", "learner", "series", "x", "y", "low", "high"]
    settings = {(row["gap"], row["learner"]) for row in rows}
    assert settings == {("small", "first"), ("large", "first"), ("large", "second")}
    assert len(rows) == 3 * (3 + 2)


def test_every_state_that_was_measured_is_in_the_table_and_no_other() -> None:
    found = table(figure())
    assert set(found["states"]) == {"0,0", "1,0", "1,1"} and found["start"] == "0,0"
    assert [c["slider"] for c in found["controls"]] == [True, False]
    for one in found["states"].values():
        assert re.search(r"\d", one["text"])
        for series in one["series"]:
            lengths = {len(series[key]) for key in ("x", "y", "low", "high") if key in series}
            assert len(lengths) == 1
            assert found["styles"][series["style"]]["color"].startswith("var(--hl-c")


def test_the_numbers_are_those_of_the_static_figures_at_four_digits() -> None:
    drawn = table(figure())["states"]["0,0"]["series"][0]
    expected = figures.over_seeds("a", dict(enumerate(SEEDS.T)))
    for key in ("y", "low", "high"):
        assert drawn[key] == pytest.approx(getattr(expected, key), rel=5e-4)


def test_an_arithmetic_mean_has_the_t_interval_of_the_claims() -> None:
    one = figures.over_seeds("a", {1: SEEDS[:, 0], 2: SEEDS[:3, 1]}, geometric=False)
    for place, column in enumerate((SEEDS[:, 0], SEEDS[:3, 1])):
        same = interval(column, "t")
        assert (one.y[place], one.low[place], one.high[place]) == (
            same.estimate, same.low, same.high,
        )  # fmt: skip


def test_all_values_lie_inside_the_axes_that_all_states_share() -> None:
    found = table(figure())
    (x_low, x_high), (y_low, y_high) = (found["axes"][axis]["limits"] for axis in "xy")
    for one in found["states"].values():
        for series in one["series"]:
            assert x_low <= min(series["x"]) and max(series["x"]) <= x_high
            assert y_low <= min(series.get("low", series["y"]))
            assert max(series.get("high", series["y"])) <= y_high


def test_without_script_the_start_is_shown_and_said() -> None:
    markup = figure(start=(0.2, "a"))
    assert 'aria-label="It is 2."' in markup and "Shown: It is 2." in markup
    assert 'data-hl-steer="one"' in markup and "<svg" in markup


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"states": {(0.1, "a"): state(text="")}}, "no alt text"),
        ({"states": {(0.1, "a"): state(text="It falls.")}}, "holds no number"),
        ({"states": {(0.1, "a"): state(), (0.3, "a"): state()}}, r"0\.3.*gap: \[0\.1, 0\.2\]"),
        ({"controls": {}}, "needs controls"),
        ({"controls": {"gap": {}}}, "gap"),
        ({"start": (0.1, "b")}, "none of its states"),
        ({"axes": (steered.Axis("x"), steered.Axis("y", log=True, ticks=(0, 1)))}, "logarithmic"),
    ],
)
def test_a_figure_that_cannot_be_steered_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        figure(**changes)


def test_a_series_that_cannot_be_drawn_is_refused() -> None:
    bad = {
        "not finite": steered.Series("a", (1,), (float("nan"),)),
        "lengths": steered.Series("a", (1, 2), (1,)),
        "changes its index": steered.Series("measured", (1,), (1,), index=3),
    }
    for message, one in bad.items():
        with pytest.raises(ValueError, match=message):
            figure(states={(0.1, "a"): state(), (0.2, "a"): steered.State([one], "It is 1.")})


def test_text_from_outside_cannot_become_markup() -> None:
    markup = figure(states={(0.1, "a"): state(text="</script><b> 1")})
    assert "<b>" not in markup and markup.count("</script>") == 1
    assert table(markup)["states"]["0,0"]["text"] == "</script><b> 1"


def chapters(book: Any) -> list[Path]:
    every = sorted(book.html.glob("book/0*.html"))
    found = [page for page in every if page.stem not in UNSTEERED]
    assert len(found) == CHAPTERS
    return found


def test_chapters_with_a_parameter_have_one_steered_figure_below_300_kb(
    smoke_book: Any,
) -> None:
    script = (smoke_book.html / "_static/steered.js").stat().st_size
    for page in chapters(smoke_book):
        text = page.read_text(encoding="utf-8")
        parts = re.findall(r"<div class=\"hl-steered\".*?</script>", text, re.DOTALL)
        assert len(parts) == 1, page.name
        assert len(parts[0].encode()) + script < LARGEST, page.name


def drawn(tab: Any) -> tuple[list[str], str, str]:
    """Path data, description and live text of the steered figure of a page."""
    plot = tab.locator("[data-hl-steer] .hl-steer-live > svg")
    outer = "svg => [...svg.querySelectorAll('path')].map(p => p.outerHTML)"
    paths = plot.evaluate(outer)
    said = tab.locator(".hl-steer-text[aria-live=polite]").inner_text()
    return paths, plot.get_attribute("aria-label"), said


@pytest.mark.parametrize("width", [1280, 390])
def test_the_arrow_keys_redraw_every_figure_and_say_what_it_shows(
    smoke_book: Any, browser: Any, width: int
) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900})
    tab = context.new_page()
    complaints: list[str] = []
    tab.on("pageerror", lambda error: complaints.append(str(error)))
    for page in chapters(smoke_book):
        tab.goto(page.as_uri(), wait_until="domcontentloaded")  # from a file: no server
        first = tab.locator("[data-hl-steer] :is(input, select)").first
        before = drawn(tab)
        first.focus()
        assert first.evaluate("e => getComputedStyle(e).outlineStyle") != "none", page.name
        assert first.evaluate("e => e.labels[0].textContent"), page.name
        tab.keyboard.press("Home")
        ends = [drawn(tab)]
        tab.keyboard.press("ArrowRight")
        ends.append(drawn(tab))
        for place in range(3):
            assert ends[0][place] != ends[1][place], f"{page.name}: {place}"
        assert before[1] == before[2] and re.search(r"\d", before[1])
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert tab.evaluate(wide) <= 0, page.name
    context.close()
    assert complaints == []


def test_every_state_that_a_page_draws_says_numbers_or_that_it_was_not_measured(
    smoke_book: Any, browser: Any
) -> None:
    tab = browser.new_page()
    for page in chapters(smoke_book):
        tab.goto(page.as_uri(), wait_until="domcontentloaded")
        known = table(page.read_text(encoding="utf-8"))["states"]
        controls = tab.locator("[data-hl-steer] :is(input, select)")
        for place in range(controls.count()):
            controls.nth(place).focus()
            tab.keyboard.press("Home")
            paths, described, said = drawn(tab)
            assert described == said and paths
            texts = [one["text"] for one in known.values()]
            assert said in texts or said.startswith("Not measured in these records"), page.name
    tab.close()


def test_without_javascript_and_on_paper_the_static_figure_is_visible(
    smoke_book: Any, browser: Any
) -> None:
    plain = browser.new_context(java_script_enabled=False).new_page()
    printed = browser.new_page()
    for page in chapters(smoke_book):
        plain.goto(page.as_uri(), wait_until="domcontentloaded")
        static = plain.locator("[data-hl-steer] .hl-scroll > svg")
        assert static.is_visible() and re.search(r"\d", static.get_attribute("aria-label") or "")
        assert plain.locator("[data-hl-steer] .hl-steer-start").is_visible()
        assert plain.locator("[data-hl-steer] input").count() == 0
        printed.goto(page.as_uri(), wait_until="domcontentloaded")
        assert not printed.locator("[data-hl-steer] .hl-scroll").is_visible()
        printed.emulate_media(media="print")
        assert printed.locator("[data-hl-steer] .hl-scroll").is_visible()
        assert not printed.locator(".hl-steer-live").is_visible()
        printed.emulate_media(media="screen")
    plain.context.close()
    printed.close()
