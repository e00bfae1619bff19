"""Verdicts made readable: cards for chapters, tables for ledger and README; nothing is computed.

Every function takes the rows of `claims.evaluate_all` and returns text. HTML uses only classes
that begin with `hl-`; a verdict is told by word and shape, never by colour alone.
"""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from hierlearn.claims.resampling import N_RESAMPLES, SEED
from hierlearn.claims.verdicts import DECIDED, ControlRow, Row
from hierlearn.errors import RunError
from hierlearn.experiment import PROFILES
from hierlearn.formatting import data_link, format_interval, format_number, percent
from hierlearn.sweeps.pushing import Pushed

SHAPES = {
    "supported": "●",
    "refuted": "✕",
    "inconclusive": "◐",
    "reported": "◇",
    "not run": "○",
    "stale": "▲",
}
_KINDS = {"thm": "theorem", "rem": "remark"}
_INTERVALS = {"t": "95 % t interval", "log-t": "95 % t interval of the log"}
_MATH = re.compile(r"(?<!\\)\$(.+?)(?<!\\)\$", re.DOTALL)


def _prose(text: str | float) -> str:
    """Escape text for HTML and hand its $...$ to MathJax, as Sphinx does with inline math."""
    if not isinstance(text, str):  # a prediction, shown as it was typed
        return f"{text:g}".replace("-", "−")
    span = r'<span class="math notranslate nohighlight">\\(\1\\)</span>'
    return _MATH.sub(span, escape(text)).replace(r"\$", "$")


def _span(name: str, text: str) -> str:
    return f'<span class="hl-{name}">{text}</span>'


def _badge(verdict: str) -> str:
    shape = f'<span class="hl-shape" aria-hidden="true">{SHAPES[verdict]}</span>'
    return _span(f"badge hl-verdict-{verdict.replace(' ', '-')}", f"{shape} {verdict}")


def _badges(row: Row) -> str:
    badges = [_badge(row.verdict)]
    if row.stale:
        badges.append(_badge("stale"))
    if row.excluded:
        badges.append(_span("badge hl-excluded", "rule holds, prediction excluded"))
    if not row.as_expected and not row.stale:
        badges.append(_span("unexpected", f"declared: {escape(row.expected)}"))
    return " ".join(badges)


def words(row: Row) -> str:
    """Return the verdict with what qualifies it, in plain text."""
    stale, excluded = " (stale)" * row.stale, ", prediction excluded" * row.excluded
    return row.verdict + stale + excluded


def how(kind: str | None, n: int) -> str:
    """Return what an interval of `kind` over n seeds is: a confidence, or all of n seeds."""
    if kind == "range":
        return f"range: every one of n = {n}"
    noun = "seed" if n == 1 else "seeds"
    return f"{_INTERVALS.get(str(kind), kind)} over {n} {noun}"


def _measured(row: Row | ControlRow) -> str:
    if row.interval is None:
        return "—"
    value = format_interval(row.estimate, row.interval, row.side)
    return f"{_span('number', value)} {_span('how', how(row.interval_kind, row.n_seeds))}"


def _false_positives(row: Row) -> str:
    """The rate, or a dash where the control is another quantity; how often its own rule fails."""
    control = row.control
    if control.failure_rate is None:
        return "—"
    fails = f"the control's rule fails in {percent(control.failure_rate)}"
    why = "" if control.same_quantity else " (it measures another quantity)"
    return f"{_span('number', percent(row.false_positive_rate))} {_span('how', fails + why)}"


def _control(row: Row) -> str:
    control, named = row.control, row.control.outcome.replace(" ", "-")
    if control.outcome == "none":
        return f"{_prose(control.description)}; {_span('outcome', 'no control')}"
    parts = [
        _prose(control.description),
        control.exact and f"exact: {_prose(control.exact)}",
        control.interval and _measured(control),
        control.rule and f"rule: {_span('rule', escape(control.rule))}",
        control.reason and _prose(control.reason),
        _span(f"outcome hl-outcome-{named}", control.outcome),
    ]
    return "; ".join(part for part in parts if part)


