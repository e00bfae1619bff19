"""What changed since a published version: verdicts and statements, beside those of then."""

import json
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from pydantic import BaseModel, TypeAdapter, ValidationError

from hierlearn.claims.verdicts import Row
from hierlearn.errors import UsageError
from hierlearn.formatting import format_interval


class Told(BaseModel):
    """What a version said of a claim: part of a `Row`, whose JSON it reads as well."""

    id: str
    profile: str
    verdict: str
    as_expected: bool
    estimate: float | None
    interval: tuple[float, float] | None
    side: str | None
    statement: str
    finished: str

    def __str__(self) -> str:
        surprise = "" if self.as_expected else ", not as declared"
        return (
            f"{self.verdict}{surprise}: {format_interval(self.estimate, self.interval, self.side)}"
        )


_TOLD = TypeAdapter(list[Told])


def read(written: bytes, source: str) -> list[Told]:
    """Return what a version said, from the JSON of `source` in any UTF; UsageError for another."""
    try:
        return _TOLD.validate_json(written.decode(json.detect_encoding(written)))
    except (ValidationError, UnicodeDecodeError) as error:
        raise UsageError(
            f"{source}: expected what `python -m hierlearn claims --json` prints, or --publish "
            f"writes; {str(error).splitlines()[0]}"
        ) from error


def write(path: Path, rows: Iterable[Row]) -> None:
    """Keep what the rows say as the published version, a claim a line."""
    lines = (row.model_dump_json(include=set(Told.model_fields)) for row in rows)
    path.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")


def pairs(
    before: Sequence[Told], rows: Iterable[Row]
) -> list[tuple[str, Told | None, Told | None]]:
    """Return each claim of either side: its id, what was said of it then, and now."""
    now = [Told.model_validate(row.model_dump()) for row in rows]
    old, new = ({one.id: one for one in told} for told in (before, now))
    return [(key, old.get(key), new.get(key)) for key in dict.fromkeys((*old, *new))]


def changes_html(before: Sequence[Told], rows: Iterable[Row]) -> str:
    """Return what changed since `before`, folded; nothing where no claim was shown at its profile.

    A claim that is shown at another profile is another experiment, and is left out.
    """
    found = [
        (k, a, b) for k, a, b in pairs(before, rows) if not a or not b or a.profile == b.profile
    ]
    if not any(a and b for _, a, b in found):
        return ""
    lines = []
    for key, a, b in found:
        link = f'<a class="hl-id" href="#{escape(key)}">{escape(key)}</a>'
        if a is None or b is None:
            lines.append(f"{link} is new: {b}" if b else f"{escape(key)} is gone; it was {a}")
        elif a.verdict != b.verdict or a.statement != b.statement:
            said = "restated, " * (a.statement != b.statement)
            lines.append(f"{link}: {said}{f'{b}; it was {a}' if str(a) != str(b) else b}")
    listed = "".join(f"<li>{line}</li>" for line in lines)
    date, noun = max(one.finished for one in before)[:10], "claim" if len(lines) == 1 else "claims"
    return (
        f'<details class="hl-more-text"><summary>Changed since the last published version (records '
        f"until {date}): {len(lines)} {noun}</summary>\n<p>Verdict, statement, or whether there is "
        f"such a claim. Why stands under each claim, as <em>Revised</em>.</p>\n<ul>{listed}</ul>\n"
        "</details>"
    )
