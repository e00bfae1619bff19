"""The site in a real browser: over HTTP and from a disk, wide and narrow, light and dark."""

import csv
import re
import zipfile
from pathlib import Path

import pytest
import yaml
from browser import TOO_WIDE, Visit, served

from hierlearn.book import takeaway
from hierlearn.book.project import pages_of

MANY_FORMULAS = r"book/0[1-7]_|book/api/t|.*ledger"
SCHEMES = ("light", "dark")

# Serious findings of axe that are the theme's, and why they stay.
ALLOWED: dict[str, str] = {}


@pytest.fixture(scope="module")
def address(smoke_book):
    with served(smoke_book.html) as address:
        yield address


@pytest.fixture(scope="module")
def unpacked(smoke_book, tmp_path_factory):
    """The site as a reader has it who unpacks the zip file."""
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(smoke_book.root / "_build/hierlearn-book.zip") as archive:
        archive.extractall(folder)
    return folder / "hierlearn-book"


def pages(html: Path) -> list[str]:
    """Every page but the one that only leads on to the introduction."""
    found = [p.relative_to(html).as_posix() for p in sorted(html.rglob("*.html"))]
    assert len(found) > 15
    return [name for name in found if name != "index.html"]


def axe_script() -> str:
    import axe_playwright_python

    return (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()


def findings(tab, rules: str = "", where: str = "document") -> list[str]:
    """What axe finds critical, or serious and not allowed; `rules` names the only ones to run."""
    if not tab.evaluate("'axe' in window"):
        tab.evaluate(axe_script())
    only = f", runOnly: ['{rules}']" if rules else ""
    options = f"{{resultTypes: ['violations'], iframes: false, preload: false{only}}}"
    violations = tab.evaluate(f"axe.run({where}, {options}).then((r) => r.violations)")
    return [
        f"{v['impact']} {v['id']} ({len(v['nodes'])}): {v['nodes'][0]['html'][:200]}"
        for v in violations
        if v["impact"] == "critical" or (v["impact"] == "serious" and v["id"] not in ALLOWED)
    ]


def test_no_page_complains_overflows_calls_elsewhere_or_shuts_anybody_out(
    smoke_book, browser, address
):
    problems, formulas, framed = [], {}, {}
    with Visit(browser, (address, "data:")) as visit:
        for name in pages(smoke_book.html):
            visit.tab.emulate_media(color_scheme="light")
            visit.tab.set_viewport_size({"width": 1280, "height": 900})
            tab = visit.open(f"{address}/{name}")
            for scheme in SCHEMES:
                tab.emulate_media(color_scheme=scheme)
                tab.wait_for_function(f"document.documentElement.dataset.theme === '{scheme}'")
                # Only colors change with the theme: the other rules would find the same again.
                rules = "color-contrast" if scheme == "dark" else ""
                for width in (1280, 390):
                    tab.set_viewport_size({"width": width, "height": 900})
                    if (wide := tab.evaluate(TOO_WIDE)) > 0:
                        problems.append(f"{name} is {wide} px wider than {width} px, {scheme}")
                    # Where there is room, what differs is the ledger's layout, and the frame, which
                    # the pages of a folder share.
                    where = "document"
                    if width == 1280 and not name.endswith("ledger.html"):
                        if framed.setdefault(name.rpartition("/")[0], name) != name:
                            continue
                        where = "{exclude: ['.bd-article']}"
                    found = findings(tab, rules, where)
                    problems += [f"{name}, {scheme}, {width} px: {one}" for one in found]
            problems += [f"{name}: {complaint}" for complaint in visit.complaints]
            visit.complaints.clear()
            # Code is shown as it is written.
            tab.evaluate("document.querySelectorAll('.bd-article pre').forEach(e => e.remove())")
            raw = r"(?:\\\(|\$)[a-zA-Z\\]"
            left = tab.evaluate("document.querySelector('.bd-article')?.innerText ?? ''")
            problems += [f"{name}: not rendered: {m}" for m in re.findall(raw + ".{20}", left)]
            formulas[name] = tab.locator("mjx-container").count()
            assert tab.locator("mjx-merror").count() == 0, name
    assert problems == []
    assert all(formulas[n] > 20 for n in formulas if re.match(MANY_FORMULAS, n))


def test_from_a_disk_every_page_works_without_a_server(unpacked, browser):
    problems = []
    with Visit(browser, ("file:", "data:"), viewport={"width": 1280, "height": 900}) as visit:
        for name in pages(unpacked):
            tab = visit.open((unpacked / name).as_uri())
            problems += [f"{name}: {complaint}" for complaint in visit.complaints]
            visit.complaints.clear()
            if re.match(r"book/0[1-7]_", name):
                assert tab.locator("mjx-container").count() > 20, name
        tab.goto((unpacked / "index.html").as_uri())  # which leads on by itself
        tab.wait_for_url("**/book/intro.html")
        tab.locator(".bd-sidebar-primary a", has_text="What layerwise training costs").first.click()
        tab.wait_for_url("**/book/03_layerwise_failure.html")
        assert found(visit, (unpacked / "search.html").as_uri(), "orthonormal") >= {
            "2. Kernel lower bounds"
        }
    assert problems + visit.complaints == []


def found(visit, search: str, word: str) -> set[str]:
    """Titles of the pages on which the search finds `word`."""
    tab = visit.open(f"{search}?q={word}")
    tab.wait_for_function("document.querySelector('.search-summary')?.innerText.match(/found/)")
    titles = tab.locator("#search-results ul.search > li > a").all_inner_texts()
    return {title.strip() for title in titles}


def test_the_search_finds_the_chapter_of_a_theorem_and_its_marks_are_readable(browser, address):
    with Visit(browser, (address, "data:"), color_scheme="dark") as visit:
        titles = found(visit, f"{address}/search.html", "orthonormal")
        assert "2. Kernel lower bounds" in titles and "Bibliography" not in titles
        tab = visit.tab
        tab.locator("#search-results .highlighted").first.wait_for()
        assert [f for f in findings(tab) if "contrast" in f] == []
    assert visit.complaints == []


def test_the_download_menu_serves_both_halves_of_a_chapter(smoke_book, browser, address):
    chapter = "01_backward_feature_correction"
    executed = smoke_book.root / f"_build/stage/book/{chapter}.ipynb"
    script = smoke_book.root / f"book/{chapter}.py"
    with Visit(browser, (address, "data:"), viewport={"width": 1280, "height": 900}) as visit:
        tab = visit.open(f"{address}/book/{chapter}.html")
        tab.locator(".dropdown-download-buttons > button").click()
        for half in (executed, script):
            link = tab.locator(f".dropdown-download-buttons a[href$='{half.suffix}']")
            assert link.is_visible()
            answer = visit.context.request.get(link.evaluate("link => link.href"))
            assert answer.status == 200 and answer.body() == half.read_bytes()
    assert visit.complaints == []


def visible(tab) -> list[str]:
    return tab.locator(".hl-claim:visible").evaluate_all("found => found.map(one => one.id)")


def test_the_ledger_is_short_and_filters_by_keyboard_and_gives_its_table_as_csv(unpacked, browser):
    with Visit(browser, ("file:", "data:"), viewport={"width": 390, "height": 844}) as visit:
        tab = visit.open((unpacked / "book/ledger.html").as_uri())
        headlines, count = visible(tab), tab.locator(".hl-count")
        assert 5 < len(headlines) <= 10
        assert tab.evaluate("document.documentElement.scrollHeight") < 9000
        ids = tab.locator(".hl-claim").evaluate_all("found => found.map(one => one.id)")
        assert count.inner_text() == f"{len(ids)} of {len(ids)} claims"
        tab.locator(".hl-filters input").focus()
        tab.keyboard.type("plain kernels quadratic")
        assert visible(tab) == ["simpler.S2"]
        assert count.inner_text() == f"1 of {len(ids)} claims"
        tab.keyboard.press("Control+a")
        tab.keyboard.press("Delete")
        for facet, key, wanted in (("verdict", "s", "supported"), ("source", "s", "stated")):
            tab.locator(f".hl-filters select[name={facet}]").focus()
            tab.keyboard.press(key)
            picked = tab.locator(".hl-claim:visible")
            values = picked.evaluate_all(f"found => found.map(one => one.dataset.{facet})")
            assert set(values) == {wanted}
            tab.keyboard.press("Home")
        assert visible(tab) == headlines
        with tab.expect_download() as download:
            tab.locator(".hl-download").click()
        text = Path(download.value.path()).read_text(encoding="utf-8-sig")
        read = [line["id"] for line in csv.DictReader(text.splitlines(keepends=True))]
        assert sorted(read) == sorted(ids)
    assert visit.complaints == []


@pytest.mark.parametrize("scripts", [True, False])
def test_a_claim_has_an_address_in_the_ledger_which_leads_to_its_card_and_back(
    unpacked, browser, scripts
):
    with Visit(browser, ("file:", "data:"), java_script_enabled=scripts) as visit:
        tab, ledger = visit.tab, (unpacked / "book/ledger.html").as_uri()
        tab.goto(f"{ledger}#bfc.P7", wait_until="load")
        assert tab.locator(".hl-filters").count() == int(scripts)
        line = tab.locator("[id='bfc.P7']")
        if not scripts:  # then the browser opens what is around it, and the reader the line
            line.locator("> summary").click()
        line.locator(".hl-facts").wait_for(state="visible")
        line.get_by_text("Cite this claim").click()
        assert "@misc{hierlearn-bfc.P7," in line.locator("pre").inner_text()
        line.get_by_text("In its chapter").click()
        tab.wait_for_url("**/01_backward_feature_correction.html#bfc.P7")
        card = tab.locator("article[id='bfc.P7']")
        card.wait_for(state="visible")
        tab.wait_for_timeout(300)
        box = card.bounding_box()
        assert box is not None and -5 < box["y"] < 600
        card.locator("a.hl-id").click()
        tab.wait_for_url("**/ledger.html#bfc.P7")


def test_what_a_link_leads_to_is_shown_beside_it_and_goes_with_escape(browser, address):
    with Visit(browser, (address, "data:"), viewport={"width": 1280, "height": 900}) as visit:
        tab, box = visit.open(f"{address}/book/01_backward_feature_correction.html"), ".hl-preview"
        tab.locator(".hl-tested a").first.hover()
        tab.locator(f"{box} .hl-card").wait_for()
        assert [f for f in findings(tab) if "duplicate" in f or "aria" in f] == []
        tab.keyboard.press("Escape")
        assert tab.locator(box).count() == 0
        tab.mouse.move(0, 0)
        tab.locator(".hl-card-head a.hl-id").first.focus()  # another page: asked of this site only
        tab.locator(f"{box} .hl-claim[open]").wait_for()
        tab.locator(f"{box} mjx-container").first.wait_for()
        tab.keyboard.press("Escape")
        tab.locator("a[href^='bibliography.html#']").first.hover()
        tab.locator(f"{box} .citation").wait_for()
        assert findings(tab) == []
    assert visit.complaints == []


def test_under_a_figure_are_its_numbers_and_its_address(smoke_book, browser, address):
    with Visit(browser, (address, "data:"), viewport={"width": 1280, "height": 900}) as visit:
        tab = visit.open(f"{address}/book/01_backward_feature_correction.html")
        figure = tab.locator("#fig-depth")
        link = figure.get_by_text("Numbers as CSV").evaluate("link => link.href")
        assert link.endswith("/data/01_backward_feature_correction/depth.csv")
        lines = list(csv.DictReader(visit.context.request.get(link).text().splitlines()))
        labels = {line["series"] for line in lines}
        assert {"5 levels, degree 32", "features frozen"} <= labels
        ends = [line for line in lines if line["series"] == "5 levels, degree 32"]
        assert float(ends[-1]["low"]) <= float(ends[-1]["y"]) <= float(ends[-1]["high"])
        assert figure.get_by_text("address of this figure").get_attribute("href") == "#fig-depth"
        assert len(list((smoke_book.html / "data").glob("*/*.csv"))) > 30
    assert visit.complaints == []


def test_each_page_is_there_as_markdown_and_the_book_as_one_page_for_paper(smoke_book, browser):
    html = smoke_book.html
    listed = re.findall(r"\]\((book/[^)]*\.md)\)", (html / "llms.txt").read_text())
    pages = pages_of(yaml.safe_load((smoke_book.root / "_toc.yml").read_bytes()))
    assert listed == [f"{page}.md" for page in pages]
    text = (html / "book/01_backward_feature_correction.md").read_text()
    assert text.startswith("# ") and "*Figure:* " in text and "```python" in text
    assert "bfc.P12" in text and "<" not in re.sub(r"```.*?```|\$.*?\$|`.*?`", "", text, flags=re.S)
    whole = takeaway.one_page(html, [page for page in pages if "/api/" not in page])
    known = set(re.findall(r'\sid="([^"]+)"', whole))
    links = re.findall(r'\shref="#([^"]+)"', whole)
    assert len(links) > 300 and [link for link in links if link not in known] == []
