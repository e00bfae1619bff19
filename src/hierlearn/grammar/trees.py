r"""Chapter 4: end-to-end training on trees of any branching, with and without shared weights.

The network is that of `grammar.networks`, each layer turning s neighbours into h channels. Without
shared weights (locally connected) every position of a layer has weights and biases of its own.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hierlearn.engine.seeds import stream
from hierlearn.experiment import Config, Group
from hierlearn.grammar.config import over_chance
from hierlearn.grammar.networks import (
    BIAS_SCALE,
    CHECK_EVERY,
    MOMENTUM,
    RATE,
    SMOOTHING,
    TOLERANCE,
    PatchNetworks,
    Shape,
    TrainingSets,
)
from hierlearn.grammar.target import RandomHierarchy


@dataclass(frozen=True)
class TreeConfig(Config):
    r"""One network trained end to end on a Random Hierarchy Model of any branching.

    Attributes:
        vocab_size, n_classes, n_synonyms, n_levels, branching: v, $n_c$, m, L, s of the grammar.
        n_samples: P, different training strings.
        shared: whether the positions of a layer share their weights.
        width: channels h.
        n_steps: cap on the steps.
        n_test: test strings, different from the training strings.
    """

    vocab_size: int
    n_classes: int
    n_synonyms: int
    n_levels: int
    branching: int
    n_samples: int
    shared: bool = True
    width: int = 64
    n_steps: int = 6000
    n_test: int = 2000

    @property
    def parameters(self) -> tuple[int, int, int, int, int]:
        """Return $(v,n_c,m,L,s)$."""
        return (
            self.vocab_size, self.n_classes, self.n_synonyms, self.n_levels, self.branching,
        )  # fmt: skip

    @property
    def scale(self) -> int:
        """Return $P_0=n_cm^L$, in which s does not occur."""
        return int(self.n_classes * self.n_synonyms**self.n_levels)

    @property
    def shape(self) -> tuple[Any, ...]:
        """What the runs of one group must share."""
        return (
            self.vocab_size, self.n_classes, self.n_levels, self.branching, self.shared,
            self.width, self.n_steps, self.n_test,
        )  # fmt: skip

    def seconds(self, n_runs: int) -> float:
        """Return what a group of `n_runs` takes: larger trees take fewer steps."""
        return 0.3 * n_runs


def measure_trees(work: Group, device: torch.device) -> list[dict[str, Any]]:
    """Train the networks of a group together, as `grammar.runs.measure_networks` does.

    `error` is the test error over chance, `steps` and `loss` where training ended. `converged`: the
    smoothed training loss ended below its tolerance of 0.001.
    """
    configs, seeds = [TreeConfig(**run.config) for run in work.runs], [r.seed for r in work.runs]
    first = configs[0]
    data = [draw_tree(one, seed) for one, seed in zip(configs, seeds, strict=True)]
    train, labels, test, truth = (list(one) for one in zip(*data, strict=True))
    sets = TrainingSets(
        torch.cat(train).to(device, torch.int32), torch.cat(labels).to(device), [*map(len, train)],
        [stream(f"batch order {c.n_samples}", s) for c, s in zip(configs, seeds, strict=True)],
    )  # fmt: skip
    seen, true = torch.stack(test).to(device, torch.int32), torch.stack(truth).to(device)
    starts = [stream("initial layers", seed) for seed in seeds]
    shape = Shape(
        first.vocab_size, first.n_classes, first.width, (first.branching,) * first.n_levels,
        first.vocab_size,
    )  # fmt: skip
    if first.shared:
        net = PatchNetworks(shape, starts, device=device)
        head = net.new_head(first.n_levels)
        found = net.fit(sets, head, lowest=1, n_steps=first.n_steps)
        errors = net.errors(seen, true, head)
    else:
        found, errors = LocalNetworks(shape, starts, device).fit(sets, seen, true, first.n_steps)
    return [
        {
            "error": error,
            "steps": one["steps"],
            "loss": one["loss"] if math.isfinite(one["loss"]) else None,
            "converged": one["loss"] < TOLERANCE,
        }
        for one, error in zip(found, errors, strict=True)
    ]


def draw_tree(config: TreeConfig, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return strings and labels, to train on and to test with, as `config.draw_problem` does."""
    grammar = RandomHierarchy.draw(
        seed, vocab_size=config.vocab_size, n_classes=config.n_classes,
        n_synonyms=config.n_synonyms, n_levels=config.n_levels, branching=config.branching,
    )  # fmt: skip
    n = config.n_test
    strings, labels = grammar.sample_distinct(n + config.n_samples, stream("hierarchy data", seed))
    return strings[n:], labels[n:], strings[:n], labels[:n]


