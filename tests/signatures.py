"""Arguments of every public callable of the library, made from its own signature."""

import importlib
import inspect
import math
import typing
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from types import UnionType
from typing import Any

import jaxtyping
import torch
from torch import Tensor, nn

import hierlearn
from hierlearn.ball import networks as sigmoid
from hierlearn.cube import exact_error as cube_ridge
from hierlearn.cube import target as hypercube
from hierlearn.cube import training as pooled
from hierlearn.cube.networks import DeepNetworks, Normalization
from hierlearn.engine import kernels as dot_product_kernels
from hierlearn.grammar.dials import DialedHierarchy
from hierlearn.grammar.layerwise_theorem.learner import TrainedLevel
from hierlearn.grammar.layerwise_theorem.target import assumption, draw_rules
from hierlearn.grammar.networks import PatchNetworks, Shape, TrainingSets
from hierlearn.grammar.target import RandomHierarchy
from hierlearn.images import networks
from hierlearn.quadratic import protocols
from hierlearn.quadratic import training as loop
from hierlearn.quadratic.layerwise.floors import SquaredForms
from hierlearn.quadratic.networks import QuadraticNetworks
from hierlearn.quadratic.original.alternation import Learner
from hierlearn.quadratic.original.target import OriginalTarget
from hierlearn.quadratic.simpler import two_layer
from hierlearn.quadratic.simpler.sequential import Sample, Stage
from hierlearn.quadratic.target import QuadraticTeachers

# --- what there is ----------------------------------------------------------------------------

WINGS = ("quadratic", "cube", "grammar", "ball", "conditions")
OTHERS = (
    "hierlearn/certificate", "hierlearn/intervals", "hierlearn/engine/kernels",
    "hierlearn/images/networks", "hierlearn/images/training", "hierlearn/images/measures",
)  # fmt: skip
# Arithmetic on numbers once a step, and results: nothing in them broadcasts.
NO_DOOR = {"learning_rate", "factor", "Interval", "Floor", "integer_power"}


def module_names() -> Iterator[str]:
    """The modules that know no experiment: targets, networks, training, measures, kernels."""
    for path in sorted(Path(hierlearn.__file__).parent.rglob("*.py")):
        inside = path.relative_to(Path(hierlearn.__file__).parents[1]).with_suffix("")
        text = path.read_text(encoding="utf-8")
        wing = inside.parts[1] in WINGS and "hierlearn.experiment" not in text
        if (
            wing and path.name not in ("__init__.py", "configs.py") and "drawing" not in text
        ) or str(inside) in OTHERS:
            yield ".".join(inside.parts)


def callables() -> dict[str, Any]:
    """All public functions, constructors and methods that take an argument, by a readable name."""
    found: dict[str, Any] = {}
    for module_name in module_names():
        module = importlib.import_module(module_name)
        short = module_name.removeprefix("hierlearn.").replace(".", "/")
        for name, one in vars(module).items():
            if name.startswith("_") or getattr(one, "__module__", None) != module_name:
                continue
            if inspect.isfunction(one) or hasattr(one, "cache_clear"):
                found[f"{short}.{name}"] = one
            elif inspect.isclass(one) and not issubclass(one, Exception):
                found |= {f"{short}.{k}": v for k, v in methods(one)}
    return {
        name: one
        for name, one in found.items()
        if name.split(".")[1] not in NO_DOOR
        and set(inspect.signature(one).parameters) - {"self", "cls"}
    }


def methods(kind: type) -> Iterator[tuple[str, Any]]:
    for name, one in vars(kind).items():
        bound = getattr(kind, name)
        abstract = getattr(one, "__isabstractmethod__", False)
        special = name in ("__init__", "__call__")
        if (special or not name.startswith("_")) and not abstract and callable(bound):
            yield f"{kind.__name__}.{name}", bound


CALLABLES = callables()


# --- right arguments, from the signature ------------------------------------------------------


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


AXES = {"seed": 2, "arm": 2, "run": 4, "level": 2, "dim": 4, "rows": 5, "dim_and_one": 5,
        "k2": 3, "k3": 2, "width": 3, "basis": 5, "owner": 3, "total": 20, "distance": 5,
        "degree": 5, "cube": 8, "i": 3, "pair": 2, "coordinate": 4, "symbol": 4, "synonym": 2,
        "branching": 2, "start": 2}  # fmt: skip


