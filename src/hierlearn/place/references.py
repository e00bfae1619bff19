r"""The reference learners of the map: classes with `fit(X, y)` and `predict(X)`, as yours is.

All see the same arrays. What a learner tunes it tunes on a fifth of its own training data, and
`n_fits_` counts the fits. Those *told* the architecture know the shape of the target's own network,
widths and gaps or vocabulary and depth, but none of its weights; they exist on their family only.
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hierlearn.engine.adam import Adam, step_sizes
from hierlearn.engine.doors import plain
from hierlearn.engine.kernels import (
    neural_tangent_kernel,
    polynomial_kernel,
    rbf_kernel,
    ridge_weights,
)
from hierlearn.engine.seeds import stream
from hierlearn.grammar.networks import PatchNetworks, Shape, TrainingSets
from hierlearn.place.tasks import Task
from hierlearn.place.walk import Learner
from hierlearn.quadratic import protocols
from hierlearn.quadratic.layerwise.turns import TurnConfig, take_turns
from hierlearn.quadratic.networks import QuadraticNetworks
from hierlearn.quadratic.simpler.feature_machine import gradient_outer_product
from hierlearn.quadratic.simpler.two_layer import (
    TwoLayerNetworks,
    TwoLayerTraining,
    integer_power,
    train,
)
from hierlearn.quadratic.training import ADAM_EPSILON

Array = NDArray[Any]
TUNED_ON = 1000
"""A kernel is chosen on at most so many points."""
METRIC_FROM = 2000
"""A metric is learned from at most so many points."""


def _held_out(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Split n points at random into four fifths and the fifth that is tuned on."""
    order = torch.randperm(n, generator=stream("held out", seed))
    return order[n // 5 :], order[: n // 5]


class _Targets:
    """Labels as columns: centered numbers, or a centered indicator a class."""

    def __init__(self, y: Array) -> None:
        self.classes = None if y.dtype.kind == "f" else np.unique(y)
        columns = y[:, None] if self.classes is None else y[:, None] == self.classes
        self.mean = columns.mean(0).astype(float)
        self.columns = torch.from_numpy(columns - self.mean).double()

    def labels(self, columns: Tensor) -> Array:
        """Turn predicted columns into labels."""
        found = columns.double().numpy() + self.mean
        return found[:, 0] if self.classes is None else self.classes[found.argmax(1)]

    def error(self, columns: Tensor, rows: Tensor) -> float:
        """Return the mean squared error, or the share of wrong classes, on these rows."""
        if columns.isnan().any():
            return float("inf")
        truth = self.columns[rows]
        if self.classes is None:
            return float((columns - truth).square().mean())
        return float((columns.argmax(1) != truth.argmax(1)).double().mean())


def _standard(X: Array) -> tuple[Callable[[Array], Tensor], Tensor]:
    """Return the map that scales inputs to mean square one, and what it does to X."""
    scale = float(np.sqrt(np.mean(np.square(X, dtype=float)))) or 1.0

    def scaled(points: Array) -> Tensor:
        return torch.from_numpy(np.asarray(points, dtype=float) / scale)

    return scaled, scaled(X)


# --- kernels ----------------------------------------------------------------------------------


def laplace_kernel(x: Tensor, z: Tensor) -> Tensor:
    r"""Compute $e^{-\lVert x-z\rVert/\sqrt d}$."""
    return torch.exp(-torch.cdist(x, z) / x.shape[1] ** 0.5)


KERNELS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "poly2": partial(polynomial_kernel, degree=2),
    "poly4": partial(polynomial_kernel, degree=4),
    "rbf": partial(rbf_kernel, bandwidth=1.0),
    "rbf wide": partial(rbf_kernel, bandwidth=2.5),
    "laplace": laplace_kernel,
    "ntk1": partial(neural_tangent_kernel, hidden=1),
}
RIDGES = (1e-6, 1e-2)


class KernelRidge:
    """Ridge regression with that of `KERNELS`, and that of `RIDGES`, which do best held out."""

    n_fits_ = len(KERNELS) * len(RIDGES) + 1

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def fit(self, X: Array, y: Array) -> "KernelRidge":
        """Choose kernel and ridge on at most `TUNED_ON` points; fit all."""
        self.scaled, self.x = _standard(X)
        self.targets = _Targets(y)
        own, other = _held_out(min(len(X), TUNED_ON), self.seed)
        tried: dict[tuple[str, float], float] = {}
        for name, kernel in KERNELS.items():
            gram, cross = kernel(self.x[own], self.x[own]), kernel(self.x[other], self.x[own])
            found = ridge_weights(gram, self.targets.columns[own], ridges=RIDGES)
            for ridge, weights in zip(RIDGES, found, strict=True):
                tried[name, ridge] = self.targets.error(cross @ weights, other)
        self.chosen, ridge = min(tried, key=lambda key: tried[key])
        self.kernel = KERNELS[self.chosen]
        gram = self.kernel(self.x, self.x)
        (self.weights,) = ridge_weights(gram, self.targets.columns, ridges=(ridge,))
        return self

    def predict(self, X: Array) -> Array:
        """Predict labels."""
        return self.targets.labels(self.kernel(self.scaled(X), self.x) @ self.weights)


class FeatureMachine:
    r"""Recursive feature machine: ridge regression with $(1+x^\top Mz)^p$, M from gradients.

    As `quadratic.simpler.feature_machine`, for several outputs, whose gradient outer products are
    added up. Degree, ridge and round are those that do best held out.
    """

    degrees, n_updates = (2, 4), 3
    n_fits_ = len(degrees) * len(RIDGES) * (n_updates + 1) + 1

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def fit(self, X: Array, y: Array) -> "FeatureMachine":
        """Learn the metric on four fifths of at most `METRIC_FROM` points; fit all with it."""
        self.scaled, self.x = _standard(X)
        self.targets = _Targets(y)
        own, other = _held_out(min(len(X), METRIC_FROM), self.seed)
        tried = [found for degree in self.degrees for found in self._rounds(degree, own, other)]
        _, self.degree, ridge, self.metric = min(tried, key=lambda one: one[0])
        gram = self._kernel(self.x, self.x, self.metric, self.degree)
        (self.weights,) = ridge_weights(gram, self.targets.columns, ridges=(ridge,))
        return self

    def _rounds(
        self, degree: int, own: Tensor, other: Tensor
    ) -> Iterator[tuple[float, int, float, Tensor]]:
        x = self.x[own]
        dim = x.shape[1]
        metric = torch.eye(dim).double() / dim
        for _ in range(self.n_updates + 1):
            gram = self._kernel(x, x, metric, degree)
            cross = self._kernel(self.x[other], x, metric, degree)
            found = list(ridge_weights(gram, self.targets.columns[own], ridges=RIDGES))
            errors = [self.targets.error(cross @ weights, other) for weights in found]
            best = min(range(len(RIDGES)), key=errors.__getitem__)
            yield errors[best], degree, RIDGES[best], metric
            inner = x @ metric @ x.T
            parts = [
                gradient_outer_product(inner, x, metric, column, degree) for column in found[best].T
            ]
            metric = sum(parts[1:], parts[0])
            metric = metric / metric.trace()

    @staticmethod
    def _kernel(x: Tensor, z: Tensor, metric: Tensor, degree: int) -> Tensor:
        return integer_power(1 + x @ metric @ z.T, degree)

    def predict(self, X: Array) -> Array:
        """Predict labels."""
        cross = self._kernel(self.scaled(X), self.x, self.metric, self.degree)
        return self.targets.labels(cross @ self.weights)


# --- of scikit-learn ----------------------------------------------------------------------------


