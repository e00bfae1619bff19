import functools
import http.server
import re
import threading
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


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


def test_internal_links_and_anchors_lead_somewhere(smoke_book):
    texts = {page.resolve(): page.read_text() for page in smoke_book.html.rglob("*.html")}
    dead = []
    for page in pages(smoke_book):
        for link in re.findall(r'<a[^>]*\shref="([^"]+)"', page.read_text()):
            if re.match(r"[a-z]+:|//", link):
                continue
            path, anchor = urldefrag(unquote(link))
            target = (page.parent / path).resolve() if path else page.resolve()
            if not target.exists():
                dead.append(f"{page.name}: {link}")
            elif anchor and target in texts and f'id="{anchor}"' not in texts[target]:
                dead.append(f"{page.name}: {link}")
    assert not dead


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


def test_two_builds_of_the_same_records_are_byte_identical(smoke_book):
    def tree():
        files = [p for p in smoke_book.html.rglob("*") if p.is_file()]
        return {str(p.relative_to(smoke_book.html)): p.read_bytes() for p in files}

    before = tree()
    assert smoke_book.hierlearn("build").returncode == 0
    after = tree()
    assert [name for name in before if before[name] != after.get(name)] == []
    assert before.keys() == after.keys()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(scope="module")
def address(smoke_book):
    handler = functools.partial(_Quiet, directory=smoke_book.html)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium installed (Debian: chromium)")
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_in_a_browser_no_page_complains_overflows_or_calls_elsewhere(
    smoke_book, address, width, scheme
):
    from playwright.sync_api import sync_playwright

    complaints = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        tab = context.new_page()
        tab.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        tab.on("pageerror", lambda error: complaints.append(str(error)))
        tab.on("requestfailed", lambda request: complaints.append(f"failed: {request.url}"))
        for page in pages(smoke_book):
            urls = []
            tab.on("request", lambda request, urls=urls: urls.append(request.url))
            tab.goto(f"{address}/book/{page.name}")
            tab.wait_for_load_state("networkidle")
            complaints += [u for u in urls if not u.startswith((address, "data:"))]
            wide = tab.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            if wide > 0:
                complaints.append(f"{page.name} is {wide} px too wide")
            if page.name.startswith("01"):
                assert tab.locator("mjx-container").count() > 20
        browser.close()
    assert complaints == []
