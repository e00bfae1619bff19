"""What a notebook of the book calls: compute or read its records, show verdicts and provenance."""

import ast
import inspect
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from html import escape
from itertools import chain
from typing import Any

import torch

from hierlearn.book import cards, changes
from hierlearn.book.project import Project, find_project
from hierlearn.book.published import chapter_profiles, experiments_read, load_claims
from hierlearn.claims.declarations import Claim
from hierlearn.claims.verdicts import Row, evaluate_all
from hierlearn.engine import devices
from hierlearn.errors import RunError, check_choice
from hierlearn.experiment import PROFILES, AbsentArm, Experiment, Runs
from hierlearn.formatting import format_interval
from hierlearn.records import GroupState, RecordStore
from hierlearn.registry import EXPERIMENTS
from hierlearn.sweeps import sweep

PARAMETERS = ("profile", "device", "records")


@dataclass
class Page:
    """A notebook at one profile, with the records it reads.

    `experiments` are those that it computes or reads, `shown` the claims that it shows.
    """

    project: Project
    name: str
    profile: str
    device: str
    store: RecordStore
    experiments: dict[str, Experiment]
    shown: list[Claim]
    glued: dict[str, str] = field(default_factory=dict)

    def compute(self) -> dict[str, Runs]:
        """Return the records of each experiment, computing what the records folder lacks.

        A frozen folder is only read, stale records too. RunError names what is not all there.
        """
        experiments = self.experiments.values()
        if not self.store.frozen and incomplete(self.store, experiments, self.profile):
            committed = RecordStore(self.project.frozen_records)
            sweep.compute(
                experiments, self.profile, self.store, device=self.device, measured_before=committed
            )
        self.__dict__.pop("rows", None)
        if gaps := incomplete(self.store, experiments, self.profile, "stale"):
            raise RunError(
                f"records of profile {self.profile} in {self.project.relative(self.store.folder)} "
                "are not complete:\n" + "\n".join(f"  {gap}" for gap in gaps)
            )
        return {name: self._runs(name) for name in self.experiments}

    def _runs(self, name: str) -> Runs:
        one = self._experiment(name)
        return one.runs(self.profile, self.store.read(one, self.profile))

    def _experiment(self, name: str) -> Experiment:
        if name not in self.experiments:
            valid = ", ".join(self.experiments)
            raise RunError(f"no experiment {name!r} on page {self.name}; valid: {valid}")
        return self.experiments[name]

    @cached_property
    def rows(self) -> list[Row]:
        """The evaluated claims of this page, in the order of `book/claims/`."""
        return evaluate_all(self.shown, self.store, self.profile, EXPERIMENTS)

    def verdicts(self) -> None:
        """Show the claims of this page as cards."""
        _show(cards.chapter_html(self.rows))

    def glue(self, key: str, text: str) -> None:
        """Make `text` available to the pages under `key`; a formatted string, not a number."""
        if not isinstance(text, str):
            raise RunError(f"glue {key!r}: expected a formatted string, got {text!r}")
        self.glued[key] = text
        if "IPython" not in sys.modules:
            return
        try:
            from myst_nb import glue
        except ImportError:
            return
        glue(key, text, display=False)

    def glue_claim(self, claim_id: str) -> None:
        """Glue a claim: `<id>` is "estimate [low, high]", `<id>.control` the same of its control.

        `<id>.verdict` is its verdict. RunError lists the ids of this page where it has none of it.
        """
        row = next((row for row in self.rows if row.id == claim_id), None)
        if row is None:
            valid = ", ".join(row.id for row in self.rows) or "none"
            raise RunError(f"no claim {claim_id!r} on page {self.name}; valid: {valid}")
        control = row.control
        self.glue(claim_id, format_interval(row.estimate, row.interval, row.side))
        self.glue(f"{claim_id}.verdict", row.verdict)
        text = format_interval(control.estimate, control.interval, control.side)
        self.glue(f"{claim_id}.control", text)

    def provenance(self) -> None:
        """Show where the numbers of this page come from, and the command that recomputes them."""
        command = f"python -m hierlearn run {self.name} --profile {self.profile}"
        _show(provenance_html(self.states(), profile=self.profile, command=command))

    def states(self) -> list[GroupState]:
        """Return the state of every group that this page reads."""
        return [
            s for one in self.experiments.values() for s in self.store.states(one, self.profile)
        ]

    def draw(self, figure: Callable[..., Any]) -> tuple[Any, dict[str, Runs]]:
        """Return what a figure function draws, and the runs that it was given.

        Its parameters are named after experiments. AbsentArm where the profile lacks one; a
        parameter with a default may lack.
        """
        from hierlearn.drawing import figures

        parameters = inspect.signature(figure).parameters
        runs = {key: found for key in parameters if (found := self._runs(key))}
        lacking = [k for k, p in parameters.items() if p.default is p.empty and k not in runs]
        if lacking:
            raise AbsentArm(" and ".join(lacking))
        with figures.style():
            return figure(**runs), runs

    def show(self, figure: Callable[..., Any]) -> None:
        """Draw a figure: a function whose parameters are named after experiments, for their runs.

        It is called `steer_gap` where the page has the figure steer-gap. Where the profile lacks an
        experiment or an arm, a line says so in its place.
        """
        name = figure.__name__.replace("_", "-")
        try:
            drawing, runs = self.draw(figure)
        except AbsentArm as what:
            for key in getattr(figure, "numbers", ()):
                self.glue(key, "—")
            drawn = inspect.signature(figure).parameters
            unread = [self._experiment(key) for key in drawn if not self._runs(key)]
            states = [s for one in unread for s in self.store.states(one, self.profile)]
            needs = [name for state in states for name in state.lacks]
            why = f"Not run, needs {needs[0]}" if needs else f"Not in profile {self.profile}"
            text = f"{why}: the figure {name}, which needs {what}."
            _show(f'<p class="hl-absent" id="fig-{name}">{escape(text)}</p>')
            return
        if undeclared := set(drawing.numbers) ^ set(getattr(figure, "numbers", ())):
            raise RunError(f"figure {name}: numbers {sorted(undeclared)} are not what it `gives`")
        for key, text in drawing.numbers.items():
            self.glue(key, text)
        drawing.show(name, **self.recompute(*runs))

    def recompute(self, *names: str) -> dict[str, str]:
        """Return `command` and `cost` of a figure that draws these experiments, for `Drawing.show`.

        The cost is what their records took. Experiments outside the profile are left out; without
        any there is no command. RunError lists the valid names.
        """
        states = {n: self.store.states(self._experiment(n), self.profile) for n in names}
        drawn = [name for name in states if states[name]]
        if not drawn:
            return {"command": "", "cost": "No records: the cell above draws this from scratch."}
        command = f"python -m hierlearn compute {' '.join(drawn)} --profile {self.profile}"
        return {"command": command, "cost": cost_text(chain(*states.values()))}