class Neighbors:
    """The mean, or the vote, of the k nearest points; k does best held out."""

    tried = (1, 5, 20)
    n_fits_ = len(tried) + 1

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def fit(self, X: Array, y: Array) -> "Neighbors":
        """Choose k, and keep all points."""
        from sklearn import neighbors

        real = y.dtype.kind == "f"
        kind = neighbors.KNeighborsRegressor if real else neighbors.KNeighborsClassifier
        own, other = (part.numpy() for part in _held_out(len(X), self.seed))
        errors = {}
        for k in (k for k in self.tried if k <= len(own)):
            guess = kind(k, algorithm="brute").fit(X[own], y[own]).predict(X[other])
            errors[k] = float(np.mean(np.square(guess - y[other]) if real else guess != y[other]))
        self.model = kind(min(errors, key=errors.__getitem__), algorithm="brute").fit(X, y)
        return self

    def predict(self, X: Array) -> Array:
        """Predict labels."""
        return self.model.predict(X)


def forest(seed: int, real: bool) -> Any:
    """Return a random forest of 50 trees, which try a third of the inputs at each split."""
    from sklearn import ensemble

    kind = ensemble.RandomForestRegressor if real else ensemble.RandomForestClassifier
    return kind(50, max_features=1 / 3, min_samples_leaf=2, random_state=seed, n_jobs=1)


def boosting(seed: int, real: bool) -> Any:
    """Return histogram gradient boosting of 50 rounds."""
    from sklearn import ensemble

    kind = (
        ensemble.HistGradientBoostingRegressor if real else ensemble.HistGradientBoostingClassifier
    )
    return kind(random_state=seed, max_iter=50, learning_rate=0.2)