@cache
def instances() -> dict[type, Any]:
    """One object of every class that has methods or is an argument."""
    teachers = QuadraticTeachers.draw([0, 1], dim=4, widths=(3, 2), skip=0.5)
    net = QuadraticNetworks(2, 2, dim=4, widths=(3, 2), readout=True)
    protocol = protocols.Protocol(opens=(0, 2))
    plan = protocols.compile_plan([protocol] * 4, [(1.0, 0.5)] * 4, 4)
    ones = torch.ones(2, 2, 2)
    task = loop.Task(teachers, [0, 1], ones, torch.ones(2, 2, 5))
    grammar = RandomHierarchy.draw(0, vocab_size=4, n_classes=4, n_synonyms=2, n_levels=2)
    shape = Shape(4, 4, 3, (2, 2), 2)
    patch = PatchNetworks(shape, [generator() for _ in range(4)])
    kernel = cube_ridge.CubeKernel.of(dot_product_kernels.rbf, 4)
    x = torch.randn(3, 8, 4, generator=generator()).unbind()
    sample = Sample(x, tuple(one.square().sum(1) for one in x))
    forms = SquaredForms(torch.ones(3), torch.ones(3, 4, 4), torch.ones(3, 4), torch.ones(3),
                         torch.ones(4, 4))  # fmt: skip
    strings = torch.ones(20, 4, dtype=torch.int64)
    sets = TrainingSets(strings, strings[:, 0], [5] * 4, [generator() for _ in range(4)])
    pools = pooled.Pools(torch.ones(2, 6, 4), torch.ones(2, 6), [0, 0, 1, 1], [3] * 4, [0, 1])
    return {type(one): one for one in (
        teachers, net, protocol, plan, task, grammar, shape, patch, kernel, sample, forms, sets,
        pools, patch.new_head(2), grammar.blocks[0],
        DialedHierarchy.draw(0, vocab_size=4, n_classes=4, n_synonyms=2, n_levels=2),
        hypercube.ParityClass(4, (2,), (1.0,)),
        hypercube.Hierarchies.draw([0, 1], dim=4, amplitudes=(1.0, 0.5)),
        sigmoid.TrainedNetworks(2, 2, dim=4, width=3, activation="relu"),
        sigmoid.FrozenFeatures(0, dim=4, width=3),
        two_layer.TwoLayerNetworks([0, 1, 2, 3], 4, two_layer.TwoLayerTraining(3, (), 0.1, 8, 2)),
        two_layer.TwoLayerTraining(3, (), 0.1, 8, 2),
        DeepNetworks(4, dim=4, depth=2, width=3),
        Normalization(4, 3, torch.ones(1)),
        loop.Batches(task, 5, torch.ones(1)),
        loop.Loop(net, task, plan, 5),
        Stage(sample.y, torch.ones(2)),
        OriginalTarget.draw(0, dim=4, widths=(3, 2)),
        Learner(torch.eye(3, 4).double(), [], torch.ones(10).double()),
        TrainedLevel(torch.ones(4, 8).double(), torch.ones(4, 4).double(), cross),
        assumption(draw_rules(generator(), 4, 2, 2)),
    )}  # fmt: skip


def residual() -> nn.ModuleList:
    return networks.resnet(3, (2, 3), n_blocks=1, scale=0.5, generator=generator())


def head() -> nn.Module:
    return networks.head("gap", 3, size=2, generator=generator())


def cross(x: Tensor, z: Tensor) -> Tensor:
    return torch.exp(x @ z.T)


