"""Building the site: stage, fragments from records, Jupyter Book, a check; README's table."""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag

import matplotlib.pyplot as plt
import nbformat
import yaml

from hierlearn.book import cards, takeaway
from hierlearn.book.notebooks import not_ready, runs, write_text
from hierlearn.book.project import Project
from hierlearn.book.published import chapter_profiles, chapters, load_claims
from hierlearn.claims import verdicts
from hierlearn.drawing import figures
from hierlearn.engine.git import git
from hierlearn.errors import RunError, UsageError
from hierlearn.experiment import PROFILES, Runs
from hierlearn.place.figures import who_learns_what
from hierlearn.records import Provenance, RecordStore, computed, sole_writer
from hierlearn.registry import EXPERIMENTS
from hierlearn.sweeps import pushing

# Not pages: the records are large, and caches and earlier products do not belong to a source.
LEFT_OUT = {"records", "generated", "__pycache__", ".ipynb_checkpoints"}

MARKED = r"(?<=<!-- {0} -->\n).*?(?=<!-- /{0} -->)"  # what stands in a page between marks
OPENING = ("09_who_learns_what", "who-learns-what")  # the picture of the first page
STEERED = "steer-samples"  # the same to steer, folded under it
EXAMPLE = "kernel.K5"  # the claim on whose card the first page shows how to read a verdict
_IN_THE_LEDGER = '<a class="hl-id" href="ledger.html#{id}">{id}</a>'
_LINK = re.compile(r'<(?:a|link|script|img|iframe|source)\b[^>]*?\s(?:href|src)="([^"]*)"')
_ID = re.compile(r'\sid="([^"]+)"')
_ELSEWHERE = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*:|//")
_FIRST_YEAR = 315532800  # 1980-01-01: a zip file knows no earlier time


def build(project: Project) -> Path:
    """Build the site from the executed notebooks, and a zip file of it; return its index page.

    Of two builds at once the second waits. Raises RunError when a notebook has not been executed
    since it changed, when Jupyter Book fails or warns, or when a link inside leads nowhere.
    """
    names = project.notebooks()
    problems = [problem for name in names if (problem := not_ready(project, name))]
    if problems:
        raise RunError(
            "these notebooks have to be executed first (python -m hierlearn run):\n  "
            + "\n  ".join(problems)
        )
    with sole_writer(project.stage.parent, tell=True):
        stage(project, names)
        write_fragments(project)
        project.zip_file.unlink(missing_ok=True)
        epoch = _epoch(project)
        _jupyter_book(project, project.stage, project.html.parent.parent, epoch, "-W", "-n")
        # The themes' page templates, which Sphinx copies among the static files unrendered.
        for template in (project.html / "_static").glob("*webpack-macros.html"):
            template.unlink()
        takeaway.write_markdown(project)
        if dead := dead_links(project.html):
            raise RunError("these links of the site lead nowhere:\n  " + "\n  ".join(dead))
        pack(project.html, project.zip_file, epoch=int(epoch))
        return project.html / "index.html"


def build_page(project: Project, name: str) -> Path:
    """Build the page of one executed notebook, to look at while writing; return it.

    What it links to or takes from other pages is missing.
    """
    with sole_writer(project.stage.parent, tell=True):
        done = runs(project)[name]
        store = project.store(project.records_folder(done["records"]))
        shown = [claim for claim in load_claims(project) if claim.chapter == name]
        rows = verdicts.evaluate_all(shown, store, done["profile"], EXPERIMENTS)
        folder = project.stage.parent / "page"
        _copy(project, folder, None, left_out=(".ipynb", ".md"))
        shutil.copyfile(project.executed(name), folder / "book" / f"{name}.ipynb")
        write_text(folder / "_toc.yml", f"format: jb-book\nroot: book/{name}\n")
        write_text(folder / "book/generated/theorems.json", theorem_lines(rows))
        _jupyter_book(project, folder, folder, _epoch(project))
        return folder / "_build/html/book" / f"{name}.html"


