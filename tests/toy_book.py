"""A tiny book for tests: one experiment, a chapter that shows it, a ledger, and two claims."""

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import nbformat
import pytest
import torch
import toy
from click.testing import CliRunner, Result

from hierlearn.cli import commands
from hierlearn.experiment import Experiment, Group, Measured, Run
from hierlearn.records import RecordStore
from hierlearn.registry import EXPERIMENTS
from hierlearn.sweeps import sweep

CHAPTER = "01_toy_chapter"
LEDGER = "ledger"
SEEDS = {"smoke": 3, "laptop": 5, "paper": 0}


def groups(profile: str) -> list[Group]:
    """Two groups, one a gap, with the profile's number of seeds."""
    return [
        Group(tuple(Run("toy", {"gap": gap}, seed) for seed in range(SEEDS[profile])), gap)
        for gap in (1.0, 2.0)
        if SEEDS[profile]
    ]


def measure(group: Group, device: torch.device) -> list[dict[str, Any]]:
    """Measure twice the gap, a little differently for each seed."""
    return [{"double": 2 * run.config["gap"] + 0.01 * run.seed} for run in group.runs]


def slope(records: Sequence[Measured]) -> dict[int, float]:
    """The difference between the two gaps, for each seed."""
    by_seed: dict[int, list[float]] = {}
    for record in records:
        by_seed.setdefault(record.seed, []).append(record.measurement["double"])
    return {seed: max(values) - min(values) + 0.001 * seed for seed, values in by_seed.items()}


TOY = Experiment("toy", CHAPTER, groups, measure, {"slope": slope})

SEEING = replace(TOY, resources=(toy.Pictures(),))
"""The toy, as if it were measured on a data set."""

TWIN = replace(TOY, name="twin", chapter="02_toy_twin", groups=lambda profile: twins(profile))
"""The same experiment in a chapter of its own."""


def twins(profile: str) -> list[Group]:
    """The toy's groups under the twin's name."""
    return [
        Group(tuple(replace(run, experiment="twin") for run in group.runs), group.weight)
        for group in groups(profile)
    ]


CLAIMS = """
- id: bfc.T1
  headline: true
  paper: toy2020
  locus: Theorem 1
  source: ours
  statement: The measurement doubles the gap.
  statistic: {experiment: toy, name: slope, interval: t}
  predicted: 2
  rules: {smoke: "interval within [1.9, 2.1]", laptop: "interval within [1.9, 2.1]"}
  expected: EXPECTED
  no_control: there is nothing to take away
"""
TOC = f"""
format: jb-book
root: book/intro
chapters:
  - file: book/{CHAPTER}
  - file: book/{LEDGER}
"""
CONFIG = """
title: Toy
author: Nobody
only_build_toc_files: true
execute: {execute_notebooks: "off"}
repository: {url: "https://example.org/dead/link"}
html: {use_repository_button: true}
launch_buttons: {}
"""
INTRO = """# Toy

```{raw} html
:file: generated/headlines.html
```

```{include} generated/costs.md
```
"""
PARAMETERS = 'profile = "smoke"\ndevice = "auto"\nrecords = "_build/records"'
OPEN = f'chapter = pages.open_chapter("{CHAPTER}", profile=profile, device=device, records=records)'


def register(*others: Experiment) -> None:
    """Put the toy experiment and `others` alone into the registry (in a notebook's kernel)."""
    EXPERIMENTS.clear()
    EXPERIMENTS.update({one.name: one for one in (TOY, *others)})


def isolate(patch: pytest.MonkeyPatch) -> None:
    """Make the toy book the only one, here and in the kernels of its notebooks."""
    for name in reversed(list(EXPERIMENTS)):  # so that undoing brings back their order
        patch.delitem(EXPERIMENTS, name)
    patch.setitem(EXPERIMENTS, "toy", TOY)
    here = Path(__file__).parent
    patch.setenv("PYTHONPATH", os.pathsep.join([str(here), str(here.parent / "src")]))
    for name in ("GITHUB_REPOSITORY", "HIERLEARN_REPOSITORY_URL"):
        patch.delenv(name, raising=False)