NAMED: dict[str, Any] = {
    "dim": 4, "degree": 2, "n": 2, "seeds": [0, 1], "seed": 0, "widths": (3, 2), "skip": 0.5,
    "generator": None, "dtype": torch.float32, "device": "cpu", "opens": (0, 2), "n_steps": 8,
    "distribution": "sum", "radius": 1.0, "amplitudes": (1.0, 0.5), "degrees": (1, 3),
    "activation": "relu", "kind": "t", "dial": "none", "t": 0.0, "vocab_size": 4, "n_classes": 4,
    "n_synonyms": 2, "n_levels": 2, "branching": 2, "ridges": [0.1], "fans": [(3, 4)],
    "gaps": [0.5, 0.5], "radices": (4, 2), "digits": [1, 1], "bound": 9, "edges": [0.0, 1.0, 2.0],
    "optimizer": "adam", "patches": (2, 2), "powers": (1, 2), "stage": 2, "level": 1, "v": 4,
    "m": 2, "n_parents": 4, "base": 2, "share": 0.5, "kernel": cross, "outer": torch.exp,
    "inner": torch.exp, "multiplicities": [1, 2], "eigenvalues": [0.5, 0.25], "n_targets": 3,
    "error": 0.3, "values": [1.0, 2.0], "x": [1.0, 2.0], "y": [1.0, 2.0], "radii": [0.5, 1.0],
    "uniforms": [0.1, 0.9], "owners": [0, 0, 1, 1], "sizes": [3, 3, 3, 3], "rates": [0.1] * 4,
    "momentum": 0.5, "thaw": 3, "look_back": 1, "tolerance": 1e-3, "every": 50, "lowest": 1,
    "n_strings": 9, "runs": None, "training": True, "labels": None,
    "indices": [0, 1], "observed": [0], "at": [0], "index": 1, "n_open": 2, "least": 1,
    "loss": nn.functional.mse_loss, "law": "uniform",
}  # fmt: skip


