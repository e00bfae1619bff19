"""The figure of 110 layers with and without what a GPU adds."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import pytest

from hierlearn.images import figures
from hierlearn.images.experiments import DIAL, EXPERIMENTS

ACCURACIES = {"greedy": 0.4, "all": 0.5, "joint": 0.6}


def made(experiment):
    arms = experiment.arms("paper")
    records = [
        SimpleNamespace(
            config=arms[name].as_dict(),
            seed=seed,
            measurement={"accuracy": ACCURACIES[name] + 0.01 * seed},
        )
        for name in DIAL
        for seed in (0, 1)
    ]
    return experiment.runs("paper", records)


@pytest.mark.parametrize("there", [True, False])
def test_110_layers_at_full_size_have_a_panel_where_a_gpu_has_been(there):
    stages, deep, full = map(made, EXPERIMENTS)
    drawn = figures.deep(stages, deep, *[full] * there)
    assert len(drawn.fig.axes) == 2 + there
    assert ("110 layers, 32x32 pixels: greedy 0.405 [" in drawn.alt) == there
    assert drawn.numbers["images-depth"] == "110"
    plt.close(drawn.fig)