def _listed(row: Row) -> str:
    """Return what stands behind a verdict, as a list of definitions."""
    facts = {
        "Predicted": _prose(row.predicted),
        "Measured": _measured(row),
        "Rule": escape(row.rule or "—"),
        "Control": _control(row),
        "False positives": _false_positives(row),
    }
    told = {"Stands": _stands(row), "Why": row.reason, "Note": row.note, "Revised": _revised(row)}
    facts |= {name: _prose(text) for name, text in told.items() if text}
    if row.interval is not None:
        facts["Records"] = escape(f"{row.profile}, commit {row.commit}, {row.hardware}")
    listed = "\n".join(f"<div><dt>{name}</dt><dd>{text}</dd></div>" for name, text in facts.items())
    return f'<dl class="hl-facts">\n{listed}\n</dl>'


def _card(row: Row) -> str:
    kind = "hl-card hl-card-headline" if row.headline else "hl-card"
    key = escape(row.id)
    links = []
    for label in row.theorems:  # thm-a is "theorem a"
        named, _, name = label.partition("-")
        text = f"{_KINDS.get(named, named)} {name.replace('-', ' ')}"
        links.append(f'<a href="#{escape(label)}">{escape(text)}</a>')
    bears_on = f" Bears on {' and '.join(links)}." if links else ""
    return f"""<article class="{kind}" id="{key}" aria-label="Claim {key}">
<p class="hl-card-head"><a class="hl-id" href="ledger.html#{key}">{key}</a> {_badges(row)}</p>
<p class="hl-statement">{_prose(row.statement)}</p>
<p class="hl-origin">{_origin(row)}{bears_on}</p>
{_listed(row)}
</article>"""


def _stands(row: Row) -> str:
    """Say what else is known of a claim's evidence, in phrases."""
    holm = "with" if row.holm else "not with"
    said = [
        row.holm is not None and f"{holm} Holm's correction over the chapter",
        row.family not in (None, row.id) and f"on runs that {row.family} reads as well",
        row.needs and "on converged runs only",
        row.budget and "for the budget that it names",
    ]
    return "; ".join(phrase for phrase in said if phrase)


def _revised(row: Row) -> str:
    return " ".join(f"{one.when}: {one.what} ({one.why})." for one in row.revised)


def _origin(row: Row) -> str:
    cite = f'<cite class="hl-paper">{escape(row.cited or row.paper)}</cite>'
    locus = "" if row.locus == row.source else f", {_prose(row.locus)}"
    return f"{cite}{locus} {_span(f'badge hl-source-{row.source}', row.source)}"


def theorem_html(rows: Iterable[Row]) -> str:
    """Return the line below a theorem: the claims of its chapter that bear on it, by verdict."""
    by_verdict: dict[str, list[str]] = {}
    for row in rows:
        key = escape(row.id)
        by_verdict.setdefault(_badges(row), []).append(f'<a href="#{key}">{key}</a>')
    groups = "; ".join(f"{badge} {', '.join(links)}" for badge, links in by_verdict.items())
    return f'<p class="hl-tested">Claims that bear on it: {groups}</p>' if groups else ""


def chapter_html(rows: Iterable[Row]) -> str:
    """Return a chapter's claims: headline claims as cards, the others folded below them.

    Each card's id is the claim's, and its first link goes to the claim's row in the ledger.
    """
    rows = list(rows)
    parts = [_card(row) for row in rows if row.headline]
    if others := [row for row in rows if not row.headline]:
        noun = "claim" if len(others) == 1 else "claims"
        parts += [
            '<details class="hl-more">',
            f"<summary>{len(others)} more {noun}: {_tally(others)}</summary>",
            *(_card(row) for row in others),
            "</details>",
        ]
    inner = "\n".join(parts) or "<p>This chapter makes no claims yet.</p>"
    return f'<section class="hl-claims" aria-label="Claims and verdicts">\n{inner}\n</section>'


FALSE_POSITIVES = (
    f"False positives: the share of {N_RESAMPLES} simulated experiments, drawn from the control's "
    f"seeds with replacement and blurred (seed {SEED}), in which the claim's rule holds; "
    "a dash where the control is another quantity. Beside it, how often the control's own rule "
    "fails in experiments drawn in the same way."
)


def _line(row: Row) -> str:
    """Return a claim as a line of verdict, statement and number, which opens on the rest."""
    key = escape(row.id)
    facets = {"verdict": row.verdict, "chapter": row.chapter, "source": row.source}
    data = "".join(f' data-{name}="{escape(text)}"' for name, text in facets.items())
    measured = format_interval(row.estimate, row.interval, row.side)
    return f"""<details class="hl-claim" id="{key}"{data}>
<summary>{_span("id", key)} {_span("verdicts", _badges(row))} \
{_span("statement", _prose(row.statement))} {_span("number", measured)}</summary>
<p class="hl-origin">{_origin(row)}; statistic {_span("code", escape(row.statistic))}</p>
{_listed(row)}
<p class="hl-links"><a href="{escape(row.chapter)}.html#{key}">In its chapter</a>, \
<a href="ledger.html#{key}">address of this claim</a></p>
<details class="hl-cite"><summary>Cite this claim</summary>
<pre tabindex="0">{escape(bibtex(row))}</pre>
</details>
</details>"""


def bibtex(row: Row) -> str:
    """Return a BibTeX entry of the claim as it stands: verdict, number, commit and date."""
    statement = re.sub(r"(?<!\\)([%&#])", r"\\\1", " ".join(row.statement.split()))
    measured = format_interval(row.estimate, row.interval, row.side)
    ran = f"; records of {row.finished[:10]}, commit {row.commit}" if row.commit else ""
    year = f"  year = {{{row.finished[:4]}}},\n" if row.commit else ""
    return (
        f"@misc{{hierlearn-{row.id},\n  author = {{{{The hierlearn authors}}}},\n"
        f"  title = {{{{hierlearn, claim {row.id}: {statement}}}}},\n{year}"
        f"  note = {{{row.verdict}: {measured} at profile {row.profile}{ran}}}\n}}"
    )


def _tally(rows: Iterable[Row]) -> str:
    """Return how many claims have which verdict."""
    counts = Counter(str(row.verdict) for row in rows)
    return ", ".join(f"{counts[v]} {v}" for v in SHAPES if counts[v])


def headlines_html(rows: Iterable[Row]) -> str:
    """Return the headline claims as lines that open."""
    return "\n".join(_line(row) for row in rows if row.headline)


def _chapter_lines(chapter: str, title: str, rows: Sequence[Row]) -> str:
    """Return the claims of a chapter: its headline claims as lines, the others folded."""
    key = escape(chapter.partition("_")[0])
    noun = "claim" if len(rows) == 1 else "claims"
    lines = [
        f'<section class="hl-group" aria-labelledby="claims-{key}">',
        f'<h2 id="claims-{key}"><a href="{escape(chapter)}.html">{escape(title)}</a></h2>',
        f"<p>{len(rows)} {noun}: {_tally(rows)}</p>",
        headlines_html(rows),
    ]
    if others := [row for row in rows if not row.headline]:
        told = f"<summary>{len(others)} more: {_tally(others)}</summary>"
        lines += [f'<details class="hl-rest">{told}', *map(_line, others), "</details>"]
    return "\n".join([*lines, "</section>"])


def ledger_html(
    rows: Iterable[Row], titles: Mapping[str, str] | None = None, changes: str = ""
) -> str:
    """Return all claims by chapter, each a line under its id that opens, and a link to them as CSV.

    `titles` are those of the chapters; `changes` stands above all. The page's script adds filters;
    what they read stands in `data-` attributes.
    """
    rows = list(rows)
    profiles = ", ".join(p for p in PROFILES if p in {row.profile for row in rows}) or "none"
    noun = "profiles" if "," in profiles else "profile"
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.chapter, []).append(row)
    named = titles or {}
    body = "\n".join(_chapter_lines(c, named.get(c, c), own) for c, own in groups.items())
    name = f"hierlearn-claims-{profiles.replace(', ', '-')}.csv"
    # The mark tells spreadsheets that the text is UTF-8.
    link = data_link("Download as CSV", name, "\ufeff" + ledger_csv(rows))
    return f"""<p>{len(rows)} claims, {noun} {escape(profiles)}. {link}</p>
{changes}
<details class="hl-more-text"><summary>How much evidence this is</summary>
<p>{_counted(rows)}</p>
<p>{FALSE_POSITIVES}</p>
</details>
<div class="hl-ledger">
{body}
</div>"""