class Perceptron:
    """A ReLU network of three hidden layers of 64 units, trained by Adam for at most n_steps."""

    n_fits_ = 1

    def __init__(self, seed: int, *, n_steps: int) -> None:
        self.seed, self.n_steps = seed, n_steps

    def fit(self, X: Array, y: Array) -> "Perceptron":
        """Train on standardized inputs, in whole epochs of batches of 128."""
        from sklearn import exceptions, neural_network, pipeline, preprocessing

        real = y.dtype.kind == "f"
        kind = neural_network.MLPRegressor if real else neural_network.MLPClassifier
        size = min(128, len(X))
        network = kind(
            hidden_layer_sizes=(64, 64, 64), random_state=self.seed, batch_size=size,
            max_iter=max(1, self.n_steps * size // len(X)),
        )  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", exceptions.ConvergenceWarning)
            scaled = pipeline.make_pipeline(preprocessing.StandardScaler(), network)
            self.model = scaled.fit(X, y)
        return self

    def predict(self, X: Array) -> Array:
        """Predict labels."""
        return self.model.predict(X)


# --- networks of the book -----------------------------------------------------------------------


class TwoLayer:
    """Chapter 6's two-layer network of GELU units, at its best checkpoint on held-out data.

    Real labels, or two classes.
    """

    n_fits_ = 1

    def __init__(self, seed: int, *, n_steps: int) -> None:
        self.seed = seed
        self.training = TwoLayerTraining(
            width=128, powers=(), rate=0.03, n_steps=n_steps, batch=128
        )

    def fit(self, X: Array, y: Array) -> "TwoLayer":
        """Train on four fifths of the data; keep the best of eight checkpoints on the rest."""
        self.scaled, x = _standard(X)
        self.targets = _Targets(y)
        column = self.targets.columns[:, -1].float()
        self.scale = float(column.std()) or 1.0
        parts = [(x[rows].float()[None], column[rows][None] / self.scale)
                 for rows in _held_out(len(X), self.seed)]  # fmt: skip
        self.net = TwoLayerNetworks([self.seed], X.shape[1], self.training)
        train(self.net, *parts[0], *parts[1], [self.seed])
        guess = self.net.outputs(x.float()[None])[0]
        self.offset = float(column.mean() / self.scale - guess.mean())  # it fits up to a constant
        return self

    def predict(self, X: Array) -> Array:
        """Predict labels."""
        guess = self.net.outputs(self.scaled(X).float()[None])[0] + self.offset
        column = (guess * self.scale)[:, None]
        two = column if self.targets.classes is None else torch.cat([-column, column], 1)
        return self.targets.labels(two)


ORDERS = ("greedy", "cyclic", "thawed", "staged", "joint")
TURN, BATCH = 250, 256


class Hierarchical:
    r"""The quadratic network of the target's own shape, trained in one of `ORDERS`.

    "greedy": levels one after the other, those below frozen. "cyclic": then in turns, `TURN` steps
    each. "thawed": greedy for two thirds of the steps, then all levels. "staged": levels open one
    after the other and none is frozen. "joint": all from the start.
    """

    n_fits_ = 1

    def __init__(
        self, seed: int, *, order: str, widths: Sequence[int], gaps: Sequence[float], n_steps: int
    ) -> None:
        self.seed, self.order, self.gaps, self.n_steps = seed, order, tuple(gaps), n_steps
        self.widths = tuple(widths)

    def _plan(self) -> protocols.Plan:
        n, steps = len(self.widths), self.n_steps
        last = 2 * steps // 3 if self.order in ("thawed", "cyclic") else steps
        opens = (0,) * n if self.order == "joint" else tuple(last * i // n for i in range(n))
        back = 1 if self.order in ("greedy", "thawed", "cyclic") else None
        thaw = last if self.order == "thawed" else None
        plan = protocols.compile_plan([protocols.Protocol(opens, back, thaw)], [self.gaps], steps)
        if self.order != "cyclic":
            return plan
        turns = TurnConfig(
            dim=1, widths=self.widths, gaps=self.gaps, opens=opens, n_steps=steps, turn=TURN
        )
        return take_turns(plan, [turns])

    def fit(self, X: Array, y: Array) -> "Hierarchical":
        """Train on batches of the data, on the variance of what is left."""
        x = torch.from_numpy(np.asarray(X, dtype=np.float32))
        truth = torch.from_numpy(np.asarray(y, dtype=np.float32))
        net = QuadraticNetworks(1, 1, dim=x.shape[1], widths=self.widths)
        net.initialize([self.seed])
        self.net = net = plain(net)
        plan, draws = self._plan(), stream("hierarchical batches", self.seed)
        adam = Adam(net.theta, net.grad, protocols.ADAM_BETAS, ADAM_EPSILON)
        sizes = step_sizes(plan.rates, protocols.ADAM_BETAS).flatten(1).to(x)
        moving = torch.ones(1)
        for step, size in enumerate(sizes):
            if step in plan.starts:
                stage = plan.starts.index(step)
                moving = plan.trained[stage].flatten().to(x)
                adam.hold(moving[net.owner])
                self.head = plan.gates[stage].to(x) * torch.tensor([self.gaps])
                n_open = int(plan.gates[stage].sum())
            index = torch.randint(len(x), (BATCH,), generator=draws)
            batch = x[None, index]
            z = net.level_outputs(batch, n_open)
            slope = net.head(z, self.head) - truth[index]
            slope = (slope - slope.mean()) * (2 / BATCH)
            net.backward(batch, z, slope, head_weights=self.head, n_open=n_open)
            adam.step((size * moving)[net.owner])
        self.offset = float(truth.mean() - self._output(x).mean())
        return self

    def _output(self, x: Tensor) -> Tensor:
        return self.net.head(self.net.level_outputs(x[None]), self.head)[0].clone()

    def predict(self, X: Array) -> Array:
        """Predict labels."""
        x = torch.from_numpy(np.asarray(X, dtype=np.float32))
        return self._output(x).double().numpy() + self.offset


class Patches:
    r"""Chapter 4's networks on strings, given as one-hot symbols, position by position.

    `shape` with patches of two is the matched CNN, "joint" or "greedy" (every layer with a head of
    its own, those below frozen) or "thawed" (greedy, then all layers); a first patch as long as the
    string is a dense network, which is told only where one symbol ends.
    """

    n_fits_ = 1

    def __init__(self, seed: int, *, order: str, shape: Shape, n_steps: int) -> None:
        self.seed, self.order, self.shape, self.n_steps = seed, order, shape, n_steps

    def _strings(self, X: Array) -> Tensor:
        symbols = np.asarray(X).reshape(len(X), -1, self.shape.vocab_size).argmax(2)
        return torch.from_numpy(symbols.astype(np.int32))

    def fit(self, X: Array, y: Array) -> "Patches":
        """Train by SGD on the cross-entropy, until its tolerance or the cap on the steps."""
        sets = TrainingSets(
            self._strings(X), torch.from_numpy(np.asarray(y, dtype=np.int64)), [len(X)],
            [stream("patch batches", self.seed)],
        )  # fmt: skip
        self.net = PatchNetworks(self.shape, [stream("patch layers", self.seed)])
        top = self.shape.n_layers
        for stage in range(1 if self.order in ("greedy", "thawed") else top, top + 1):
            last = stage == top
            self.head = self.net.new_head(stage)
            lowest = 1 if self.order == "joint" else stage
            self.net.fit(sets, self.head, lowest=lowest, n_steps=self.n_steps // (1 if last else 4))
        if self.order == "thawed":
            self.net.fit(sets, self.head, lowest=1, n_steps=self.n_steps)
        return self

    def predict(self, X: Array) -> Array:
        """Predict classes."""
        parts = self._strings(X).split(500)
        found = [self.net.logits(part[None], self.head)[0].argmax(1) for part in parts]
        return torch.cat(found).numpy()


# --- the table ----------------------------------------------------------------------------------

STEPS = {1: 500, 2: 2000, 3: 2500}
"""Steps of a quadratic network, by its number of levels from level 2 on."""
PATCH_STEPS, GENERIC_STEPS = 2000, 1000


def references(effort: int = 1) -> dict[str, Learner]:
    """Return the reference learners by name; `effort` multiplies the steps of those trained."""

    def real(task: Task) -> bool:
        return task.kind == "regression"

    def told(order: str) -> Callable[[Task, int], Any]:
        def make(task: Task, seed: int) -> Any:
            if task.family == "grammar":
                return _patches(task, seed, order, (2,) * task.shape["n_levels"], effort)
            widths, gaps = task.shape["widths"], task.law(seed).amplitudes
            n_steps = STEPS[len(widths)] * effort
            return Hierarchical(seed, order=order, widths=widths, gaps=gaps, n_steps=n_steps)

        return make

    def dense(task: Task, seed: int) -> Any:
        return _patches(task, seed, "joint", (2 ** task.shape["n_levels"], 1, 1), effort)

    generic = GENERIC_STEPS * effort
    found = [
        Learner("kernel ridge", lambda task, seed: KernelRidge(seed)),
        Learner("feature machine", lambda task, seed: FeatureMachine(seed)),
        Learner("neighbors", lambda task, seed: Neighbors(seed)),
        Learner("forest", lambda task, seed: forest(seed, real(task))),
        Learner(
            "boosting", lambda task, seed: boosting(seed, real(task)),
            families=("quadratic", "original", "cube", "grammar", "ball"),
        ),
        Learner("perceptron", lambda task, seed: Perceptron(seed, n_steps=generic)),
        Learner(
            "two layers", lambda task, seed: TwoLayer(seed, n_steps=generic),
            families=("quadratic", "original", "cube", "ball"),
        ),
        Learner("dense network", dense, families=("grammar",)),
        *(
            Learner(order, told(order), told=True, families=families)
            for order, families in TOLD.items()
        ),
    ]  # fmt: skip
    return {learner.name: learner for learner in found}


TOLD = {
    "greedy": ("quadratic", "grammar"),
    "cyclic": ("quadratic",),
    "thawed": ("quadratic", "grammar"),
    "staged": ("quadratic",),
    "joint": ("quadratic", "grammar"),
}
"""Who is told the architecture, and of which families."""


def _patches(task: Task, seed: int, order: str, patches: tuple[int, ...], effort: int) -> Patches:
    matched = len(set(patches)) == 1
    v, n_classes = task.shape["vocab_size"], task.shape["n_classes"]
    shape = Shape(v, n_classes, 64 if matched else 128, patches, v if matched else patches[0])
    return Patches(seed, order=order, shape=shape, n_steps=PATCH_STEPS * effort)
