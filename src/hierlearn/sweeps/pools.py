"""Pools of processes that never outlive this one.

What is imported here every process of a pool imports, so it is little.
"""

import os
import signal
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

START_METHOD = "spawn"  # only tests fork theirs, from a process that has imported everything


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Add `variables` to the environment, for processes that start in the block."""
    before = {name: os.environ[name] for name in variables if name in os.environ}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            os.environ.pop(name, None)
        os.environ.update(before)


@contextmanager
def _later(*, lost: bool) -> Iterator[None]:
    """Keep Ctrl-C off this thread, and off processes that it starts, until the block ends.

    It is answered then, or `lost`. No system but POSIX can, and no thread but the main one need.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and lost:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before or signal.SIG_DFL)
    elif is_main and hasattr(signal, "pthread_sigmask"):
        blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            yield
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    else:
        yield


class _Pool(ProcessPoolExecutor):
    """Starts workers that Ctrl-C does not reach, not even while they load what they need."""

    def submit(self, *args: Any, **named: Any) -> Any:
        with _later(lost=False):
            return super().submit(*args, **named)


@contextmanager
def worker_pool(n_workers: int, variables: Mapping[str, str]) -> Iterator[ProcessPoolExecutor]:
    """Give a pool of fresh processes that end with the block, or this process, however it ends.

    `variables` are added to their environment: numerical libraries read theirs when they load.
    """
    # When the end of the pipe that only this process holds is closed, the workers exit at once.
    context = get_context(START_METHOD)
    leash, held = context.Pipe(duplex=False)
    # A forked worker has both ends: held open there, the pipe would outlive the driver.
    ends = leash, held if START_METHOD == "fork" else None
    try:
        pool = _Pool(n_workers, mp_context=context, initializer=_start_worker, initargs=ends)
    except OSError as error:  # it names no file
        raise OSError(
            error.errno, f"{error.strerror}, where processes share locks", "/dev/shm"
        ) from None
    try:
        with environment(variables):
            yield pool
            pool.shutdown()
    finally:
        with _later(lost=True):  # a second one: the first is why this ends, and it takes a second
            held.close()
            pool.shutdown(cancel_futures=True)
            leash.close()


def _start_worker(leash: Connection, held: Connection | None) -> None:
    if held is not None:
        held.close()
    # Ctrl-C reaches the whole process group; what to do about it is the driver's to decide.
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def exit_when_released() -> None:
        try:
            leash.recv_bytes()
        except (EOFError, OSError):
            os._exit(1)

    threading.Thread(target=exit_when_released, daemon=True).start()
