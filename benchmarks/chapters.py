"""Where each chapter's CPU time goes, and what its floor is.

    python benchmarks/chapters.py [EXPERIMENT[:ARM] ...] [--shorter 8] [--runs N]

Without arguments: the CPU seconds of every chapter at the laptop profile and the experiments that
take a tenth of it, from records. For each experiment named, one of its groups is measured anew, in
CPU seconds of one thread: the group with that arm, or the cheapest one that took two seconds. Once
as it is, and once with every operation of torch counted and timed; the kinds are shares of the time
in these operations, the floors shares of all time. Groups run for an eighth of their steps, or for
an eighth of their runs where steps are not counted.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import torch
from engines import Machine, counted, seconds

from hierlearn.engine import devices
from hierlearn.experiment import Experiment, Group, digest, every
from hierlearn.records import RecordStore
from hierlearn.registry import EXPERIMENTS

PROFILE = "laptop"
LEAST = 2.0
CPU = torch.device("cpu")
KINDS = ("products", "solves", "draws", "other operations")


def costs(store: RecordStore, experiment: Experiment) -> list[tuple[Group, float]]:
    """List the groups of an experiment with the CPU seconds that they took."""
    states = store.states(experiment, PROFILE)
    return [(one.group, one.provenance.cpu_s) for one in states if one.provenance]


def chapters(store: RecordStore) -> None:
    """Print what every chapter took, and which experiments took a tenth of it or more."""
    by: defaultdict[str, dict[str, float]] = defaultdict(dict)
    for one in EXPERIMENTS.values():
        by[one.chapter][one.name] = sum(cost for _, cost in costs(store, one))
    for chapter, own in by.items():
        whole = sum(own.values())
        parts = sorted(own.items(), key=lambda item: -item[1])
        named = ", ".join(f"{n} {cost / whole:.0%}" for n, cost in parts if cost > whole / 10)
        print(f"{chapter:32s} {whole:7.1f}  {named}")


def shortened(group: Group, experiment: Experiment, by: int) -> Group:
    """Divide the fields of the budget; where no run has one, keep that share of the runs."""
    names = () if isinstance(experiment.budget, str) else experiment.budget

    def less(value: Any) -> Any:
        return (
            [less(one) for one in value] if isinstance(value, list) else max(value // by, value > 0)
        )

    def config(old: dict[str, Any]) -> dict[str, Any]:
        return old | {name: less(old[name]) for name in names if old.get(name)}

    runs = tuple(replace(one, config=config(one.config)) for one in group.runs)
    return replace(
        group, runs=group.runs[: max(len(runs) // by, 1)] if runs == group.runs else runs
    )


@cache
def machine(dtype: torch.dtype) -> Machine:
    """Measure the limits for numbers of this type."""
    return Machine.measure(CPU, dtype, small=False)


@cache
def counting() -> float:
    """Measure the seconds that counting adds to an operation."""
    one = torch.zeros(1)

    def thousand() -> None:
        for _ in range(1000):
            one.add_(1)

    alone = seconds(thousand, CPU, times=5)
    return (sum(counted(thousand).seconds.values()) - alone) / 1000


def profile(store: RecordStore, name: str, by: int, n_runs: int | None) -> str:
    """Measure a group of an experiment; return what it took, where, and the share of its floor."""
    experiment = EXPERIMENTS[name.partition(":")[0]]
    found = sorted(costs(store, experiment), key=lambda item: item[1])
    if arm := name.partition(":")[2]:
        wanted = {digest(one.as_dict()) for one in every(experiment.arms(PROFILE), arm)}
        found = [(g, c) for g, c in found if wanted & {digest(run.config) for run in g.runs}]
    group = next((g for g, cost in found if cost >= LEAST), found[-1][0])
    group = shortened(replace(group, runs=group.runs[:n_runs]), experiment, by)
    experiment.measure(replace(group, runs=group.runs[:1]), CPU)  # loads what is loaded once
    start = time.process_time()
    experiment.measure(group, CPU)
    taken = time.process_time() - start
    work = counted(lambda: experiment.measure(group, CPU), counting())
    limits, in_torch = machine(work.dtype), sum(work.seconds.values())
    shares = [work.seconds[kind] / in_torch for kind in KINDS]
    floors = work.floor(limits) / taken, work.n_calls * limits.launch / taken
    numbers = "".join(f"{share:9.2f}" for share in (*shares, *floors))
    return f"{name:36s}{len(group.runs):5d}{taken:8.2f}{1e6 * taken / work.n_calls:9.1f}{numbers}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="EXPERIMENT[:ARM]")
    parser.add_argument("--shorter", type=int, default=8)
    parser.add_argument(
        "--runs", type=int, help="the first ones of a group, where each is on its own"
    )
    parser.add_argument("--records", default="_build/records")
    options = parser.parse_args(arguments)
    store = RecordStore(options.records)
    devices.prepare(CPU)
    if not options.names:
        chapters(store)
        return
    print(f"{devices.describe(CPU)}; torch {torch.__version__}; one thread")
    print(f"{'':36s} runs       s  us/call products   solves    draws    other  of roof of launch")
    for name in options.names:
        print(profile(store, name, options.shorter, options.runs), flush=True)


if __name__ == "__main__":
    main()
