"""Quadratic runs measured together with the floor that their frozen level 2 implies."""

from typing import Any

import torch

from hierlearn.experiment import Group
from hierlearn.quadratic import runs as quadratic
from hierlearn.quadratic.config import QuadraticConfig
from hierlearn.quadratic.layerwise.floors import greedy_floor, target_forms
from hierlearn.quadratic.measures import plateau_gram
from hierlearn.quadratic.target import QuadraticTeachers


def measure(work: Group, device: torch.device) -> list[dict[str, Any]]:
    """Measure as `quadratic.runs.measure`, and add what is known in closed form at three levels.

    That is `variance`, of y, and for greedy runs of the target's own widths `floor`: the relative
    error (`rel`), the error of level 3 (`fn3`), and the relative error with a free quadratic
    readout (`readout`) at the optimum of level 3 above a level 2 that is frozen at its plateau.
    """
    results = quadratic.measure(work, device)
    floors: dict[tuple[Any, ...], dict[str, float]] = {}
    for run, result in zip(work.runs, results, strict=True):
        config = QuadraticConfig(**run.config)
        if len(config.widths) == 2:
            key = (run.seed, config.gaps)
            if key not in floors:
                floors[key] = _closed_forms(config, run.seed, floor=_is_plain_greedy(config))
            elif "rel" not in floors[key] and _is_plain_greedy(config):
                floors[key] = _closed_forms(config, run.seed, floor=True)
            known = dict(floors[key])
            result["variance"] = known.pop("variance")
            if known and _is_plain_greedy(config):
                result["floor"] = known
    return results


def _is_plain_greedy(config: QuadraticConfig) -> bool:
    return (
        config.look_back == 1 and config.target == "full" and not config.oracle
        and config.thaw is None and config.learner_widths is None
        and not config.readout and config.restart == 0
    )  # fmt: skip


def _closed_forms(config: QuadraticConfig, seed: int, *, floor: bool) -> dict[str, float]:
    teacher = QuadraticTeachers.draw(
        [seed], dim=config.dim, widths=config.widths, skip=config.skip, dtype=torch.float64
    )
    amplitudes = teacher.amplitudes(torch.tensor([[config.gaps]]).double())[0, 0]
    parts = teacher.first[0], teacher.mixing[0][0], teacher.skips[0][0], amplitudes
    known = {"variance": float(target_forms(*parts).variance())}
    if floor and config.gaps[1] > 0:
        ratio = amplitudes[1:] / amplitudes[:1]
        frozen = plateau_gram(teacher.first, teacher.bias_form(), ratio)[0]
        found = greedy_floor(*parts, frozen=frozen, widths=(config.widths[0], config.widths[1]))
        known |= {"rel": found.rel, "fn3": found.level, "readout": found.with_readout}
    return known
