"""The tables that the command line prints."""

from collections.abc import Iterable, Sequence

from pydantic import TypeAdapter, ValidationError

from hierlearn import cards, claims
from hierlearn.experiments import EXPERIMENTS, Experiment
from hierlearn.experiments.base import Group
from hierlearn.project import Project, UsageError
from hierlearn.records import RecordStore

STATUSES = ("present", "missing", "stale", "damaged")


def claims_table(rows: Iterable[claims.Row]) -> str:
    """Return one line a claim: verdict, what was declared, interval, rule and control."""
    head = ["claim", "verdict", "declared", "estimate [interval]", "seeds", "rule", "control"]
    lines = [
        [
            row.id,
            row.verdict + (" (stale)" if row.stale else ""),
            row.expected + ("" if row.as_expected else " (!)"),
            cards.format_interval(row.estimate, row.interval),
            str(row.n_seeds),
            row.rule or "—",
            f"{row.control.outcome}: "
            + cards.format_interval(row.control.estimate, row.control.interval),
        ]
        for row in rows
    ]
    return columns([head, *lines])


def read_rows(text: str) -> list[claims.Row]:
    """Return the rows that `claims --json` wrote; UsageError where it did not."""
    try:
        return TypeAdapter(list[claims.Row]).validate_json(text)
    except ValidationError as error:
        raise UsageError(
            "--against expects what `python -m hierlearn claims --json` prints; "
            f"{str(error).splitlines()[0]}"
        ) from error


def verdict_changes(before: Sequence[claims.Row], now: Sequence[claims.Row]) -> str:
    """Return, as Markdown, the claims whose verdict differs or that only one side has."""
    old, new = ({row.id: row for row in rows} for rows in (before, now))
    lines = []
    for key in dict.fromkeys((*old, *new)):
        one, other = old.get(key), new.get(key)
        if one and other and one.verdict == other.verdict:
            continue
        lines.append(f"| {key} | {_verdict(one)} | {_verdict(other)} |")
    profiles = " → ".join(rows[0].profile if rows else "nothing" for rows in (before, now))
    head = f"Verdicts, {profiles}: {len(lines)} of {len({*old, *new})} differ."
    if not lines:
        return head
    return "\n".join([head, "", "| claim | before | now |", "|---|---|---|", *lines])


def _verdict(row: claims.Row | None) -> str:
    if row is None:
        return "—"
    surprise = "" if row.as_expected else ", not as declared"
    return f"{row.verdict}{surprise}: {cards.format_interval(row.estimate, row.interval)}"


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
