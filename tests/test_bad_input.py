"""Whatever is passed in either runs or is refused with what was given and what is valid."""

import copy
import inspect
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import toy_book
import yaml
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from signatures import doors_alone

from hierlearn.ball import target as balls
from hierlearn.book import pages
from hierlearn.claims.declarations import ClaimError, load_claims
from hierlearn.cli import commands as cli
from hierlearn.cube import target as hypercube
from hierlearn.engine.devices import DeviceError
from hierlearn.engine.memory import TooLargeError
from hierlearn.errors import RunError, UsageError
from hierlearn.grammar import derivations, dials
from hierlearn.grammar.target import RandomHierarchy
from hierlearn.quadratic.target import QuadraticTeachers
from hierlearn.records import freeze
from hierlearn.registry import EXPERIMENTS

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
SAYS_WHAT_IS_VALID = re.compile(r"valid|must|need|at least|only|give")


@pytest.fixture(scope="module", autouse=True)
def as_a_reader():
    """Nobody checks signatures behind the doors: what is refused here is refused for readers."""
    with doors_alone():
        yield


# --- the command line, and the parameters of a page -------------------------------------------


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """The toy book and its records; what would compute, build or write is refused instead."""

    def refuse(*arguments: Any, **named: Any) -> None:
        raise RunError("nothing is computed in this test")

    root = toy_book.make_project(tmp_path_factory.mktemp("bad") / "project")
    with pytest.MonkeyPatch.context() as patch:
        toy_book.isolate(patch)
        working = toy_book.fill(root, "smoke", "laptop")
        freeze(working, root / "book/records", "smoke", [toy_book.TOY])
        (
            root / "_build/.lock"
        ).touch()  # that of what executes and builds, taken before it is refused
        patch.chdir(root)
        measuring = (
            "hierlearn.sweeps.sweep.compute",
            "hierlearn.sweeps.sweep.measured",
            "hierlearn.book.notebooks.execute",
        )
        for name in (
            *measuring,
            "hierlearn.sweeps.cluster.local_cluster",
            "hierlearn.cli.work.freeze",
        ):
            patch.setattr(name, refuse)
        yield root


def listing(root: Path) -> list[tuple[str, int]]:
    """Every file and folder around the project, with its time of change."""
    found = [os.path.join(folder, name) for folder, *names in os.walk(root.parent)
             for name in (*names[0], *names[1])]  # fmt: skip
    return sorted((name, os.stat(name).st_mtime_ns) for name in found)


text = st.text(max_size=8) | st.sampled_from(["../x", "a\0b", "/", "~", "README.md", "--", "-1"])
profiles = st.sampled_from(["smoke", "laptop", "paper", "Smoke"]) | text
folders = st.sampled_from(["_build/records", "book/records", "README.md", "nowhere"]) | text


def passable(word: str) -> bool:
    """Whether a word can stand on a command line: no system passes a zero byte."""
    return "\0" not in word


words = text.filter(passable)
option = st.one_of(
    st.tuples(st.just("--profile"), profiles),
    st.tuples(st.just("--device"), st.sampled_from(["auto", "cpu", "tpu"]) | words),
    st.tuples(st.just("--records"), folders.filter(passable)),
    st.tuples(st.just("--workers"), st.integers(-3, 3).map(str) | words),
    st.tuples(st.just("--scheduler"), st.sampled_from(["tcp://127.0.0.1:1", "nowhere"]) | words),
    st.tuples(
        st.sampled_from(["--local-workers", "--sample"]), st.integers(-2, 2).map(str) | words
    ),
    st.tuples(st.just("--seed"), st.integers().map(str) | words),
    st.tuples(st.just("--below"), st.floats().map(str) | words),
    st.tuples(st.just("--against"), folders.filter(passable)),
    st.tuples(st.sampled_from(["--frozen", "--json", "--help", "--speed", "--restamp"])),
    st.tuples(st.sampled_from(["1", "toy", "ledger", "9", "book", "README.md"]) | words),
)
commands = (
    st.sampled_from(sorted(cli.cli.commands.keys() - {"data"})) | words
)  # alone it is no command


