import re
import zipfile

from hierlearn.book.build import dead_links, pack


def pages(book):
    found = sorted(book.html.glob("book/*.html"))
    assert len(found) >= 6
    return found


def test_no_page_loads_anything_from_elsewhere(smoke_book):
    for page in pages(smoke_book):
        text = page.read_text()
        loaded = re.findall(r'<(?:script|img|iframe)[^>]*\ssrc="([^"]+)"', text)
        loaded += re.findall(
            r'<link[^>]*rel="[^"]*(?:stylesheet|icon|preload)[^"]*"[^>]*href="([^"]+)"', text
        )
        assert loaded and not [url for url in loaded if re.match(r"(https?:)?//", url)], page.name


def test_links_and_anchors_of_the_site_lead_somewhere_and_a_dead_one_is_named(smoke_book, tmp_path):
    assert dead_links(smoke_book.html) == []
    (tmp_path / "deep").mkdir()
    (tmp_path / "a.html").write_text(
        '<a href="deep/b.html#here">x</a><a href="deep/b.html#gone">x</a><a href="#gone">x</a>'
        '<img src="no.png"><a href="https://example.org/#x">x</a><a href="mailto:a@b">x</a>'
    )
    (tmp_path / "deep/b.html").write_text('<p id="here"><a href="../a.html?q=1">x</a></p>')
    assert dead_links(tmp_path) == [
        "a.html: deep/b.html#gone", "a.html: #gone", "a.html: no.png",
    ]  # fmt: skip


def test_every_claim_of_a_statement_and_the_statement_link_to_each_other(smoke_book):
    n_links = 0
    for page in pages(smoke_book):
        text = page.read_text()
        for card, label in re.findall(r'<article [^>]*id="([^"]+)"(?:(?!</article>).)*?Bears on[^#]*#([\w-]+)"', text, re.DOTALL):  # fmt: skip  # noqa: E501
            theorem = text.split(f'id="{label}"', 1)[1]
            line = re.search(r'<p class="hl-tested">.*?</p>', theorem, re.DOTALL)
            assert line and f'href="#{card}"' in line[0], (page.name, card, label)
            n_links += 1
    assert n_links > 25


def test_every_page_without_repository_address_has_no_launch_button(smoke_book):
    for page in pages(smoke_book):
        assert not re.search(r"colab\.research|mybinder", page.read_text())


def test_no_page_shows_the_cell_that_sets_up_launched_notebooks(smoke_book):
    sources = sorted((smoke_book.html / "_sources" / "book").glob("*.ipynb"))
    assert len(sources) >= 7
    for source in sources:
        assert "hierlearn-book" in source.read_text()
        assert (
            "hierlearn-book" not in (smoke_book.html / "book" / f"{source.stem}.html").read_text()
        )


def test_the_zip_holds_the_site_and_its_bytes_do_not_depend_on_when_it_is_packed(
    smoke_book, tmp_path
):
    packed = smoke_book.root / "_build/hierlearn-book.zip"
    with zipfile.ZipFile(packed) as archive:
        names = archive.namelist()
        assert names == sorted(names) and {n.split("/")[0] for n in names} == {"hierlearn-book"}
        for path in (p for p in smoke_book.html.rglob("*") if p.is_file()):
            inside = f"hierlearn-book/{path.relative_to(smoke_book.html).as_posix()}"
            assert archive.read(inside) == path.read_bytes()
            names.remove(inside)
    assert names == []
    again = tmp_path / "hierlearn-book.zip"
    for path in smoke_book.html.rglob("*"):
        path.touch()
    pack(smoke_book.html, again, epoch=1700000000)
    assert again.read_bytes() == packed.read_bytes()
