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
        pool = ProcessPoolExecutor(
            n_workers, mp_context=context, initializer=_start_worker, initargs=ends
        )
    except OSError as error:  # it names no file
        raise OSError(
            error.errno, f"{error.strerror}, where processes share locks", "/dev/shm"
        ) from None
    try:
        with environment(variables):
            yield pool
            pool.shutdown()
    finally:
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
