"""The registry of experiments, in the order of the chapters."""

from hierlearn.ball import experiments as ball_indicator
from hierlearn.conditions import experiments as what_decides
from hierlearn.cube import experiments as kernel_lower_bounds
from hierlearn.experiment import Experiment
from hierlearn.grammar import experiments as random_hierarchy
from hierlearn.grammar.layerwise_theorem import experiments as layerwise_theorem
from hierlearn.images import experiments as real_images
from hierlearn.place import experiments as who_learns_what
from hierlearn.quadratic.backward_correction import experiments as backward_correction
from hierlearn.quadratic.layerwise import experiments as layerwise
from hierlearn.quadratic.original import experiments as original
from hierlearn.quadratic.simpler import experiments as simpler_algorithms

_MODULES = (
    original,
    backward_correction,
    kernel_lower_bounds,
    layerwise,
    random_hierarchy,
    layerwise_theorem,
    ball_indicator,
    simpler_algorithms,
    what_decides,
    real_images,
    who_learns_what,
)

EXPERIMENTS: dict[str, Experiment] = {e.name: e for m in _MODULES for e in m.EXPERIMENTS}
"""All experiments by name."""
