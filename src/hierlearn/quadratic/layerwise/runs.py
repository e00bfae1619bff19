"""Quadratic runs measured together with the floor that their frozen level 2 implies."""

from typing import Any

import torch

from hierlearn.experiment import Group
from hierlearn.quadratic import runs as quadratic
from hierlearn.quadratic.config import QuadraticConfig
from hierlearn.quadratic.layerwise.floors import bias_form_of_level_4, greedy_floor, target_forms
from hierlearn.quadratic.measures import first_level_errors, plateau_gram
from hierlearn.quadratic.target import QuadraticTeachers

N_STARTS = 12


def measure(work: Group, device: torch.device) -> list[dict[str, Any]]:
    """Measure as `quadratic.runs.measure`, and add what is known in closed form.

    At three levels that is `variance`, of y, and for greedy runs of the target's own widths
    `floor`, at the optimum of level 3 above a level 2 that is frozen at its plateau: the relative
    error (`rel`), the error of level 3 (`fn3`), the relative error with a free quadratic readout
    (`readout`), and where `N_STARTS` minimizations end (`minima`). At four levels it is
    `plateau_4`: the error of level 2 (`gram2`) that the closed form gives while it is alone, with
    $B_4$ beside $B_3$.
    """
    results = quadratic.measure(work, device)
    plateaus: dict[tuple[Any, ...], float] = {}
    floors: dict[tuple[Any, ...], dict[str, Any]] = {}
    for run, result in zip(work.runs, results, strict=True):
        config = QuadraticConfig(**run.config)
        key = (run.seed, config.gaps)
        if len(config.widths) == 3:
            if key not in plateaus:
                plateaus[key] = _plateau_of_four(config, run.seed)
            result["plateau_4"] = plateaus[key]
        if len(config.widths) == 2:
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
        and config.learner_widths is None
        and not config.readout
    )  # fmt: skip


def _plateau_of_four(config: QuadraticConfig, seed: int) -> float:
    teacher = QuadraticTeachers.draw(
        [seed], dim=config.dim, widths=config.widths, skip=config.skip, dtype=torch.float64
    )
    a2, a3, a4 = teacher.amplitudes(torch.tensor([[config.gaps]]).double())[0, 0]
    form = teacher.bias_form() + a4 / a3 * bias_form_of_level_4(teacher)
    plateau = plateau_gram(teacher.first, form, (a3 / a2)[None])
    return float(first_level_errors(plateau, teacher.first).gram[0])


def _closed_forms(config: QuadraticConfig, seed: int, *, floor: bool) -> dict[str, Any]:
    teacher = QuadraticTeachers.draw(
        [seed], dim=config.dim, widths=config.widths, skip=config.skip, dtype=torch.float64
    )
    amplitudes = teacher.amplitudes(torch.tensor([[config.gaps]]).double())[0, 0]
    parts = teacher.first[0], teacher.mixing[0][0], teacher.skips[0][0], amplitudes
    known: dict[str, Any] = {"variance": float(target_forms(*parts).variance())}
    if floor and config.gaps[1] > 0:
        ratio = amplitudes[1:] / amplitudes[:1]
        frozen = plateau_gram(teacher.first, teacher.bias_form(), ratio)[0]
        widths = config.widths[0], config.widths[1]
        found = greedy_floor(*parts, frozen=frozen, widths=widths, n_starts=N_STARTS)
        known |= {"rel": found.rel, "fn3": found.level, "readout": found.with_readout}
        known["minima"] = list(found.minima)
    return known