def value(annotation: Any, name: str, axes: dict[str, int]) -> Any:
    """Make an argument that fits an annotation."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if hasattr(annotation, "dim_str"):
        return tensor(annotation, axes)
    if annotation is torch.Generator:
        return generator()
    if annotation in instances():
        return instances()[annotation]
    if annotation is Tensor:
        return torch.zeros(4, 4, dtype=torch.int64)
    if origin in (UnionType, typing.Union) and not NAMED.get(name):
        return value(inner[0], name, axes)
    if origin is tuple and hasattr(inner[0], "dim_str") and inner[-1] is not Ellipsis:
        return tuple(value(one, name, axes) for one in inner)
    if origin is not None and inner and inner[0] is torch.Generator:
        return [generator() for _ in range(4)]
    if origin is not None and inner and hasattr(inner[0], "dim_str"):
        return tuple(value(inner[0], name, axes) for _ in range(2))
    if annotation is int and not isinstance(NAMED.get(name), int):
        return 3
    if annotation is float and not isinstance(NAMED.get(name), float):
        return 0.5
    if annotation is bool:
        return True
    return NAMED.get(name)


def tensor(annotation: Any, axes: dict[str, int]) -> Tensor:
    shape = []
    for word in annotation.dim_str.split():
        if word == "..." or word.startswith("*"):
            shape += [3, 2]
        else:
            shape.append(int(word) if word.isdigit() else axes.get(word, 4))
    types = annotation.dtypes if isinstance(annotation.dtypes, tuple) else ("float32",)
    if "float64" in types:
        dtype = torch.get_default_dtype() if "float32" in types else torch.float64
        return torch.randn(shape, generator=generator(), dtype=dtype)
    if "int64" in types:
        return torch.ones(shape, dtype=torch.int64)
    if "bool" in types:
        return torch.ones(shape, dtype=torch.bool)
    return torch.ones(shape, dtype=torch.uint8)


def arguments(name: str) -> tuple[Callable[..., Any], dict[str, Any]]:
    """A fresh call of this callable: the function, bound to an object, and its arguments."""
    one = CALLABLES[name]
    parameters = dict(inspect.signature(one).parameters)
    function, owner = one, name.split(".")[1]
    kinds = {kind.__name__: kind for kind in instances()}
    if name.endswith(".__init__"):
        parameters.pop("self")
        module = importlib.import_module(one.__module__)
        function = getattr(module, owner)
    elif "self" in parameters:
        parameters.pop("self")
        concrete = "DeepNetworks" if owner == "PolynomialNetworks" else owner
        function = getattr(instances()[kinds[concrete]], name.split(".")[-1])
    own = special().get(name, dict)()
    return function, own | {
        k: value(p.annotation, k, AXES)
        for k, p in parameters.items()
        if k not in own
        and (
            p.default is p.empty or hasattr(p.annotation, "dim_str") or p.annotation in (int, float)
        )
    }


@cache
def special() -> dict[str, Callable[[], dict[str, Any]]]:
    """What the names and types of parameters do not tell, made anew for each call."""
    have = {kind.__name__: one for kind, one in instances().items()}
    grammar, patch = have["RandomHierarchy"], have["PatchNetworks"]
    strings, labels = grammar.sample(3, generator())
    labels, choices = grammar.parse(strings)
    one = QuadraticTeachers.draw([0], dim=4, widths=(3, 2), skip=0.5)
    sample, forms, plan = have["Sample"], have["SquaredForms"], have["Plan"]
    table = torch.full((4, 3, 2), 5.0) + torch.arange(4)[:, None, None] % 3 * torch.eye(3, 2)
    counts = {"counts": table, "parents": torch.tensor([0, 0, 1, 1])}
    have["Normalization"].forward(torch.randn(4, 3, 4), True)
    deep, polynomial = have["DeepNetworks"], {"seeds": [0, 1, 2, 3]}
    x, points = torch.randn(4, 5, 4), torch.randn(120, 4, generator=generator()).double()
    return {
        "ball/training.adam": lambda: {
            "batches": ((torch.ones(2, 5, 5), torch.ones(4, 5)) for _ in range(8))},
        "images/networks.head": lambda: {"kind": "gap"},
        "images/networks.resnet": lambda: {"widths": (2, 3), "scale": 0.5},
        "images/networks.depth": lambda: {"stages": residual()},
        "images/networks.forward": lambda: {"stages": residual(), "x": torch.randn(5, 3, 8, 8)},
        "images/measures.cosine": lambda: {"stage": residual()[0], "other": residual()[0]},
        "images/measures.probe_accuracy": lambda: {
            "features": torch.randn(9, 4), "y": torch.arange(9),
            "test_features": torch.randn(5, 4), "test_y": torch.arange(5)},
        "images/training.train": lambda: {
            "stages": list(residual()), "head": head(), "x": torch.randn(5, 3, 8, 8),
            "y": torch.arange(5), "batches": torch.tensor([[0, 1], [2, 3]]), "rate": 0.1,
            "decay": 0.1, "lowest": 1},
        "images/training.settle": lambda: {
            "stage": residual()[0], "x": torch.randn(5, 3, 8, 8),
            "batches": torch.tensor([[0, 1], [2, 3]])},
        "quadratic/modules.train": lambda: {
            "net": Levels(4), "batches": ((torch.ones(5, 4), torch.ones(5)) for _ in range(8))},
        "cube/networks.PolynomialNetworks.backward": lambda: {
            "x": x, "slope": deep.output(x, training=True)},
    } | {name: partial(dict, same) for name, same in {
        "conditions/bits.all_points": {"means": torch.tensor([0.5, 0.0, 0.2, -0.3])},
        "conditions/bits.inner_dirt": {"means": torch.tensor([0.5, 0.0, 0.2, -0.3])},
        "conditions/bits.supports": {"order": [0, 1, 2, 3]},
        "conditions/bits.learn_by_layers": {"x": torch.randn(9, 4), "y": torch.randn(9),
                                             "widths": [2, 1]},
        "conditions/bits.solve": {"weights": torch.ones(4)},
        "conditions/bits.alternate": {"weights": torch.ones(4)},
        "conditions/labels.shares": {"joint": torch.rand(4, 2, 3) + 0.1, "m": 2},
        "conditions/labels.margin": {"joint": torch.rand(4, 2, 3) + 0.1, "m": 2},
        "ball/measures.certificate": {"norms": torch.ones(3)},
        "ball/measures.learned_fractions": {"norms": torch.tensor([0.5, 1.0, 1.5, 1.9])},
        "cube/target.hamming": {"x": torch.ones(4, 4), "z": -torch.ones(3, 4)},
        "certificate.symmetrized": {"tensor": torch.randn(3, 3, 3)},
        "certificate.spectrum": {"tensor": torch.randn(3, 3, 3, 3)},
        "certificate.least_errors": {"tensors": [torch.ones(3), torch.randn(3, 3)]},
        "ball/target.RadialDistribution.__init__": {"title": "t", "end": 2.0, "draw": len,
                                              "density": len},
        "grammar/derivations.best_cut": {"rules": grammar.rules},
        "grammar/derivations.Block.__init__": {"table": grammar.blocks[0].table},
        "grammar/target.RandomHierarchy.derive": {"labels": labels, "choices": choices},
        "grammar/target.RandomHierarchy.data_at": {"indices": torch.arange(3)},
        "grammar/target.RandomHierarchy.parse": {"strings": strings},
        "grammar/target.RandomHierarchy.symbols_at": {"strings": strings},
        "grammar/target.RandomHierarchy.swap_synonyms": {"strings": strings},
        "grammar/target.RandomHierarchy.__init__": {"rules": grammar.rules},
        "grammar/dials.DialedHierarchy.labels": {"strings": strings},
        "quadratic/target.QuadraticTeachers.__init__": {"mixing": (torch.ones(2, 2, 3),),
                                                 "skips": (torch.ones(2, 2, 4),)},
        "grammar/counting.weighted_k_means": {"weights": torch.ones(4)},
        "grammar/layerwise_theorem/learner.fit_stage": {"counts": torch.ones(4, 4).double()},
        "grammar/layerwise_theorem/learner.TrainedLevel.__call__": {
            "patches": torch.ones(3, 8).double()},
        "grammar/layerwise_theorem/learner.read": {"stages": [have["TrainedLevel"]]},
        "grammar/layerwise_theorem/target.Assumption.__init__": {
            "squares": have["Assumption"].squares},
        "grammar/networks.Shape.inputs_of": {"layer": 1},
        "grammar/networks.TrainingSets.__init__": {"sizes": [5] * 4},
        "grammar/networks.forward": {"weights": patch.weights, "biases": patch.biases,
                                "eye": patch.eye},
        "grammar/networks.read_out": {"top": torch.ones(4, 8, 3), "head": torch.ones(4, 6, 4),
                                 "batch": 4},
        "cube/exact_error.CubeKernel.of": {"kernel": dot_product_kernels.rbf},
        "cube/exact_error.CubeKernel.from_values": {
            "values": have["CubeKernel"].values},
        "cube/networks.PolynomialNetworks.initialize": polynomial,
        "quadratic/simpler/sequential.Stage.__init__": {
            "predictions": sample.y, "weights": torch.ones(2)},
        "quadratic/simpler/sequential.Sample.__init__": {"x": sample.x, "y": sample.y},
        "quadratic/simpler/sequential.fit_quadratic": {"inputs": sample.x},
        "quadratic/simpler/two_layer.TwoLayerNetworks.to": {"device": torch.device("cpu")},
        "quadratic/simpler/two_layer.train": polynomial,
        "quadratic/training.Batches.flipped": {"noise": torch.ones(2, 5)},
        "quadratic/training.Batches.read": {"drawn": torch.ones(2, 5, 4)},
        "quadratic/training.Loop.run": {"observe": lambda step: None},
        "quadratic/training.basis": {"x": torch.ones(2, 5, 4)},
        "quadratic/original/alternation.Learner.__init__": {"upper": []},
        "quadratic/original/alternation.columns": {"features": [torch.ones(4, 2).double()]},
        "quadratic/original/alternation.least_squares": {"a": torch.randn(4, 3).double()},
        "quadratic/original/alternation.level_2": {"coefficients": torch.ones(10).double(), "k": 2},
        "quadratic/original/alternation.refit": {
            "x": points, "y": points.square().sum(1), "kept": 0,
            "widths": [2, 2], "alphas": [1.0, 0.5],
            "learner": Learner(torch.eye(2, 4).double(), [], torch.ones(10).double())},
        "quadratic/original/alternation.root": {"k": 2},
        "quadratic/original/target.OriginalTarget.__init__": {
            "mixing": (torch.ones(2, 3).double(),), "skips": (torch.ones(2, 4).double(),)},
        "quadratic/original/target.plateau": {"target": OriginalTarget.draw(
            0, dim=4, widths=(3, 2))},
        "quadratic/modules.fresh_batches": {"teachers": one},
        "cube/training.train": {"net": deep},
        "quadratic/protocols.Plan.__init__": {"starts": plan.starts},
        "quadratic/protocols.compile_plan": {"protocols": [have["Protocol"]] * 2,
                                   "gaps": [[1.0, 0.5], [1.0, 0.2]]},
        "quadratic/measures.nearest_rotation": {"truth": torch.ones(4, 2, 4)},
        "quadratic/layerwise/floors.SquaredForms.minus": {"other": forms},
        "quadratic/layerwise/floors.bias_form_of_level_4": {
            "teachers": QuadraticTeachers.draw([0], dim=4, widths=(3, 2, 2), skip=0.5)},
        "grammar/measures.detectability": counts,
        "grammar/measures.rule_counts": {"strings": strings, "labels": labels},
        "grammar/measures.conditions": counts,
        "intervals.t_interval": {"samples": torch.ones(2, 5).double().numpy()},
    }.items()}  # fmt: skip


class Levels(nn.Module):
    """Two levels, linear in the inputs."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.levels = nn.ModuleList([nn.Linear(dim, 1), nn.Linear(dim, 1)])

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([level(x) for level in self.levels], 1)