def stage(project: Project, names: Sequence[str]) -> None:
    """Copy configuration and text beside the executed notebooks, and remove what is neither."""
    wanted = _copy(project, project.stage, repository_url(os.environ), left_out=(".ipynb",))
    shutil.copyfile(project.root / "_toc.yml", project.stage / "_toc.yml")
    wanted |= {project.stage / "_toc.yml", *map(project.executed, names)}
    for old in sorted(project.stage.rglob("*")):
        if old.is_file() and old not in wanted:
            old.unlink()


def _copy(
    project: Project, target: Path, address: str | None, *, left_out: tuple[str, ...]
) -> set[Path]:
    """Copy configuration and sources to `target`, but for suffixes; return what stands there."""
    config = yaml.safe_load((project.root / "_config.yml").read_bytes())
    text = yaml.safe_dump(configured(config, address), sort_keys=False)
    write_text(target / "_config.yml", text)
    copied = {target / "_config.yml"}
    for source in sorted(project.book.rglob("*")):
        inside = source.relative_to(project.root)
        if source.is_file() and source.suffix not in left_out and not LEFT_OUT & set(inside.parts):
            (target / inside).parent.mkdir(parents=True, exist_ok=True)
            copied.add(shutil.copyfile(source, target / inside))
    return copied


def repository_url(environment: Mapping[str, str]) -> str | None:
    """Return the repository's address, from the environment, or None where there is none.

    HIERLEARN_REPOSITORY_URL is all of it; GITHUB_REPOSITORY, set by workflows, "owner/name".
    """
    address = environment.get("HIERLEARN_REPOSITORY_URL", "").strip()
    if not address and (name := environment.get("GITHUB_REPOSITORY", "").strip()):
        address = f"{environment.get('GITHUB_SERVER_URL', 'https://github.com')}/{name}"
    if address and not re.fullmatch(r"https?://[\w.:-]+(/[\w.~-]+)+/?", address):
        raise UsageError(
            f"the repository's address is {address!r}; valid: https://host/owner/name "
            "(HIERLEARN_REPOSITORY_URL) or owner/name (GITHUB_REPOSITORY)"
        )
    return address.rstrip("/") or None


def configured(config: dict[str, Any], address: str | None) -> dict[str, Any]:
    """Return `_config.yml` with repository and launch buttons for `address`, or without any."""
    plain = {k: v for k, v in config.items() if k not in ("repository", "launch_buttons")}
    html = dict(plain.get("html") or {})
    buttons = ("use_repository_button", "use_issues_button")
    plain["html"] = {**html, **dict.fromkeys(buttons, address is not None)}
    if address is None:
        return plain
    plain["repository"] = {"url": address, "branch": "main", "path_to_book": ""}
    plain["launch_buttons"] = {
        "notebook_interface": "jupyterlab",
        "binderhub_url": "https://mybinder.org",
        "colab_url": "https://colab.research.google.com",
    }
    return plain


