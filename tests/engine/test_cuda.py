"""A seed means the same on every device: all is drawn on the CPU, and CUDA agrees with the CPU."""

import json
import math
import statistics

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from engine import test_capture
from hierlearn.ball import networks as sigmoid
from hierlearn.cube import networks as normalized_powers
from hierlearn.cube.training import Pools
from hierlearn.engine import devices
from hierlearn.engine.seeds import stream
from hierlearn.grammar.networks import PatchNetworks, Shape
from hierlearn.quadratic.networks import QuadraticNetworks
from hierlearn.quadratic.simpler import two_layer
from hierlearn.quadratic.target import QuadraticTeachers
from hierlearn.quadratic.training import Batches, Task
from hierlearn.registry import EXPERIMENTS

CPU, ELSEWHERE = torch.device("cpu"), torch.device("meta")


class EveryDraw(TorchDispatchMode):
    """Fails when a random number comes from another generator than an explicit one of the CPU."""

    def __init__(self) -> None:
        super().__init__()
        self.n_draws = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        if torch.Tag.nondeterministic_seeded in func.tags:
            self.n_draws += 1
            given = [a for a in (*args, *(kwargs or {}).values()) if isinstance(a, torch.Generator)]
            assert [g.device for g in given] == [CPU], f"{func} draws without a CPU generator"
            made = [leaf for leaf in tree_leaves(out) if isinstance(leaf, torch.Tensor)]
            assert all(tensor.device == CPU for tensor in made), f"{func} draws on {made[0].device}"
        return out


@pytest.mark.parametrize(
    "name", ["parity, deep", "strings, dense", "ball, relu",
             "two-layer, GELU"]
)  # fmt: skip
def test_a_measurement_draws_every_number_from_an_explicit_generator(name):
    measure, group = test_capture.CASES[name]()
    with EveryDraw() as draws:
        measure(group, CPU)
    assert draws.n_draws > 0


def quadratic_task(n_samples):
    teachers = QuadraticTeachers.draw([0, 1], dim=8, widths=(3, 2), skip=0.8).to(ELSEWHERE)
    ones = torch.ones(2, 1, 2, device=ELSEWHERE)
    return Task(teachers, [0, 1], ones, torch.zeros(2, 1, 5), n_samples=n_samples)


def weights_elsewhere():
    """Initial weights of every learner on a device that holds no numbers."""
    quadratic = QuadraticNetworks(2, 1, dim=8, widths=(3, 2), device=ELSEWHERE)
    quadratic.initialize([0, 1])
    deep = normalized_powers.DeepNetworks(2, dim=8, depth=2, width=4, device=ELSEWHERE)
    deep.initialize([0, 1])
    shape = Shape(4, 4, 6, (2, 2), 4)
    patches = PatchNetworks(shape, [stream("layers", s) for s in (0, 1)], device=ELSEWHERE)
    trained = sigmoid.TrainedNetworks(2, 1, dim=4, width=5, activation="erf", device=ELSEWHERE)
    trained.initialize([0, 1])
    training = two_layer.TwoLayerTraining(5, (), 1e-2, 8)
    return [
        quadratic.theta, deep.theta, *patches.weights, patches.new_head(2).weights, trained.theta,
        sigmoid.FrozenFeatures(0, dim=4, width=5, device=ELSEWHERE).hidden,
        two_layer.TwoLayerNetworks([0, 1], 6, training).to(ELSEWHERE).theta,
    ]  # fmt: skip


def test_initial_weights_are_drawn_on_the_cpu_whatever_the_device():
    with EveryDraw() as draws:
        weights = weights_elsewhere()
    assert draws.n_draws > len(weights)
    assert all(weight.device == ELSEWHERE for weight in weights)


@pytest.mark.parametrize("n_samples", [None, 30])
def test_training_data_are_drawn_on_the_cpu_whatever_the_device(n_samples):
    like = torch.zeros(1, device=ELSEWHERE)
    with EveryDraw() as draws:
        batches = Batches(quadratic_task(n_samples), 16, like)
        drawn = batches.draw()
        x, functions = batches.read(*drawn)
    assert draws.n_draws >= 2 and all(one.device == CPU for one in drawn)
    assert x.device == functions.device == ELSEWHERE


def test_batches_of_a_pool_are_drawn_on_the_cpu_whatever_the_device():
    x, y = torch.ones(2, 10, 6, device=ELSEWHERE), torch.ones(2, 10, device=ELSEWHERE)
    pools = Pools(x, y, owners=[0, 1], sizes=[5, 10], seeds=[0, 1])
    with EveryDraw():
        (index,) = pools.draw(7)
    assert index.device == CPU and pools.read(index)[0].device == ELSEWHERE


# --- with a GPU -------------------------------------------------------------------------------

EXACT = {"kernel_certificates", "kernel_spans", "kernel_half_error"}
EXACT |= {"back_and_forth", "unseen_level", "exact_depth", "exact_samples", "exact_labels"}
EXACT_TOLERANCE = 1e-6
"""Relative, of float64 solves; a breakdown of a factorization would be larger."""
TOLERANCE, LEARNED = 0.25, 1e-4
"""Of float32 training: medians over a group agree to a quarter, or both errors are below this."""


def medians(measurements):
    """The median over the runs of every number of a measurement, by its place."""
    places: dict[str, list[float]] = {}

    def visit(value, place):
        if isinstance(value, dict):
            for key, item in value.items():
                visit(item, f"{place}.{key}")
        elif isinstance(value, list):
            for index, item in enumerate(value):
                visit(item, f"{place}[{index}]")
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            places.setdefault(place, []).append(value)

    for one in json.loads(json.dumps(measurements)):
        visit(one, "")
    return {place: statistics.median(values) for place, values in places.items()}


@pytest.mark.skipif(
    not torch.cuda.is_available(), reason="no usable GPU: CUDA and the CPU cannot be compared"
)
@pytest.mark.parametrize("name", [n for n, e in EXPERIMENTS.items() if e.groups("smoke")])
def test_cuda_and_the_cpu_agree(name):
    group = min(EXPERIMENTS[name].groups("smoke"), key=lambda g: g.weight)
    found = []
    for device in (CPU, torch.device("cuda")):
        devices.prepare(device)
        found.append(medians(EXPERIMENTS[name].measure(group, device)))
    # Training that ends at a tolerance ends earlier or later, and curves with it.
    cpu, cuda = ({p: v for p, v in one.items() if ".curve." not in p} for one in found)
    assert cpu.keys() == cuda.keys()
    for place, value in cpu.items():
        if name in EXACT:
            assert math.isclose(value, cuda[place], rel_tol=EXACT_TOLERANCE), place
        elif max(abs(value), abs(cuda[place])) > LEARNED:
            assert math.isclose(value, cuda[place], rel_tol=TOLERANCE), place
