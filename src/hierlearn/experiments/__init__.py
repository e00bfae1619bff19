"""The registry of experiments, in the order of the chapters."""

from hierlearn.experiments import (
    backward_correction,
    classification,
    layerwise,
    sample_complexity,
    simpler_algorithms,
)
from hierlearn.experiments.base import PROFILES, Experiment, Group, Measured, Run

_MODULES = (backward_correction, sample_complexity, classification, layerwise, simpler_algorithms)

EXPERIMENTS: dict[str, Experiment] = {e.name: e for m in _MODULES for e in m.EXPERIMENTS}
"""All experiments by name."""

__all__ = ["EXPERIMENTS", "PROFILES", "Experiment", "Group", "Measured", "Run"]
