"""The process that runs a user's file: it gets arrays and gives arrays, and knows no task.

Neither seed nor salt of a task's data are sent to it. It imports numpy, what the file imports, and,
for an optimiser, the networks of `place.optimised`. Arrays travel as npy without pickles.
"""

import inspect
import io
import json
import linecache
import os
import queue
import random
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from functools import partial
from textwrap import shorten
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np

Message = tuple[dict[str, Any], list[Any]]  #: a header, and the arrays that it announces
LONGEST = 240  #: letters of a sentence that says why a learner failed
MODULE = "_hierlearn_placed"  #: what the file is called as a module: nothing that it may import
KINDS = {"regression": "Regressor", "classification": "Classifier"}


class LearnerError(RuntimeError):
    """A learner failed or refused; the message is the sentence that is shown."""


def sentence(error: BaseException, name: str = "") -> str:
    """Return where in the file `name` an error arose, its kind, and its first line, shortened."""
    own = [f for f in traceback.extract_tb(error.__traceback__) if name and f.filename == name]
    line = error.lineno if isinstance(error, SyntaxError) else own[-1].lineno if own else None
    where = f"{name}, line {line}: " if line and name else ""
    said = getattr(error, "msg", None) if isinstance(error, SyntaxError) else str(error)
    lines = str(said or "no message").strip().splitlines() or ["no message"]
    kind = "" if type(error) in (ValueError, LearnerError) else f"{type(error).__name__}: "
    return shorten(f"{where}{kind}{lines[0]}", LONGEST, placeholder=" ..")


def send(stream: BinaryIO, header: dict[str, Any], *arrays: Any) -> None:
    """Write a message: a line with the header and the lengths of the arrays, and the arrays."""
    packed = []
    for array in arrays:
        np.save(buffer := io.BytesIO(), array, allow_pickle=False)
        packed.append(buffer.getvalue())
    lengths = [len(one) for one in packed]
    stream.write(json.dumps(header | {"lengths": lengths}).encode() + b"\n")
    stream.writelines(packed)
    stream.flush()


def receive(stream: BinaryIO) -> Message:
    """Read a message; EOFError where the other end is gone."""
    if not (line := stream.readline()):
        raise EOFError
    header = json.loads(line)
    packed = [io.BytesIO(stream.read(length)) for length in header.pop("lengths")]
    return header, [np.lib.format.read_array(one, allow_pickle=False) for one in packed]