def write_fragments(project: Project) -> None:
    """Write what the pages include: headline verdicts, costs, and the claims on each theorem."""
    target = project.stage / "book" / "generated"
    executed = runs(project)
    # The ledger speaks for the whole book; without one, the first chapter does.
    reader = next((name for name in executed if name not in chapters()), next(iter(executed)))
    settings = executed[reader]
    store = project.store(project.records_folder(settings["records"]))
    every = load_claims(project)
    profiles = chapter_profiles(store, every, settings["profile"])
    told = {name: (profile, settings["records"]) for name, profile in profiles.items()}
    if mixed := [
        name
        for name, run in executed.items()
        if name in told and (run["profile"], run["records"]) != told[name]
    ]:
        raise RunError(
            f"executed with other profiles or records than the rest: {', '.join(mixed)}; execute "
            f"them once more (python -m hierlearn run {' '.join(mixed)} ...) or the whole book"
        )
    rows = verdicts.evaluate_all(every, store, profiles, EXPERIMENTS)
    write_text(target / "headlines.html", cards.headlines_html(rows) + "\n")
    write_text(target / "opening.html", opening(project) + "\n")
    example = [row for row in rows if row.id == EXAMPLE]
    card = cards.chapter_html(example)
    for row in example:  # its links to statements begin on its own page
        card = card.replace('href="#', f'href="{row.chapter}.html#')
    write_text(target / "example.html", card + "\n")
    first = project.stage / "book/intro.md"
    text = cards.filled(first.read_text(encoding="utf-8"), rows, _IN_THE_LEDGER)
    write_text(first, text)
    write_text(target / "theorems.json", theorem_lines(rows))
    write_text(target / "pushed.md", cards.pushed_table(pushing.read(project.pushed)) + "\n")
    frozen = RecordStore(project.frozen_records)
    stores = [store] if store.folder.resolve() == frozen.folder.resolve() else [store, frozen]
    write_text(target / "costs.md", costs_table(project, stores) + "\n")


def opening(project: Project) -> str:
    """Return the picture of the first page, as its chapter shows it; nothing where it has none."""
    chapter, figure = OPENING
    notebook = project.executed(chapter)
    cells = nbformat.read(notebook, as_version=4).cells if notebook.exists() else []
    shown = {
        name: html
        for cell in cells
        for output in cell.get("outputs", [])
        for name in (figure, STEERED)
        if f'id="fig-{name}"' in (html := output.get("data", {}).get("text/html", ""))
    }
    if steered := shown.get(STEERED):
        shown[STEERED] = (
            '<details class="hl-more-text"><summary>Steer it: who has learned with how many '
            f"samples?</summary>\n{steered}\n</details>"
        )
    return "\n".join(shown.values())


def theorem_lines(rows: Sequence[verdicts.Row]) -> str:
    """Return, as JSON, the line below each theorem: the claims that bear on it."""
    labels = dict.fromkeys(label for row in rows for label in row.theorems)
    lines = {
        label: cards.theorem_html(row for row in rows if label in row.theorems) for label in labels
    }
    return json.dumps(lines, indent=1) + "\n"


def costs_table(project: Project, stores: Sequence[RecordStore]) -> str:
    """Return the measured cost of each chapter, profile and machine, as a Markdown table."""
    lines = []
    for name in project.notebooks():
        own = [one for one in EXPERIMENTS.values() if one.chapter == name]
        for profile in PROFILES:
            by_machine: dict[str, list[Provenance]] = {}
            for _, one in computed(stores, own, profile):
                by_machine.setdefault(one.hardware, []).append(one)
            lines += [
                f"| {name.split('_')[0].lstrip('0')} | {profile} | {machine} | {len(found)} | "
                f"{sum(one.cpu_s for one in found):.0f} | {sum(one.wall_s for one in found):.0f} | "
                f"{max(one.peak_mb for one in found):.0f} |"
                for machine, found in sorted(by_machine.items())
            ]
    head = [
        "| chapter | profile | machine | groups | CPU, s | wall, s | peak, MB |",
        "|---|---|---|--:|--:|--:|--:|",
    ]
    return "\n".join(head + lines) if lines else "No costs have been measured yet."


def update_readme(project: Project) -> None:
    """Write verdicts and a figure from the frozen records into README.md.

    Each claim is shown at the profile that its chapter shows.
    """
    store, every = RecordStore(project.frozen_records), load_claims(project)
    profiles = chapter_profiles(store, every)
    rows = verdicts.evaluate_all(every, store, profiles, EXPERIMENTS)
    page = project.root / "README.md"
    first = (project.book / "intro.md").read_text(encoding="utf-8")
    write_text(page, with_verdicts(page.read_text(encoding="utf-8"), first, rows))
    if one := EXPERIMENTS.get("map"):
        profile = profiles[one.chapter]
        if shown := one.runs(profile, store.read(one, profile)):
            draw_readme(shown, project.book / "_static/readme-figure.svg")