@settings(max_examples=1000)
@given(commands, st.lists(option, max_size=3))
def test_the_command_line_runs_or_says_what_is_wrong_in_one_message(book, command, options):
    before = listing(book)
    arguments = [command, *(word for one in options for word in one)]
    result = CliRunner().invoke(cli.cli, arguments)
    assert result.exit_code in (0, 1, 2), (arguments, result.exception)
    assert result.exception is None or isinstance(result.exception, SystemExit), arguments
    assert "Traceback" not in result.output
    if result.exit_code:
        assert len(re.findall(r"^Error: ", result.stderr, re.MULTILINE)) == 1, arguments
    assert listing(book) == before


@settings(max_examples=1000)
@given(
    st.sampled_from(["1", "01_toy_chapter", "ledger", "9"]) | text,
    profiles | st.none() | st.integers(),
    st.sampled_from(["auto", "cpu", "tpu"]) | text | st.none(),
    folders,
)
def test_a_page_opens_or_names_the_parameter_and_its_valid_values(
    book, name, profile, device, records
):
    before = listing(book)
    try:
        pages.open_chapter(name, profile=profile, device=device, records=records)
    except (UsageError, DeviceError) as error:
        values = (name, profile, device, records)
        assert any(repr(value) in str(error) for value in values), str(error)
        assert "valid" in str(error)
    assert listing(book) == before


# --- claims -----------------------------------------------------------------------------------

FILES = sorted((ROOT / "book" / "claims").glob("*.yml"))
REAL = [one for path in FILES for one in yaml.safe_load(path.read_text(encoding="utf-8"))]
ALL = dict(EXPERIMENTS)  # the toy book replaces the registry
plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
junk = plain | st.lists(plain, max_size=3) | st.dictionaries(st.text(max_size=9), plain, max_size=3)


def paths(node: Any, above: tuple = ()) -> list[tuple]:
    """The place of every field of an entry."""
    if not isinstance(node, dict):
        return [above]
    return [above, *(path for key, value in node.items() for path in paths(value, (*above, key)))]


@st.composite
def broken_entries(draw: st.DrawFn) -> dict:
    """An entry of the book with one field changed, dropped, renamed or added."""
    entry = copy.deepcopy(draw(st.sampled_from(REAL)))
    *above, key = draw(st.sampled_from(paths(entry)[1:]))
    node = entry
    for step in above:
        node = node[step]
    how = draw(st.sampled_from(["change", "drop", "rename", "add"]))
    if how == "change":
        node[key] = draw(junk)
    elif how == "add":
        node[draw(st.text(max_size=9))] = draw(plain)
    else:
        value = node.pop(key)
        if how == "rename":
            node[draw(st.text(max_size=9))] = value
    return entry


def loads_or_explains(path: Path, content: str) -> None:
    """Load a claims file, or find the file and what is valid in the error."""
    path.write_text(content, encoding="utf-8")
    before = listing(path.parent)
    try:
        load_claims(path.parent, ALL)
    except ClaimError as error:
        assert str(path) in str(error)
        assert not re.search(r"Traceback|Error:", str(error))
    assert listing(path.parent) == before


@settings(max_examples=1000)
@given(broken_entries())
def test_a_changed_entry_of_the_book_loads_or_is_named_with_its_field(tmp_path_factory, entry):
    folder = tmp_path_factory.getbasetemp() / "entries" / "claims"
    folder.mkdir(parents=True, exist_ok=True)
    loads_or_explains(folder / "01.yml", yaml.safe_dump([entry]))


@settings(max_examples=300)
@given(st.sampled_from(REAL), st.integers(0, 2000), st.integers(0, 5), st.text(max_size=4))
def test_a_damaged_text_of_claims_loads_or_is_refused(tmp_path_factory, entry, at, cut, insert):
    whole = yaml.safe_dump([entry])
    at %= len(whole)
    folder = tmp_path_factory.getbasetemp() / "texts" / "claims"
    folder.mkdir(parents=True, exist_ok=True)
    insert = insert.encode("utf-8", "ignore").decode()
    loads_or_explains(folder / "01.yml", whole[:at] + insert + whole[at + cut :])


