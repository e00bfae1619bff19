"""Every figure draws the committed records, and says in words what it draws."""

import csv
import importlib
import inspect
import io
import math
import re
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import pytest

import hierlearn
from hierlearn.book import drawn
from hierlearn.book.project import Project
from hierlearn.drawing.figures import Drawing, style
from hierlearn.drawing.steered import Steered
from hierlearn.experiment import PROFILES
from hierlearn.records import RecordStore
from hierlearn.registry import EXPERIMENTS

SRC = Path(hierlearn.__file__).parent
PROJECT = Project(SRC.parents[1])
STORE = RecordStore(PROJECT.frozen_records)


def figures():
    """The functions of wings and chapters that return a drawing, by a readable name."""
    found = set()
    for path in sorted(SRC.rglob("figures.py")):
        inside = path.relative_to(SRC.parent).with_suffix("")
        if inside.parts[1] == "drawing":
            continue
        module = importlib.import_module(".".join(inside.parts))
        for name, one in vars(module).items():
            if (
                not name.startswith("_")
                and inspect.isfunction(one)
                and one.__module__ == module.__name__
                and inspect.signature(one).return_annotation in (Drawing, Steered)
            ):
                found.add(one)
                yield f"{'/'.join(inside.parts[1:-1])}:{name}", one
    for chapter in PROJECT.notebooks():
        shown = drawn.shown(PROJECT, chapter).items()
        yield from ((f"{chapter}:{name}", one) for name, one in shown if one not in found)


FIGURES = dict(figures())


def strangers(figure):
    """The parameters that name no experiment."""
    return [name for name in inspect.signature(figure).parameters if name not in EXPERIMENTS]


def test_every_parameter_of_a_figure_is_an_experiment():
    assert len(FIGURES) > 20
    assert {name: found for name, one in FIGURES.items() if (found := strangers(one))} == {}
    assert strangers(lambda simple_learners, simple_learner: None) == ["simple_learner"]


def other(value, key=""):
    """Measured numbers as they might have been: other ones, with other ratios."""
    if isinstance(value, dict):
        return {name: other(one, name if key != "half" else key) for name, one in value.items()}
    if isinstance(value, list):
        return [other(one, key) for one in value]
    if key == "half" and value is not None:  # the steps at which a level was half learned
        return value + value**2 // 5000
    return math.copysign(1.7 * abs(value) ** 1.1, value) if isinstance(value, float) else value


@cache
def records(name, profile):
    return list(STORE.read(EXPERIMENTS[name], profile))


def draw(figure, profile, change=lambda measurement: measurement):
    """Draw from the committed records, with their measurements changed."""
    runs = {}
    for name in inspect.signature(figure).parameters:
        changed = [
            SimpleNamespace(config=r.config, seed=r.seed, measurement=change(r.measurement))
            for r in records(name, profile)
        ]
        runs[name] = EXPERIMENTS[name].runs(profile, changed)
    with style():
        drawing = figure(**runs)
    plt.close("all")
    return drawing


@pytest.mark.slow
@pytest.mark.parametrize("profile", [one for one in PROFILES if (STORE.folder / one).is_dir()])
@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_draws_the_records_and_its_alt_text_follows_their_numbers(name, profile):
    figure = FIGURES[name]
    own = inspect.signature(figure).parameters
    if profile != "laptop" and not all(records(one, profile) for one in own):
        pytest.skip(f"not all of {', '.join(own)} is committed at profile {profile}")
    drawing = draw(figure, profile)
    assert re.search(r"\d", drawing.alt) and len(drawing.alt) > 40
    head, *lines = csv.reader(io.StringIO(drawing.csv(), newline=""))
    assert lines or not own, "its numbers are not read off it"
    values = [line[i] for line in lines for i in range(head.index("x"), len(head))]
    assert not {"nan", "inf"} & set(values)
    if own:  # else it draws no records
        assert drawing.alt != draw(figure, profile, other).alt
    assert set(drawing.numbers) == set(getattr(figure, "numbers", ()))