ABSTRACT = "cube/networks.PolynomialNetworks.__init__"


@contextmanager
def doors_alone() -> Iterator[None]:
    """Switch off what checks signatures while testing: a reader has the doors and nothing else."""
    jaxtyping.config.update("jaxtyping_disable", True)
    try:
        yield
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


# --- spoilt arguments -----------------------------------------------------------------------


def spoilt(given_value: Any) -> list[Any]:
    """What nobody should pass in place of a value."""
    if isinstance(given_value, Tensor):
        return spoilt_tensors(given_value)
    if isinstance(given_value, bool) or given_value is None:
        return ["yes"]
    if isinstance(given_value, int):
        return [-1, -2, 17, 2.5, math.nan, "2", True, torch.ones(2, 2)]
    if isinstance(given_value, float):
        return [-1.0, math.nan, math.inf, -math.inf, "2", True, torch.ones(2, 2)]
    if isinstance(given_value, str):
        return ["nowhere", 3]
    if isinstance(given_value, (list, tuple)):
        kind = type(given_value)
        longer = kind([*given_value, *given_value[-1:]])
        return [kind(given_value[:-1]), longer, 3, *(
            kind([*given_value[:-1], worse]) for last in given_value[-1:] for worse in spoilt(last)
        )]  # fmt: skip
    return [3, "x", None]


