"""Chapter 4: how learners on Random Hierarchy Models are trained and measured, group by group."""

import math
from typing import Any

import torch
from torch import Tensor

from hierlearn.engine.seeds import stream
from hierlearn.experiment import Group
from hierlearn.grammar.config import HierarchyConfig, Problem, draw_problem, over_chance
from hierlearn.grammar.counting import predict_by_clustering, predict_by_ridge
from hierlearn.grammar.measures import (
    conditions,
    detectability,
    detectability_law,
    rule_counts,
    sensitivity,
)
from hierlearn.grammar.networks import (
    CHECK_EVERY,
    TOLERANCE,
    Head,
    PatchNetworks,
    Shape,
    TrainingSets,
)

N_SWAPPED = 1000
FITTED, SETTLED, NOTHING = 0.05, 0.05, 0.005


def measure_counts(work: Group, device: torch.device) -> list[dict[str, Any]]:
    """Read off the label counts of level-1 patches what labels reveal; nothing is trained.

    R with its law, R with types given to parents at random, and signal S, dirt W and margin G.
    """
    return [_counted(HierarchyConfig(**run.config), run.seed) for run in work.runs]


def _counted(config: HierarchyConfig, seed: int) -> dict[str, Any]:
    problem = draw_problem(config, seed)
    grammar = problem.law.grammar
    rules, counts = grammar.rules[-1], rule_counts(grammar, problem.train, problem.labels)
    parents = torch.arange(len(rules)).repeat_interleave(rules.shape[1])
    order = torch.randperm(len(parents), generator=stream("shuffled parents", seed))
    read = conditions(counts, parents)
    return {
        "detectability": detectability(counts, parents),
        "law": detectability_law(
            config.n_samples, scale=grammar.scale, n_strings=grammar.n_strings
        ),
        "shuffled_parents": detectability(counts, parents[order]),
        "signal": read.signal,
        "dirt": read.dirt,
        "margin": read.margin,
    }  # fmt: skip


def measure_closed_form(work: Group, device: torch.device) -> list[dict[str, Any]]:
    """Fit and test learners without gradients on the CPU; `error` is the test error over chance."""
    found = []
    for run in work.runs:
        config = HierarchyConfig(**run.config)
        problem = draw_problem(config, run.seed)
        fit = predict_by_clustering if config.learner == "clustered" else predict_by_ridge
        guess = fit(
            problem.train, problem.labels, problem.test, vocab_size=config.vocab_size,
            n_classes=config.n_classes, generator=stream(f"{config.learner} learner", run.seed),
        )  # fmt: skip
        wrong = float((guess != problem.test_labels).double().mean())
        found.append({"error": over_chance(wrong, config.n_classes)})
    return found


def measure_networks(work: Group, device: torch.device) -> list[dict[str, Any]]:
    """Train the networks of a group together; one measurement a run, in order.

    All errors are test errors over chance. `error` is the last; `stages` those after every stage of
    layerwise training; `frozen` what stood before a thaw; `steps` and `loss` belong to the last
    fit. `sensitivity[k][l]` is that of layer k+1 to synonyms of level l+1, also at the start. A
    `curve` follows the last fit: steps, errors, sensitivities of all layers to level 1.

    `converged`: the last fit ended with a smoothed training loss below its tolerance of 0.001, or
    below 0.05 with an error that changed by at most 5 %, or 0.005, over the last half of its steps;
    and the error of every stage whose layers stayed frozen had so settled.
    """
    return _Batch(work, device).run()


def shape_of(config: HierarchyConfig) -> Shape:
    """Return the network of a configuration."""
    length = 2**config.n_levels
    if config.learner == "cnn":
        patches, fan_in = (2,) * config.n_levels, config.vocab_size
    else:
        depth = {"fcn1": 1, "fcn3": 3}[config.learner]
        patches, fan_in = (length,) + (1,) * (depth - 1), length
    return Shape(config.vocab_size, config.n_classes, config.width, patches, fan_in)


