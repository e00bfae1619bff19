r"""How the runs on ball indicators are trained, tested and measured."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hierlearn.ball import measures as radial
from hierlearn.ball import target as balls
from hierlearn.ball import training as sigmoid
from hierlearn.ball.config import CLIPS, BallConfig
from hierlearn.ball.networks import FrozenFeatures, TrainedNetworks
from hierlearn.engine.capture import Drawn, ahead
from hierlearn.engine.seeds import stream
from hierlearn.experiment import Group

CURVE_SHARES = (0.0, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.7, 1.0)
PROFILE_SHARES = (0.05, 0.2, 1.0)
DEAD_SHARE = 0.005
"""A run whose outputs lie inside the clip at fewer test points than this has no gradient left."""
_CHUNK_STEPS = 50
_CERTIFICATE_DEGREE = 2


def measure(work: Group, device: torch.device) -> list[dict[str, Any]]:
    """Train and test the runs of a group; one measurement a run, in the order of its runs.

    `converged`: the second half of the steps has changed the test error by less than a tenth.
    """
    configs = [BallConfig(**run.config) for run in work.runs]
    seeds = list(dict.fromkeys(run.seed for run in work.runs))
    arms = configs[: len(configs) // len(seeds)]
    if arms[0].learner == "trained":
        return _Trained(arms, seeds, device).run()
    return [found for seed in seeds for found in _frozen(arms, seed, device)]


@dataclass
class _Points:
    """Inputs of one seed with their norms."""

    x: Tensor
    norms: Tensor

    @classmethod
    def draw(cls, config: BallConfig, n: int, generator: torch.Generator) -> "_Points":
        x = balls.sample(config.distribution, n, dim=config.dim, generator=generator)
        return cls(x, x.norm(dim=1))

    def to(self, device: torch.device) -> "_Points":
        return _Points(self.x.to(device), self.norms.to(device))


def _labels(config: BallConfig, norms: Tensor) -> Tensor:
    """What a run is trained on; norms `[..., n]`, permuted along the last axis."""
    if config.target == "degree 1":
        mean, slope = radial.ball_coefficients(config.dim, config.radius, 1)
        return mean + slope * math.sqrt(config.dim) * radial.inner_product(norms)
    labels = balls.ball_indicator(norms, config.radius)
    return labels.roll(1, -1) if config.target == "permuted" else labels


def _truth(config: BallConfig, norms: Tensor) -> Tensor:
    """What a run is tested on."""
    if config.target == "permuted":
        return balls.ball_indicator(norms, config.radius)
    return _labels(config, norms)


def _clips(arms: Sequence[BallConfig], device: torch.device) -> tuple[Tensor, Tensor]:
    bounds = torch.tensor([CLIPS[arm.clip] for arm in arms], device=device)
    return bounds[:, :1], bounds[:, 1:]


def _at(arms: Sequence[BallConfig], shares: Sequence[float]) -> list[int]:
    n_steps = arms[0].n_steps
    return sorted({round(share * n_steps) for share in shares})


def _score(config: BallConfig, raw: Tensor, test: _Points) -> dict[str, Any]:
    """Errors and spectrum of one run from its output before clipping."""
    low, high = CLIPS[config.clip]
    output, truth = raw.clamp(low, high), _truth(config, test.norms)
    found: dict[str, Any] = {
        "mse": float((output - truth).double().square().mean()),
        "mse_clipped": float((raw.clamp(0, 1) - truth).double().square().mean()),
        "zero_one": float(((output > 0.5) != (truth > 0.5)).double().mean()),
        "dead": bool(((raw > low) & (raw < high)).double().mean() < DEAD_SHARE),
    }
    if not math.isfinite(found["mse"]):
        return {"mse": None, "mse_clipped": None, "zero_one": None, "dead": False}
    if config.distribution == "sum" and config.target != "degree 1":
        found["fractions"] = radial.learned_fractions(
            output, truth, test.norms, dim=config.dim, radius=config.radius
        )
    return found


def _edges(config: BallConfig) -> list[float]:
    low, high = (0.7, 1.95) if config.distribution == "sum" else (0.0, 2.0)
    return [low + (high - low) * i / 25 for i in range(26)]


def _keep_curve(
    found: dict[str, Any], config: BallConfig, step: int, raw: Tensor, test: _Points
) -> None:
    """Append the error and, at some steps, the radial profile to a run's measurement."""
    low, high = CLIPS[config.clip]
    output = raw.clamp(low, high)
    curve = found.setdefault("curve", {"step": [], "mse": []})
    curve["step"].append(step)
    curve["mse"].append(float((output - _truth(config, test.norms)).double().square().mean()))
    if step == config.n_steps:
        half = curve["mse"][curve["step"].index(round(0.5 * step))]
        last = curve["mse"][-1]
        found["converged"] = math.isfinite(last) and abs(last / half - 1) < 0.1
    if step in _at([config], PROFILE_SHARES):
        edges = _edges(config)
        means, spreads = radial.radial_profile(output, test.norms, edges)
        profile = found.setdefault("profile", {"step": [], "mean": [], "sd": [], "edges": edges})
        for name, value in (("step", step), ("mean", means), ("sd", spreads)):
            profile[name].append(value)


