"""Chapter 4: learners without gradient descent on Random Hierarchy Models, one run at a time."""

from typing import Any

import torch

from hierlearn.engine.seeds import stream
from hierlearn.experiment import Group
from hierlearn.grammar.config import HierarchyConfig, draw_problem, over_chance
from hierlearn.grammar.counting import (
    predict_by_clustering,
    predict_by_ridge,
    predict_by_tangent_kernel,
)


def measure_closed_form(work: Group, device: torch.device) -> list[dict[str, Any]]:
    """Fit and test every run of a group on the CPU; `error` is the test error over chance."""
    return [_fit(HierarchyConfig(**run.config), run.seed) for run in work.runs]


def _fit(config: HierarchyConfig, seed: int) -> dict[str, Any]:
    problem = draw_problem(config, seed)
    sizes = {"vocab_size": config.vocab_size, "n_classes": config.n_classes}
    train, labels, test = problem.train, problem.labels, problem.test
    if config.learner == "kernel":
        guess = predict_by_tangent_kernel(train, labels, test, **sizes)
    else:
        fit = predict_by_clustering if config.learner == "clustered" else predict_by_ridge
        generator = stream(f"{config.learner} learner", seed)
        guess = fit(train, labels, test, **sizes, generator=generator)
    wrong = float((guess != problem.test_labels).double().mean())
    return {"error": over_chance(wrong, config.n_classes)}
