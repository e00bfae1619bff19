"""The replay gate: stored groups measured once more, and compared with what was stored.

On the build and device that computed a group, its measurements must come out the same bit for bit.
Elsewhere the last digits differ, and with them all that training amplifies: there, the claims that
read the group must keep their verdicts, and their estimates must stay inside the stored intervals.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hierlearn.claims import verdicts
from hierlearn.engine import devices
from hierlearn.errors import RunError, UsageError
from hierlearn.experiment import Experiment, canonical
from hierlearn.records import GroupState, Record, RecordStore, fingerprint, restamp
from hierlearn.sweeps import sweep
from hierlearn.sweeps.executors import Executor, Result, Unit

Outcome = Literal["same", "agrees", "differs", "failed"]
SLACK = 1e-3  #: where an interval has no width, an estimate may move by this part of itself


@dataclass(frozen=True)
class Replayed:
    """A stored group, what measuring it again gave, and how the two compare."""

    state: GroupState
    unit: Unit
    result: Result
    outcome: Outcome
    problem: str = ""

    def records(self) -> list[Record]:
        """The stored records with the new measurements in them."""
        pairs = zip(self.state.records, self.result.measurements, strict=True)
        return [old.model_copy(update={"measurement": new}) for old, new in pairs]


def choose(
    experiments: Iterable[Experiment],
    profile: str,
    store: RecordStore,
    *,
    n: int | None,
    seed: int = 0,
    below: float | None = None,
    stale: bool = False,
) -> list[tuple[Unit, GroupState]]:
    """Return a random sample of `n` stored groups (None: all), the same for the same `seed`.

    With `below`, of those that took less than so many CPU seconds; with `stale`, of those that
    other code computed. Raises RunError for damaged groups, for stale ones that are not asked for,
    and where there is nothing to replay.
    """
    found = [
        (Unit(one, s.group, s.provenance.cpu_s if s.provenance else 0.0), s)
        for one in experiments
        for s in store.states(one, profile)
    ]
    if damaged := [str(s.problem) for _, s in found if s.status == "damaged"]:
        raise RunError("damaged records are not replayed:\n  " + "\n  ".join(damaged))
    moved = [s for _, s in found if s.status == "stale"]
    if moved and not stale:
        names = ", ".join(dict.fromkeys(s.group.experiment for s in moved))
        raise RunError(
            f"refused: {len(moved)} groups of profile {profile} in {store.folder} come from other "
            f"code ({names}); `python -m hierlearn replay --restamp --profile {profile}` stamps "
            "those that come out the same, `run` computes them again"
        )
    status, limit = "stale" if stale else "present", math.inf if below is None else below
    kept = [(unit, s) for unit, s in found if s.status == status and unit.seconds < limit]
    if not kept and not stale:
        only = "" if below is None else f" below {below:g} CPU seconds"
        raise RunError(f"{store.folder} holds no groups of profile {profile}{only} to replay")
    return sweep.sample(kept, n, seed)


def device_kind(
    chosen: Sequence[tuple[Unit, GroupState]], device: str, *, remote: bool = False
) -> str:
    """Return where to replay: on the kind of device that computed the groups, unless named.

    With `remote`, the workers are elsewhere, and whether they have a GPU shows there. Raises
    UsageError for groups from a GPU where there is none, and when both kinds are mixed.
    """
    kinds = {s.provenance.device.partition(":")[0] for _, s in chosen if s.provenance}
    here = remote or devices.resolve("auto").type == "cuda"
    if "cuda" in kinds and (device == "cpu" or not here):
        n = sum(s.provenance.device != "cpu" for _, s in chosen if s.provenance)
        raise UsageError(
            f"{n} of {len(chosen)} groups were computed on a GPU, and replay on a GPU only; this "
            f"machine has {devices.describe(devices.resolve('auto'))}"
        )
    if device == "auto" and len(kinds) > 1:
        raise UsageError("groups from CPU and GPU: say with --device where to replay them")
    return device if device != "auto" else min(kinds, default="cpu")


def replay(
    chosen: Sequence[tuple[Unit, GroupState]], executor: Executor, into: RecordStore | None, at: str
) -> Iterator[Replayed]:
    """Measure the chosen groups once more and give each, compared, as it is finished.

    In the store `into` those of the profile `at` that come out the same get today's fingerprint.
    """
    states = {unit.group.key: state for unit, state in chosen}
    units = sorted((unit for unit, _ in chosen), key=lambda unit: -unit.seconds)
    for unit, result in sweep.measured(units, executor, label="replay", progress=True):
        found = _compared(states[unit.group.key], unit, result)
        if into and found.outcome == "same":
            code = fingerprint(unit.experiment.measure)
            restamp(into, unit.experiment, at, seen=found.state, code=code)
        yield found


def _compared(state: GroupState, unit: Unit, result: Result) -> Replayed:
    assert state.provenance is not None
    if result.error:
        return Replayed(state, unit, result, "failed", result.error.strip().splitlines()[-1])
    pairs = list(zip(state.records, result.measurements, strict=True))
    moved = [one for old, new in pairs for one in _moved(old.measurement, new, "measurement")]
    if not moved:
        return Replayed(state, unit, result, "same")
    where, was, now = moved[0]
    alike = _build(state.provenance.model_dump()) == _build(result.circumstances)
    fits = all(isinstance(value, int | float) for _, *both in moved for value in both)
    outcome: Outcome = "agrees" if fits and not alike else "differs"
    return Replayed(state, unit, result, outcome, f"{where} was {was!r}, is {now!r}")


def _build(circumstances: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return what has to be equal for two computations to agree to the bit."""
    # The number of cores is part of a machine's name, but a unit has one thread.
    processor = str(circumstances["machine"]).rpartition(",")[0]
    packages = {k: v for k, v in circumstances["packages"].items() if k != "hierlearn"}
    return processor, circumstances["device"], circumstances["dtype"], sorted(packages.items())