def with_verdicts(text: str, first: str, rows: Sequence[verdicts.Row]) -> str:
    """Return README's `text` with findings, those of the page `first`, and table put between marks.

    Where `first` has no findings README keeps its own.
    """
    found = re.search(MARKED.format("findings"), first, re.DOTALL)
    parts = {"verdicts": cards.readme_table(rows) + "\n"}
    if found:
        told = cards.filled(found[0], rows, "[{id}](book/{chapter}.ipynb)")
        parts["findings"] = re.sub(r"(?<=\]\()(?=\w+\.ipynb)", "book/", told)
    for name, part in parts.items():
        text, n = re.subn(MARKED.format(name), part.replace("\\", r"\\"), text, flags=re.DOTALL)
        if not n:
            raise RunError(
                f"README.md has no <!-- {name} --> and <!-- /{name} --> to write between"
            )
    return text


def draw_readme(runs: Runs, path: Path) -> None:
    """Draw who learns what, from `map`."""
    plt.switch_backend("agg")  # the reader's own may need a screen
    with figures.style():
        drawing = who_learns_what(runs)
        figures.save(drawing.fig, path, name="readme", alt=drawing.alt)
        plt.close(drawing.fig)


def _jupyter_book(project: Project, source: Path, output: Path, epoch: str, *strict: str) -> None:
    """Run Jupyter Book on a folder; every page anew, since glued numbers cross pages."""
    # What Sphinx makes stays to the end: to look for garbage would take a quarter of the time.
    program = (
        "import gc, sys; gc.disable(); from jupyter_book.cli.main import main; sys.exit(main())"
    )
    options = ["--path-output", str(output), "--all", *strict, "--keep-going"]
    command = [sys.executable, "-c", program, "build", str(source), *options]
    utf8 = {"PYTHONUTF8": "1", "PYTHONIOENCODING": "utf-8"}
    environment = {**os.environ, **utf8, "SOURCE_DATE_EPOCH": epoch, "PYTHONHASHSEED": "0"}
    log = project.html.parent / "site.log"
    # Into an empty folder: over an old site, the same sources give other bytes and leave old pages.
    shutil.rmtree(output / "_build" / "html", ignore_errors=True)
    with log.open("w", encoding="utf-8") as file:
        done = subprocess.run(
            command, cwd=project.root, env=environment, stdout=file, stderr=file, check=False
        )
    if done.returncode:
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        problems = [line for line in lines if re.search("WARNING|ERROR|Error", line)]
        raise RunError(
            f"Jupyter Book failed; its messages are in {project.relative(log)}:\n"
            + "\n".join(f"  {line}" for line in (problems or lines)[-40:])
        )


def _epoch(project: Project) -> str:
    """Return the time that the site carries: the commit's, so that two builds agree.

    Without one it is that of the page that changed last, which in an archive is the commit's, too.
    """
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return given
    with suppress(OSError, subprocess.CalledProcessError):
        git(project.root, "ls-files", "--error-unmatch", "_toc.yml")  # not another's, around it
        # Unlike `log`, a command that does the same whatever the reader has configured.
        return git(project.root, "rev-list", "-1", "--timestamp", "HEAD").split()[0]
    pages = (page for page in project.book.glob("*.*") if page.is_file())
    return str(int(max((page.stat().st_mtime for page in pages), default=0)))


def dead_links(html: Path) -> list[str]:
    """Return "page: link" for every link inside the site `html` that leads nowhere.

    Sphinx checks its own references only; this also sees what notebooks print and the theme.
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
    """Write the site `html` as the zip file `target`: the same files, the same bytes.

    Names are sorted, and every time is `epoch`, in seconds since 1970.
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
