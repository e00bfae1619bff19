import pytest

from hierlearn.claims.citations import labels


@pytest.mark.parametrize(
    ("authors", "venue", "label"),
    [
        ("Cho, Youngmin", "", "Cho 2020"),
        ("Allen-Zhu, Zeyuan and Li, Yuanzhi", "COLT", "Allen-Zhu & Li, COLT 2020"),
        ("A, a and B, b and C, c and D, d", "", "A, B, C & D 2020"),
        ("A, a and B, b and C, c and D, d and E, e", "PRX", "A et al., PRX 2020"),
        ("Jos{\\'e} van der Waals", "", "van der Waals 2020"),
        ('G{\\"o}del, Kurt', "", "Gödel 2020"),
    ],
)
def test_a_label_names_authors_venue_and_year(tmp_path, authors, venue, label):
    path = tmp_path / "references.bib"
    field = f" venue = {{{venue}}}," if venue else ""
    path.write_text(f"@article{{key, author = {{{authors}}},{field} year = {{2020}} }}")
    assert labels(path) == {"key": label}


def test_an_entry_without_authors_or_year_goes_by_its_key(tmp_path):
    path = tmp_path / "references.bib"
    path.write_text("@misc{one, title = {T}, year = {2020} }\n@misc{two, author = {A, b} }")
    assert labels(path) == {"one": "one", "two": "two"}


@pytest.mark.parametrize("text", ["@article{a, title = {", "@article{a,}\n@article{a,}"])
def test_a_file_that_is_no_bibliography_is_refused(tmp_path, text):
    path = tmp_path / "references.bib"
    path.write_text(text)
    with pytest.raises(ValueError, match="references.bib cannot be read as BibTeX"):
        labels(path)
