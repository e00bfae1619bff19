"""Building the site: the stage, the fragments generated from records, and Jupyter Book."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from hierlearn.book import cards
from hierlearn.book.notebooks import not_ready, runs, write_text
from hierlearn.book.project import Project, experiments_of
from hierlearn.book.published import chapter_profiles
from hierlearn.book.site_files import dead_links, drop_templates, pack
from hierlearn.claims import declarations, verdicts
from hierlearn.engine.git import git
from hierlearn.errors import RunError, UsageError
from hierlearn.experiment import PROFILES, Experiment
from hierlearn.records import Provenance, RecordStore, computed
from hierlearn.sweeps import pushing

# Not pages: the records are large, and caches and earlier products do not belong to a source.
LEFT_OUT = {"records", "generated", "__pycache__", ".ipynb_checkpoints"}


def build(project: Project, experiments: dict[str, Experiment]) -> Path:
    """Build the site from the executed notebooks and return its index page.

    Beside the site comes the same as one zip file. Every warning is an error. Raises RunError when
    a notebook has not been executed since it changed, when Jupyter Book fails, or when a link
    inside the site leads nowhere.
    """
    names = project.notebooks()
    problems = [problem for name in names if (problem := not_ready(project, name))]
    if problems:
        raise RunError(
            "these notebooks have to be executed first (python -m hierlearn run):\n  "
            + "\n  ".join(problems)
        )
    stage(project, names)
    write_fragments(project, experiments)
    project.zip_file.unlink(missing_ok=True)
    epoch = _epoch(project)
    _jupyter_book(project, project.stage, project.html.parent.parent, epoch, "-W", "-n")
    drop_templates(project.html)
    if dead := dead_links(project.html):
        raise RunError("these links of the site lead nowhere:\n  " + "\n  ".join(dead))
    pack(project.html, project.zip_file, epoch=int(epoch))
    return project.html / "index.html"


def build_page(project: Project, name: str, rows: Sequence[verdicts.Row]) -> Path:
    """Build the page of one executed notebook, to look at while writing; return it.

    `rows` are the claims that it shows. What it links to or takes from other pages is missing.
    """
    folder = project.stage.parent / "page"
    for source in sorted(project.book.rglob("*")):
        inside = source.relative_to(project.root)
        if source.is_file() and source.suffix not in (".ipynb", ".md") and _is_page(inside):
            (folder / inside).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, folder / inside)
    shutil.copyfile(project.executed(name), folder / "book" / f"{name}.ipynb")
    config = yaml.safe_load((project.root / "_config.yml").read_text(encoding="utf-8"))
    write_text(folder / "_config.yml", yaml.safe_dump(configured(config, None), sort_keys=False))
    write_text(folder / "_toc.yml", f"format: jb-book\nroot: book/{name}\n")
    write_text(folder / "book/generated/theorems.json", theorem_lines(rows))
    _jupyter_book(project, folder, folder, _epoch(project))
    return folder / "_build/html/book" / f"{name}.html"


def _is_page(inside: Path) -> bool:
    return not LEFT_OUT & set(inside.parts)


def stage(project: Project, names: Sequence[str]) -> None:
    """Copy configuration and text beside the executed notebooks, and remove what is neither."""
    config = yaml.safe_load((project.root / "_config.yml").read_text(encoding="utf-8"))
    staged = configured(config, repository_url(os.environ))
    write_text(project.stage / "_config.yml", yaml.safe_dump(staged, sort_keys=False))
    wanted = {Path("_config.yml"), Path("_toc.yml"), *(Path("book") / f"{n}.ipynb" for n in names)}
    shutil.copyfile(project.root / "_toc.yml", project.stage / "_toc.yml")
    for source in sorted(project.book.rglob("*")):
        inside = source.relative_to(project.root)
        if source.is_dir() or source.suffix == ".ipynb" or not _is_page(inside):
            continue
        (project.stage / inside).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, project.stage / inside)
        wanted.add(inside)
    for old in sorted(project.stage.rglob("*")):
        if old.is_file() and old.relative_to(project.stage) not in wanted:
            old.unlink()


def repository_url(environment: "os._Environ[str] | dict[str, str]") -> str | None:
    """Return the repository's address, from the environment, or None where there is none.

    HIERLEARN_REPOSITORY_URL is the whole address; GITHUB_REPOSITORY, which GitHub's workflows
    set, is "owner/name".
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