def _counted(rows: Sequence[Row]) -> str:
    """Say how much evidence the rows are: families, Holm, and how many may be supported falsely."""
    decided = [row for row in rows if row.verdict in DECIDED]
    supported = [row for row in decided if row.verdict == "supported"]
    families = len({row.family for row in decided})
    rates = [r.false_positive_rate for r in supported if r.false_positive_rate is not None]
    return (
        f"{len(decided)} claims are decided; those that share a run are one family, and there are "
        f"{families}. {len(supported)} are supported, {sum(bool(r.holm) for r in supported)} of "
        "them with Holm's correction over the decided claims of their chapter as well. By the "
        f"resampled rates, {format_number(round(sum(rates), 2))} of the {len(rates)} supported "
        "claims that have one would be expected to be so without the effect; of the "
        f"{len(supported) - len(rates)} others no rate is known. "
        f"{sum(bool(row.revised) for row in rows)} claims were revised after results were seen."
    )


def ledger_csv(rows: Iterable[Row]) -> str:
    """Return all claims as CSV (RFC 4180), numbers in full, one column for each JSON key.

    An interval becomes two columns (`interval_low`, `interval_high`), the control's keys begin with
    `control_`, and what is missing is empty.
    """
    table = [_flat(row) for row in rows]
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, table[0] if table else [])
    writer.writeheader()
    writer.writerows(table)
    return out.getvalue()


def _flat(row: Row | ControlRow, prefix: str = "") -> dict[str, object]:
    flat: dict[str, object] = {}
    for name, value in row:
        if name == "interval":
            flat[f"{prefix}interval_low"], flat[f"{prefix}interval_high"] = value or (None, None)
        elif name != "control":
            flat[prefix + name] = value
    if isinstance(row, Row):
        flat |= {"theorems": " ".join(row.theorems), "revised": _revised(row)}
        flat |= _flat(row.control, "control_")
    return flat


def pushed_table(found: Sequence[Pushed]) -> str:
    """Return what pushing gave as a Markdown table: one line a claim, what changed marked."""
    if not found:
        return "No claim has been pushed yet."
    lines = ["| Claim | Budget | Before | After | Why |", "|---|---|---|---|---|"]
    for one in found:
        link = f'<a href="{one.chapter}.html#{one.id}">{one.id}</a>'
        before = f"{SHAPES[one.verdict_before]} {one.verdict_before}: {one.before}"
        after = f"{SHAPES[one.verdict_after]} {one.verdict_after}: {one.after}"
        after = after if one.held else f"**{after}**"
        reason = one.reason or ""
        lines.append(f"| {link}, {one.profile} | {one.budget} | {before} | {after} | {reason} |")
    held = sum(one.held for one in found)
    machines = "; ".join(dict.fromkeys(one.hardware for one in found))
    last = max(one.finished for one in found)[:10]
    verdicts = f"{held} of {len(found)} verdicts stand"  # a claim has one at each profile
    text = f"{verdicts}. Computed on {machines}, until {last}."
    return "\n".join([text, "", *lines])


def filled(text: str, rows: Iterable[Row], link: str) -> str:
    """Return `text` with its claims: {bfc.P8} becomes the number, {bfc.P8.control} the control's.

    {bfc.P8.verdict} is the verdict, and {bfc.P8.claim} the id as `link`, which names {id} and
    {chapter}. Raises RunError for a claim that is none.
    """
    known = {row.id: row for row in rows}

    def said(match: re.Match[str]) -> str:
        row = known.get(match[1])
        if row is None:
            raise RunError(f"{match[0]} names no claim; valid: the ids in book/claims")
        if match[2] == ".claim":
            return link.format(id=row.id, chapter=row.chapter)
        if match[2] == ".verdict":
            return f"{SHAPES[row.verdict]} {words(row)}"
        told = row.control if match[2] else row
        return format_interval(told.estimate, told.interval, told.side)

    return re.sub(r"\{([a-z]+\.\w+?)(\.claim|\.control|\.verdict)?\}", said, text)


def readme_table(rows: Iterable[Row]) -> str:
    """Return the headline verdicts as a GitHub-flavoured Markdown table."""
    lines = ["| Claim | Statement | Measured | Profile | Verdict |", "|---|---|---|---|---|"]
    for row in rows:
        if row.headline:
            statement = " ".join(row.statement.split()).replace("|", r"\|")
            measured = format_interval(row.estimate, row.interval, row.side)
            if row.interval and row.interval_kind == "range":
                measured += f", every one of n = {row.n_seeds}"
            verdict = f"{SHAPES[row.verdict]} {words(row)}"
            lines.append(f"| {row.id} | {statement} | {measured} | {row.profile} | {verdict} |")
    return "\n".join(lines)