@dataclass
class Ledger:
    """All claims (`shown`) on one page, each at the profile that its chapter shows."""

    project: Project
    chapters: dict[str, Page]
    shown: list[Claim]
    store: RecordStore

    def compute(self) -> None:
        """Compute or read what each chapter reads; see `Page.compute`."""
        for page in self.chapters.values():
            page.compute()

    def table(self) -> None:
        """Show the claims by chapter, and what changed since `book/published.json`."""
        profiles = {name: page.profile for name, page in self.chapters.items()}
        rows = evaluate_all(self.shown, self.store, profiles, EXPERIMENTS)
        published = self.project.published
        before = changes.read(published.read_bytes(), published.name) if published.is_file() else []
        titles = {name: self.project.title(name) for name in self.chapters}
        _show(cards.ledger_html(rows, titles, changes.changes_html(before, rows)))

    def provenance(self) -> None:
        """Show where all numbers come from, and the commands that recompute them."""
        names: dict[str, list[str]] = {}
        for name, page in self.chapters.items():
            names.setdefault(page.profile, []).append(name)
        command = "; ".join(
            f"python -m hierlearn run {' '.join(some) if len(names) > 1 else ''} --profile {at}"
            for at, some in names.items()
        ).replace("  ", " ")
        found = {s.group.key: s for page in self.chapters.values() for s in page.states()}
        profile = ", ".join(names)
        _show(provenance_html(list(found.values()), profile=profile, command=command))


def open_chapter(
    name: str, *, profile: str, device: str = "auto", records: str | os.PathLike[str]
) -> Page:
    """Return the chapter `name` (stem, number or unique part) at `profile`.

    `records` is a folder, from the project's root; one with a manifest.json is frozen. Raises
    UsageError that lists the valid values, also for an injected parameter that no page knows.
    """
    project = _checked(profile, device)
    stem = project.find_notebook(name)
    every = load_claims(project)
    shown = [claim for claim in every if claim.chapter == stem]
    store = project.store(project.records_folder(records))
    return Page(project, stem, profile, device, store, experiments_read(stem, every), shown)


def open_ledger(
    profile: str, device: str = "auto", records: str | os.PathLike[str] = "_build/records"
) -> Ledger:
    """Return the page of all claims; arguments and errors as `open_chapter`.

    Over frozen records, `profile` is an upper limit: see `chapter_profiles`.
    """
    project = _checked(profile, device)
    store = project.store(project.records_folder(records))
    every = load_claims(project)
    pages = {
        name: Page(project, name, at, device, store, experiments_read(name, every), [])
        for name, at in chapter_profiles(store, every, profile).items()
    }
    return Ledger(project, pages, every, store)


