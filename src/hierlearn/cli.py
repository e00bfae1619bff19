"""The command line: `python -m hierlearn`. Results go to stdout, everything else to stderr."""

import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from hierlearn import build as site
from hierlearn import claims, devices, executors, notebooks, pages, readme, replay, sweeps, tables
from hierlearn.experiments import EXPERIMENTS, PROFILES, Experiment
from hierlearn.project import Project, RunError, UsageError, execution_order, find_project
from hierlearn.records import RecordError, RecordStore, fingerprint, freeze

DEFAULT_PROFILE = "laptop"
WHERE = ("workers", "scheduler", "local-workers")
USAGE = (UsageError, devices.DeviceError)
FAILURES = (
    *(RunError, claims.ClaimError, RecordError, sweeps.SweepError, executors.ExecutorError),
    OSError,
)


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
        "scheduler": click.option(
            "--scheduler", metavar="ADDRESS", help="Compute on the workers of a dask scheduler."
        ),
        "local-workers": click.option(
            "--local-workers",
            type=click.IntRange(min=1),
            help="Compute on a local dask cluster; on CUDA one worker a GPU.",
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
@options("chapters", "profile", "device", "records", *WHERE, "frozen")
def run(chapters: tuple[str, ...], **settings: Any) -> None:
    """Execute chapters (default: all), computing the records that are missing."""
    project = find_project()
    execute(project, wanted(project, chapters), **settings)


@cli.command
def build() -> None:
    """Build the site from the executed chapters; every warning is an error."""
    click.echo(site.build(find_project(), EXPERIMENTS))


@cli.command
@options("profile", "device", "records", *WHERE, "frozen")
def book(**settings: Any) -> None:
    """Execute all chapters, then build the site."""
    project = find_project()
    execute(project, wanted(project, ()), **settings)
    click.echo(site.build(project, EXPERIMENTS))


@cli.command(name="claims")
@options("chapters", "profile", "records")
@click.option("--json", "as_json", is_flag=True, help="A JSON list instead of a table.")
def show_claims(
    chapters: tuple[str, ...], profile: str | None, records: str | None, as_json: bool
) -> None:
    """Show every claim with its interval, verdict and control; exit 1 on a surprise."""
    project = find_project()
    store = readable_store(project, records)
    names = wanted(project, chapters)
    every = [claim for claim in pages.load_claims(project) if claim.chapter in names]
    profile = chosen_profile(project, profile, store)
    rows = claims.evaluate_all(every, store, profile, EXPERIMENTS)
    if as_json:
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


@cli.command(name="replay")
@options("chapters", "profile", "device", "records", *WHERE)
@click.option("--sample", type=click.IntRange(min=1), help="Groups; default: 10, or all stale.")
@click.option("--seed", type=int, default=0, show_default=True, help="Draws another sample.")
@click.option("--below", type=click.FloatRange(min=0), help="Only groups of so few CPU seconds.")
@click.option("--restamp", is_flag=True, help="Stamp stale groups that come out the same.")
def replay_records(
    chapters: tuple[str, ...],
    profile: str | None,
    device: str,
    records: str | None,
    sample: int | None,
    restamp: bool,
    **settings: Any,
) -> None:
    """Measure a sample of the stored groups again and compare; exit 1 when one differs."""
    project = find_project()
    store = readable_store(project, records)
    profile = chosen_profile(project, profile, store)
    every = pages.load_claims(project)
    reads = [pages.experiments_read(n, every) for n in wanted(project, chapters)]
    experiments = {name: one for read in reads for name, one in read.items()}
    picking = {name: settings.pop(name) for name in ("seed", "below")}
    n = sample or (None if restamp else 10)
    groups = replay.choose(experiments.values(), profile, store, n=n, stale=restamp, **picking)
    say(f"profile {profile}, records {project.relative(store.folder)}: {len(groups)} groups")
    with executor_for(replay.device_kind(groups, device), **settings) as executor:
        replayed = replay.replay(groups, executor)
    changed = replay.disagreements(replayed, store, profile, every=every, experiments=EXPERIMENTS)
    click.echo(tables.replay_table(replayed))
    if restamp:
        n_stamped = replay.restamp_same(replayed, store, profile, fingerprint=fingerprint)
        say(f"{n_stamped} of {len(replayed)} groups stamped with today's code")
    bad = [one for one in replayed if one.outcome in ("differs", "failed")]
    unstamped = [one for one in replayed if restamp and one.outcome == "agrees"]
    if bad or changed or unstamped:
        lines = [f"{one.unit}: {one.problem}" for one in (*bad, *unstamped)] + changed
        raise RunError("not the same:\n  " + "\n  ".join(lines))


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
    frozen: bool,
    **where: Any,
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
        compute(reads.values(), store, profile, device=device, **where)
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
    **where: Any,
) -> None:
    """Compute all missing groups at once; a failing one is told, and its chapter fails."""
    experiments = {name: one for read in reads for name, one in read.items()}
    if not experiments:
        return  # only notebooks that read what others computed
    try:
        with executor_for(device, **where) as executor:
            sweeps.compute(experiments.values(), profile, store, executor=executor)
    except sweeps.SweepError as error:
        say(f"Error: {error}")


@contextmanager
def executor_for(
    device: str, *, workers: int | None, scheduler: str | None, local_workers: int | None
) -> Iterator[executors.Executor]:
    """Give what measures: processes here, a local dask cluster, or the one at `scheduler`."""
    given = {"--workers": workers, "--scheduler": scheduler, "--local-workers": local_workers}
    if len(named := [name for name, value in given.items() if value is not None]) > 1:
        raise UsageError(f"{' and '.join(named)} exclude each other; give one of them, or none")
    if scheduler is None and local_workers is None:
        yield executors.LocalPool.on(device, workers)
        return
    try:
        import distributed  # noqa: F401
    except ImportError:
        raise UsageError(
            f"{named[0]} needs the extra dask: python -m pip install 'hierlearn[dask]'"
        ) from None
    from hierlearn import cluster

    if scheduler is not None:
        yield cluster.Cluster(scheduler, device)
        return
    assert local_workers is not None
    with cluster.local_cluster(local_workers, device) as local:
        yield local


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
