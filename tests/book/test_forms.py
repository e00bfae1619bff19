"""A figure outside its notebook, a page as Markdown, the book as one page, a link to report."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from bs4 import BeautifulSoup
from click.testing import CliRunner

from hierlearn.book import drawn, takeaway
from hierlearn.book.project import Project, find_project
from hierlearn.cli import commands
from hierlearn.errors import RunError

ROOT = Path(__file__).parents[2]


def test_every_figure_of_a_chapter_has_an_address_of_its_own(tmp_path):
    project = find_project(ROOT)
    for name in project.notebooks():
        text = project.notebook(name).with_suffix(".py").read_text()
        assert len(drawn.shown(project, name)) == text.count("chapter.show("), name
    (tmp_path / "book/claims").mkdir(parents=True)
    (tmp_path / "_toc.yml").touch()
    (tmp_path / "book/x.py").write_text("def f(): ...\nchapter.show(f)\nchapter.show(f)\n")
    with pytest.raises(RunError, match="two figures of one name, and address: f"):
        drawn.shown(find_project(tmp_path, need_book=False), "x")


@pytest.mark.slow
def test_a_figure_is_written_as_numbers_vectors_and_pixels(monkeypatch):
    monkeypatch.chdir(ROOT)

    def call(*arguments):
        return CliRunner().invoke(commands.cli, ["figure", *arguments, "--records", "book/records"])

    done = call("simpler.over_r", "--csv", "--svg", "--png")
    assert done.exit_code == 0, done.stderr
    table, vectors, pixels = (ROOT / line for line in done.stdout.splitlines())
    assert table.read_text().startswith("panel,") and len(table.read_text().splitlines()) > 5
    assert vectors.read_text().startswith("<svg xmlns=") and "var(--" not in vectors.read_text()
    assert pixels.read_bytes().startswith(b"\x89PNG")
    for wrong, valid in (("simpler.none", "over-r"), ("none.over_r", "valid chapters")):
        done = call(wrong)
        assert done.exit_code == 2 and valid in done.stderr


PAGE = """<h1>Title<a class="headerlink" href="#t">#</a></h1>
<p>Some <em>words</em>, <code>code</code>, <span class="math">\\(a_1\\)</span>,
<a href="other.html#x">a link</a>, <a href="https://e.org/a.html">another</a>.</p>
<div class="math">\\[b\\]</div>
<ul><li><p>one</p></li><li>two</li></ul>
<div class="highlight-ipython3"><pre>x = 1
y = 2
</pre></div>
<table><tr><th>a</th><th>b</th></tr><tr><td>1 | 2</td><td><p>3</p></td></tr></table>
<figure><svg aria-label="It falls to 1."></svg><figcaption><p>Below.</p></figcaption></figure>
<details><summary>More</summary><p>inside</p></details><script>no</script>
"""
TEXT = """# Title

Some *words*, `code`, $a_1$, [a link](other.md#x), [another](https://e.org/a.html).

$$
b
$$

- one
- two

```python
x = 1
y = 2
```

| a | b |
| --- | --- |
| 1 \\| 2 | 3 |

*Figure:* It falls to 1.

Below.

**More**

inside
"""


def written(folder, name, body):
    (folder / name).write_text(
        f'<html><head><title>x</title></head><body><article class="bd-article">{body}</article>'
        "</body></html>"
    )
    return folder / name


def test_a_page_becomes_markdown(tmp_path):
    assert takeaway.markdown(takeaway.article(written(tmp_path, "a.html", PAGE))) == TEXT


def test_in_the_book_as_one_page_links_between_pages_stay_inside(tmp_path):
    body = '<h2 id="x">A</h2><a href="#x">1</a><a href="b.html#x">2</a><a href="b.html">3</a>'
    body += '<a href="data/c.csv">4</a><a href="https://e.org/#x">5</a>'
    written(tmp_path, "a.html", body)
    written(tmp_path, "b.html", '<h2 id="x">B</h2><svg><use xlink:href="#x"/></svg>')
    soup = BeautifulSoup(takeaway.one_page(tmp_path, ["a", "b"]), "html.parser")
    hrefs = [link.get("href") for link in soup.select("a")]
    assert hrefs == ["#a.x", "#b.x", "#b", None, "https://e.org/#x"]
    assert [one["id"] for one in soup.select("[id]")] == ["a", "a.x", "b", "b.x"]
    assert soup.use["xlink:href"] == "#b.x"


def test_without_a_site_or_a_browser_there_is_no_pdf(tmp_path, monkeypatch):
    project = Project(tmp_path)
    with pytest.raises(RunError, match="no site to print"):
        takeaway.pdf(project)
    project.html.mkdir(parents=True)
    (project.html / "index.html").touch()
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(RunError, match="apt install chromium"):
        takeaway.pdf(project)


def test_a_page_ends_with_an_issue_about_it_where_the_address_is_known(monkeypatch):
    monkeypatch.setattr(sys, "path", [str(ROOT / "book/_ext"), *sys.path])
    import hierlearn_site

    def page(**options):
        context = {"body": "", "page_source_suffix": ".md"}
        app = SimpleNamespace(config=SimpleNamespace(html_theme_options=options))
        hierlearn_site.report_a_mistake(app, "book/intro", "", context)
        return context["body"]

    assert page(repository_url="https://e.org/a/b", use_issues_button=False) == ""
    text = page(repository_url="https://e.org/a/b", use_issues_button=True)
    assert 'href="https://e.org/a/b/issues/new?title=Mistake%20on%20book%2Fintro&amp;body=' in text