class _Batch:
    """The state of one group while it trains."""

    def __init__(self, work: Group, device: torch.device) -> None:
        self.configs = [HierarchyConfig(**run.config) for run in work.runs]
        self.seeds = [run.seed for run in work.runs]
        self.first, self.device = self.configs[0], device
        keys = list(zip(self.configs, self.seeds, strict=True))
        problems = [draw_problem(config, seed) for config, seed in keys]
        self.sets = TrainingSets(
            torch.cat([p.train for p in problems]).to(device, torch.int32),
            torch.cat([p.labels for p in problems]).to(device),
            [len(p.train) for p in problems],
            [stream(f"batch order {config.n_samples}", seed) for config, seed in keys],
        )
        self.test = torch.stack([p.test for p in problems]).to(device, torch.int32)
        self.labels = torch.stack([p.test_labels for p in problems]).to(device)
        self.net = PatchNetworks(
            shape_of(self.first), [stream("initial layers", s) for s in self.seeds], device=device
        )
        self.swapped = self._swap(problems)
        self.results: list[dict[str, Any]] = [{"converged": True} for _ in self.configs]

    def _swap(self, problems: list[Problem]) -> list[Tensor | None]:
        """Test strings with the synonyms of one level exchanged, for each level from 1."""
        levels: list[Tensor | None] = []
        permuted = any(c.control == "permuted positions" for c in self.configs)
        if permuted or self.first.learner != "cnn":
            return levels
        for level in range(1, self.first.n_levels + 1):
            if min(p.law.grammar.synonyms[-level] for p in problems) < 2:
                levels.append(None)
                continue
            rows = [
                p.law.grammar.swap_synonyms(
                    p.strings[:N_SWAPPED], stream(f"swaps at level {level}", s), level=level
                )
                for p, s in zip(problems, self.seeds, strict=True)
            ]
            levels.append(torch.stack(rows).to(self.device, torch.int32))
        return levels

    def run(self) -> list[dict[str, Any]]:
        self._note("sensitivity_at_start")
        config, top = self.first, self.net.shape.n_layers
        if config.lower_steps:
            head = self._layerwise(top)
        else:
            head = self.net.new_head(top)
            self._fit(head, 1, config.n_steps, traced=True)
        if config.after != "none":
            self._note("sensitivity")
            for result in self.results:
                result["frozen"] = dict(result)
            self._fit(head, top if config.after == "go on" else 1, config.after_steps, traced=True)
        self._note("sensitivity")
        return self.results

    def _note(self, name: str) -> None:
        for result, value in zip(self.results, self._sensitivities(), strict=True):
            if value is not None:
                result[name] = value

    def _layerwise(self, top: int) -> Head:
        config = self.first
        for stage in range(top if config.control == "random lower layers" else 1, top + 1):
            last = stage == top
            head = self.net.new_head(stage)
            steps = config.n_steps if last else config.lower_steps
            traced = last and config.after == "none"
            self._fit(head, max(1, stage - config.window + 1), steps, traced=traced)
            for result in self.results:
                result.setdefault("stages", []).append(result["error"])
        return head

    def _fit(self, head: Head, lowest: int, n_steps: int, *, traced: bool) -> None:
        """Train and test; the last fit of a run may trace its curve."""
        half = n_steps // (2 * CHECK_EVERY) * CHECK_EVERY
        every = (self.first.trace if traced else 0) or half or CHECK_EVERY
        halfway = [math.nan] * len(self.results)

        def observe(step: int) -> None:
            errors = self.net.errors(self.test, self.labels, head)
            if step == half:
                halfway[:] = errors
            if traced and self.first.trace:
                self._trace(step, errors)

        if traced and self.first.trace:
            observe(0)
        found = self.net.fit(
            self.sets, head, lowest=lowest, n_steps=n_steps, observe=observe, every=every
        )
        errors = self.net.errors(self.test, self.labels, head)
        for result, one, error, before in zip(self.results, found, errors, halfway, strict=True):
            loss = one["loss"]
            result["steps"], result["error"] = one["steps"], error
            result["loss"] = loss if math.isfinite(loss) else None
            settled = abs(error - before) <= max(SETTLED * before, NOTHING)
            fitted = loss < FITTED or head.stage < self.net.shape.n_layers
            below = result["converged"] or lowest == 1
            result["converged"] = below and (loss < TOLERANCE or (fitted and settled))

    def _trace(self, step: int, errors: list[float]) -> None:
        for result, error, matrix in zip(self.results, errors, self._sensitivities(), strict=True):
            curve = result.setdefault("curve", {"step": [], "error": [], "sensitivity": []})
            curve["step"].append(step)
            curve["error"].append(error)
            curve["sensitivity"].append(matrix and [layer[0] for layer in matrix])

    def _sensitivities(self) -> list[Any]:
        """The matrix [layer][level] of every run; None where the network is no CNN."""
        if not self.swapped:
            return [None] * len(self.configs)
        found = []
        for r in range(len(self.configs)):
            runs = slice(r, r + 1)
            plain = self._features(self.test[runs, :N_SWAPPED], runs)
            moved = [x if x is None else self._features(x[runs], runs) for x in self.swapped]
            found.append(
                [
                    [None if m is None else sensitivity(layer, m[k]) for m in moved]
                    for k, layer in enumerate(plain)
                ]
            )
        return found

    def _features(self, strings: Tensor, runs: slice) -> list[Tensor]:
        layers = self.net.activations(strings, self.net.shape.n_layers, runs)[1:]
        return [layer.view(strings.shape[1], -1) for layer in layers]