def spoilt_tensors(right: Tensor) -> list[Any]:
    found: list[Any] = [right[None], right.tolist(), "x", None]
    for axis in range(right.ndim):
        found += [right.select(axis, 0), torch.cat([right, right.narrow(axis, 0, 1)], axis)]
        if right.shape[axis] > 1:
            found += [right.narrow(axis, 0, 1), right.narrow(axis, 1, right.shape[axis] - 1)]
    if right.ndim == 2:
        found.append(right.T)
    if right.is_floating_point():
        other = torch.float64 if right.dtype == torch.float32 else torch.float32
        found += [right.long(), right.to(other), right.to(torch.complex64)]
    elif right.dtype != torch.bool:
        found += [right.float(), right - 2, right + 200, right.bool()]
    return found


def negative(wrong: Any) -> bool:
    """Whether an integer counts from the end, or one of a tensor or sequence of integers does."""
    if isinstance(wrong, Tensor):
        return wrong.dtype in (torch.int64, torch.int32) and bool((wrong < 0).any())
    if isinstance(wrong, (list, tuple)):
        return any(map(negative, wrong))
    return isinstance(wrong, int) and wrong < 0


def not_a_number(wrong: Any) -> bool:
    if isinstance(wrong, (list, tuple)):
        return any(map(not_a_number, wrong))
    return isinstance(wrong, float) and math.isnan(wrong)


# Seeds name streams, a count below 0 leaves no cell out, and -1 in a table says "no rule".
NEGATIVE = {"seed", "seeds", "least", "grammar/dials.blur"}
NAN_STAYS_NAN = {"radii"}
