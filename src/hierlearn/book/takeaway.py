"""The finished site to take along: each page as Markdown, `llms.txt`, and the book as one PDF."""

import posixpath
import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import yaml
from bs4 import BeautifulSoup, NavigableString, SoupStrainer, Tag

from hierlearn.book.notebooks import write_text
from hierlearn.book.project import Project, pages_of
from hierlearn.errors import RunError

_SKIPPED = (
    {"script", "style", "button"},
    {"headerlink", "hl-narrow", "hl-cite", "hl-report", "hl-links"},
)  # tags, and classes
_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_INLINE = {"em": "*", "i": "*", "strong": "**", "b": "**", "dt": "**", "summary": "**"}
_BLOCKS = {"p", "div", "section", "article", "ul", "ol", "dl", "dt", "dd", "details", "summary",
           "figcaption", "figure", "blockquote"}  # fmt: skip


def article(html: Path, *, drawings: bool = True) -> Tag:
    """Return what a page of the site says, without its frame and what only a browser can use.

    Without `drawings` the insides of figures, most of a page, are left out.
    """
    text = html.read_text(encoding="utf-8")
    if not drawings:
        text = re.sub(r"(<svg\b[^>]*>).*?(?=</svg>)", r"\1", text, flags=re.DOTALL)
    only = SoupStrainer(class_="bd-article")
    found = BeautifulSoup(text, "html.parser", parse_only=only).select_one(".bd-article")
    if found is None:
        raise RunError(f"{html} has no article; build the site anew")
    for one in found(_is_skipped):  # in Python, since a selector takes several times as long
        one.decompose()
    return found


def _is_skipped(one: Tag) -> bool:
    tags, classes = _SKIPPED
    return one.name in tags or not classes.isdisjoint(one.get_attribute_list("class"))


def markdown(node: Tag) -> str:
    """Return HTML as Markdown: formulas between dollars, of a figure its alt text."""
    lines = "".join(_parts(node)).splitlines()
    text = "\n".join(line.rstrip() for line in lines)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _parts(node: Tag) -> Iterator[str]:
    for one in node.children:
        if isinstance(one, Tag):
            yield _part(one)
        elif type(one) is NavigableString:
            yield re.sub(r"\s+", " ", one)


def _part(one: Tag) -> str:
    name = one.name
    if name == "svg":
        return f"\n\n*Figure:* {one.get('aria-label', '')}\n\n"
    if name == "pre":
        return f"\n\n```{_language(one)}\n{one.get_text().rstrip()}\n```\n\n"
    if "math" in one.get_attribute_list("class"):
        formula = one.get_text().strip()
        double = formula.startswith("\\[") or name == "div"
        formula = re.sub(r"^\\[(\[]|\\[)\]]$", "", formula).strip()
        return f"\n\n$$\n{formula}\n$$\n\n" if double else f"${formula}$"
    if name == "table":
        return _table(one)
    text = "".join(_parts(one))
    if re.fullmatch("h[1-6]", name):
        return f"\n\n{'#' * int(name[1])} {text.strip()}\n\n"
    if name == "code":
        return f"`{one.get_text()}`"
    if name == "a" and (href := str(one.get("href", ""))):
        href = re.sub(r"^(?!\w+:)([^#]*)[.]html", r"\1.md", href)
        return f"[{text.strip()}]({href})"
    if name == "li":
        return "\n- " + re.sub(r"\n+", "\n  ", text.strip())
    if mark := _INLINE.get(name):
        text = f"{mark}{text.strip()}{mark}" if text.strip() else ""
    return f"\n\n{text.strip()}\n\n" if name in _BLOCKS else text


def _language(one: Tag) -> str:
    """Return the language of a listing, as Sphinx names it in a class around it."""
    classes = (str(c) for around in one.parents for c in around.get_attribute_list("class"))
    named = (c.removeprefix("highlight-") for c in classes if c.startswith("highlight-"))
    return next(named, "").replace("none", "").replace("ipython3", "python")


def _table(table: Tag) -> str:
    rows = [
        [
            "".join(_parts(c)).strip().replace("\n", " ").replace("|", r"\|")
            for c in row(["th", "td"])
        ]
        for row in table("tr")
    ]
    if not rows:
        return ""
    rows[1:1] = [["---"] * len(rows[0])]
    return "\n\n" + "\n".join(f"| {' | '.join(row)} |" for row in rows) + "\n\n"