def serve() -> None:
    """Answer what comes through stdin on stdout, until stdin is closed; what is printed is not."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the driver decides
    source, out = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    if sys.platform != "win32":  # what the learner forks is no end of these pipes
        for pipe in (source, out):
            os.register_at_fork(after_in_child=partial(os.close, pipe.fileno()))
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    waiting: queue.SimpleQueue[Message] = queue.SimpleQueue()

    def listen() -> None:
        try:
            while True:
                waiting.put(receive(source))
        finally:
            _leave()  # whoever asked is gone: do not train on

    threading.Thread(target=listen, daemon=True).start()
    plugin = _Plugin()
    while True:
        header, arrays = waiting.get()
        try:
            found, answers = getattr(plugin, header.pop("do"))(*arrays, **header)
        except BaseException as error:  # a file may well call sys.exit
            found, answers = {"error": sentence(error, plugin.name)}, []
        send(out, found, *answers)


def _leave() -> None:
    """End this process, and what it forked where it leads a group of its own."""
    if sys.platform != "win32" and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


class _Plugin:
    """The file, and the learner that was fitted last."""

    name = ""

    def load(self, *, source: str, name: str, memory: float) -> tuple[dict[str, Any], list[Any]]:
        _limit(memory)
        self.name = name
        lines = source.splitlines(keepends=True)
        linecache.cache[name] = len(source), None, lines, name
        module = ModuleType(MODULE)
        module.__file__ = name
        sys.modules[MODULE] = module
        exec(compile(source, name, "exec"), vars(module))
        self.makers, self.holds = makers(module, name)
        return {"is": self.holds, "families": families(self.makers, name)}, []

    def fit(
        self, x: Any, y: Any, *, kind: str, seed: int, told: dict[str, Any]
    ) -> tuple[dict[str, Any], list[Any]]:
        if kind not in self.makers:
            raise LearnerError(f"{self.name} has no {KINDS[kind]}: it is not for {kind}")
        random.seed(seed)
        np.random.seed(seed)
        if "torch" in sys.modules:
            sys.modules["torch"].manual_seed(seed)
        self.model, self.kind = self.makers[kind](), kind
        if self.holds == "optimiser":
            self.model.told = told
        self.model.fit(x, y)
        return {"fits": n_fits(self.model)}, []

    def predict(self, x: Any) -> tuple[dict[str, Any], list[Any]]:
        found = self.model.predict(x)
        if hasattr(found, "detach"):
            found = found.detach().cpu()
        found = np.asarray(found)
        if found.dtype.hasobject:
            raise LearnerError("predict must return numbers; got an array of objects")
        if self.kind == "classification" and found.dtype.kind == "f":
            broken = found[np.isfinite(found) & (found != np.rint(found))]
            if broken.size:
                raise LearnerError(f"predict must return labels, as y has them; got {broken[0]:g}")
        return {}, [found]


def makers(module: ModuleType, name: str) -> tuple[dict[str, Callable[[], Any]], str]:
    """Return what makes a learner of each kind, and whether the file holds a learner or optimiser.

    Raises LearnerError that says what is expected.
    """
    expected = (
        "expected one class with fit(X, y) and predict(X), or Regressor and Classifier, each "
        "such a class, or a function optimizer(parameters, n_steps)"
    )
    named = {kind: getattr(module, own) for kind, own in KINDS.items() if hasattr(module, own)}
    own = {
        key: one
        for key, one in vars(module).items()
        if inspect.isclass(one) and one.__module__ == module.__name__ and not key.startswith("_")
    }
    able = {key: one for key, one in own.items() if _fits(one)}
    given = getattr(module, "optimizer", None)
    if not named and not able and callable(given):
        from hierlearn.place.optimised import Optimised

        return dict.fromkeys(KINDS, partial(Optimised, given)), "optimiser"
    if len(able) > 1 and not named:
        raise LearnerError(f"{name} has {len(able)} learners ({', '.join(able)}); {expected}")
    if not named and not able:
        lacks = [
            f"{key} lacks {' and '.join(m for m in ('fit', 'predict') if not hasattr(one, m))}"
            for key, one in own.items()
            if hasattr(one, "fit") or hasattr(one, "predict")
        ] or [
            f"{key} is imported: call it Regressor or Classifier"
            for key, one in vars(module).items()
            if inspect.isclass(one) and key not in own and _fits(one)
        ]
        raise LearnerError(f"{name}: {'; '.join(lacks) or 'no learner in it'}; {expected}")
    if bad := [KINDS[kind] for kind, one in named.items() if not callable(one)]:
        told = "is an object: give its class, or a function without arguments that makes it"
        raise LearnerError(f"{bad[0]} of {name} {told}; {expected}")
    return named or dict.fromkeys(KINDS, *able.values()), "learner"


def families(makers: dict[str, Callable[[], Any]], name: str) -> list[str]:
    """Return the families that a file says it is for, none for all."""
    one = next(iter(makers.values()))
    found = getattr(one.func if isinstance(one, partial) else one, "families", ())
    if isinstance(found, str) or not all(isinstance(each, str) for each in found):
        raise LearnerError(f"families of {name} must be a tuple of names; got {found!r}")
    return list(found)


def n_fits(model: Any) -> int:
    """Return how many fits a fitted model says that it tried; 1 where it says nothing."""
    given = getattr(model, "n_fits_", None)
    if given is None and isinstance(found := getattr(model, "cv_results_", None), dict):
        given = len(found["params"]) * model.n_splits_ + bool(model.refit)
    return int(given or 1)


def _fits(one: Any) -> bool:
    return callable(getattr(one, "fit", None)) and callable(getattr(one, "predict", None))


def _limit(memory: float) -> None:
    """Let this process take so many GiB of memory of its own, where the system has such limits.

    Elsewhere, as on Windows and macOS, nothing is limited.
    """
    try:
        import resource

        n_bytes = int(memory * 2**30)
        resource.setrlimit(resource.RLIMIT_DATA, (n_bytes, n_bytes))
    except (ImportError, OSError, ValueError):
        pass
