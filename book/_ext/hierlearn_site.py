"""What the site needs beyond Jupyter Book's settings; loaded by `_config.yml`."""

import json
import os
import re
import shutil
import time
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlencode

from docutils import nodes
from numpy.typing import ArrayLike
from sphinx.application import Sphinx
from sphinx.util.typing import stringify_annotation
from sphinx.writers.html5 import HTML5Translator

DISPLAY = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)
PARAMETERS = re.compile(
    r'(<span class="sig-paren">\(</span>)\s*<dl>(.*?)</dl>\s*(<span class="sig-paren">\)</span>)',
    re.DOTALL,
)
DATA = re.compile(r'download="([^"]+)" href="data:text/csv;charset=utf-8,([^"]*)"')
INLINE = re.compile(r"(?<![\\`$])\$([^$`]+?)\$")


def drop_thebe(app: Sphinx) -> None:
    """Disconnect sphinx-thebe: it names a CDN on every page, twice, which is a JavaScript error."""
    for listeners in app.events.listeners.values():
        for listener in list(listeners):
            if listener.handler.__module__ == "sphinx_thebe":
                app.disconnect(listener.id)


def drop_thebe_style(app: Sphinx, pagename: str, _: str, context: dict[str, Any], *__: Any) -> None:
    """Remove the link to the style sheet that sphinx-thebe asked for when it was loaded."""
    files = context.get("css_files", [])
    context["css_files"] = [
        css for css in files if "thebe" not in str(getattr(css, "filename", css))
    ]


def offer_other_forms(
    app: Sphinx, pagename: str, _: str, context: dict[str, Any], *__: Any
) -> None:
    """Add to a page's download menu the page as Markdown, and the `.py` half of a chapter."""
    script = Path(app.srcdir) / f"{pagename}.py"
    menus = [b for b in context.get("header_buttons", []) if b.get("label") == "download-buttons"]
    if not menus:
        return
    # The build writes it, from the finished page.
    as_text = {
        "type": "link",
        "url": context["pathto"](f"{pagename}.md", 1),
        "text": "Markdown",
        "tooltip": "This page as text, figures by what they say",
        "icon": "fas fa-file-lines",
        "label": "download-markdown-button",
    }
    menus[0]["buttons"].append(as_text)
    if not script.is_file():
        return
    target = Path(app.outdir) / "_sources" / f"{pagename}.py"
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(script, target)
    button = {
        "type": "link",
        "url": f"{context['pathto']('_sources', 1)}/{pagename}.py",
        "text": ".py",
        "tooltip": "Download as text, to read; to run, take .ipynb",
        "icon": "fas fa-file-code",
        "label": "download-script-button",
    }
    menus[0]["buttons"].insert(1, button)


def tell_address(app: Sphinx, exception: Exception | None) -> None:
    """Write the repository's address into the set-up cell of the notebooks that readers download."""
    options = app.config.html_theme_options
    # Without an address of ours, Jupyter Book puts its own there, and no button.
    address = options.get("use_repository_button") and options.get("repository_url")
    if exception or not address:
        return
    for path in (Path(app.outdir) / "_sources").rglob("*"):
        if path.suffix in (".ipynb", ".py"):
            text = path.read_text(encoding="utf-8")
            # In a notebook, a JSON file, the quotes are escaped.
            unset = r'(HIERLEARN_REPOSITORY_URL\\?", \\?")(?=\\?")'
            path.write_text(re.sub(unset, rf"\g<1>{address}", text), encoding="utf-8")


def show_claims_on_theorems(app: Sphinx, doctree: nodes.document) -> None:
    """Add to each theorem the line of claims that bear on it, which the build has written."""
    file = Path(app.srcdir) / "book" / "generated" / "theorems.json"
    lines = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    for theorem in doctree.findall(nodes.Admonition):
        if isinstance(theorem, nodes.Element) and (line := lines.get(theorem.get("label"))):
            theorem += nodes.raw("", line, format="html")


