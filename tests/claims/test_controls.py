"""A control must be able to fail: with other numbers in its records, its rule must break."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hierlearn.claims.declarations import Claim, load_claims
from hierlearn.claims.verdicts import ClaimError, Evidence, judged
from hierlearn.records import RecordStore
from hierlearn.registry import EXPERIMENTS

BOOK = Path(__file__).parents[2] / "book"
CLAIMS = [c for c in load_claims(BOOK / "claims", EXPERIMENTS) if c.control]
N_DRAWS = 8


def perturbed(value: Any, rng: np.random.Generator, width: float) -> Any:
    """Every number multiplied by a log-normal factor, every zero replaced; nothing else."""
    if isinstance(value, dict):
        return {key: perturbed(inner, rng, width) for key, inner in value.items()}
    if isinstance(value, list):
        return [perturbed(inner, rng, width) for inner in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    factor = float(np.exp(width * rng.standard_normal()))
    return type(value)(value * factor + (value == 0) * factor)


def exchanged(value: Any, rng: np.random.Generator) -> Any:
    """Numbers of one measurement exchanged with each other, list entries all in the same way."""
    if isinstance(value, list):
        state = rng.bit_generator.state
        found = []
        for inner in value:
            rng.bit_generator.state = state
            found.append(exchanged(inner, rng))
        return found
    if not isinstance(value, dict):
        return value
    names = [key for key, inner in value.items() if type(inner) is float]
    others = dict(zip(names, rng.permutation(names), strict=True))
    return {key: value[others.get(key, key)] for key in value} | {
        key: exchanged(inner, rng) for key, inner in value.items() if key not in others
    }


class Perturbed:
    """The committed records, with the measurements of one experiment changed at random."""

    def __init__(self, name: str, seed: int) -> None:
        self.name, self.seed = name, seed

    def read(self, experiment, profile):
        records = committed(experiment.name, profile)
        if experiment.name != self.name:
            return records
        rng = np.random.default_rng(self.seed)
        return [
            SimpleNamespace(
                key=one.key,
                config=one.config,
                seed=one.seed,
                provenance=one.provenance,
                measurement=perturbed(one.measurement, rng, 0.5 * 2**self.seed)
                if self.seed < N_DRAWS
                else exchanged(one.measurement, np.random.default_rng(self.seed)),
            )  # fmt: skip
            for one in records
        ]

    def stale(self, experiment, profile) -> bool:
        return False


@cache
def committed(name: str, profile: str) -> tuple[Any, ...]:
    """The records of an experiment as they are committed."""
    return tuple(RecordStore(BOOK / "records").read(EXPERIMENTS[name], profile))


def profile_of(claim: Claim) -> str:
    """The smaller of the committed profiles that decide the claim."""
    return "laptop" if "laptop" in claim.rules else "paper"


def outcomes(claim: Claim) -> Iterator[str]:
    """What becomes of the control, draw by draw; "no number" where a statistic refuses one."""
    assert claim.control is not None
    for seed in range(2 * N_DRAWS):
        store = Perturbed(claim.control.experiment, seed)
        try:
            yield judged(claim, Evidence(store, profile_of(claim), EXPERIMENTS)).row.control.outcome
        except ClaimError:
            raise
        except (ValueError, ArithmeticError, LookupError):
            yield "no number"


@pytest.mark.slow
@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.id)
def test_a_control_fails_on_other_numbers(claim: Claim) -> None:
    plain = judged(claim, Evidence(Perturbed("", 0), profile_of(claim), EXPERIMENTS)).row.control
    if plain.outcome in ("not run", "reported"):
        return
    seen = set()
    for outcome in outcomes(claim):
        if outcome in ("not as required", "unclear"):
            return
        seen.add(outcome)
    pytest.fail(
        f"{claim.id}: whatever stands in the records of {claim.control.experiment}, the control is "
        f"{', '.join(sorted(seen))}; valid: a control that other numbers make fail"
    )
