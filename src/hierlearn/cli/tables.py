"""What the command line prints: its tables."""

from collections import Counter
from collections.abc import Iterable, Sequence

from pydantic import TypeAdapter

from hierlearn.book import cards, changes
from hierlearn.claims import verdicts
from hierlearn.formatting import columns, format_interval, percent
from hierlearn.images.data import DataSet
from hierlearn.sweeps.agreement import Agreement
from hierlearn.sweeps.pushing import Pushed
from hierlearn.sweeps.replay import Replayed

ROWS = TypeAdapter(list[verdicts.Row])


def claims_table(rows: Iterable[verdicts.Row]) -> str:
    """Return one line a claim: verdict, what was declared, interval, rule and control."""
    head = ["claim", "verdict", "declared", "estimate [interval]", "over", "rule", "control"]
    head.append("false positives")
    lines = [
        [
            row.id,
            cards.words(row),
            row.expected + ("" if row.as_expected else " (!)"),
            format_interval(row.estimate, row.interval, row.side),
            cards.how(row.interval_kind, row.n_seeds) if row.interval else "—",
            row.rule or "—",
            f"{row.control.outcome}: "
            + format_interval(row.control.estimate, row.control.interval, row.control.side),
            percent(row.false_positive_rate),
        ]
        for row in rows
    ]
    return columns([head, *lines])


def replay_table(replayed: Sequence[Replayed]) -> str:
    """Return one line a replayed group, and how many came out how."""
    words = {
        "same": "the same, bit for bit",
        "agrees": "other numbers (another build or device), so claims were compared",
        "differs": "DIFFERS",
        "failed": "FAILED",
    }
    lines = [["experiment", "group", "CPU seconds then", "now", "outcome"]]
    for one in replayed:
        then = one.state.provenance.cpu_s if one.state.provenance else 0.0
        now = one.result.circumstances.get("cpu_s", 0.0)
        key, name = one.unit.group.key, one.unit.experiment.name
        lines.append([name, key, f"{then:.2f}", f"{now:.2f}", words[one.outcome]])
    counts = Counter(one.outcome for one in replayed)
    counted = ", ".join(f"{counts[outcome]} {words[outcome]}" for outcome in counts)
    return columns(lines) + f"\n{len(replayed)} groups replayed: {counted or 'none'}"


def agreement_table(found: Sequence[Agreement]) -> str:
    """Return one line a chapter: groups and claims that agree with the published ones."""
    lines = [["chapter", "groups the same bit for bit", "claims that agree", "computed on"]]
    for one in found:
        both = ["; ".join(sorted(m)) for m in (one.machines, one.published)]
        where = both[0] if both[0] == both[1] else f"{both[0]} (published: {both[1]})"
        groups, claims = f"{one.n_same} of {one.n_groups}", f"{one.n_agree} of {one.n_claims}"
        groups += f"; {one.n_lacking} cannot be rerun here" * bool(one.n_lacking)
        lines.append([one.chapter, groups, claims, where])
    return columns(lines)


def pushed_table(found: Sequence[Pushed]) -> str:
    """Return one line a pushed claim: verdict and interval before and after."""
    lines = [["claim", "budget", "before", "", "after", "", "why"]]
    for one in found:
        after = one.verdict_after + ("" if one.held else " (!)")
        before = [one.verdict_before, one.before]
        lines.append([one.id, one.budget, *before, after, one.after, one.reason or ""])
    return columns(lines)


def verdict_changes(before: Sequence[changes.Told], now: Sequence[verdicts.Row]) -> str:
    """Return, as Markdown, the claims whose verdict differs or that only one side has."""
    both = changes.pairs(before, now)
    differ = [(k, a, b) for k, a, b in both if not a or not b or a.verdict != b.verdict]
    profiles = " → ".join(rows[0].profile if rows else "nothing" for rows in (before, now))
    head = f"Verdicts, {profiles}: {len(differ)} of {len(both)} differ."
    if not differ:
        return head
    lines = [f"| {key} | {one or '—'} | {other or '—'} |" for key, one, other in differ]
    return "\n".join([head, "", "| claim | before | now |", "|---|---|---|", *lines])


def data_table(sets: Sequence[DataSet]) -> str:
    """Return one line a data set: whether it is at hand, its hash, and what is wrong otherwise."""
    lines = [["data set", "at hand", "SHA-256"]]
    missing = [reason for one in sets if (reason := one.missing())]
    lines += [[one.name, "no" if one.missing() else "yes", one.sha256] for one in sets]
    return "\n".join([columns(lines), *missing])