class LocalNetworks:
    """Locally connected networks: `weights[l] [run * position, inputs, width]`, trained at once."""

    def __init__(
        self, shape: Shape, generators: Sequence[torch.Generator], device: torch.device
    ) -> None:
        """Draw one network a generator; all entries start as N(0, 1)."""
        self.shape, self.n_runs = shape, len(generators)
        self.eye = torch.eye(shape.vocab_size, device=device)

        def normal(*size: int) -> nn.Parameter:
            draws = [torch.randn(size, generator=g) for g in generators]
            return nn.Parameter(torch.cat(draws).to(device))

        places = [shape.positions(layer + 1) for layer in range(shape.n_layers)]
        self.weights = [
            normal(q, shape.inputs_of(layer), shape.width) for layer, q in enumerate(places)
        ]
        self.biases = [normal(q, 1, shape.width) for q in places]
        self.head = normal(1, shape.width, shape.n_classes)

    def logits(self, strings: Tensor) -> Tensor:
        """Compute the logits of strings `[run, batch, dim]`, as `networks.forward` scales them."""
        n, batch, _ = strings.shape
        out = self.eye[strings.long()]
        for layer, (w, b) in enumerate(zip(self.weights, self.biases, strict=True)):
            rows = out.reshape(n, batch, -1, w.shape[1]).transpose(1, 2)
            rows = rows.reshape(-1, batch, w.shape[1])
            scale = (self.shape.width if layer else self.shape.fan_in) ** -0.5
            z = torch.baddbmm(b, rows, w, beta=BIAS_SCALE, alpha=scale).relu()
            out = z.view(n, -1, batch, self.shape.width).transpose(1, 2)
        return torch.bmm(out.reshape(n, batch, -1), self.head) / self.shape.width

    @torch.no_grad()
    def errors(self, strings: Tensor, labels: Tensor) -> list[float]:
        """Return the 0-1 errors of all runs over $1-1/n_c$."""
        parts = [self.logits(x).argmax(2) for x in strings.split(500, 1)]
        wrong = (torch.cat(parts, 1) != labels).double().mean(1)
        return [over_chance(float(one), self.shape.n_classes) for one in wrong]

    def fit(
        self, sets: TrainingSets, strings: Tensor, labels: Tensor, n_steps: int
    ) -> tuple[list[dict[str, float]], list[float]]:
        """Train as `PatchNetworks.fit`, all layers; return how each run ended, and its test error.

        A run ends at the first check where its smoothed loss is below the tolerance; the others go
        on, and its parameters with them, which nobody reads any more.
        """
        parameters = [*self.weights, *self.biases, self.head]
        descent = torch.optim.SGD(parameters, lr=RATE * self.shape.width, momentum=MOMENTUM)
        smoothed, errors = torch.full((self.n_runs,), math.nan), [math.nan] * self.n_runs
        ends: list[dict[str, float]] = [{} for _ in range(self.n_runs)]
        for done in range(CHECK_EVERY, n_steps + 1, CHECK_EVERY):
            orders = torch.stack([sets.order(r, CHECK_EVERY) for r in range(self.n_runs)], 1)
            for order in orders.to(self.eye.device):
                scores = self.logits(sets.inputs[order]).flatten(0, 1)
                each = nn.functional.cross_entropy(
                    scores, sets.labels[order].flatten(), reduction="none"
                )
                losses = each.view(self.n_runs, -1).mean(1)
                descent.zero_grad()
                losses.sum().backward()
                descent.step()
                new = losses.detach().cpu()
                kept = torch.where(smoothed.isnan(), new, smoothed)
                smoothed = SMOOTHING * kept + (1 - SMOOTHING) * new
            over = [r for r in range(self.n_runs) if not ends[r]]
            over = [r for r in over if smoothed[r] < TOLERANCE or done + CHECK_EVERY > n_steps]
            if over:
                tested = self.errors(strings, labels)
            for r in over:
                ends[r], errors[r] = {"steps": done, "loss": float(smoothed[r])}, tested[r]
            if all(ends):
                break
        return ends, errors
