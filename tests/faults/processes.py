"""Processes made to be killed, forked from this one: all is imported, so each starts at once."""

import os
import signal
import sys
import time
from collections.abc import Callable, Collection
from multiprocessing import get_context
from pathlib import Path

import psutil


class Driver:
    """A process that runs `work` at the head of a process group; what it says goes to `log`."""

    def __init__(self, work: Callable[[], object], log: Path) -> None:
        self.log = log
        # Not a daemon: those may not have children.
        self.process = get_context("fork").Process(target=_lead, args=(work, log))
        self.process.start()
        self.pid = self.process.pid
        try:
            os.setpgid(self.pid, self.pid)  # here too: whoever comes first
        except (ProcessLookupError, PermissionError):
            pass

    def wait(self, seconds: float | None = None) -> int | None:
        """Return the exit code (minus the signal's number), or None after so many seconds."""
        self.process.join(seconds)
        return self.process.exitcode

    def children(self, *, recursive: bool = False) -> list[psutil.Process]:
        """The living children."""
        try:
            found = psutil.Process(self.pid).children(recursive=recursive)
        except psutil.NoSuchProcess:
            return []
        return [one for one in found if _alive(one.pid)]

    def kill(self, kind: str) -> None:
        """Kill the whole group or the driver alone; wait until no process of the group is left."""
        if kind == "group":
            os.killpg(self.pid, signal.SIGKILL)
        else:
            os.kill(self.pid, signal.SIGKILL)
        self.process.join()
        end = time.monotonic() + 20.0
        while left := [pid for pid in psutil.pids() if _group(pid) == self.pid and _alive(pid)]:
            assert time.monotonic() < end, f"processes {left} outlive their driver ({kind} killed)"
            time.sleep(0.005)

    def expect(self, code: int, *told: str) -> None:
        """Assert how it ends, and what it said."""
        found, said = self.wait(), self.log.read_text()
        assert found == code, f"exit code {found} instead of {code}:\n{said}"
        for text in told:
            assert text in said, f"{text!r} was not said:\n{said}"


def die_at(
    step: int, work: Callable[[], object], functions: Collection[Callable]
) -> Callable[[], None]:
    """Return `work` that kills its process before the `step`-th line that `functions` execute."""
    codes = {function.__code__ for function in functions}

    def run() -> None:
        left = step

        def trace(frame, event, argument):
            nonlocal left
            if frame.f_code not in codes:
                return None
            if event == "line":
                left -= 1
                if not left:
                    os.kill(os.getpid(), signal.SIGKILL)
            return trace

        sys.settrace(trace)
        work()

    return run


def _lead(work: Callable[[], object], log: Path) -> None:
    os.setpgid(0, 0)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    # Whatever captures output in the parent must not write to the parent's own files.
    sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)
    work()


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _group(pid: int) -> int | None:
    try:
        return os.getpgid(pid)
    except OSError:
        return None
