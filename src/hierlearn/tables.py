"""The tables that the command line prints."""

from collections.abc import Iterable, Sequence

from hierlearn import cards, claims
from hierlearn.experiments import EXPERIMENTS, Experiment
from hierlearn.experiments.base import Group
from hierlearn.project import Project
from hierlearn.records import RecordStore

STATUSES = ("present", "missing", "stale", "damaged")


def claims_table(rows: Iterable[claims.Row]) -> str:
    """Return one line a claim: verdict, what was declared, interval, rule and control."""
    head = ["claim", "verdict", "declared", "estimate [interval]", "over", "rule", "control"]
    head.append("false positives")
    lines = [
        [
            row.id,
            row.verdict + (" (stale)" if row.stale else ""),
            row.expected + ("" if row.as_expected else " (!)"),
            cards.format_interval(row.estimate, row.interval),
            cards.how(row.interval_kind, row.n_seeds) if row.interval else "—",
            row.rule or "—",
            f"{row.control.outcome}: "
            + cards.format_interval(row.control.estimate, row.control.interval),
            cards.percent(row.false_positive_rate),
        ]
        for row in rows
    ]
    return columns([head, *lines])


def status_table(project: Project, store: RecordStore, profile: str) -> str:
    """Return one line an experiment: its groups by status, and the cost of those to compute."""
    lines = [["chapter", "experiment", *STATUSES, "CPU seconds to compute"]]
    total, unknown = 0.0, 0
    for experiment in EXPERIMENTS.values():
        states = store.states(experiment, profile)
        counts = [str(sum(state.status == status for state in states)) for status in STATUSES]
        needed = [state.group for state in states if state.status != "present"]
        costs = known_costs(project, store, experiment, profile)
        known = [costs[group.key] for group in needed if group.key in costs]
        total, unknown = total + sum(known), unknown + len(needed) - len(known)
        cost = cost_text(needed, known)
        lines.append([experiment.chapter, experiment.name, *counts, cost])
    said = f"{total:.1f}" + (f" and {unknown} groups not measured yet" if unknown else "")
    return columns([*lines, ["total", "", "", "", "", "", said]])


def cost_text(needed: Sequence[Group], known: Sequence[float]) -> str:
    """Return what computing the groups `needed` costs, as far as the costs `known` tell."""
    if not needed:
        return "0"
    if not known:
        return "not measured yet"
    unknown = len(needed) - len(known)
    return f"{sum(known):.1f}" + (f" and {unknown} groups not measured yet" if unknown else "")


def known_costs(
    project: Project, store: RecordStore, experiment: Experiment, profile: str
) -> dict[str, float]:
    """Return the CPU seconds that each group once took, from `store` or the committed records."""
    costs = {}
    for source in (RecordStore(project.frozen_records), store):
        for state in source.states(experiment, profile):
            if state.provenance:
                costs[state.group.key] = state.provenance.cpu_s
    return costs


def columns(lines: Sequence[Sequence[str]]) -> str:
    """Return the cells of `lines` aligned, two spaces apart."""
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )
