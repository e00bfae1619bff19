"""Every figure of every wing draws the committed records, and says in words what it draws."""

import importlib
import inspect
import math
import re
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import pytest

import hierlearn
from hierlearn.drawing.figures import style
from hierlearn.records import RecordStore
from hierlearn.registry import EXPERIMENTS

pytestmark = pytest.mark.slow

SRC = Path(hierlearn.__file__).parent
STORE = RecordStore(SRC.parents[1] / "book/records")


def figures():
    """The public functions whose parameters are experiments, in the modules called figures."""
    for path in sorted(SRC.rglob("figures.py")):
        inside = path.relative_to(SRC.parent).with_suffix("")
        if inside.parts[1] == "drawing":
            continue
        for name, one in vars(importlib.import_module(".".join(inside.parts))).items():
            if not name.startswith("_") and inspect.isfunction(one):
                if set(inspect.signature(one).parameters) <= EXPERIMENTS.keys():
                    yield pytest.param(one, id=f"{'/'.join(inside.parts[1:-1])}:{name}")


def other(value, key=""):
    """Measured numbers as they might have been: other ones, with other ratios."""
    if isinstance(value, dict):
        return {name: other(one, name if key != "half" else key) for name, one in value.items()}
    if isinstance(value, list):
        return [other(one, key) for one in value]
    if key == "half" and value is not None:  # the steps at which a level was half learned
        return value + value**2 // 5000
    return math.copysign(1.7 * abs(value) ** 1.1, value) if isinstance(value, float) else value


def draw(figure, change=lambda measurement: measurement):
    """Draw from the records at profile laptop, with their measurements changed."""
    runs = {}
    for name in inspect.signature(figure).parameters:
        records = [
            SimpleNamespace(config=r.config, seed=r.seed, measurement=change(r.measurement))
            for r in STORE.read(EXPERIMENTS[name], "laptop")
        ]
        runs[name] = EXPERIMENTS[name].runs("laptop", records)
    with style():
        drawn = figure(**runs)
    plt.close("all")
    return drawn


@pytest.mark.parametrize("figure", list(figures()))
def test_a_figure_draws_the_records_and_its_alt_text_follows_their_numbers(figure):
    drawn = draw(figure)
    assert re.search(r"\d", drawn.alt)
    if inspect.signature(figure).parameters:  # else it draws no records
        assert drawn.alt != draw(figure, other).alt
    assert set(drawn.numbers) == set(getattr(figure, "numbers", ()))
