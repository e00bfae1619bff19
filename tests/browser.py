"""A headless Chromium for the tests of the site, and what its pages complain about."""

import functools
import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
READY = "() => window.MathJax?.startup?.promise?.then(() => true) ?? true"
TOO_WIDE = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve `folder` on this machine, and give its address."""
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(_Quiet, directory=folder)
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def _told(message) -> str:
    """A console message, with the address where it names none."""
    return f"{message.text} {message.location.get('url', '')}"


class Visit:
    """A tab of its own that notes console errors, failed requests and requests to elsewhere."""

    def __init__(self, browser, own: tuple[str, ...], **settings):
        self.context = browser.new_context(**settings)
        self.tab = self.context.new_page()
        self.complaints: list[str] = []
        note = self.complaints.append
        self.tab.on("console", lambda m: note(_told(m)) if m.type == "error" else None)
        self.tab.on("pageerror", lambda error: note(str(error)))
        # Aborted is what the page itself gave up, e.g. its icon when the next page was opened.
        self.tab.on(
            "requestfailed",
            lambda r: None if r.failure == "net::ERR_ABORTED" else note(f"{r.failure}: {r.url}"),
        )
        self.tab.on(
            "request",
            lambda request: None if request.url.startswith(own) else note(f"asked {request.url}"),
        )

    def open(self, url: str):
        """Go to `url` and wait until its formulas stand."""
        self.tab.goto(url, wait_until="load")
        self.tab.evaluate(READY)
        return self.tab

    def __enter__(self) -> "Visit":
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()
