r"""The tasks of the map: targets of every wing as plain arrays, each with ladder and yardsticks.

An error is relative to the best constant, which therefore has error 1: $E(F-y)^2/\mathrm{Var}\,y$
of regression, the share of wrong labels over that of the most frequent label of classification.
A target depends on its seed only, and so do its training data. Test points come from another
stream, which a salt names: a learner that is not told the salt cannot foresee them. Where inputs
are discrete, a random half of all there are is for training and the other for tests.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from math import comb, sqrt
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hierlearn.ball.target import ball_indicator, sample
from hierlearn.cube.target import Hierarchies, draw_points
from hierlearn.engine.seeds import stream
from hierlearn.experiment import PROFILES
from hierlearn.grammar.dials import DialedHierarchy
from hierlearn.images.data import load
from hierlearn.quadratic.original.target import OriginalTarget
from hierlearn.quadratic.target import QuadraticTeachers

Array = NDArray[Any]
Sampler = Callable[[int, torch.Generator, bool], tuple[Tensor, Tensor]]
"""Draws n points with their targets, for training or for tests."""


@dataclass(frozen=True)
class Law:
    """What one seed's target is: how points are drawn, and what knows part of it leaves.

    Attributes:
        sample: draws points and targets.
        yardsticks: relative errors by name.
        amplitudes: weights of the levels in the output, such that a target has variance 1; none
            where there are labels.
    """

    sample: Sampler
    yardsticks: Mapping[str, float]
    amplitudes: tuple[float, ...] = ()


@dataclass(frozen=True)
class Task:
    """One column of the map.

    Attributes:
        name: such as "quadratic-3".
        family: what a learner that is told the architecture is told: "quadratic", "original",
            "cube", "grammar", "ball", "images".
        kind: "regression" on floats or "classification" of integers from 0 on.
        about: what it is, in words.
        ladder: sample sizes, each twice the one before.
        n_test: test points.
        share: of the least yardstick; an error below it is enough, see `threshold`.
        unit: the sample size that the task's own law counts in.
        unit_name: what that size is.
        law: from a seed to its `Law`.
        shape: what a learner that is told the architecture knows of it, beside `Law.amplitudes`.
    """

    name: str
    family: str
    kind: Literal["regression", "classification"]
    about: str
    ladder: tuple[int, ...]
    n_test: int
    share: float
    unit: float
    unit_name: str
    law: Callable[[int], Law]
    shape: Mapping[str, Any] = field(default_factory=dict)

    def draw(self, seed: int, n: int, *, test: str | None = None) -> tuple[Array, Array]:
        """Return n inputs `[n, dim]` in float64 and their targets `[n]`: float64, or int64 labels.

        Training data, or, with a salt as `test`, test data: other points, in another stream for
        each salt.
        """
        x, y = self.law(seed).sample(
            n, stream(f"place {self.name} {'train' if test is None else f'test {test}'}", seed),
            test is not None,
        )  # fmt: skip
        if len(x) < n:
            raise ValueError(f"{self.name} has only {len(x)} such points; asked for {n}")
        return x.double().numpy(), (y.double() if self.kind == "regression" else y.long()).numpy()

    def error(self, prediction: Any, y: Array) -> float:
        """Return the error relative to the best constant; ValueError for what is no prediction."""
        given = np.asarray(prediction)
        if (wrong := problem(given, len(y))) is not None:
            raise ValueError(wrong)
        if self.kind == "regression":
            return float(np.mean((given - y) ** 2) / np.var(y))
        return float(np.mean(given != y) / (1 - np.bincount(y).max() / len(y)))

    def yardsticks(self, seed: int) -> dict[str, float]:
        """Return relative errors of what knows only part of the seed's target, by name."""
        return {"best constant": 1.0, **self.law(seed).yardsticks}

    def threshold(self, seed: int) -> float:
        """Return the relative error below which a sample size is enough: `share` of the least."""
        return self.share * min(self.yardsticks(seed).values())


def problem(prediction: Array, n: int) -> str | None:
    """Say why an array is no prediction for n points, in a sentence; None where it is one."""
    if prediction.shape != (n,):
        shapes = f"[{n}], one a row; got shape {list(prediction.shape)}"
        return f"predict must return an array of shape {shapes}"
    if prediction.dtype.kind not in "biuf":
        return f"predict must return numbers; got dtype {prediction.dtype}"
    if n_bad := int((~np.isfinite(prediction)).sum()):
        return f"predict returned {n_bad} of {n} values that are not finite"
    return None


def training_half(x: Tensor, seed: int) -> Tensor:
    """Return which discrete points are for training: a random half of all there are."""
    weights = torch.randint(2**62, (x.shape[1],), generator=stream("place halves", seed))
    mixed = (x.long() * weights).sum(1) * 0x5851F42D4C957F2D  # modulo 2**64
    return (mixed ^ (mixed >> 31)) * 0x2545F4914F6CDD1D > 0


