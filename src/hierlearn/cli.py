"""The command line: `python -m hierlearn`. Results go to stdout, everything else to stderr."""

import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TextIO

import click

from hierlearn import build as site
from hierlearn import claims, devices, notebooks, pages, readme, sweeps, tables
from hierlearn.experiments import EXPERIMENTS, PROFILES, Experiment
from hierlearn.project import (
    Project,
    RunError,
    UsageError,
    check_choice,
    execution_order,
    find_project,
)
from hierlearn.records import RecordError, RecordStore, freeze

DEFAULT_PROFILE = "laptop"
USAGE = (UsageError, devices.DeviceError)
FAILURES = (RunError, claims.ClaimError, RecordError, sweeps.SweepError, OSError)


class Command(click.Command):
    """A command whose error for an unknown option lists the valid ones."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse `args`; see the class."""
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            valid = sorted(o for p in self.get_params(ctx) for o in p.opts if o.startswith("--"))
            message = f"no such option: {error.option_name}; valid: {', '.join(valid)}"
            raise click.UsageError(message, ctx) from error


class Commands(Command, click.Group):
    """The commands; errors that a user can cause become one message, never a traceback."""

    command_class = Command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Find the command named by `args`, or list the valid ones."""
        if args and args[0] not in self.commands and not args[0].startswith("-"):
            valid = ", ".join(self.list_commands(ctx))
            raise click.UsageError(f"no such command: {args[0]}; valid: {valid}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command that `ctx` names."""
        try:
            return super().invoke(ctx)
        except USAGE as error:
            raise click.UsageError(str(error)) from error
        except FAILURES as error:
            raise click.ClickException(str(error)) from error
        except KeyboardInterrupt:
            say("Interrupted. What is finished is kept; the same command goes on from there.")
            raise click.exceptions.Exit(130) from None


def say(text: str) -> None:
    """Write a line for the user, not for a pipe."""
    click.echo(text, err=True)


def options(*names: str) -> Callable[[Callable], Callable]:
    """Return a decorator that adds the options and arguments of these names to a command."""
    known: dict[str, Callable] = {
        "chapters": click.argument("chapters", nargs=-1, metavar="[CHAPTER]..."),
        "profile": click.option(
            "--profile", type=click.Choice(PROFILES), help="Size; default: laptop."
        ),
        "device": click.option(
            "--device", type=click.Choice(devices.DEVICES), default="auto", show_default=True
        ),
        "records": click.option(
            "--records", metavar="DIR", help="Folder, from the project's root; _build/records."
        ),
        "workers": click.option(
            "--workers", type=click.IntRange(min=1), help="Processes; default: one a core."
        ),
        "frozen": click.option(
            "--frozen", is_flag=True, help="Read committed records, compute nothing."
        ),
    }

    def decorate(function: Callable) -> Callable:
        for name in reversed(names):
            function = known[name](function)
        return function

    return decorate


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Hierlearn: theorems on hierarchical learning, measured.

    CHAPTER is a notebook's name, its number, or a unique part of its name.
    """
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")


def main() -> None:
    """Run the command line."""
    cli(prog_name="hierlearn")


@cli.command
@options("chapters", "profile", "device", "records", "workers", "frozen")
def run(chapters: tuple[str, ...], **settings: Any) -> None:
    """Execute chapters (default: all), computing the records that are missing."""
    project = find_project()
    execute(project, wanted(project, chapters), **settings)


@cli.command(name="compute")
@click.argument("names", nargs=-1, required=True, metavar="EXPERIMENT...")
@options("profile", "device", "records", "workers")
def compute_experiments(
    names: tuple[str, ...],
    profile: str | None,
    device: str,
    records: str | None,
    workers: int | None,
) -> None:
    """Compute the records of experiments, executing no chapter; `status` lists the names."""
    project = find_project()
    store = store_at(project, records)
    valid = tuple(EXPERIMENTS)
    chosen = [EXPERIMENTS[check_choice("experiment", n, valid)] for n in dict.fromkeys(names)]
    profile = profile or DEFAULT_PROFILE
    sweeps.compute(chosen, profile, store, device=device, workers=workers)
    click.echo(project.relative(store.folder))


@cli.command
def build() -> None:
    """Build the site from the executed chapters; every warning is an error."""
    click.echo(site.build(find_project(), EXPERIMENTS))


@cli.command
@options("profile", "device", "records", "workers", "frozen")
def book(**settings: Any) -> None:
    """Execute all chapters, then build the site."""
    project = find_project()
    execute(project, wanted(project, ()), **settings)
    click.echo(site.build(project, EXPERIMENTS))


@cli.command(name="claims")
@options("chapters", "profile", "records")
@click.option("--json", "as_json", is_flag=True, help="A JSON list instead of a table.")
@click.option(
    "--against",
    type=click.File(encoding="utf-8"),
    help="What changed since --json wrote this file, in Markdown, instead of a table.",
)
def show_claims(
    chapters: tuple[str, ...],
    profile: str | None,
    records: str | None,
    as_json: bool,
    against: TextIO | None,
) -> None:
    """Show every claim with its interval, verdict and control; exit 1 on a surprise."""
    project = find_project()
    store = readable_store(project, records)
    names = wanted(project, chapters)
    every = [claim for claim in pages.load_claims(project) if claim.chapter in names]
    profile = chosen_profile(project, profile, store)
    rows = claims.evaluate_all(every, store, profile, EXPERIMENTS)
    if against:
        click.echo(tables.verdict_changes(tables.read_rows(against.read()), rows))
    elif as_json:
        click.echo(json.dumps([row.model_dump(mode="json") for row in rows], indent=2))
    else:
        click.echo(tables.claims_table(rows))
    surprises = [row.id for row in rows if not row.as_expected]
    if surprises:
        raise RunError(f"not as declared at profile {profile}: {', '.join(surprises)}")


@cli.command
@options("profile", "records")
def status(profile: str | None, records: str | None) -> None:
    """Show which records exist and what computing the others will cost."""
    project = find_project()
    store = readable_store(project, records)
    profile = chosen_profile(project, profile, store)
    say(f"profile {profile}, records {project.relative(store.folder)}")
    click.echo(tables.status_table(project, store, profile))


@cli.command(name="freeze")
@click.option("--profile", type=click.Choice(PROFILES), required=True, help="Size.")
@options("records")
def freeze_records(profile: str, records: str | None) -> None:
    """Copy the records of a profile into book/records, and the verdicts into README.md."""
    project = find_project()
    working = store_at(project, records)
    if working.frozen:
        raise UsageError(f"{project.relative(working.folder)} holds frozen records already")
    manifest = freeze(working, project.frozen_records, profile)
    say(f"froze {sum(e.n_groups for e in manifest[profile].values())} groups of profile {profile}")
    shown = site.published_profile(project, EXPERIMENTS)
    frozen = RecordStore(project.frozen_records)
    rows = claims.evaluate_all(pages.load_claims(project), frozen, shown, EXPERIMENTS)
    readme.update(project, frozen, shown, rows)
    click.echo(project.frozen_records / "manifest.json")


def wanted(project: Project, chapters: Sequence[str]) -> list[str]:
    """Return the notebooks to execute: those named, else all; readers of records last."""
    named = [project.find_notebook(chapter) for chapter in chapters]
    return [n for n in execution_order(project, EXPERIMENTS) if n in named or not named]


def store_at(project: Project, folder: str | None) -> RecordStore:
    """Return the store in `folder`, by default the working one."""
    path = project.working_records if folder is None else project.records_folder(folder)
    return RecordStore(path)


def readable_store(project: Project, folder: str | None) -> RecordStore:
    """Return the store to read: `folder`, else the working one, else the committed one."""
    if folder is None and not project.working_records.is_dir():
        frozen = RecordStore(project.frozen_records)
        if frozen.frozen:
            return frozen
    return store_at(project, folder)


def chosen_profile(project: Project, profile: str | None, store: RecordStore) -> str:
    """Return `profile`, else the largest one that was frozen, else laptop."""
    if profile is None and store.folder == project.frozen_records:
        return site.published_profile(project, EXPERIMENTS)
    return profile or DEFAULT_PROFILE


def execute(
    project: Project,
    names: list[str],
    *,
    profile: str | None,
    device: str,
    records: str | None,
    workers: int | None,
    frozen: bool,
) -> None:
    """Compute what the notebooks `names` lack in one pool, then execute them."""
    if frozen and records is None:
        records = os.fspath(project.frozen_records)
    store = store_at(project, records)
    profile = chosen_profile(project, profile, store)
    devices.resolve(device)
    folder = project.relative(store.folder)
    parameters = {"profile": profile, "device": device, "records": folder}
    for name in names:
        notebooks.check_parameters(project, name, parameters)
    every = pages.load_claims(project)
    reads = {name: pages.experiments_read(name, every) for name in names}
    say(f"profile {profile}, device {device}, records {folder}")
    if store.frozen:
        refuse_incomplete(reads.values(), store, profile)
    elif frozen:
        raise RunError(f"{folder} holds no frozen records (no manifest.json)")
    else:
        compute(reads.values(), store, profile, device=device, workers=workers)
    failed = [n for n in names if not _executed(project, n, store, reads[n], parameters)]
    if failed:
        raise RunError(
            f"{len(failed)} of {len(names)} notebooks failed: {', '.join(failed)}; "
            f"as far as they came they lie in {project.relative(project.stage)}/book"
        )


def refuse_incomplete(
    reads: Iterable[dict[str, Experiment]], store: RecordStore, profile: str
) -> None:
    """Raise RunError listing what a frozen folder lacks or holds from other code."""
    experiments = {name: one for read in reads for name, one in read.items()}
    if gaps := pages.incomplete(store, experiments.values(), profile):
        raise RunError(
            f"nothing executed: {store.folder} does not have all records of profile {profile}:\n  "
            + "\n  ".join(gaps)
            + "\n`python -m hierlearn run` computes them here, `freeze` puts them there"
        )


def compute(
    reads: Iterable[dict[str, Experiment]],
    store: RecordStore,
    profile: str,
    *,
    device: str,
    workers: int | None,
) -> None:
    """Compute all missing groups in one pool; a failing one is told, and its chapter fails."""
    experiments = {name: one for read in reads for name, one in read.items()}
    if not experiments:
        return  # only notebooks that read what others computed
    try:
        sweeps.compute(experiments.values(), profile, store, device=device, workers=workers)
    except sweeps.SweepError as error:
        say(f"Error: {error}")


def _executed(
    project: Project,
    name: str,
    store: RecordStore,
    read: dict[str, Experiment],
    parameters: dict[str, str],
) -> bool:
    """Execute one notebook whose records are there, and tell how it went."""
    gaps = pages.incomplete(store, read.values(), parameters["profile"])
    if gaps:
        say(f"{name}: not executed, its records are not complete\n  " + "\n  ".join(gaps))
        return False
    say(f"{name}: executing")
    try:
        seconds = notebooks.execute(project, name, parameters)
    except RunError as error:
        say(f"{name}: failed\n{notebooks.last_lines(error)}")
        return False
    say(f"{name}: {seconds:.1f} s")
    return True