# --- targets ----------------------------------------------------------------------------------


def runs_or_explains(make: Callable[..., Any], **given_values: Any) -> None:
    """Call `make`; an error must carry one of the given values and say what is valid."""
    try:
        make(**given_values)
    except (ValueError, TooLargeError) as error:
        shown = [part for value in given_values.values() for part in _shown(value)]
        message = str(error)
        assert any(re.search(rf"(?<![\w.]){re.escape(s)}(?![\w])", message) for s in shown), message
        assert SAYS_WHAT_IS_VALID.search(message), message


def _shown(value: Any) -> list[str]:
    parts = [repr(value)]
    if isinstance(value, float):
        parts.append(f"{value:g}")
    if isinstance(value, (list, tuple)):
        parts += [repr(list(value)), repr(tuple(value))]
    return parts


def generator() -> torch.Generator:
    """A generator of its own for each call."""
    return torch.Generator().manual_seed(0)


sizes = st.integers(-2, 9)
reals = st.floats() | st.sampled_from([0.0, 0.5, 1.0, -0.1, math.nan, math.inf])
distributions = st.sampled_from([*balls.DISTRIBUTIONS]) | st.text(max_size=5)
VALUES: dict[str, st.SearchStrategy] = {  # of parameters; others are sizes, or reals
    "seeds": st.lists(st.integers(-2, 3), max_size=2),
    "generator": st.builds(generator),
    "widths": st.lists(sizes, max_size=3),
    "degrees": st.lists(sizes, max_size=3).map(tuple),
    "amplitudes": st.lists(reals, max_size=3),
    "vocab_size": sizes | st.sampled_from([256, 257]),
    "n_levels": st.integers(-1, 4),
    "branching": st.integers(-1, 4),
    "dial": st.sampled_from([*dials.DIALS]) | st.text(max_size=5),
    "t": st.sampled_from([0.0, 0.5, 1.0]) | reals,
    "n_terms": st.none() | sizes,
    "bound": sizes | st.just(1 << 23),
    "distribution": distributions,
}


def random_sums(seeds: Any, dim: int, degree: int, n_terms: Any) -> torch.Tensor:
    return hypercube.random_sums(torch.ones(2, 3, dim), seeds, degree=degree, n_terms=n_terms)


# With how many examples, and what else is drawn otherwise.
MAKERS: dict[Callable[..., Any], tuple[int, dict[str, st.SearchStrategy]]] = {
    QuadraticTeachers.draw: (100, {}),
    hypercube.ParityClass: (50, {"amplitudes": st.lists(reals, max_size=3).map(tuple)}),
    hypercube.hierarchy_class: (50, {}),
    hypercube.Hierarchies.draw: (50, {}),
    hypercube.krawtchouk: (50, {}),
    hypercube.draw_points: (50, {}),
    random_sums: (50, {"dim": st.integers(0, 6)}),
    RandomHierarchy.draw: (250, {}),
    dials.DialedHierarchy.draw: (
        400,
        {"n_levels": st.integers(-1, 3)}
        | dict.fromkeys(("vocab_size", "n_classes", "n_synonyms"), st.integers(-1, 8)),
    ),
    derivations.distinct_integers: (50, {}),
    balls.sample: (50, {}),
    balls.find: (50, {"radius": reals}),
    balls.sphere: (50, {}),
}


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__qualname__)
def test_a_target_is_made_or_refused_with_the_value_and_what_is_valid(make):
    n_examples, own = MAKERS[make]
    parameters = {
        name: (VALUES | own).get(name, reals if one.annotation is float else sizes)
        for name, one in inspect.signature(make).parameters.items()
        if one.default is one.empty or name in VALUES | own
    }

    @settings(max_examples=n_examples)
    @given(st.fixed_dictionaries(parameters))
    def check(values: dict[str, Any]) -> None:
        runs_or_explains(make, **values)

    check()