def write_markdown(project: Project) -> None:
    """Write each page of the site as Markdown beside it, and `llms.txt`, which lists them."""
    contents = yaml.safe_load((project.root / "_toc.yml").read_bytes())
    lines = [
        "# hierlearn",
        "",
        "> An executable book: theorems about hierarchical learning as experiments, each claim "
        "with a verdict from an interval over seeds. Every page is here as Markdown, figures by "
        "what they say; `book/ledger.md` has all claims, `data/` the numbers that figures draw.",
    ]
    root = {"caption": "Introduction", "file": contents["root"]}
    parts = (
        [root, *contents["parts"]] if "parts" in contents else [{"caption": "Pages", **contents}]
    )
    for part in parts:
        lines += ["", f"## {part['caption']}", ""]
        for page in pages_of(part):
            text = markdown(article(project.html / f"{page}.html", drawings=False))
            write_text(project.html / f"{page}.md", text)
            title = text.partition("\n")[0].lstrip("# ")
            lines.append(f"- [{title}]({page}.md)")
    write_text(project.html / "llms.txt", "\n".join(lines) + "\n")


def one_page(html: Path, pages: Iterable[str]) -> str:
    """Return the site's pages as one, each under its own id, with the links between them inside."""
    pages = list(pages)
    frame = BeautifulSoup((html / f"{pages[0]}.html").read_text(encoding="utf-8"), "html.parser")
    for script in frame.select("script"):
        if "mathjax" not in str(script).lower():
            script.decompose()
    head = frame.head
    assert head is not None, "Sphinx writes one"
    body = "\n".join(_renamed(page, str(article(html / f"{page}.html")), pages) for page in pages)
    return (
        f'<!DOCTYPE html><html lang="en" data-theme="light">{head}<body class="hl-print">{body}'
        "</body></html>"
    )


def _renamed(page: str, text: str, pages: list[str]) -> str:
    """Put the page's name before its ids, and into the links to them."""

    def link(match: re.Match[str]) -> str:
        path, _, anchor = match[2].partition("#")
        there = posixpath.normpath(posixpath.join(posixpath.dirname(page), path)) if path else page
        there = there.removesuffix(".html")
        if re.match(r"\w+:", match[2]):
            return match[0]
        inside = f"{there}.{anchor}" if anchor else there
        return f'{match[1] or ""}href="#{inside}"' if there in pages else ""

    text = re.sub(r' id="', f' id="{page}.', text)
    text = re.sub(r"url\(#", f"url(#{page}.", text)
    text = re.sub(r'(?<=[ \n])(xlink:)?href="([^"]*)"', link, text)
    return f'<section class="hl-book-page" id="{page}">{text}</section>'


def pdf(project: Project) -> Path:
    """Print the finished site as one PDF, with the Chromium that the tests use; return it.

    Raises RunError where there is no site, or no browser.
    """
    if not (project.html / "index.html").exists():
        raise RunError("there is no site to print; `python -m hierlearn book --frozen` builds it")
    browser = next(filter(None, map(shutil.which, _BROWSERS)), None)
    if browser is None:
        raise RunError(f"no browser found ({', '.join(_BROWSERS)}); Debian: apt install chromium")
    from playwright.sync_api import sync_playwright

    pages = list(pages_of(yaml.safe_load((project.root / "_toc.yml").read_bytes())))
    source, target = (
        project.html / "book/one-page.html",
        project.stage.parent / "hierlearn-book.pdf",
    )
    write_text(source, one_page(project.html, pages))
    try:
        with sync_playwright() as playwright:
            flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
            chromium = playwright.chromium.launch(executable_path=browser, args=flags)
            tab = chromium.new_page(color_scheme="light")
            tab.set_default_timeout(600_000)
            tab.goto(source.as_uri(), wait_until="load")
            opened = (
                "details:not(.hl-claim), .hl-ledger details"  # claims in full once, in the ledger
            )
            tab.evaluate(f"document.querySelectorAll('{opened}').forEach((d) => (d.open = true))")
            tab.evaluate("MathJax.startup.promise.then(() => true)")
            centred = "font-size:8px;width:100%;text-align:center"
            tab.pdf(
                path=target, format="A4", print_background=True, outline=True, tagged=True,
                display_header_footer=True, header_template="<p></p>",
                footer_template=f'<p class="pageNumber" style="{centred}"></p>',
                margin={"top": "16mm", "bottom": "16mm", "left": "15mm", "right": "15mm"},
            )  # fmt: skip
            chromium.close()
    finally:
        source.unlink()
    return target
