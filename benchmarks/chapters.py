"""What the time of each experiment is made of, and what its steps could take at the least.

    python benchmarks/chapters.py [EXPERIMENT...]

For each experiment that smoke has, its heaviest group there, on one thread: the shares of matrix
products, solves, random numbers, other operations and Python in its time, by the profiler; where it
is trained in steps, the share of a step's time that the roofline explains (`gpu.py` says what that
is); and the CPU seconds of the committed laptop records.
"""

import argparse

import torch
from engines import Machine, profiled, watching

from hierlearn.book.project import find_project
from hierlearn.experiment import Experiment, Group
from hierlearn.records import RecordStore
from hierlearn.registry import EXPERIMENTS

KINDS = ("products", "solves", "draws", "other operations", "Python")
CPU = torch.device("cpu")


def heaviest(one: Experiment) -> Group:
    """Return the heaviest smoke group of an experiment."""
    return max(one.groups("smoke"), key=lambda group: group.weight)


def shares(one: Experiment) -> dict[str, float]:
    """Return the shares of the kinds of operations in measuring its heaviest smoke group."""
    group = heaviest(one)
    kinds, whole = profiled(lambda: one.measure(group, CPU))
    return {kind: kinds.get(kind, 0.0) / whole for kind in KINDS} | {
        "Python": max(0.0, 1 - sum(kinds.values()) / whole)
    }


def of_floor(one: Experiment, machine: Machine) -> str:
    """Return the share of its steps' time that the roofline explains; a dash without steps."""
    with watching() as watch:
        one.measure(heaviest(one), CPU)
    return f"{watch.floor(machine) / watch.step_s:.2f}" if watch.step_s else "-"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("experiments", nargs="*", choices=[*EXPERIMENTS, []])
    names = parser.parse_args().experiments or [*EXPERIMENTS]
    torch.set_num_threads(1)
    machine = Machine.measure(CPU, torch.float32, small=False)
    listed = RecordStore(find_project().frozen_records).manifest["laptop"]
    print(f"{'':22s} laptop s  products  solves   draws   other  Python  of floor")
    for name in (name for name in names if EXPERIMENTS[name].groups("smoke")):
        one = EXPERIMENTS[name]
        found = shares(one)
        seconds = listed[name].cpu_s if name in listed else 0.0
        row = "".join(f"{100 * found[kind]:7.0f}%" for kind in KINDS)
        print(f"{name:22s} {seconds:8.1f}  {row}  {of_floor(one, machine):>8s}", flush=True)


if __name__ == "__main__":
    main()
