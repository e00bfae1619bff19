"""Learners from a file of the user's: in processes of their own, tested first, then measured.

The file is run from its text, which is part of a run's configuration: records are replayed, and
groups measured elsewhere, without it.
"""

import math
import os
import platform
import re
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

import hierlearn
from hierlearn.choices import LIMIT, MEMORY
from hierlearn.engine.seeds import stream
from hierlearn.errors import RunError, UsageError, check_choice
from hierlearn.experiment import Config, Experiment, Group
from hierlearn.place import child
from hierlearn.place.child import LearnerError
from hierlearn.place.tasks import SEEDS, Task, problem, tasks
from hierlearn.place.walk import walk
from hierlearn.records import Record, RecordStore, fingerprint
from hierlearn.records.files import read_lines

CHAPTER = "09_who_learns_what"
START = 120.0  #: seconds that loading a file may take
LARGEST = 2**17  #: letters of a file


@dataclass(frozen=True)
class PlaceConfig(Config):
    """A learner from a file on one task.

    Attributes:
        task: its name.
        ladder, n_test: of the task, see `Task`.
        source: the file's text.
        salt: of the test points; drawn when a file is placed for the first time.
        limit: seconds that a fit, and a prediction, may take.
        memory: GiB that its process may take.
    """

    task: str
    ladder: Sequence[int]
    n_test: int
    source: str
    salt: str
    limit: float = LIMIT
    memory: float = MEMORY


def measure(work: Group, device: torch.device) -> list[dict[str, Any]]:
    """Walk up the ladder with the file's learner, seed by seed, in a process of its own.

    A measurement is that of `walk`. A fit that takes longer than `limit`, or the death of the
    process, is a failure of the learner, with a sentence, and ends its walk. What took too long on
    one seed is not tried on the next. RunError where the file, which its user's machine could load,
    does not load on this one.
    """
    config = PlaceConfig(**work.runs[0].config)
    task = replace(tasks("paper")[config.task], ladder=tuple(config.ladder), n_test=config.n_test)
    with Process(config.source, limit=config.limit, memory=config.memory) as process:
        try:
            process.loaded()
        except LearnerError as error:
            raise RunError(f"{error}; on {platform.node()} it must load, too") from error
        return [_walked(process, task, run.seed, config.salt) for run in work.runs]


def _walked(process: "Process", task: Task, seed: int, salt: str) -> dict[str, Any]:
    told, starts = _told(task, seed), stream(f"place starts {salt} {task.name}", seed)

    def make() -> Remote:
        start = int(torch.randint(2**31, (1,), generator=starts))
        return Remote(process, task.kind, start, told)

    return walk(task, seed, make, salt=salt)


def _told(task: Task, seed: int) -> dict[str, Any]:
    amplitudes = task.law(seed).amplitudes
    return {**task.shape, **({"amplitudes": amplitudes} if amplitudes else {})}


# --- the process ------------------------------------------------------------------------------

NAME = "the learner's file"