def incomplete(
    store: RecordStore, experiments: Iterable[Experiment], profile: str, *accepted: str
) -> list[str]:
    """Return a line for each experiment of which not all groups are present, or `accepted`.

    What cannot be computed here, for want of data or a GPU, is not asked for.
    """
    lines = []
    for experiment in experiments:
        states = store.states(experiment, profile)
        lacking = [s for s in states if not s.lacks and s.status not in ("present", *accepted)]
        if lacking:
            counts = sorted(Counter(state.status for state in lacking).items())
            told = ", ".join(f"{n} {status}" for status, n in counts)
            problem = next((f" ({s.problem})" for s in lacking if s.problem), "")
            lines.append(f"{experiment.name}: {told} of {len(states)} groups{problem}")
    return lines


def cost_text(states: Iterable[GroupState]) -> str:
    """Return what the groups took on each machine: CPU seconds, or seconds of work on a GPU."""
    seconds: dict[tuple[str, str], float] = defaultdict(float)
    for one in (state.provenance for state in states if state.provenance):
        spent, unit = (one.cpu_s, "CPU seconds") if one.device == "cpu" else (one.wall_s, "seconds")
        seconds[unit, one.hardware] += spent
    return "; ".join(
        f"{spent:.{0 if spent >= 10 else 1}f} {unit} on {hardware}"
        for (unit, hardware), spent in sorted(seconds.items())
    )


def provenance_html(states: Sequence[GroupState], *, profile: str, command: str) -> str:
    """Return the block that says who computed the records, when, on what, and how to redo it."""
    records = [record for state in states for record in state.records]
    firsts = [state.provenance for state in states if state.provenance]
    lacking = [state for state in states if state.lacks]
    lack = ", ".join(dict.fromkeys(name for state in lacking for name in state.lacks))
    n_published = sum(state.published for state in lacking)
    told = (
        f"<p>Not at hand here: {lack}. Of the {len(lacking)} groups that need it, {n_published} "
        "are the published ones, not recomputed; the others are not there.</p>"
    ) * bool(lacking)
    if not firsts:
        return f'<p class="hl-provenance">Nothing has been computed for this page yet.</p>{told}'
    seeds = sorted({record.seed for record in records})
    commits = {p.commit[:9] + (" (with uncommitted changes)" if p.dirty else "") for p in firsts}
    packages = {", ".join(f"{k} {v}" for k, v in sorted(p.packages.items())) for p in firsts}
    data = {f"{name}, SHA-256 {digest}" for p in firsts for name, digest in p.data.items()}
    entries = {
        "Profile": profile,
        "Seeds": f"{len(seeds)} ({', '.join(map(str, seeds))})",
        "Runs": f"{len(records)} in {len(firsts)} groups",
        "Commit": "; ".join(sorted(commits)),
        **({"Data": "; ".join(sorted(data))} if data else {}),
        "Machine": "; ".join(sorted({f"{p.machine}, {p.device}" for p in firsts})),
        "Packages": "; ".join(sorted(packages)),
        "Cost": f"{sum(p.cpu_s for p in firsts):.0f} CPU seconds, "
        f"{sum(p.wall_s for p in firsts):.0f} s of work",
        "Finished": max(p.finished for p in firsts),
    }
    stale = any(state.status == "stale" for state in states)
    badge = (
        '<p><strong class="hl-badge hl-verdict-stale">▲ STALE</strong> '
        "Some of these records were computed by other code than this book's.</p>"
    ) * stale
    shown = {key: escape(text) for key, text in entries.items()}
    shown["Recompute"] = f"<code>{escape(command)}</code>"
    cells = "".join(f"<dt>{key}</dt><dd>{text}</dd>" for key, text in shown.items())
    return f'<div class="hl-provenance">{badge}{told}<dl>{cells}</dl></div>'


def _checked(profile: str, device: str) -> Project:
    """Check the parameters that every page has, and return the project around them.

    Papermill itself only warns of parameters that no page knows, and goes on.
    """
    shell: Any = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    for source in shell.user_ns.get("In", []) if shell is not None else []:
        injected = ast.parse(source).body if source.startswith("# Parameters\n") else []
        for statement in injected:
            for target in statement.targets if isinstance(statement, ast.Assign) else []:
                if isinstance(target, ast.Name):
                    check_choice("parameter", target.id, PARAMETERS)
    check_choice("profile", profile, PROFILES)
    devices.resolve(device)
    # The pages' own computations are tiny: a second thread would only wait for the first.
    torch.set_num_threads(1)
    return find_project()


def _show(html: str) -> None:
    from IPython.display import HTML, display

    display(HTML(html))
