"""Cards and tables say what the rows say, escaped, linked both ways and without colour."""

import csv
import io
import re
from html import escape
from html.parser import HTMLParser
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pybtex.database import parse_string
from toy_claims import ENTRY, ONES, ZEROS, ToyStore, row_of

from hierlearn.book.cards import (
    SHAPES,
    bibtex,
    chapter_html,
    filled,
    ledger_csv,
    ledger_html,
    readme_table,
    theorem_html,
)
from hierlearn.errors import RunError
from hierlearn.formatting import format_interval, format_number

TRUE = ToyStore(effect=ONES, ablation=ZEROS)
VOID = {"br", "meta", "link", "img"}


class Page(HTMLParser):
    """A parsed fragment: its elements, and whether every one is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        assert not self.open, f"never closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def having(self, tag: str) -> list[dict]:
        """The attributes of all elements of a tag."""
        return [attrs for name, attrs in self.elements if name == tag]


def several_rows():
    """One row of each kind."""
    return [
        row_of(TRUE, id="bfc.B1"),
        row_of(ToyStore(effect=[3 * x for x in ONES], ablation=ZEROS), id="bfc.B2", headline=False),
        row_of(ToyStore(effect=ONES, ablation=ONES), id="bfc.B3", headline=False),
        row_of(ToyStore(effect=ONES, ablation=ZEROS, stale="effect"), id="bfc.B4"),
        row_of(TRUE, "paper", id="bfc.B5", headline=False),
        row_of(
            TRUE,
            id="bfc.B6",
            headline=False,
            rules={"laptop": "report"},
            expected="reported",
            control=...,
            no_control="nothing to vanish",
            note="a remark",
        ),
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.2e-7, "1.20×10⁻⁷"),
        (-1.234e-12, "−1.23×10⁻¹²"),
        (0.98213, "0.982"),
        (-0.5, "−0.500"),
        (1.0, "1"),
        (0, "0"),
        (-0.0, "0"),
        (9.999, "10.0"),
        (0.001, "0.00100"),
        (1234.5, "1230"),
        (4096, "4096"),
        (65536.0, "65536"),
        (65536.5, "6.55×10⁴"),
        (1e300, "1.00×10³⁰⁰"),
        (None, "—"),
        (float("nan"), "—"),
    ],
)
def test_numbers_are_shown_at_three_significant_digits(value, text) -> None:
    assert format_number(value) == text


@given(st.floats(-1e300, 1e300))
def test_a_shown_number_is_within_half_a_percent_of_the_number(value) -> None:
    text = format_number(value).replace("−", "-").replace("×10", "e")
    shown = float(text.translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")))
    assert shown == pytest.approx(value, rel=0.00501, abs=1e-320)


def test_an_interval_is_shown_with_its_estimate() -> None:
    assert format_interval(1.006, (0.9701, 1.04)) == "1.01 [0.970, 1.04]"
    assert format_interval(None, None) == "—"


def test_cards_show_headline_claims_first_and_fold_the_others() -> None:
    text = chapter_html(several_rows())
    page = Page(text)
    first, fold = text.split('<details class="hl-more">')
    assert [card["id"] for card in Page(first + "</section>").having("article")] == [
        "bfc.B1",
        "bfc.B4",
    ]
    assert re.findall(r'<article [^>]*id="([^"]+)"', fold) == [
        "bfc.B2",
        "bfc.B3",
        "bfc.B5",
        "bfc.B6",
    ]
    assert "4 more claims: 1 refuted, 1 inconclusive, 1 reported, 1 not run" in page.text
    assert [link["href"] for link in page.having("a")][0] == "ledger.html#bfc.B1"


def test_a_card_carries_everything_a_reader_needs_to_judge() -> None:
    (row,) = several_rows()[:1]
    text = Page(chapter_html([row])).text
    for part in (
        "toy2020",
        "Theorem 1",
        "proved",
        "● supported",
        format_interval(row.estimate, row.interval),
        "95 % t interval over 5 seeds",
        "interval within [0.9, 1.1]",
        "without the cause",
        format_interval(row.control.estimate, row.control.interval),
        "rule: interval below 0.1",
        "as required",
        "012345678",
        "Toy, 2 cores",
    ):
        assert part in text
    assert "▲ stale" in Page(chapter_html(several_rows())).text
    assert "the control is not as required" in Page(chapter_html(several_rows())).text


def test_a_verdict_is_a_word_with_a_shape_of_its_own() -> None:
    assert len(set(SHAPES.values())) == len(SHAPES)
    page = Page(ledger_html(several_rows()))
    for row in several_rows():
        assert f"{SHAPES[row.verdict]} {row.verdict}" in page.text
    styled = [attrs for _, attrs in page.elements if "style" in attrs or "color" in attrs]
    assert not styled


def test_all_classes_are_the_books_own_or_those_of_math() -> None:
    page = Page(chapter_html(several_rows()) + ledger_html(several_rows()))
    names = {name for _, attrs in page.elements for name in attrs.get("class", "").split()}
    assert all(name.startswith("hl-") for name in names - {"math", "notranslate", "nohighlight"})


def test_text_is_escaped_and_dollars_become_math() -> None:
    nasty = '<script>alert("x")</script> & $a < b$ costs \\$5'
    row = row_of(TRUE, statement=nasty, locus=nasty, predicted=nasty, note=nasty)
    for text in (chapter_html([row]), ledger_html([row])):
        page = Page(text)
        assert not page.having("script")
        assert '<span class="math notranslate nohighlight">\\(a &lt; b\\)</span>' in text
        assert '<script>alert("x")</script> & \\(a < b\\) costs $5' in page.text


@given(st.text(max_size=60))
def test_any_text_leaves_the_page_well_formed(text) -> None:
    row = row_of(TRUE).model_copy(update={"statement": text, "note": text, "predicted": text})
    tags = [tag for tag, _ in Page(chapter_html([row])).elements if tag != "span"]
    assert tags.count("article") == 1 and "script" not in tags
    Page(ledger_html([row]))


def test_the_ledger_has_a_line_a_claim_headlines_first_and_the_rest_folded() -> None:
    rows = several_rows()
    page = Page(text := ledger_html(rows))
    ids = [one["id"] for one in page.having("details") if one["class"] == "hl-claim"]
    assert ids == ["bfc.B1", "bfc.B4", "bfc.B2", "bfc.B3", "bfc.B5", "bfc.B6"]
    open_, fold = text.split('<details class="hl-rest">')
    assert "bfc.B4" in open_ and 'id="bfc.B2"' not in open_ and 'id="bfc.B2"' in fold
    assert "4 more: 1 refuted, 1 inconclusive, 1 reported, 1 not run" in page.text
    for row in rows:
        line = text.split(f'id="{row.id}"')[1].split("</summary>")[0]
        assert row.verdict in line and format_interval(row.estimate, row.interval) in line
    hrefs = [a["href"] for a in page.having("a")]
    assert {"01_toy.html#bfc.B1", "ledger.html#bfc.B1", "01_toy.html"} <= set(hrefs)


def test_a_claim_is_cited_with_its_verdict_number_commit_and_date() -> None:
    row = row_of(TRUE, statement="90 % of $a_1$ & more")
    entry = bibtex(row)
    (key,) = parse_string(entry, "bibtex").entries
    found = parse_string(entry, "bibtex").entries[key].fields
    assert key == "hierlearn-bfc.B1" and found["year"] == row.finished[:4]
    assert r"90 \% of $a_1$ \& more" in found["title"]
    for part in ("supported", format_interval(row.estimate, row.interval), row.commit):
        assert part in found["note"]
    assert escape(entry) in ledger_html([row])


def test_claims_in_a_text_become_numbers_verdicts_and_links() -> None:
    rows, link = several_rows(), "[{id}](book/{chapter}.ipynb)"
    text = "{bfc.B1}, not {bfc.B1.control} ({bfc.B3.verdict}: {bfc.B1.claim}); {cite}`x`"
    one = rows[0]
    assert filled(text, rows, link) == (
        f"{format_interval(one.estimate, one.interval)}, not "
        f"{format_interval(one.control.estimate, one.control.interval)} "
        "(◐ inconclusive: [bfc.B1](book/01_toy.ipynb)); {cite}`x`"
    )
    with pytest.raises(RunError, match="{bfc.gone} names no claim"):
        filled("{bfc.gone}", rows, link)


def test_the_ledger_offers_the_same_table_as_csv() -> None:
    rows = several_rows()
    link = next(a for a in Page(ledger_html(rows)).having("a") if "download" in a)
    assert link["download"] == "hierlearn-claims-laptop-paper.csv"
    # Without the mark in front, a spreadsheet reads the text in its system's encoding.
    assert unquote(link["href"].split(",", 1)[1]) == "\ufeff" + ledger_csv(rows)


def test_csv_gives_back_every_number_in_full() -> None:
    rows = several_rows()
    read = list(csv.DictReader(io.StringIO(ledger_csv(rows))))
    assert [line["id"] for line in read] == [row.id for row in rows]
    for line, row in zip(read, rows, strict=True):
        assert (float(line["estimate"]) if line["estimate"] else None) == row.estimate
        ends = (line["interval_low"], line["interval_high"])
        assert (tuple(map(float, ends)) if ends[0] else None) == row.interval
        assert line["control_outcome"] == row.control.outcome
        assert line["stale"] == str(row.stale)
        assert line["statement"] == row.statement


@given(st.text(max_size=40))
def test_csv_gives_back_any_statement(statement) -> None:
    row = row_of(TRUE).model_copy(update={"statement": statement})
    text = ledger_csv([row])
    (line,) = csv.DictReader(io.StringIO(text, newline=""))
    assert line["statement"] == statement


def test_the_readme_table_lists_headline_verdicts_only() -> None:
    rows = several_rows()
    lines = readme_table(rows).splitlines()
    assert len(lines) == 2 + 2
    assert lines[2].startswith(
        "| bfc.B1 | The effect is $1$. | 1 [0.991, 1.01] | laptop | ● supported |"
    )
    assert "(stale)" in lines[3]
    piped = row_of(TRUE, statement="a | b\nc")
    assert r"| a \| b c |" in readme_table([piped])


def test_a_range_states_its_n_instead_of_a_confidence_wherever_it_is_shown() -> None:
    statistic = {"experiment": "effect", "name": "x", "interval": "range"}
    row = row_of(TRUE, statistic=statistic, control=ENTRY["control"] | {"interval": "range"})
    for text in (chapter_html([row]), ledger_html([row])):
        assert Page(text).text.count("range: every one of n = 5") == 2
        assert "95 %" not in Page(text).text
    assert "every one of n = 5" in readme_table([row])


def test_the_ledger_gives_the_false_positive_rate_or_says_why_there_is_none() -> None:
    row = row_of(TRUE)
    assert row.false_positive_rate == 0 and row.control.failure_rate == 0
    other = row_of(TRUE, control=ENTRY["control"] | {"same_quantity": False})
    assert other.false_positive_rate is None and other.control.failure_rate == 0
    near = row_of(ToyStore(effect=ONES, ablation=[0.9, 1.0, 1.1, 1.05, 0.95]))
    assert 0.1 < near.false_positive_rate < 1 and near.control.failure_rate == 1
    text = Page(ledger_html([row, other, near])).text
    assert "the control is another quantity" in text and "fails in 100 %" in text
    assert f"{100 * near.false_positive_rate:.2f}".rstrip("0") in text
    (line,) = csv.DictReader(io.StringIO(ledger_csv([near])))
    assert float(line["false_positive_rate"]) == near.false_positive_rate
    assert line["control_same_quantity"] == "True"


def test_no_claims_give_a_page_that_says_so() -> None:
    assert "no claims yet" in Page(chapter_html([])).text
    assert "0 claims" in Page(ledger_html([])).text


def test_a_card_links_to_its_statements_and_their_line_links_back_by_verdict() -> None:
    row = row_of(TRUE, theorems=["thm-toy", "rem-other-toy"])
    hrefs = [a["href"] for a in Page(chapter_html([row])).having("a")]
    assert hrefs == ["ledger.html#bfc.B1", "#thm-toy", "#rem-other-toy"]
    line = Page(theorem_html(several_rows()))
    assert [a["href"] for a in line.having("a")] == [
        "#bfc.B1", "#bfc.B2", "#bfc.B3", "#bfc.B4", "#bfc.B5", "#bfc.B6",
    ]  # fmt: skip
    assert "● supported bfc.B1; ✕ refuted declared: supported bfc.B2; ◐" in line.text
    assert theorem_html([]) == ""


def test_a_card_names_the_paper_as_readers_know_it() -> None:
    row = row_of(TRUE, cited="Toy & Toy, COLT 2020")
    page = Page(chapter_html([row]))
    assert "Toy & Toy, COLT 2020, Theorem 1" in page.text and "toy2020" not in page.text