class Process:
    """A process that runs a file; it starts when it is first asked, and again when it was ended."""

    def __init__(
        self, source: str, name: str = NAME, *, limit: float = LIMIT, memory: float = MEMORY,
        loud: bool = False,
    ) -> None:  # fmt: skip
        self.load = {"do": "load", "source": source, "name": name, "memory": memory}
        self.limit, self.loud, self.late = limit, loud, ""
        self.running: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """End the process, whatever it does, and all that it started."""
        if self.running:
            _kill(self.running)
            for pipe in (self.running.stdin, self.running.stdout):
                with suppress(OSError):  # it died with a message unread
                    assert pipe
                    pipe.close()
            self.running.wait()
            self.running = None
            self.folder.cleanup()

    def ask(self, header: dict[str, Any], *arrays: Any) -> child.Message:
        """Return the answer; LearnerError with a sentence where none comes or came."""
        if self.late:
            raise LearnerError(self.late)
        if self.running is None:
            self.loaded()
        return self._ask(header, self.limit, *arrays)

    def loaded(self) -> dict[str, Any]:
        """Load the file, and return what it holds; who asks again is told the same."""
        self._start()
        try:
            return self._ask(self.load, START)[0]
        except LearnerError:
            self.end()
            raise

    def _start(self) -> None:
        self.end()
        place = os.fspath(Path(hierlearn.__file__).parents[1])
        own = os.environ.get("PYTHONPATH")
        environment = os.environ | {
            "PYTHONPATH": os.pathsep.join([place, own] if own else [place]),
            "PYTHONHASHSEED": "0",
            **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
        }
        code = f"from {child.__name__} import serve; {child.serve.__name__}()"
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        self.running = subprocess.Popen(
            [sys.executable, "-P", "-c", code], env=environment, cwd=self.folder.name,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=None if self.loud else subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip

    def _ask(self, header: dict[str, Any], limit: float, *arrays: Any) -> child.Message:
        assert self.running and self.running.stdin and self.running.stdout
        late = threading.Event()
        process, what = self.running, header["do"]

        def stop() -> None:
            late.set()
            _kill(process)

        timer = threading.Timer(limit, stop)
        timer.start()
        try:
            child.send(self.running.stdin, header, *arrays)  # type: ignore[arg-type]
            answer, found = child.receive(self.running.stdout)  # type: ignore[arg-type]
        except (OSError, EOFError, ValueError):
            with suppress(subprocess.TimeoutExpired):
                process.wait(5)
            code = process.returncode or 0
            self.end()
            if late.is_set():
                named = "" if what == "load" else "--limit, "
                self.late = f"{what} took longer than {named}{limit:g} s, and was stopped"
                raise LearnerError(self.late) from None
            said = f"signal {-code}: out of memory, or a crash" if code < 0 else f"exit {code}"
            raise LearnerError(f"its process died in {what} ({said})") from None
        finally:
            timer.cancel()
        if "error" in answer:
            raise LearnerError(answer["error"])
        return answer, found


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """Kill a process with all that it forked, where the system has such groups."""
    if sys.platform == "win32":
        process.kill()
    else:
        with suppress(ProcessLookupError, PermissionError):  # nothing is left of it
            os.killpg(process.pid, signal.SIGKILL)


class Remote:
    """A learner of a process, as `walk` takes it."""

    def __init__(self, process: Process, kind: str, seed: int, told: dict[str, Any]) -> None:
        self.process = process
        self.header = {"kind": kind, "seed": seed, "told": told}

    def fit(self, x: Any, y: Any) -> None:
        """Make a new learner there, and fit it."""
        self.n_fits_ = self.process.ask({"do": "fit", **self.header}, x, y)[0]["fits"]

    def predict(self, x: Any) -> Any:
        """Return what the learner predicts there."""
        found = self.process.ask({"do": "predict"}, x)[1][0]
        if (wrong := problem(found, len(x))) is not None:
            raise LearnerError(f"{self.process.load['name']}: {wrong}")
        return found


# --- the self-test ----------------------------------------------------------------------------

TEST_SEED, TEST_START, TEST_SIZES = 10**6, 1, (64, 256)


@dataclass(frozen=True)
class Tested:
    """What the self-test found: what the file holds, and by kind of task what it takes or says.

    Attributes:
        holds: "learner" or "optimiser".
        families: those it is for; empty: all.
        seconds: by kind, the seconds that fits of the two `TEST_SIZES` took.
        refused: by kind, the sentence with which it refused.
        starting: seconds until its process answers.
    """

    holds: str
    families: tuple[str, ...]
    seconds: dict[str, tuple[float, float]]
    refused: dict[str, str]
    starting: float

    def sentences(self) -> list[str]:
        """Return what it found, in lines for the user."""
        lines = [
            f"self-test: a fit for {kind} of {TEST_SIZES[1]} points takes {took[1]:.2g} s"
            for kind, took in self.seconds.items()
        ]
        return lines + [
            f"self-test: refused and ranked last: {one}" for one in self.refused.values()
        ]

    def cost(self, task: Task) -> float:
        """Return the seconds that a walk up the whole ladder would take, by a power law."""
        if task.kind not in self.seconds:
            return self.starting
        small, large = self.seconds[task.kind]
        base, ratio = TEST_SIZES[1], TEST_SIZES[1] / TEST_SIZES[0]
        power = min(max(math.log(max(large / max(small, 1e-9), 1e-9), ratio), 1), 2)
        return self.starting + sum(large * max(n / base, 0.25) ** power for n in task.ladder)


def self_test(
    source: str, name: str, chosen: Iterable[Task], limit: float, memory: float
) -> Tested:
    """Try the file on a few points of each kind of task; UsageError where it cannot be placed.

    It must predict one finite number for each row, the same ones after another fit in between, and
    the same ones in a new process from the same seeds.
    """
    make = partial(Process, source, name, limit=limit, memory=memory)
    seconds: dict[str, tuple[float, float]] = {}
    refused: dict[str, str] = {}
    with make(loud=True) as process, make() as another:
        begun = time.perf_counter()
        try:
            holds = process.loaded()
        except LearnerError as error:
            alone = "; the file stands alone: what it imports must be installed here"
            hint = alone if "ModuleNotFoundError" in str(error) else ""
            raise UsageError(f"{error}{hint}") from error
        starting = time.perf_counter() - begun
        own, known = tuple(holds["families"]), {one.family for one in tasks("paper").values()}
        if unknown := set(own) - known:
            valid = ", ".join(sorted(known))
            raise UsageError(f"families of {name} has {unknown.pop()!r}; valid: {valid}")
        for task in chosen:
            if task.kind not in seconds | refused and (not own or task.family in own):
                try:
                    seconds[task.kind] = _try(process, another, task)
                except LearnerError as error:
                    refused[task.kind] = str(error)
                    process.late = another.late = ""
    if not seconds:
        said = "; ".join(dict.fromkeys(refused.values()))
        raise UsageError(said or f"{name} is for {', '.join(own)}, and for none of these tasks")
    return Tested(holds["is"], own, seconds, refused, starting)


def _try(process: Process, another: Process, task: Task) -> tuple[float, float]:
    """Return the seconds that two fits took; LearnerError for what cannot be placed."""
    told, name = _told(task, TEST_SEED), process.load["name"]
    x_test, _ = task.draw(TEST_SEED, 100, test="self-test")

    def fitted(where: Process, n: int) -> tuple[Any, float]:
        learner = Remote(where, task.kind, TEST_START, told)
        begun = time.perf_counter()
        learner.fit(*task.draw(TEST_SEED, n))
        took = time.perf_counter() - begun
        return learner.predict(x_test), took

    small, large = TEST_SIZES
    first, _ = fitted(process, small)
    _, short = fitted(process, small)  # what is imported late is not its time
    _, long = fitted(process, large)
    again, _ = fitted(process, small)
    anew, _ = fitted(another, small)
    if not np.array_equal(first, anew):
        raise LearnerError(
            f"{name}: two fits on the same data predict differently, and records could not be "
            "replayed; the generators of random, numpy and torch are seeded before each fit, any "
            "other must be given a fixed seed"
        )
    if not np.array_equal(first, again):
        raise LearnerError(
            f"{name}: a fit changes what a later fit predicts; keep what is learned in self, not "
            "in the class or the module, and set no global state"
        )
    return short, long


# --- the experiment ---------------------------------------------------------------------------


def name_of(path: Path) -> str:
    """Return the name of the experiment that places a file, and of the folder of its records."""
    return "place_" + re.sub(r"[^A-Za-z0-9_.-]", "_", path.stem)


def read_source(path: Path) -> str:
    """Return the text of a file; UsageError where there is none that could be placed."""
    try:
        source = path.read_text(encoding="utf-8-sig")  # or without a signature
    except (OSError, UnicodeDecodeError) as error:
        said = getattr(error, "strerror", None) or "it is not text in UTF-8"
        raise UsageError(f"{path} cannot be read: {said}; valid: a Python file") from error
    if len(source) > LARGEST:
        raise UsageError(f"{path} has {len(source)} letters; valid: at most {LARGEST}")
    return source


SMOKE = ("quadratic-2", "quadratic-3", "parity-4", "grammar", "ball")
"""Tasks of the smoke profile unless others are named: those of the map there, and two of labels."""


def choose(names: str | None, profile: str) -> dict[str, Task]:
    """Return the tasks that a list of names, with commas, of tasks or else families means."""
    every = tasks(profile)
    valid = (*every, *(task.family for task in every.values() if task.family not in every))
    default = SMOKE if profile == "smoke" else valid
    wanted = [one.strip() for one in names.split(",")] if names is not None else default
    for one in wanted:
        check_choice("task", one, tuple(dict.fromkeys(valid)))
    named = [one for one in wanted if one in every]
    return {k: t for k, t in every.items() if k in named or t.family in set(wanted) - set(named)}


def experiment(
    name: str, chosen: Sequence[Task], tested: Tested | None, profile: str, **fields: Any
) -> Experiment:
    """Return the experiment that places a file: one group a task, all seeds in it.

    `fields` are those of `PlaceConfig` that the tasks do not say.
    """
    own = tested.families if tested else ()
    takes = [one for one in chosen if not own or one.family in own]

    def arms(at: str) -> dict[str, Config]:
        if at != profile:
            return {}
        return {one.name: PlaceConfig(one.name, one.ladder, one.n_test, **fields) for one in takes}

    def groups(at: str) -> list[Group]:
        made = []
        for one, arm in zip(takes, arms(at).values(), strict=False):
            group = Group.of(name, [arm], SEEDS[profile])
            cost = tested.cost(one) * len(group.runs) if tested else group.weight
            made.append(replace(group, weight=cost))
        return made

    return Experiment(
        name, CHAPTER, groups, measure, arms=arms, budget="a learner of the user's trains itself"
    )


def stored_salt(store: RecordStore, name: str, source: str) -> str:
    """Return the salt of the records that a file has already, or a new one that nobody foresees."""
    known = (one.config["salt"] for one in _records(store.folder / name, source))
    return next(known, None) or secrets.token_hex(8)


def placed(folder: Path, profile: str) -> dict[str, dict[str, dict[int, Any]]]:
    """Return the walks of the learners that others placed, by name, task and seed.

    A file in `folder` counts with those of the records in records/place_..., see `name_of`, that
    are of its text, of today's code, and of the ladders of the profile.
    """
    every, now, found = tasks(profile), fingerprint(measure), {}
    for path in sorted(folder.glob("*.py")):
        records = _records(folder / "records" / name_of(path), read_source(path))
        own: dict[str, dict[int, Any]] = {}
        for one in records:
            config = PlaceConfig(**one.config)
            task = every.get(config.task)
            fits = task and (task.ladder, task.n_test) == (config.ladder, config.n_test)
            if fits and one.seed in SEEDS[profile] and now in one.provenance.fingerprints:
                own.setdefault(config.task, {})[one.seed] = one.measurement
        if own:
            found[path.stem] = own
    return found


def _records(folder: Path, source: str) -> Iterator[Record]:
    for path in sorted(folder.glob("*.jsonl")):
        yield from (one for _, one in read_lines(path)[0] if one.config.get("source") == source)