# --- trained in all layers --------------------------------------------------------------------


class _Trained:
    """A group of networks trained in all their layers."""

    def __init__(
        self, arms: Sequence[BallConfig], seeds: Sequence[int], device: torch.device
    ) -> None:
        self.arms, self.seeds, self.device, self.first = arms, seeds, device, arms[0]
        first = self.first
        self.net = TrainedNetworks(
            len(seeds), len(arms), dim=first.dim, width=first.width, activation=first.activation,
            device=device,
        )  # fmt: skip
        self.net.initialize(seeds)
        self.streams = [stream("ball batches", seed) for seed in seeds]
        self.tests = [
            _Points.draw(first, first.n_test, stream("ball test", seed)).to(device)
            for seed in seeds
        ]
        self.results: list[dict[str, Any]] = [{} for _ in range(len(seeds) * len(arms))]

    def _batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        n_steps = self.first.n_steps
        sizes = iter([min(_CHUNK_STEPS, n_steps - s) for s in range(0, n_steps, _CHUNK_STEPS)])
        n_chunks = -(-n_steps // _CHUNK_STEPS)
        for inputs, labels in ahead(lambda: self._draw(next(sizes)), n_chunks, self.device):
            yield from zip(inputs, labels, strict=True)

    def _draw(self, n_steps: int) -> Drawn:
        """Draw the inputs of `n_steps` steps, `[step, seed, batch, dim + 1]`, and their labels."""
        batch, dim = self.first.batch, self.first.dim
        shape = (n_steps, batch)
        draws = [_Points.draw(self.first, n_steps * batch, g) for g in self.streams]
        x = torch.stack([d.x.view(*shape, dim) for d in draws], 1)
        inputs = torch.nn.functional.pad(x, (0, 1), value=1.0)
        norms = torch.stack([d.norms.view(shape) for d in draws], 1)
        labels = torch.stack([_labels(arm, norms) for arm in self.arms], 2)
        return inputs, labels.flatten(1, 2)

    def _outputs(self) -> Tensor:
        """Output before clipping on the test points, `[run, n_test]`, in pieces of a batch."""
        x = torch.stack([torch.nn.functional.pad(t.x, (0, 1), value=1.0) for t in self.tests])
        pieces = x.split(self.first.batch, 1)
        return torch.cat([self.net.output(piece)[0] for piece in pieces], 1)

    def _observe(self, step: int) -> None:
        keeps = [arm.curve and step in _at([arm], CURVE_SHARES) for arm in self.arms]
        last = step == self.first.n_steps
        if not (any(keeps) or last):
            return
        raw = self._outputs()
        for r, found in enumerate(self.results):
            seed, arm = divmod(r, len(self.arms))
            if keeps[arm]:
                _keep_curve(found, self.arms[arm], step, raw[r], self.tests[seed])
            if last:
                found |= _score(self.arms[arm], raw[r], self.tests[seed])
                found |= self._certificates(r, self.arms[arm], self.tests[seed])

    def _certificates(self, run: int, arm: BallConfig, test: _Points) -> dict[str, float]:
        """Lower bounds on this network's error from its own weights, for a linear output."""
        if arm.distribution != "sum" or arm.clip == "unit" or arm.target == "permuted":
            return {}
        rows = self.net.hidden[run]
        units = torch.addmm(rows[:, -1:], rows[:, :-1], test.x.T)
        units = units.clamp_(min=0) if arm.activation == "relu" else units.erf_()
        # Of the degree-1 target this is not a bound: it must come out above that run's error.
        floor = radial.polynomial_floor(arm.dim, arm.radius, _CERTIFICATE_DEGREE)
        size = units.std(1, correction=0)
        found = radial.certificate(
            self.net.outer[run], size, floor=floor, dim=arm.dim, degree=_CERTIFICATE_DEGREE
        )
        return {"certificate": found}

    def run(self) -> list[dict[str, Any]]:
        low, high = _clips(self.arms, self.device)
        sigmoid.adam(
            self.net, self._batches(), n_steps=self.first.n_steps, rate=self.first.rate,
            low=low.repeat(len(self.seeds), 1), high=high.repeat(len(self.seeds), 1),
            at=set(_at(self.arms, (*CURVE_SHARES, *PROFILE_SHARES))), observe=self._observe,
        )  # fmt: skip
        return self.results


# --- frozen hidden layer ----------------------------------------------------------------------


def _frozen(arms: Sequence[BallConfig], seed: int, device: torch.device) -> list[dict[str, Any]]:
    """Gradient descent on the output weights of one seed, all arms on the same features."""
    first = arms[0]
    layer = FrozenFeatures(seed, dim=first.dim, width=first.width, device=device)
    train = _Points.draw(first, first.n_samples, stream("ball sample", seed)).to(device)
    test = _Points.draw(first, first.n_test, stream("ball test", seed)).to(device)
    features, test_features = layer(train.x), layer(test.x)
    labels = torch.stack([_labels(arm, train.norms) for arm in arms])
    results: list[dict[str, Any]] = [{} for _ in arms]

    def observe(step: int, weights: Tensor) -> None:
        if not any(arm.curve for arm in arms):
            return
        raw = weights @ test_features.T
        for found, arm, output in zip(results, arms, raw, strict=True):
            if arm.curve:
                _keep_curve(found, arm, step, output, test)

    low, high = _clips(arms, device)
    weights = sigmoid.descend(
        features, labels, _signed(features, layer.start), n_steps=first.n_steps, rate=first.rate,
        momentum=first.momentum, low=low, high=high,
        at=set(_at(arms, (*CURVE_SHARES, *PROFILE_SHARES))), observe=observe,
    )  # fmt: skip
    raw, fitted = weights @ test_features.T, weights @ features.T
    train_errors = (fitted.clamp(low, high) - labels).double().square().mean(1)
    for index, (found, arm) in enumerate(zip(results, arms, strict=True)):
        found |= _score(arm, raw[index], test)
        value = float(train_errors[index])
        found["train_mse"] = value if math.isfinite(value) else None
    chosen = [index for index, arm in enumerate(arms) if arm.ridge]
    if chosen:
        truth = torch.stack([_truth(arms[i], test.norms) for i in chosen])
        errors = sigmoid.best_ridge_error(features, labels[chosen], test_features, truth)
        for index, error in zip(chosen, errors.tolist(), strict=True):
            results[index]["linear_mse"] = error
    return results


def _signed(features: Tensor, start: Tensor) -> Tensor:
    """Return w or -w, whichever gives more positive outputs; both are drawn equally often.

    Where nearly all outputs lie below the clip, gradients vanish before training has begun.
    """
    positive = (start @ features.T > 0).float().mean(-1, keepdim=True)
    return torch.where(positive < 0.5, -start, start)