def notebook(*sources: str, parameters: str = PARAMETERS) -> nbformat.NotebookNode:
    """A notebook of a title, a cell of parameters and code cells."""
    v4 = nbformat.v4
    cells = [v4.new_markdown_cell("# Title", id="title")]
    cells.append(v4.new_code_cell(parameters, id="p", metadata={"tags": ["parameters"]}))
    cells += [v4.new_code_cell(source, id=f"c{i}") for i, source in enumerate(sources)]
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return v4.new_notebook(cells=cells, metadata={"kernelspec": kernel})


def write_notebook(root: Path, name: str, *sources: str, parameters: str = PARAMETERS) -> Path:
    """Write a notebook of the toy book."""
    path = root / "book" / f"{name}.ipynb"
    nbformat.write(notebook(*sources, parameters=parameters), path)
    return path


def make_project(root: Path, expected: str = "supported") -> Path:
    """Write the toy book into `root`; return it."""
    (root / "book" / "claims").mkdir(parents=True)
    (root / "_toc.yml").write_text(TOC)
    (root / "_config.yml").write_text(CONFIG)
    (root / "README.md").write_text("# Toy\n\n<!-- verdicts -->\nold\n<!-- /verdicts -->\n\nEnd.\n")
    (root / "book" / "claims" / "01.yml").write_text(CLAIMS.replace("EXPECTED", expected))
    (root / "book" / "intro.md").write_text(INTRO)
    head = "import toy_book\ntoy_book.register()\nfrom hierlearn.book import pages"
    show = "chapter.verdicts()\nchapter.provenance()\nchapter.glue_claim('bfc.T1')"
    write_notebook(root, CHAPTER, head, OPEN, "runs = chapter.compute()\nprint(len(runs))", show)
    ledger = "pages.open_ledger(profile=profile, device=device, records=records).table()"
    write_notebook(root, LEDGER, head, ledger)
    return root


def add_twin(root: Path, patch: pytest.MonkeyPatch) -> None:
    """Add the second chapter to a project, with the claim `bfc.T2`."""
    patch.setitem(EXPERIMENTS, "twin", TWIN)
    second = CLAIMS.replace("bfc.T1", "bfc.T2").replace("experiment: toy", "experiment: twin")
    (root / "book" / "claims" / "02.yml").write_text(second.replace("EXPECTED", "supported"))
    toc = TOC.replace(f"{CHAPTER}\n", f"{CHAPTER}\n  - file: book/{TWIN.chapter}\n")
    (root / "_toc.yml").write_text(toc)
    text = (root / "book" / f"{CHAPTER}.ipynb").read_text()
    (root / "book" / f"{TWIN.chapter}.ipynb").write_text(
        text.replace(CHAPTER, TWIN.chapter).replace("bfc.T1", "bfc.T2")
    )
    for path in (root / "book").glob("*.ipynb"):
        path.write_text(path.read_text().replace("register()", "register(toy_book.TWIN)"))


def fill(root: Path, *profiles: str) -> RecordStore:
    """Compute what is registered into the working store of a project, in this process."""
    store = RecordStore(root / "_build/records")
    for profile in profiles:
        sweep.compute(
            list(EXPERIMENTS.values()), profile, store, executor=toy.Inline(), progress=False
        )
    return store


def copy(root: Path, folder: Path, patch: pytest.MonkeyPatch) -> Path:
    """Make a copy of a project in `folder` the current folder, and its toy book the only one."""
    isolate(patch)
    shutil.copytree(root, folder / "project")
    patch.chdir(folder / "project")
    return folder / "project"


def call(*arguments: str) -> Result:
    """Run the command line in this process."""
    return CliRunner().invoke(commands.cli, arguments)


def run_file(root: Path) -> dict[str, Any]:
    """What `run` noted of each notebook."""
    return json.loads((root / "_build" / "run.json").read_text())