def math_of_docstring(app: Sphinx, _: str, __: str, ___: Any, ____: Any, lines: list[str]) -> None:
    """Turn the $...$ and $$...$$ of a docstring, as notebooks write it, into Sphinx's math."""
    text = DISPLAY.sub(
        lambda m: "\n\n.. math::\n\n   " + " ".join(m[1].split()) + "\n\n", "\n".join(lines)
    )
    lines[:] = INLINE.sub(lambda m: f":math:`{' '.join(m[1].split())}`", text).splitlines()


def readable_signature(
    app: Sphinx, _: str, __: str, documented: Any, ___: Any, signature: str | None, result: Any
) -> tuple[str | None, Any]:
    """Shorten a signature: none for a pydantic model, which has validators; ArrayLike by name."""
    if hasattr(documented, "__pydantic_fields__"):
        return "", None
    spelled_out = stringify_annotation(ArrayLike, "smart")
    return signature and signature.replace(spelled_out, "ArrayLike"), result


def lines_of_signatures(
    app: Sphinx, pagename: str, _: str, context: dict[str, Any], *__: Any
) -> None:
    """Write each parameter's line as a span: Sphinx's list of nothing but `dd` is not valid."""

    def spans(match: re.Match[str]) -> str:
        inner = match[2].replace("<dd>", '<span class="hl-param">').replace("</dd>", "</span>")
        return match[1] + inner + match[3]

    if "body" in context:
        context["body"] = PARAMETERS.sub(spans, context["body"])


def files_of_data(app: Sphinx, pagename: str, _: str, context: dict[str, Any], *__: Any) -> None:
    """Put the CSV files that links on a page hold into `data/`, and let the links lead there."""

    def file(match: re.Match[str]) -> str:
        name = f"data/{Path(pagename).name}/{match[1]}"
        target = Path(app.outdir) / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(unquote(match[2]), encoding="utf-8", newline="")
        return f'download="{match[1]}" href="{context["pathto"](name, 1)}"'

    if "body" in context:
        context["body"] = DATA.sub(file, context["body"])


def report_a_mistake(app: Sphinx, pagename: str, _: str, context: dict[str, Any], *__: Any) -> None:
    """End a page with a link to an issue about it, where the repository's address is known."""
    options = app.config.html_theme_options
    address = options.get("use_issues_button") and options.get("repository_url")
    if not address or "body" not in context or context.get("page_source_suffix") is None:
        return
    title = f"Mistake on {pagename}"
    built = time.strftime("%Y-%m-%d", time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH", 0))))
    body = f"Page {pagename}, of {built}.\n\n"
    body += "What it says:\n\nWhat it should say, and why:\n"
    issue = f"{address}/issues/new?{urlencode({'title': title, 'body': body}, quote_via=quote)}"
    context["body"] += f'<p class="hl-report"><a href="{escape(issue)}">Report a mistake</a></p>'


def visit_citation(self: HTML5Translator, node: nodes.citation) -> None:
    """Open a bibliography entry; docutils' `role="doc-biblioentry"` is not valid in a list."""
    type(self).visit_citation(self, node)
    self.body[-1] = self.body[-1].replace('role="doc-biblioentry"', 'role="listitem"')


def depart_citation(self: HTML5Translator, node: nodes.citation) -> None:
    """Close it."""
    type(self).depart_citation(self, node)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect the above."""
    drop_thebe(app)
    # Cards hold formulas that Sphinx does not know of, so every page gets MathJax.
    app.set_html_assets_policy("always")
    app.connect("html-page-context", drop_thebe_style, priority=900)
    app.connect("html-page-context", offer_other_forms, priority=900)
    app.connect("build-finished", tell_address)
    app.connect("html-page-context", lines_of_signatures)
    app.connect("html-page-context", files_of_data)
    app.connect("html-page-context", report_a_mistake)
    app.connect("doctree-read", show_claims_on_theorems)
    app.setup_extension("sphinx.ext.autodoc")
    app.connect("autodoc-process-docstring", math_of_docstring)
    app.connect("autodoc-process-signature", readable_signature)
    app.add_node(nodes.citation, override=True, html=(visit_citation, depart_citation))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
