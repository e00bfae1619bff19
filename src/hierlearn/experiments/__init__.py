"""The registry of experiments, in the order of the chapters."""

from hierlearn.experiments import (
    backward_correction,
    ball_indicator,
    chaining,
    classification,
    deep_on_cube,
    hierarchy_layers,
    kernel_lower_bounds,
    layerwise,
    layerwise_limits,
    random_hierarchy,
    rescue,
    sample_complexity,
    simpler_algorithms,
)
from hierlearn.experiments.base import Experiment

_MODULES = (
    *(backward_correction, sample_complexity, classification),
    *(kernel_lower_bounds, deep_on_cube),
    *(layerwise, layerwise_limits),
    *(random_hierarchy, hierarchy_layers, rescue, chaining),
    ball_indicator,
    simpler_algorithms,
)

EXPERIMENTS: dict[str, Experiment] = {e.name: e for m in _MODULES for e in m.EXPERIMENTS}
"""All experiments by name."""