def _moved(old: Any, new: Any, where: str) -> Iterator[tuple[str, Any, Any]]:
    """Give the places where two measurements differ, with both values."""
    if isinstance(old, dict) and isinstance(new, dict) and old.keys() == new.keys():
        for key in old:
            yield from _moved(old[key], new[key], f"{where}.{key}")
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for i, (a, b) in enumerate(zip(old, new, strict=True)):
            yield from _moved(a, b, f"{where}[{i}]")
    elif canonical(old) != canonical(new):
        yield where, old, new


@dataclass(frozen=True)
class _Substituted:
    """The records of a store with some of them replaced: what claims are evaluated on."""

    store: RecordStore
    replaced: dict[str, Record]

    def read(self, experiment: Experiment, profile: str) -> list[Record]:
        return [self.replaced.get(r.key, r) for r in self.store.read(experiment, profile)]

    def stale(self, experiment: Experiment, profile: str) -> bool:
        return self.store.stale(experiment, profile)


def problems(
    replayed: Iterable[Replayed],
    store: RecordStore,
    profile: str,
    every: Iterable[verdicts.Claim],
    experiments: Mapping[str, Experiment],
) -> tuple[list[str], list[str]]:
    """Return what is wrong with the groups that differ or failed or change a claim, and the unread.

    On another build or device the new measurements take the place of the stored ones. Of a group
    whose new numbers move no claim's estimate, nothing but the form was compared: it is unread.
    """
    replayed, every = list(replayed), list(every)
    bad = ("differs", "failed")
    wrong = [f"{one.unit}: {one.problem}" for one in replayed if one.outcome in bad]
    others = [one for one in replayed if one.outcome == "agrees"]

    def rows(groups: Sequence[Replayed], changed: Sequence[Replayed]) -> list[verdicts.Row]:
        names = {one.unit.experiment.name for one in groups}
        touched = [claim for claim in every if claim.reads & names]
        new = {record.key: record for one in changed for record in one.records()}
        return verdicts.evaluate_all(touched, _Substituted(store, new), profile, experiments)

    for old, new in zip(rows(others, []), rows(others, others), strict=True):
        wrong += changes(old, new)

    def estimates(one: Replayed, changed: Sequence[Replayed]) -> list[tuple[Any, ...]]:
        return [(r.estimate, r.interval, r.control.estimate) for r in rows([one], changed)]

    unread = [
        f"{one.unit}: no claim reads what moved ({one.problem})"
        for one in others
        if estimates(one, [one]) == estimates(one, [])
    ]
    return wrong, unread


def changes(old: verdicts.Row, new: verdicts.Row) -> Iterator[str]:
    """Say what differs: the verdict, the control, or an estimate outside the old interval."""
    if (old.verdict, old.control.outcome) != (new.verdict, new.control.outcome):
        yield (
            f"{old.id}: {old.verdict} (control: {old.control.outcome}) became "
            f"{new.verdict} (control: {new.control.outcome})"
        )
    sides: list[tuple[str, Any, Any]] = [("", old, new), (" (control)", old.control, new.control)]
    for name, was, now in sides:
        if was.interval is None or was.estimate is None:
            continue
        if now.estimate is None:
            yield f"{old.id}{name}: no estimate any more ({now.reason})"
            continue
        low, high = was.interval
        slack = SLACK * abs(was.estimate)
        if not low - slack <= now.estimate <= high + slack:
            yield f"{old.id}{name}: the estimate {now.estimate:g} is outside [{low:g}, {high:g}]"
