"""The bibliography as short labels: whom a claim cites, and where that was published."""

from pathlib import Path

from pybtex.database import BibliographyData, Entry, parse_file
from pybtex.richtext import Text
from pybtex.scanner import PybtexError


def labels(path: Path) -> dict[str, str]:
    """Return "Authors, venue year" for each key of the BibTeX file `path`.

    `venue` is the entry's own short field, e.g. COLT, left out where there is none; an entry
    without authors or year goes by its key. Raises ValueError for a file that cannot be read.
    """
    try:
        found: BibliographyData = parse_file(str(path), bib_format="bibtex")
    except (OSError, UnicodeDecodeError, PybtexError) as error:
        raise ValueError(f"{path} cannot be read as BibTeX: {error}") from error
    return {key: _label(key, entry) for key, entry in found.entries.items()}


def _label(key: str, entry: Entry) -> str:
    """Join family names: one, "A & B", "A, B & C"; of more than four, the first "et al."."""
    people, year = entry.persons.get("author", []), entry.fields.get("year")
    if not people or not year:
        return key
    latex = (" ".join([*one.prelast_names, *one.last_names]) for one in people)
    names = [str(Text.from_latex(one)) for one in latex]
    several = " & ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
    authors = several if len(names) <= 4 else f"{names[0]} et al."
    venue = entry.fields.get("venue", "")
    return f"{authors}, {venue} {year}" if venue else f"{authors} {year}"