def _in_halves(draw: Callable[[int, torch.Generator], tuple[Tensor, Tensor]], seed: int) -> Sampler:
    """Return the sampler whose training and test points are in different halves."""

    def sampler(n: int, draws: torch.Generator, test: bool) -> tuple[Tensor, Tensor]:
        x, y = draw(2 * n + n // 4 + 200, draws)
        mine = training_half(x, seed) != test
        return x[mine][:n], y[mine][:n]

    return sampler


def _left(y: Tensor, *columns: Tensor) -> float:
    """Return the share of the variance of y that a linear combination of columns leaves."""
    a = torch.stack([torch.ones_like(y), *columns], 1)
    fit = torch.linalg.lstsq(a, y[:, None], driver="gelsd").solution
    return float((y - (a @ fit)[:, 0]).var() / y.var())


def _quadratics(x: Tensor) -> list[Tensor]:
    a, b = torch.triu_indices(x.shape[1], x.shape[1])
    return [*x.T, *(x[:, a] * x[:, b]).T]


N_YARDSTICK = 20_000


def _polynomial(levels: Callable[[Tensor], Tensor], amplitudes: Tensor, dim: int, seed: int) -> Law:
    r"""Return the law of $\sum_la_l\,$`levels`$_l(x)$ with Gaussian x, scaled to variance 1."""
    x = torch.randn(N_YARDSTICK, dim, generator=stream("place yardstick", seed)).double()
    own = levels(x)
    scaled = amplitudes / (amplitudes @ own).std()

    def draw(n: int, draws: torch.Generator, test: bool) -> tuple[Tensor, Tensor]:
        x = torch.randn(n, dim, generator=draws).double()
        return x, scaled @ levels(x)

    known = {}
    if n_levels := len(own) - 1:
        y = scaled @ own
        known["best quadratic"] = _left(y, *_quadratics(x))
        known[f"level {n_levels + 2} shut"] = _left(y, *own[:-1])
    return Law(draw, known, tuple(scaled.tolist()))


@lru_cache(64)
def _quadratic(seed: int, *, widths: tuple[int, ...]) -> Law:
    draw = partial(QuadraticTeachers.draw, dim=DIM, widths=widths, skip=SKIP, dtype=torch.float64)
    teachers = draw([seed])
    gaps = torch.tensor([[GAPS[: len(widths)]]], dtype=torch.float64)
    amplitudes = teachers.amplitudes(gaps)[0, 0]
    return _polynomial(lambda x: teachers.level_sums(x[None])[0], amplitudes, DIM, seed)


@lru_cache(64)
def _original(seed: int) -> Law:
    dim, widths, gaps = ORIGINAL.values()
    target = OriginalTarget.draw(seed, dim=dim, widths=widths)

    def levels(x: Tensor) -> Tensor:
        return torch.stack([s.square().sum(1) for s in target.features(x)])

    return _polynomial(levels, torch.tensor(gaps, dtype=torch.float64), dim, seed)


@lru_cache(64)
def _cube(seed: int, *, amplitudes: tuple[float, ...]) -> Law:
    # Parities are orthonormal: variance is energy, and what is left that of the levels left out.
    energy = [a**2 / sum(b**2 for b in amplitudes) for a in amplitudes]
    scaled = tuple(map(sqrt, energy))
    target = Hierarchies.draw([seed], dim=CUBE_DIM, amplitudes=scaled)

    def draw(n: int, draws: torch.Generator) -> tuple[Tensor, Tensor]:
        x = draw_points(n, CUBE_DIM, draws)
        return x, target.values(x[None])[0]

    known = {"best quadratic": sum(energy[1:])}
    if energy[-1] < 1:
        known[f"level {len(energy)} shut"] = energy[-1]
    return Law(_in_halves(draw, seed), known, scaled)


@lru_cache(64)
def _grammar(seed: int, *, dial: str) -> Law:
    law = DialedHierarchy.draw(seed, **GRAMMAR, dial=dial, t=float(dial != "none"))
    v, n_classes = law.grammar.vocab_size, law.grammar.n_classes

    def draw(n: int, draws: torch.Generator) -> tuple[Tensor, Tensor]:
        strings, labels = law.sample_distinct(n, draws)
        return torch.nn.functional.one_hot(strings.long(), v).flatten(1), labels

    # Given the symbol above the left half, that half says nothing more about the label.
    first = law.grammar.rules[0][:, :, 0].long()
    joint = torch.nn.functional.one_hot(first, v).double().mean(1) / n_classes
    wrong = 1 - float(joint.amax(0).sum())
    known = {"half of the string": wrong / (1 - 1 / n_classes)}
    if dial == "xor":
        known["all but the parity"] = 0.5 / (1 - 1 / n_classes)
    return Law(_in_halves(draw, seed), known)


@lru_cache(64)
def _ball(seed: int) -> Law:
    def draw(n: int, draws: torch.Generator, test: bool) -> tuple[Tensor, Tensor]:
        x = sample("sum", n, dim=DIM, generator=draws)
        return x, ball_indicator(x.norm(dim=1), sqrt(2))

    # x and -x have one label: no linear function of x is correlated with it.
    return Law(draw, {"best linear": 1.0})


@lru_cache(64)
def _images(seed: int) -> Law:
    found = load("fashion_small")
    (x, y), (x_test, y_test) = (
        (torch.from_numpy(a).flatten(1).double() / 255, torch.from_numpy(b).long())
        for a, b in ((found.train_x, found.train_y), (found.test_x, found.test_y))
    )

    def draw(n: int, draws: torch.Generator, test: bool) -> tuple[Tensor, Tensor]:
        points, labels = (x_test, y_test) if test else (x, y)
        rows = torch.randperm(len(points), generator=draws)[:n]
        return points[rows], labels[rows]

    means = torch.stack([x[y == label].mean(0) for label in range(10)])
    wrong = (torch.cdist(x_test, means).argmin(1) != y_test).double().mean()
    return Law(draw, {"nearest class mean": float(wrong) / 0.9})


# --- the table --------------------------------------------------------------------------------

DIM, SKIP, GAPS = 10, 0.8, (1.0, 0.5, 0.25)
WIDTHS = {2: (4,), 3: (4, 3), 4: (4, 3, 2)}
ORIGINAL: dict[str, Any] = {"dim": 6, "widths": (2, 2), "gaps": (1.0, 0.4)}
CUBE_DIM, PARITY, STAIRCASE = 16, (0.0, 1.0), (1.0, 0.8, 0.64)
GRAMMAR = {"vocab_size": 6, "n_classes": 6, "n_synonyms": 4, "n_levels": 3}
GRAMMARS = {
    "none": ("grammar", "Random Hierarchy Model"),
    "corr": ("grammar-flat", "the same, label independent of either half"),
    "xor": ("grammar-xor", "the same, classes in pairs that differ by a parity"),
}
N_TEST = {"smoke": 1000, "laptop": 2000, "paper": 4000}
RUNGS = {"smoke": 3, "laptop": 6, "paper": 7}
"""How many sizes a ladder has; at smoke it begins two rungs higher."""
SEEDS = {"smoke": range(3), "laptop": range(5), "paper": range(8)}


def tasks(profile: str) -> dict[str, Task]:
    """Return the tasks of a profile by name; a profile changes the ladder and the test's size.

    Raises:
        ValueError: for an unknown profile.
    """
    if profile not in PROFILES:
        raise ValueError(f"unknown profile {profile!r}; valid: {', '.join(PROFILES)}")
    make = partial(Task, n_test=N_TEST[profile])

    def ladder(first: int, fewer: int = 0) -> tuple[int, ...]:
        skipped = 2 if profile == "smoke" else 0
        return tuple(first * 2 ** (i + skipped) for i in range(RUNGS[profile] - fewer))

    found = [
        make(
            f"quadratic-{level}", "quadratic", "regression",
            f"hierarchical quadratic target of {level} levels, d = {DIM}", ladder(64),
            share=0.1 if level > 2 else 0.02, unit=comb(DIM + degree, degree),
            unit_name=f"monomials of degree at most {degree}",
            law=partial(_quadratic, widths=widths), shape={"widths": widths},
        )
        for level, widths in WIDTHS.items()
        for degree in [2 ** (level - 1)]
    ]  # fmt: skip
    d = ORIGINAL["dim"]
    found += [
        make(
            "original-3", "original", "regression",
            f"the class of Allen-Zhu & Li, 3 levels, d = {d}", ladder(64),
            share=0.1, unit=comb(d + 8, 8),
            unit_name="monomials of degree at most 8", law=_original,
        ),
        make(
            "parity-4", "cube", "regression", f"a parity of 4 of {CUBE_DIM} bits", ladder(64),
            share=0.2, unit=comb(CUBE_DIM, 4), unit_name="parities of degree 4",
            law=partial(_cube, amplitudes=PARITY),
        ),
        make(
            "staircase-3", "cube", "regression",
            f"parities of degrees 2, 4 and 8 on {CUBE_DIM} bits", ladder(64),
            share=0.5, unit=comb(CUBE_DIM, 8),
            unit_name="parities of degree 8", law=partial(_cube, amplitudes=STAIRCASE),
        ),
    ]  # fmt: skip
    v, n_classes, m, n_levels = GRAMMAR.values()
    for dial, (name, about) in GRAMMARS.items():
        top = v if dial == "corr" else m
        found.append(
            make(
                name, "grammar", "classification", f"{about}, {(v, n_classes, m, n_levels)}",
                ladder(192, fewer=1), share=0.3,
                unit=n_classes * top * m ** (n_levels - 1), unit_name="P_0",
                law=partial(_grammar, dial=dial),
                shape={key: n for key, n in GRAMMAR.items() if key != "n_synonyms"},
            )
        )  # fmt: skip
    found.append(
        make(
            "ball", "ball", "classification", f"whether the norm exceeds √2, d = {DIM}", ladder(64),
            share=0.2, unit=comb(DIM + 2, 2), unit_name="monomials of degree at most 2",
            law=_ball,
        )
    )  # fmt: skip
    found.append(
        make(
            "images", "images", "classification", "Fashion-MNIST halved to 16x16", ladder(128),
            share=0.6, unit=1000, unit_name="images", law=_images, n_test=1000,
        )
    )  # fmt: skip
    return {task.name: task for task in found}