def write_fragments(project: Project, experiments: dict[str, Experiment]) -> None:
    """Write what the pages include: headline verdicts, costs, and the claims on each theorem."""
    target = project.stage / "book" / "generated"
    executed = runs(project)
    # The ledger speaks for the whole book; without one, the first chapter does.
    readers = [n for n in executed if not experiments_of(n, experiments)] or list(executed)
    settings = executed[readers[0]]
    store = RecordStore(project.records_folder(settings["records"]))
    every = declarations.load_claims(project.claims, experiments)
    profiles = chapter_profiles(store, every, settings["profile"])
    told = {name: {**settings, "profile": profile} for name, profile in profiles.items()}
    if mixed := [name for name in told if name in executed and _differ(executed[name], told[name])]:
        raise RunError(
            f"executed with other profiles or records than the rest: {', '.join(mixed)}; execute "
            f"them once more (python -m hierlearn run {' '.join(mixed)} ...) or the whole book"
        )
    rows = verdicts.evaluate_all(every, store, profiles, experiments)
    write_text(target / "verdicts.md", cards.readme_table(rows) + "\n")
    write_text(target / "theorems.json", theorem_lines(rows))
    write_text(target / "pushed.md", cards.pushed_table(pushing.read(project.pushed)) + "\n")
    is_frozen = store.folder.resolve() == project.frozen_records.resolve()
    frozen = store if is_frozen else RecordStore(project.frozen_records)
    stores = [store] if is_frozen or not project.frozen_records.is_dir() else [store, frozen]
    write_text(target / "costs.md", costs_table(project, stores, experiments) + "\n")


def theorem_lines(rows: Sequence[verdicts.Row]) -> str:
    """Return, as JSON, the line below each theorem: the claims that bear on it."""
    labels = dict.fromkeys(label for row in rows for label in row.theorems)
    lines = {
        label: cards.theorem_html(row for row in rows if label in row.theorems) for label in labels
    }
    return json.dumps(lines, indent=1) + "\n"


def _differ(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return any(one[key] != other[key] for key in ("profile", "records"))


def costs_table(
    project: Project, stores: Sequence[RecordStore], experiments: dict[str, Experiment]
) -> str:
    """Return the measured cost of each chapter, profile and machine, as a Markdown table."""
    lines = []
    for name in project.notebooks():
        number = name.split("_")[0].lstrip("0")
        own = experiments_of(name, experiments).values()
        for profile in PROFILES:
            by_machine: dict[str, list[Provenance]] = {}
            for _, one in computed(stores, own, profile):
                by_machine.setdefault(one.hardware, []).append(one)
            lines += [
                f"| {number} | {profile} | {machine} | {len(found)} | "
                f"{sum(one.cpu_s for one in found):.0f} | {sum(one.wall_s for one in found):.0f} | "
                f"{max(one.peak_mb for one in found):.0f} |"
                for machine, found in sorted(by_machine.items())
            ]
    head = [
        "| chapter | profile | machine | groups | CPU, s | wall, s | peak, MB |",
        "|---|---|---|--:|--:|--:|--:|",
    ]
    return "\n".join(head + lines) if lines else "No costs have been measured yet."


def _jupyter_book(project: Project, source: Path, output: Path, epoch: str, *strict: str) -> None:
    """Run Jupyter Book on a folder; every page anew, since glued numbers cross pages."""
    # What Sphinx makes stays to the end: to look for garbage would take a quarter of the time.
    program = (
        "import gc, sys; gc.disable(); from jupyter_book.cli.main import main; sys.exit(main())"
    )
    options = ["--path-output", str(output), "--all", *strict, "--keep-going"]
    command = [sys.executable, "-c", program, "build", str(source), *options]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": epoch, "PYTHONHASHSEED": "0"}
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
    """Return the time that the site carries: the commit's, so that two builds agree."""
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return given
    try:
        return git(project.root, "log", "-1", "--format=%ct") or "0"
    except (OSError, subprocess.CalledProcessError):
        return "0"  # no git, or no commit yet: any fixed time will do
