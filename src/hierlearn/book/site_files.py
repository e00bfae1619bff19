"""What is done to the built site: its links are checked, and it is packed into one file."""

import re
import time
import zipfile
from pathlib import Path
from urllib.parse import unquote, urldefrag

_LINK = re.compile(r'<(?:a|link|script|img|iframe|source)\b[^>]*?\s(?:href|src)="([^"]*)"')
_ID = re.compile(r'\sid="([^"]+)"')
_ELSEWHERE = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:|//")
_FIRST_YEAR = 315532800  # 1980-01-01: a zip file knows no earlier time


def drop_templates(html: Path) -> None:
    """Remove the themes' page templates, which Sphinx copies among the static files unrendered."""
    for template in (html / "_static").glob("*webpack-macros.html"):
        template.unlink()


def dead_links(html: Path) -> list[str]:
    """Return "page: link" for every link inside the site `html` that leads nowhere.

    Sphinx checks its own references only. This reads the finished pages, so it also sees the
    anchors in what notebooks print (cards, ledger) and in the theme. Addresses with a scheme are
    not visited.
    """
    texts = {page: page.read_text(encoding="utf-8") for page in sorted(html.rglob("*.html"))}
    anchors = {page: {"", *_ID.findall(text)} for page, text in texts.items()}
    dead = []
    for page, text in texts.items():
        for link in dict.fromkeys(_LINK.findall(text)):
            if _ELSEWHERE.match(link):
                continue
            path, anchor = urldefrag(link)
            target = (page.parent / unquote(path.partition("?")[0])).resolve() if path else page
            known = anchors.get(target, {unquote(anchor)} if target.exists() else set())
            if unquote(anchor) not in known:
                dead.append(f"{page.relative_to(html)}: {link}")
    return dead


def pack(html: Path, target: Path, *, epoch: int) -> None:
    """Write the site `html` as the zip file `target`, to be unpacked and read from a disk.

    The same files give the same bytes: names are sorted, and every time is `epoch`, in seconds
    since 1970.
    """
    stamp = time.gmtime(max(epoch, _FIRST_YEAR))[:6]
    temporary = target.with_suffix(".part")
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for path in sorted(p for p in html.rglob("*") if p.is_file()):
            name = f"{target.stem}/{path.relative_to(html).as_posix()}"
            entry = zipfile.ZipInfo(name, stamp)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system, entry.external_attr = 3, 0o644 << 16  # everywhere as on Unix
            archive.writestr(entry, path.read_bytes())
    temporary.replace(target)
