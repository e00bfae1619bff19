"""Kernels that are forked from a process that has imported what every chapter imports.

Importing torch, SciPy and matplotlib takes four seconds, and a book has ten chapters. A process
that executes notebooks has a server, which ends with it, as kernels end with their server.
"""

import atexit
import gc
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.metadata import EntryPoint
from typing import Any, cast

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning import KernelProvisionerFactory, LocalProvisioner

IMPORTED = ("torch._dynamo", "matplotlib.pyplot", "ipykernel.kernelapp", "hierlearn.book.pages")
_LAUNCHER = "ipykernel_launcher"
_NAME = "hierlearn-forked"
_servers: list[subprocess.Popen[str]] = []  # one, or none yet
_paths: list[str] = []  # from which it imports


class _Forked:
    """A child of the server, which collects it, with the face of `subprocess.Popen`."""

    stdin = stdout = stderr = None

    def __init__(self, pid: int) -> None:
        self.pid = pid

    def poll(self) -> int | None:
        """Return nothing while it lives; what it returned, only the server could know."""
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return 1
        return None

    wait = poll

    def send_signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


class Forked(LocalProvisioner):
    """Has a kernel of Python forked by the server; others, or where it fails, start as usual."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Launch the kernel that `cmd` would start."""
        folder = kwargs.get("cwd") or os.getcwd()
        if _LAUNCHER not in cmd or not (pid := _ask(cmd, kwargs["env"], folder)):
            return await super().launch_kernel(cmd, **kwargs)
        self.process = cast(Any, _Forked(pid))
        self.pid = self.pgid = pid  # which it leads at once
        return self.connection_info


def _ask(cmd: list[str], variables: dict[str, str], folder: str) -> int | None:
    """Have a kernel forked, by a new server where none imports from there; return its process."""
    path = variables.get("PYTHONPATH", "")
    if not _servers or _servers[0].poll() is not None or _paths != [path]:
        for one in _servers:
            one.communicate()  # it ends with its input
        code = "import sys; sys.path[:] = filter(None, sys.path)"  # without this folder
        _paths[:] = [path]
        _servers[:] = [
            subprocess.Popen(
                [sys.executable, "-c", f"{code}; import {__name__} as kernels; kernels.serve()"],
                env=variables, text=True, start_new_session=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )
        ]  # fmt: skip
    server = _servers[0]
    argv = cmd[cmd.index(_LAUNCHER) + 1 :]
    assert server.stdin and server.stdout
    try:
        print(json.dumps([argv, variables, folder]), file=server.stdin, flush=True)
        return int(server.stdout.readline())
    except (OSError, ValueError):  # it could not start, or was killed
        return None


def serve() -> None:
    """Fork a kernel for each line of the standard input, and print its process; end with it."""
    gc.disable()
    for name in IMPORTED:
        import_module(name)
    gc.enable()
    gc.freeze()
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the system collects them
    for line in sys.stdin:
        server = os.getpid()
        if pid := os.fork():
            print(pid, flush=True)
            continue
        signal.signal(signal.SIGCHLD, before)
        _become_kernel(*json.loads(line), server=server)


def _become_kernel(argv: list[str], variables: dict[str, str], folder: str, *, server: int) -> None:
    from ipykernel.kernelapp import IPKernelApp

    os.setsid()
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)  # the pipes are the server's
    os.dup2(2, 1)
    os.environ.clear()
    os.environ.update(variables)
    os.chdir(folder)
    sys.argv = [f"{_LAUNCHER}.py", *argv]
    IPKernelApp.launch_instance([*argv, f"--IPKernelApp.parent_handle={server}"])
    atexit._run_exitfuncs()
    os._exit(0)  # to take down what was imported would take a second


@contextmanager
def forked() -> Iterator[None]:
    """Fork the kernels that start in the block, where that is safe: on Linux."""
    factory = KernelProvisionerFactory.instance()
    before = factory.default_provisioner_name
    if sys.platform == "linux":
        entry = EntryPoint(_NAME, f"{__name__}:{Forked.__name__}", factory.GROUP_NAME)
        factory.provisioners[_NAME] = entry
        factory.default_provisioner_name = _NAME
    try:
        yield
    finally:
        factory.default_provisioner_name = before
