r"""Algorithm 1 by SGD: its arms, what is measured of a run, and the statistics."""

import math
from dataclasses import replace
from statistics import median
from typing import Any

import torch
from torch import Tensor

from hierlearn.engine.seeds import stream
from hierlearn.experiment import Arms, Experiment, Group, Statistic, together
from hierlearn.quadratic.original.algorithm import (
    CHECKED,
    AlgorithmConfig,
    Learners,
    Stream,
    written_thresholds,
)
from hierlearn.quadratic.original.alternation import distance, root
from hierlearn.quadratic.original.target import OriginalTarget, plateau
from hierlearn.statistics import Value, each, number, ratio

N_TEST = 2000
POINTS = 20
HELD = POINTS // 5  # the point at which level 3 may open, where it is held
TOLERANCE = 1e-4


def measure(work: Group, device: torch.device) -> list[dict[str, Any]]:
    r"""Train the runs of a group as one batch; one measurement a run.

    `path` has at evenly spaced steps $e_2,\dots,e_L$ (`errors`), and on the same fresh points the
    mean square of $y-F$ (`loss`) and its ratio to the variance of y (`rel`); a number is None once
    a run has diverged. `opened` are the steps at which $K_2,W_3,K_3,\dots$ opened, `plateau` is
    $e_2$ of level 2 alone by the closed form, `counted` what the printed rank rule gives for $k_2$.
    `norms` are $(E|S^*_l|^2)^{1/2}$ on the test points. `converged`: `rel` ends below $10^{-4}$, or
    above half of its median over the five points around half-way.
    """
    configs = [AlgorithmConfig(**run.config) for run in work.runs]
    seeds = list(dict.fromkeys(run.seed for run in work.runs))
    n_arms, first = len(configs) // len(seeds), configs[0]
    targets = [OriginalTarget.draw(seed, dim=first.dim, widths=first.widths) for seed in seeds]
    of_runs = [target for target in targets for _ in range(n_arms)]
    learners = Learners(configs, [run.seed for run in work.runs], of_runs)
    data = Stream(first, seeds, targets, learners.inputs)
    shown = _shown(configs, learners.alphas)
    tests = [_test(target, seed) for target, seed in zip(targets, seeds, strict=True)]
    paths: list[dict[str, Any]] = [
        {"step": [], "errors": [], "loss": [], "rel": []} for _ in configs
    ]
    total = torch.zeros(len(configs))
    noise = _each(data.draw()[2], n_arms)
    for run in range(len(configs)):
        learners.open_wide(run, 0, noise)
    for step in range(first.n_steps + 1):
        if step % (first.n_steps // POINTS) == 0:
            _observe(learners, tests, n_arms, paths, step)
        x, sums, noise = data.draw()
        noise = _each(noise, n_arms)
        if step and step % CHECKED == 0:
            learners.open(step, total / CHECKED, noise)
            total.zero_()
        left = 1 - step / first.n_steps
        decay = 1.0 if left > 0.3 else 0.01 + 0.99 * (1 - math.cos(math.pi * left / 0.3)) / 2
        total += learners.step(_each([x], n_arms)[0], shown(sums), noise, decay)
    return [
        {
            "path": path,
            "opened": when,
            "counted": count,
            "converged": _settled(path["rel"]),
            "plateau": _closed_form(of_runs[r], configs[r]),
            "norms": [float(s.square().sum(1).mean().sqrt()) for s in tests[r // n_arms][1]],
        }
        for r, (path, when, count) in enumerate(
            zip(paths, learners.when, learners.counted, strict=True)
        )
    ]


def _each(parts: list[Tensor], n_arms: int) -> list[Tensor]:
    return [part.repeat_interleave(n_arms, 0) for part in parts]


def _shown(configs: list[AlgorithmConfig], alphas: Tensor) -> Any:
    """Return what makes y `[run, n]` of the level sums: controls see those of another input."""
    other = torch.tensor([[False, *[c.target != "true"] * (len(c.widths) - 1)] for c in configs])

    def shown(sums: Tensor) -> Tensor:
        each = sums.repeat_interleave(len(configs) // len(sums), 0)
        return (alphas[:, :, None] * torch.where(other[:, :, None], each.roll(1, 2), each)).sum(1)

    return shown


def _test(target: OriginalTarget, seed: int) -> tuple[Tensor, list[Tensor]]:
    draws = stream("algorithm test", seed)
    x = torch.randn(N_TEST, target.first.shape[1], generator=draws, dtype=torch.float64)
    return x, target.features(x)


def _observe(learners: Learners, tests: Any, n_arms: int, paths: Any, step: int) -> None:
    x = torch.stack([test[0] for test in tests]).float().repeat_interleave(n_arms, 0)
    inputs, _, _, output = learners.forward(x)
    for r, path in enumerate(paths):
        _, truth = tests[r // n_arms]
        y = sum(a * s.square().sum(1) for a, s in zip(learners.configs[r].gaps, truth, strict=True))
        loss = float((output[r].double() - y).square().mean())
        found = [phi[r].double() @ k[r].double().T
                 for phi, k in zip(inputs, learners.narrow, strict=True)]  # fmt: skip
        path["step"].append(step)
        path["loss"].append(_number(loss))
        path["rel"].append(_number(loss / float(y.var())))
        path["errors"].append(
            [_number(distance(s, t)) if math.isfinite(loss) else None
             for s, t in zip(found, truth, strict=True)]
        )  # fmt: skip


def _number(value: float) -> float | None:
    return float(f"{value:.4g}") if math.isfinite(value) else None


def _settled(rel: list[float | None]) -> bool:
    before = [one for one in rel[POINTS // 2 - 2 : POINTS // 2 + 3] if one is not None]
    after = rel[-1]
    return bool(before) and after is not None and (after < TOLERANCE or 2 * after > median(before))


def _closed_form(target: OriginalTarget, config: AlgorithmConfig) -> float:
    form = target.first.T @ target.first + config.gaps[1] * plateau(target)
    return distance(root(form, config.widths[0]).T, target.first.T)


# --- arms -------------------------------------------------------------------------------------

SEEDS = {"smoke": range(4), "laptop": range(8), "paper": range(16)}
SIZES = {"smoke": (5000, 128), "laptop": (15_000, 128), "paper": (30_000, 512)}
GAP = 0.2


def arms(profile: str) -> Arms:
    """Algorithm 1 as run, its changes undone together and one by one, controls, and no gap."""
    n_steps, batch = SIZES[profile]
    gaps = (1, GAP)
    written = written_thresholds(gaps)
    main = AlgorithmConfig(
        dim=10, widths=(3, 2), gaps=gaps, n_steps=n_steps, batch=batch,
        holds=(n_steps * HELD // POINTS,), thresholds=(*written[:2], 0.075 * GAP**2),
    )  # fmt: skip
    found = {
        "as run": main,
        "level 3 never opened": replace(main, thresholds=(written[0], 0.0, 0.0)),
        "features frozen": replace(main, flow="frozen"),
    }
    if profile == "smoke":
        return found
    undone: dict[str, dict[str, Any]] = {
        "no clip": {"clip": 0.0},
        "R as drawn": {"white": False},
        "one rate": {"level_rates": False},
        "SVD start": {"start": "svd"},
        "threshold as written": {"thresholds": tuple(written)},
        "not held": {"holds": (0,)},
    }
    no_gap = replace(main, gaps=(1, 1.0))
    every = [change for name, change in undone.items() if name != "no clip"]
    return {
        **found,
        "as written": replace(main, **{k: v for change in every for k, v in change.items()}),
        **{name: replace(main, **change) for name, change in undone.items()},
        "detached": replace(main, flow="detached"),
        "independent level 3": replace(main, target="independent"),
        "no gap, thresholds as written": replace(no_gap, thresholds=written_thresholds((1, 1.0))),
        "no gap, thresholds raised": replace(no_gap, thresholds=(6.0, 6.0, 0.15)),
        "no gap, level 3 never opened": replace(no_gap, thresholds=(6.0, 0.0, 0.0)),
    }


# As written; as run, and why; the arm in which it is undone.
CHANGES: tuple[tuple[str, str, str | None], ...] = (
    ("1. one sample of the data set a step, a rate as small as need be",
     "{batch} fresh samples a step, rate {rate:g}, at the end falling to a hundredth: for time; "
     "single samples were not run", None),
    ("2. while training the activation is cut off (appendix A)",
     "the gradient of a level is clipped at norm {clip:g}: rare large |z| throw it far off "
     "(beside: neither; the cut-off was not run)", "no clip"),
    ("3. σ(RS), R Gaussian",
     "times the inverse of R*R, which is badly conditioned: the same functions", "R as drawn"),
    ("4. one rate η", "ηα₂/αₗ at level l: its gradient is of order αₗ², its noise is not",
     "one rate"),
    ("5. Kₗ starts from the SVD of a block of WₗᵀWₗ",
     "from eigenvectors of WₗᵀWₗ: level 2 has no such block (undone at level 3 only)", "SVD start"),
    ("6. kₗ: the number of singular values above 1/(10κ²)",
     "kₗ is given: of W₂ᵀW₂ there are {counted}, not {k}, since what level 2 swallows has full "
     "rank", None),
    ("7. K₃ opens at α₃²(α₃/α₂)^(1/6)",
     "at {third:g} α₃²: before, level 3 has not found all its directions", "threshold as written"),
    ("8. W₃ opens at its threshold",
     "not before step {hold}: one sees where level 2 settles", "not held"),
    ("9. the objective of the whole data set; weight decay λ₆, which falls with it",
     "of the last {checked} batches; no λ₆, which has a factor (kLκ)⁻⁸", None),
)  # fmt: skip
ALL_UNDONE = "as written"


def error(level: int, point: int = -1) -> Value:
    """Read $e_l$ at a point of the path; `HELD` is the last before level 3 may open."""
    return number("path", "errors", point, level - 2)


def exponent_of_loss(config: AlgorithmConfig, measurement: dict[str, Any]) -> float:
    r"""Return $\log e_2$ over $\log$ of the root of the loss, of what both lose after `HELD`."""
    loss = number("path", "loss", HELD), number("path", "loss", -1)
    levels, losses = (
        math.log(before(config, measurement) / after(config, measurement))
        for before, after in ((error(2, HELD), error(2)), loss)
    )
    return 2 * levels / losses


def constant(level: int) -> Value:
    r"""Read Theorem 2's constant: $\alpha_l(E|S^*_l-US_l|^2)^{1/2}$ over the root of the loss.

    The largest since levels 3 and $K_l$ may be open; nan where $K_l$ never is.
    """

    def value(config: AlgorithmConfig, measurement: dict[str, Any]) -> float:
        path, opened = measurement["path"], measurement["opened"][2 * level - 4 :]
        since = max(path["step"][HELD], opened[0]) if opened else math.inf
        size = config.gaps[level - 2] * measurement["norms"][level - 2]
        found = [
            size * errors[level - 2] / loss**0.5
            for step, errors, loss in zip(path["step"], path["errors"], path["loss"], strict=True)
            if step >= since and loss is not None
        ]
        return max(found, default=math.nan)

    return value


def _correction(arm: str) -> Statistic:
    return ratio(each(error(2, HELD), arm), each(error(2), arm))


def _rel(arm: str) -> Statistic:
    return each(number("path", "rel", -1), arm)


STATISTICS = {
    "correction": _correction("as run"),
    "correction_never_opened": _correction("level 3 never opened"),
    "correction_detached": _correction("detached"),
    "constant": each(constant(2), "as run"),
    "constant_frozen": each(constant(2), "features frozen"),
    "exponent": each(exponent_of_loss, "as run"),
    "rel_no_gap": _rel("no gap, thresholds raised"),
    "rel_no_gap_never_opened": _rel("no gap, level 3 never opened"),
}

EXPERIMENT = Experiment(
    "algorithm_1", "01_backward_feature_correction", together("algorithm_1", arms, SEEDS), measure,
    STATISTICS, arms, ("n_steps", "holds"),
)  # fmt: skip
