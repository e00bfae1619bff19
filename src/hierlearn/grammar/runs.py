"""Chapter 4: how networks on Random Hierarchy Models are trained and measured, group by group."""

import math
from typing import Any

import torch
from torch import Tensor

from hierlearn.engine.seeds import stream
from hierlearn.experiment import Group
from hierlearn.grammar.config import HierarchyConfig, Problem, draw_problem
from hierlearn.grammar.measures import sensitivity
from hierlearn.grammar.networks import Head, PatchNetworks, Shape, TrainingSets

N_SWAPPED = 1000


def measure_networks(work: Group, device: torch.device) -> list[dict[str, Any]]:
    """Train the networks of a group together; one measurement a run, in order.

    All errors are test errors over chance. `error` is the last; `stages` those after every stage of
    layerwise training; `frozen` what stood before a thaw; `steps` and `loss` belong to the last
    fit. `sensitivity[k][l]` is that of layer k+1 to synonyms of level l+1, also at the start. A
    `curve` follows the last fit: steps, errors, sensitivities of all layers to level 1.
    """
    return _Batch(work, device).run()


def shape_of(config: HierarchyConfig) -> Shape:
    """Return the network of a configuration."""
    length = 2 if config.control == "parsed tokens" else 2**config.n_levels
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
        problems = [draw_problem(c, s) for c, s in zip(self.configs, self.seeds, strict=True)]
        self.sets = TrainingSets(
            torch.cat([p.train for p in problems]).to(device, torch.int32),
            torch.cat([p.labels for p in problems]).to(device),
            [len(p.train) for p in problems],
            [
                stream(f"batch order {c.n_samples}", s)
                for c, s in zip(self.configs, self.seeds, strict=True)
            ],
        )
        self.test = torch.stack([p.test for p in problems]).to(device, torch.int32)
        self.labels = torch.stack([p.test_labels for p in problems]).to(device)
        self.net = PatchNetworks(
            shape_of(self.first), [stream("initial layers", s) for s in self.seeds], device=device
        )
        self.swapped = self._swap(problems) if self.first.learner == "cnn" else []

    def _swap(self, problems: list[Problem]) -> list[Tensor | None]:
        """Test strings with the synonyms of one level exchanged, for each level from 1."""
        levels: list[Tensor | None] = []
        if any(c.control == "permuted positions" for c in self.configs):
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
        self.results: list[dict[str, Any]] = [{} for _ in self.configs]
        self._note("sensitivity_at_start", self._sensitivities())
        head = self._layerwise() if self.first.lower_steps else self._end_to_end()
        if self.first.after != "none":
            for result in self.results:
                result["frozen"] = dict(result)
            lowest = self.net.shape.n_layers if self.first.after == "go on" else 1
            self._fit(head, lowest, self.first.after_steps, last=True)
        self._note("sensitivity", self._sensitivities())
        return self.results

    def _note(self, name: str, values: list[Any]) -> None:
        for result, value in zip(self.results, values, strict=True):
            if value is not None:
                result[name] = value

    def _end_to_end(self) -> Head:
        head = self.net.new_head(self.net.shape.n_layers)
        self._fit(head, 1, self.first.n_steps, last=True)
        return head

    def _layerwise(self) -> Head:
        config, top = self.first, self.net.shape.n_layers
        start = top if config.control == "random lower layers" else 1
        for stage in range(start, top + 1):
            last = stage == top
            window = config.last_window if last and config.last_window else config.window
            head = self.net.new_head(stage)
            steps = config.n_steps if last else config.lower_steps
            self._fit(head, max(1, stage - window + 1), steps)
            for result in self.results:
                result.setdefault("stages", []).append(result["error"])
        if config.after != "none":
            self._note("sensitivity", self._sensitivities())
        return head

    def _fit(self, head: Head, lowest: int, n_steps: int, *, last: bool = False) -> None:
        """Train and test; the last fit of a run may trace its curve, and may never stop early."""
        traced = last and self.first.trace > 0

        def observe(step: int) -> None:
            errors = self.net.errors(self.test, self.labels, head)
            columns = zip(self.results, errors, self._sensitivities(), strict=True)
            for result, error, matrix in columns:
                curve = result.setdefault("curve", {"step": [], "error": [], "sensitivity": []})
                curve["step"].append(step)
                curve["error"].append(error)
                curve["sensitivity"].append(matrix and [layer[0] for layer in matrix])

        if traced:
            observe(0)
        found = self.net.fit(
            self.sets, head, lowest=lowest, n_steps=n_steps,
            tolerance=self.first.tolerance or (None if last else 1e-3),
            observe=observe if traced else None, every=self.first.trace or 50,
        )  # fmt: skip
        errors = self.net.errors(self.test, self.labels, head)
        for result, one, error in zip(self.results, found, errors, strict=True):
            loss = one["loss"]
            result["steps"], result["error"] = one["steps"], error
            result["loss"] = loss if math.isfinite(loss) else None

    def _sensitivities(self) -> list[Any]:
        """The matrix [layer][level] of every run; None where the network is no CNN."""
        if not self.swapped:
            return [None] * len(self.configs)
        n_layers = self.net.shape.n_layers
        found = []
        for r in range(len(self.configs)):
            runs = slice(r, r + 1)
            plain = self._features(self.test[runs, :N_SWAPPED], runs)
            moved = [
                None if x is None else self._features(x[runs], runs) for x in self.swapped
            ]  # fmt: skip
            found.append(
                [
                    [None if m is None else sensitivity(plain[k], m[k]) for m in moved]
                    for k in range(n_layers)
                ]
            )
        return found

    def _features(self, strings: Tensor, runs: slice) -> list[Tensor]:
        layers = self.net.activations(strings, self.net.shape.n_layers, runs)[1:]
        return [layer.view(strings.shape[1], -1) for layer in layers]
