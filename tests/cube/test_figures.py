"""The figures of chapter 2 draw the committed records, and say what they draw."""

import inspect
import re
from pathlib import Path
from types import SimpleNamespace

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import pytest

from hierlearn.cube import figures
from hierlearn.drawing.figures import style
from hierlearn.records import RecordStore
from hierlearn.registry import EXPERIMENTS

STORE = RecordStore(Path(__file__).parents[2] / "book/records")
FIGURES = (
    figures.certificate, figures.steer_kernel, figures.half_error, figures.staircase,
    figures.growth, figures.two_layer,
)  # fmt: skip


def other(value):
    """Measured numbers as they might have been: every float is another one."""
    if isinstance(value, dict):
        return {key: other(one) for key, one in value.items()}
    if isinstance(value, list):
        return [other(one) for one in value]
    return 1.7 * value if isinstance(value, float) else value


def alt(figure, change=lambda measurement: measurement):
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
    return drawn.alt


@pytest.mark.parametrize("figure", FIGURES, ids=lambda one: one.__name__)
def test_a_figure_draws_the_records_and_its_alt_text_follows_their_numbers(figure):
    said = alt(figure)
    assert re.search(r"\d", said) and said != alt(figure, other)
